"""The event simulation and the planner's closed form tell the same time, also where it is hard to tell."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import CannotFitError, RequestError
from npukbuild.kernels.matmul import DTYPE_PAIRS, MatmulProblem
from npukbuild.planner import plan_matmul
from npukbuild.planner.scheme import micro_tile
from npukbuild.targets import load_target, target_names
from tests.simulator.time_only import time_of

if TYPE_CHECKING:
    from npukbuild.planner.plan import MatmulPlan

CALLS = 12_000
"""Core-function calls of all cores together above which a random plan takes too long for a test."""


def agree(plan: MatmulPlan, array: float = 0.1) -> None:
    """Hold both against each other: with the launch, the same in both, and without it to ``array``."""
    simulated, predicted = time_of(plan), plan.prediction
    assert simulated.microseconds == pytest.approx(predicted.total_us, rel=0.05)
    array_us = predicted.total_us - predicted.launch_us
    assert simulated.array_us == pytest.approx(array_us, rel=array, abs=1.5)


@pytest.mark.parametrize("size", [(64, 64, 512), (512, 512, 512), (128, 2048, 512), (3001, 512, 512)])
@pytest.mark.parametrize(("target", "dtype"), [("npu1", "bf16"), ("npu1", "i8"), ("npu2", "bf16")])
def test_the_event_simulation_agrees_with_the_closed_form(
    size: tuple[int, int, int], target: str, dtype: str
) -> None:
    agree(plan_matmul(MatmulProblem(*size, dtype=dtype, out_dtype=dtype), load_target(target)))


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        pytest.param("npu2_3col", MatmulProblem(320, 483, 554, "i16", "i32"), id="three columns, four rows"),
        pytest.param("npu1_3col", MatmulProblem(969, 865, 192, "i16", "i16"), id="one shim reads two rows"),
        pytest.param("npu1_1col", MatmulProblem(384, 256, 256, "i8", "i8"), id="first reads are a third"),
        pytest.param("npu2", MatmulProblem(487, 768, 810, "i8", "i32"), id="as long to issue as to compute"),
        pytest.param("npu2_2col", MatmulProblem(68, 1116, 934, "bf16", "f32"), id="small register blocks"),
        pytest.param("npu2_1col", MatmulProblem(640, 64, 135, "i16", "i16", "col"), id="convert each call"),
        pytest.param("npu1_2col", MatmulProblem(917, 322, 278, "i8", "i8", "col"), id="A is read ahead"),
    ],
)
def test_the_models_agree_where_a_part_other_than_the_longest_matters(
    target: str, problem: MatmulProblem
) -> None:
    agree(plan_matmul(problem, load_target(target)))


@pytest.mark.parametrize(
    ("target", "problem", "block", "cols"),
    [
        pytest.param(
            "npu2_4col",
            MatmulProblem(1122, 611, 985, "bfp16", "f32", "col"),
            (96, 56, 64),
            4,
            id="a pause that the buffers do not bridge",
        ),
        pytest.param(
            "npu2",
            MatmulProblem(754, 498, 996, "bfp16", "f32", "col"),
            (96, 56, 64),
            8,
            id="reads beside a write of C",
        ),
        pytest.param(
            "npu2", MatmulProblem(849, 653, 596, "i16", "i32"), (56, 68, 80), 8, id="few blocks of C"
        ),
        pytest.param(
            "npu2", MatmulProblem(5, 51, 3, "bfp16", "bf16", "col"), (8, 16, 8), 8, id="issuing is all of it"
        ),
        pytest.param(
            "npu2", MatmulProblem(496, 181, 384, "bfp16", "f32"), (32, 96, 16), 8, id="three rounds of tasks"
        ),
        pytest.param(
            "npu2_6col",
            MatmulProblem(66, 107, 265, "bfp16", "f32", "col"),
            (112, 88, 16),
            6,
            id="A is there before the last column's B",
        ),
        pytest.param(
            "npu2_6col", MatmulProblem(49, 9, 58, "bf16", "f32", "col"), (48, 232, 40), 6, id="a single block"
        ),
        pytest.param(
            "npu1_2col",
            MatmulProblem(784, 126, 32, "bf16", "bf16", "col"),
            (88, 128, 16),
            1,
            id="short reads beside long ones",
        ),
        pytest.param(
            "npu2_6col",
            MatmulProblem(224, 128, 1935, "bfp16", "bf16"),
            (16, 224, 16),
            6,
            id="one operand stays, the other is long",
        ),
        pytest.param(
            "npu1_1col",
            MatmulProblem(64, 32, 4096, "bf16", "bf16"),
            (64, 32, 64),
            1,
            id="nothing to clear in direct calls",
        ),
        pytest.param(
            "npu1_1col",
            MatmulProblem(606, 256, 421, "i16", "i16", "col"),
            (32, 256, 20),
            1,
            id="the operand that stays is read in bursts",
        ),
        pytest.param(
            "npu1_1col",
            MatmulProblem(59, 43, 37, "i16", "i32"),
            (52, 16, 128),
            1,
            id="the last C of a single buffer",
        ),
    ],
)
def test_the_models_agree_on_what_random_plans_brought_up(
    target: str, problem: MatmulProblem, block: tuple[int, int, int], cols: int
) -> None:
    agree(plan_matmul(problem, load_target(target), block=block, cols=cols))


def test_the_models_agree_on_random_plans() -> None:
    for plan in random_plans(seed=5, count=12, calls=1500):
        agree(plan, array=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 108))
def test_the_models_agree_on_many_random_plans(seed: int) -> None:
    for plan in random_plans(seed, count=60, calls=CALLS):
        agree(plan, array=0.15)


def random_plans(seed: int, count: int, calls: int) -> list[MatmulPlan]:
    """Draw plans of at most ``calls`` core-function calls: any types, layouts, targets and sizes.

    Half of them have the planner's block and columns, the others random ones where those fit.
    """
    draw = random.Random(seed)
    plans: list[MatmulPlan] = []
    while len(plans) < count:
        dtype = draw.choice(list(DTYPE_PAIRS))
        names = [name for name in target_names() if dtype != "bfp16" or name.startswith("npu2")]
        target = load_target(draw.choice(names))
        out, layout = draw.choice(DTYPE_PAIRS[dtype]), draw.choice(["row", "col"])
        problem = MatmulProblem(*random_size(draw), dtype, out, layout)
        block = cols = None
        if draw.random() < 0.5:
            micro = micro_tile(problem, target)
            m, k, n = (unit * draw.randint(1, draw.choice([32, 64, 128]) // unit) for unit in micro)
            block, cols = (m, k, n), draw.randint(1, target.columns)
        try:
            plan = plan_matmul(problem, target, block=block, cols=cols)
        except (CannotFitError, RequestError):
            continue
        scheme = plan.scheme
        if scheme.m_blocks * scheme.k_blocks * scheme.n_blocks * scheme.cores <= calls:
            plans.append(plan)
    return plans


def random_size(draw: random.Random) -> tuple[int, int, int]:
    """Return M, K, N of some kind: tiny, a few rows, a few columns, one long side, or anything."""
    return draw.choice(
        (
            (draw.randint(1, 70), draw.randint(1, 70), draw.randint(1, 70)),
            (draw.randint(1, 16), draw.randint(200, 4000), draw.randint(32, 1500)),
            (draw.randint(32, 2500), draw.randint(32, 1500), draw.randint(1, 32)),
            (draw.randint(1, 256), draw.randint(1000, 6000), 32),
            (64 * draw.randint(1, 12), 64 * draw.randint(1, 12), 64 * draw.randint(1, 12)),
            (draw.randint(100, 1000), draw.randint(100, 1000), draw.randint(100, 1000)),
        )
    )
