"""The check of a freshly built kernel on the simulator, as the engine calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.smoke.harness import check
from npukbuild.smoke.simulated import SimulatedKernel
from npukbuild.smoke.verdict import EXECUTED_FILES, Verdict, hash_subject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from npukbuild.ir.design import Design
    from npukbuild.simulator.kernel_library import KernelLibrary
    from npukbuild.smoke.artifact import ArtifactFolder


def check_on_simulator(
    plan: Any,
    design: Design,
    library: KernelLibrary,
    folder: Path,
    *,
    progress: Callable[[str], None] | None = None,
) -> Verdict:
    """Run the family's trials on the simulated design and return the verdict on the files in ``folder``."""
    from npukbuild.kernels import matmul_numerics

    return check(
        SimulatedKernel(design, library),
        plan.abi,
        plan.problem,
        matmul_numerics,
        target=plan.target_name,
        subject=hash_subject(folder, EXECUTED_FILES["simulator"]),
        progress=progress,
    )


def load_on_simulator(artifact: ArtifactFolder) -> SimulatedKernel:
    """Load an artifact's design and kernel on the simulator."""
    from npukbuild.engine.pipeline import host_library
    from npukbuild.ir import load_design
    from npukbuild.targets import load_target

    design = load_design(artifact.read_text("design.mlir"), file=str(artifact.path / "design.mlir"))
    library = host_library(artifact.path / "kernel.cc", load_target(artifact.target).arch)
    return SimulatedKernel(design, library)
