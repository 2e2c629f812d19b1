"""Timing an artifact without judging its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.engine.families import plan_request
from npukbuild.smoke.devices import loaded_on
from npukbuild.smoke.measure import measure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from npukbuild.smoke.artifact import ArtifactFolder
    from npukbuild.smoke.statistics import Timing


def time_artifact(
    artifact: ArtifactFolder,
    *,
    device: str,
    iterations: int,
    warmup: int,
    runner_python: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Timing, str, dict[str, Any]]:
    """Return the timing, the device it ran on, and what is known of that device."""
    from npukbuild.kernels import matmul_numerics

    problem = plan_request(artifact.manifest["request"]).problem
    with loaded_on(artifact, device, runner_python=runner_python) as (loaded, environment):
        timing = measure(
            loaded, artifact.abi, problem, matmul_numerics, iterations=iterations, warmup=warmup,
            progress=progress,
        )  # fmt: skip
        return timing, loaded.device, environment
