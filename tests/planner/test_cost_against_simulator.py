"""The closed form and the event simulation come from one set of constants; they must tell the same time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from npukbuild.ir import load_design
from npukbuild.kernels.matmul import DTYPE_PAIRS, MatmulProblem
from npukbuild.planner import plan_matmul
from npukbuild.render import render
from npukbuild.simulator import Simulator
from npukbuild.simulator.hostcc import compile_kernels
from npukbuild.simulator.kernel_library import KernelLibrary
from npukbuild.targets import load_target

if TYPE_CHECKING:
    from pathlib import Path

NUMPY: dict[str, Any] = {
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "f32": np.float32,
    "bf16": ml_dtypes.bfloat16,
    "bfp16": ml_dtypes.bfloat16,
}
SIZES = (64, 128, 192, 256, 384, 512, 640, 768, 1024)


def times(folder: Path, device: str, problem: MatmulProblem) -> tuple[float, float]:
    """Return (simulated, predicted) microseconds of the planner's choice."""
    target = load_target(device)
    plan = plan_matmul(problem, target)
    sources = render(plan)
    (folder / "kernel.cc").write_text(sources.kernel, encoding="utf-8")
    library = compile_kernels([folder / "kernel.cc"], arch=target.arch, output=folder / "kernel.so")
    m, k, n = plan.scheme.padded
    b = (n, k) if problem.b_layout == "col" else (k, n)
    shapes = (((m, k), problem.dtype), (b, problem.dtype), ((m, n), problem.out_dtype))
    result = Simulator(load_design(sources.design), KernelLibrary(library)).run(
        [np.zeros(shape, NUMPY[dtype]) for shape, dtype in shapes]
    )
    return result.microseconds, plan.prediction.total_us


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("npu1", MatmulProblem(512, 512, 512, "i8", "i8")),
        ("npu1", MatmulProblem(768, 512, 512, "bf16", b_layout="col")),
        ("npu1_2col", MatmulProblem(256, 256, 512, "i16", "i32")),
        ("npu2", MatmulProblem(512, 512, 512, "bf16")),
        ("npu2_2col", MatmulProblem(256, 27, 306, "bfp16", "bf16")),
        ("npu1_1col", MatmulProblem(768, 768, 768, "i8")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_both_models_agree(tmp_path: Path, device: str, problem: MatmulProblem) -> None:
    simulated, predicted = times(tmp_path, device, problem)
    assert simulated == pytest.approx(predicted, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_both_models_agree_on_any_plan(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    device = draw.choice(["npu1", "npu1_2col", "npu1_3col", "npu2", "npu2_3col", "npu2_4col", "npu2_7col"])
    dtype = draw.choice(["bf16", "i8", "i16"])
    out = draw.choice(DTYPE_PAIRS[dtype])
    m, k, n = (draw.choice(SIZES) for _ in range(3))
    problem = MatmulProblem(m, k, n, dtype, out, b_layout=draw.choice(["row", "col"]))
    simulated, predicted = times(tmp_path, device, problem)
    assert simulated == pytest.approx(predicted, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "problem",
    [
        MatmulProblem(128, 256, 512, "i16", "i32"),
        MatmulProblem(1024, 640, 128),
        MatmulProblem(512, 512, 512, "i8"),
    ],
    ids=lambda problem: problem.name,
)
def test_both_models_agree_on_one_column_of_npu1(tmp_path: Path, problem: MatmulProblem) -> None:
    """Here A for four rows and B share one narrow port, in pieces of unequal size."""
    simulated, predicted = times(tmp_path, "npu1_1col", problem)
    assert simulated == pytest.approx(predicted, rel=0.05)


@pytest.mark.slow
def test_both_models_agree_on_the_long_whisper_projection(tmp_path: Path) -> None:
    simulated, predicted = times(tmp_path, "npu1", MatmulProblem(3001, 512, 512, "bf16"))
    assert simulated == pytest.approx(predicted, rel=0.05)
