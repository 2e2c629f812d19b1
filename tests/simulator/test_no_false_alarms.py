"""Sound designs run without a fault or a warning: what is found in a faulty one is no accident."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from npukbuild.ir import load_design, take_account
from npukbuild.kernels.matmul import DTYPE_PAIRS, MatmulProblem
from npukbuild.planner import plan_matmul
from npukbuild.render import render
from npukbuild.simulator import Simulator
from npukbuild.simulator.hostcc import compile_kernels
from npukbuild.simulator.kernel_library import KernelLibrary
from npukbuild.targets import load_target
from tests.simulator.golden_reference import GOLDEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.golden_reference import Golden

NUMPY: dict[str, Any] = {"bf16": ml_dtypes.bfloat16, "f32": np.float32, "i8": np.int8, "i16": np.int16,
                         "i32": np.int32}  # fmt: skip
SIZES = ((64, 64, 64), (1, 1, 1), (50, 70, 90), (96, 512, 160), (300, 257, 200))
QUICK = {("npu1", "bf16", "f32"), ("npu2", "i8", "i16")}


def _families() -> list[Any]:
    """Every type and layout of the matmul family on both arrays, each with another size and width."""
    found: list[Any] = []
    for device in ("npu1", "npu2"):
        for dtype, outs in DTYPE_PAIRS.items():
            if dtype == "bfp16" and device == "npu1":
                continue
            for out in outs:
                for layout in ("row", "col"):
                    size = SIZES[len(found) % len(SIZES)]
                    width = ("", "_1col", "_2col")[len(found) % 3]
                    quick = (device, dtype, out) in QUICK and layout == "row"
                    marks = [] if quick else [pytest.mark.slow]
                    problem = MatmulProblem(*size, dtype, out, b_layout=layout)
                    name = f"{device}{width}-{problem.name}"
                    found.append(pytest.param(device + width, problem, id=name, marks=marks))
    return found


@pytest.mark.parametrize(("device", "problem"), _families())
def test_a_kernel_of_ours_runs_twice_in_both_modes(
    tmp_path: Path, device: str, problem: MatmulProblem
) -> None:
    target = load_target(device)
    plan = plan_matmul(problem, target)
    sources = render(plan)
    source = tmp_path / "kernel.cc"
    source.write_text(sources.kernel, encoding="utf-8")
    defines = ("NPUK_CHECK_ALIGNMENT",)
    library = compile_kernels([source], arch=target.arch, output=tmp_path / "kernel.so", defines=defines)
    design = load_design(sources.design)
    assert take_account(design).warnings == ()
    kinds = [kind for _, kind in design.sequence.arguments]
    results: list[list[bytes]] = []
    for timed in (True, False):
        simulator, rng = Simulator(design, KernelLibrary(library), timed=timed), np.random.default_rng(5)
        results.append([])
        for _ in range(2):
            arrays = [rng.integers(-3, 4, kind.shape).astype(NUMPY[kind.element]) for kind in kinds]
            assert simulator.run(arrays).warnings == ()
            results[-1].append(arrays[-1].tobytes())
    assert results[0] == results[1], "both modes give the same bits"


@pytest.mark.slow
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda one: one.name)
def test_a_golden_design_runs_twice_without_times(
    golden: Golden, golden_kernels: Callable[[str], Any]
) -> None:
    path = Path(__file__).parent.parent / "golden" / f"{golden.name}.mlir"
    design = load_design(path.read_text(), file=path.name)
    simulator = Simulator(design, golden_kernels(load_target(design.device).arch), timed=False)
    rng = np.random.default_rng(11)
    for _ in range(2):
        args = golden.make(rng)
        expected = golden.reference(args)
        assert simulator.run(args).warnings == ()
        error = np.abs(args[-1].astype(np.float64) - expected) - golden.tolerance * np.abs(expected)
        assert error.max() <= golden.tolerance * np.abs(expected).max() * 0.25
