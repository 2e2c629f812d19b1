"""The sizes that have to work: planned, rendered, lowered, counted, and run on the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from npukbuild.kernels.matmul import MatmulProblem as Problem
from npukbuild.planner import plan_matmul
from npukbuild.targets import load_target, target_names
from tests.planner.support import check_numbers_agree, judgements, lowered

if TYPE_CHECKING:
    from pathlib import Path

SMALL = [
    Problem(16, 16, 16, "i8"), Problem(32, 32, 32, "i8"), Problem(64, 64, 64), Problem(64, 64, 64, "i8"),
    Problem(64, 64, 256), Problem(64, 64, 512), Problem(128, 64, 512), Problem(1, 512, 512),
    Problem(65, 63, 67), Problem(7, 5, 3),
]  # fmt: skip
LARGE = [
    Problem(3001, 512, 512), Problem(1500, 512, 512), Problem(1500, 512, 2048), Problem(1500, 2048, 512),
    Problem(512, 512, 512), Problem(512, 512, 512, "i8"),
]  # fmt: skip


def _name(problem: Problem) -> str:
    return problem.name


@pytest.mark.parametrize("target", ["npu1", "npu2"])
@pytest.mark.parametrize("problem", [*SMALL, *LARGE], ids=_name)
def test_planned_lowered_and_counted(problem: Problem, target: str) -> None:
    plan = plan_matmul(problem, load_target(target))
    _, account = lowered(plan)
    check_numbers_agree(plan, account)
    assert plan.calls == 1


@pytest.mark.parametrize("problem", [SMALL[0], SMALL[5], SMALL[8]], ids=_name)
def test_small_ones_compute_the_right_numbers(problem: Problem, tmp_path: Path) -> None:
    plan = plan_matmul(problem, load_target("npu1"))
    design, _ = lowered(plan)
    assert all(one.passed for one in judgements(plan, design, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["npu1", "npu2"])
@pytest.mark.parametrize("problem", [*SMALL, *LARGE], ids=_name)
def test_all_compute_the_right_numbers(problem: Problem, target: str, tmp_path: Path) -> None:
    plan = plan_matmul(problem, load_target(target))
    design, _ = lowered(plan)
    assert all(one.passed for one in judgements(plan, design, tmp_path))


@pytest.mark.parametrize("target", target_names())
def test_every_target_is_used_up_to_its_columns(target: str) -> None:
    model = load_target(target)
    plan = plan_matmul(Problem(2048, 512, 2048), model)
    assert (plan.columns, plan.rows) == (model.columns, model.core_rows)
    lowered(plan)


@pytest.mark.parametrize("cols", range(1, 9))
def test_columns_can_be_restricted(cols: int) -> None:
    plan = plan_matmul(Problem(300, 128, 700, "i8"), load_target("npu2"), cols=cols)
    assert plan.columns == cols
    _, account = lowered(plan)
    check_numbers_agree(plan, account)


def test_the_main_job_keeps_a_in_l1_and_streams_b_and_c() -> None:
    plan = plan_matmul(Problem(64, 64, 512), load_target("npu1"))
    assert (plan.block, plan.columns, plan.rows, plan.scheme.resident) == ((64, 64, 64), 1, 1, "a")
    assert (plan.l1_bytes, plan.l2_bytes) == (44_288, 40_960)
    assert plan.scheme.program == "direct", "one rounding at the end"


def test_a_forced_block_is_used() -> None:
    plan = plan_matmul(Problem(100, 100, 100), load_target("npu1"), block=(16, 24, 32))
    assert plan.block == (16, 24, 32)
    lowered(plan)


def test_a_forced_block_may_leave_no_room_for_constants_but_says_so() -> None:
    problem = Problem(512, 512, 512)
    plan = plan_matmul(problem, load_target("npu1"), block=(64, 64, 64))
    assert plan.l1_bytes == 60_672
    (warning,) = plan.warnings
    assert "only 0 bytes are left behind the highest L1 buffer" in warning
    lowered(plan)
    assert not plan_matmul(problem, load_target("npu1")).warnings


def test_candidates_come_with_the_plan() -> None:
    plan = plan_matmul(Problem(512, 512, 512), load_target("npu1"), candidates=5)
    assert len(plan.alternatives) == 4
    times = [other.prediction.total_us for other in plan.alternatives]
    kinds = {(one.block, one.columns, one.rows, one.scheme.resident) for one in (plan, *plan.alternatives)}
    assert len(kinds) == 5
    assert min(times) >= 0.97 * plan.prediction.total_us, "nothing was much faster than the choice"


def test_the_same_request_gives_the_same_plan() -> None:
    first, second = (plan_matmul(Problem(777, 333, 555), load_target("npu1")).as_dict() for _ in range(2))
    assert first == second


# Limits of the shim's fields: more blocks than 64 repeats, rows and steps beyond 2^20 words.
FAR = [
    (Problem(100_000, 64, 64), "npu1", None),
    (Problem(70, 64, 40_000, "i8", "i32"), "npu1", None),
    (Problem(600, 20_000, 100, b_layout="col"), "npu1_1col", None),
    (Problem(20_000, 4_000, 8_000), "npu2", None),
    (Problem(8, 8, 1_000_000), "npu1", None),
    (Problem(1, 2_000_000, 8), "npu1", None),
    (Problem(500_000, 8, 8, "i16"), "npu2", None),
    (Problem(2100, 256, 640), "npu1", (8, 64, 16)),
    (Problem(1, 1, 1), "npu2", None),
]


@pytest.mark.parametrize(("problem", "target", "block"), FAR)
def test_huge_and_tiny_ones_are_split_in_the_sequence(
    problem: Problem, target: str, block: tuple[int, int, int] | None
) -> None:
    plan = plan_matmul(problem, load_target(target), block=block)
    _, account = lowered(plan)
    check_numbers_agree(plan, account)
