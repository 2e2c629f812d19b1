"""Random shapes, types, layouts and targets: every plan's design is read, lowered and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from npukbuild.kernels.matmul import B_LAYOUTS, DTYPE_PAIRS, MULTIPLIED, MatmulProblem
from npukbuild.planner import plan_matmul
from npukbuild.planner.limits import violations
from npukbuild.targets import load_target, target_names
from tests.planner.support import check_numbers_agree, judgements, lowered

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = [(dtype, out) for dtype, outs in DTYPE_PAIRS.items() for out in outs]
TARGETS = list(target_names())

# A failing example is reported as found: shrinking would compile and simulate hundreds of others.
SIMULATED = settings(
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def _sizes(largest: int) -> st.SearchStrategy[int]:
    round_ones = st.sampled_from(
        [size for size in (1, 16, 64, 128, 512, 1500, 2048, 3001) if size <= largest]
    )
    return st.one_of(st.integers(1, min(largest, 200)), st.integers(1, largest), round_ones)


@st.composite
def problems(draw: st.DrawFn, largest: int) -> MatmulProblem:
    dtype, out = draw(st.sampled_from(PAIRS))
    m, k, n = (draw(_sizes(largest)) for _ in range(3))
    shift = draw(st.integers(0, 12)) if out in ("i8", "i16") else 0
    return MatmulProblem(m, k, n, dtype, out, draw(st.sampled_from(B_LAYOUTS)), shift)


def _can_multiply(target: str, dtype: str) -> bool:
    return MULTIPLIED[dtype] in load_target(target).mmul


@settings(max_examples=30, deadline=None)
@given(problem=problems(4096), target=st.sampled_from(TARGETS), data=st.data())
def test_every_design_is_lowered_and_counted(
    problem: MatmulProblem, target: str, data: st.DataObject
) -> None:
    assume(_can_multiply(target, problem.dtype))
    model = load_target(target)
    cols = data.draw(st.none() | st.integers(1, model.columns))
    plan = plan_matmul(problem, model, cols=cols)
    assert not violations(plan.scheme)
    for padded, asked in zip(plan.scheme.padded, (problem.m, problem.k, problem.n), strict=True):
        assert padded >= asked
    _, account = lowered(plan)
    check_numbers_agree(plan, account)


@settings(SIMULATED, max_examples=6)
@given(problem=problems(96), target=st.sampled_from(["npu1", "npu2"]))
def test_small_designs_compute_the_right_numbers(problem: MatmulProblem, target: str, tmp_path: Path) -> None:
    _check_numbers(problem, target, tmp_path)


@pytest.mark.slow
@settings(SIMULATED, max_examples=60)
@given(problem=problems(700), target=st.sampled_from(TARGETS))
def test_designs_compute_the_right_numbers(problem: MatmulProblem, target: str, tmp_path: Path) -> None:
    _check_numbers(problem, target, tmp_path)


def _check_numbers(problem: MatmulProblem, target: str, folder: Path) -> None:
    assume(_can_multiply(target, problem.dtype))
    plan = plan_matmul(problem, load_target(target))
    design, _ = lowered(plan)
    found = judgements(plan, design, folder)
    assert len(found) >= 4
    assert all(one.passed for one in found), found


@pytest.mark.slow
@pytest.mark.parametrize("layout", B_LAYOUTS)
@pytest.mark.parametrize(("dtype", "out"), PAIRS)
@pytest.mark.parametrize("target", ["npu1", "npu2_3col"])
def test_every_type_and_layout_over_several_blocks(
    dtype: str, out: str, layout: str, target: str, tmp_path: Path
) -> None:
    if not _can_multiply(target, dtype):
        pytest.skip("AIE2P only")
    shift = 5 if out in ("i8", "i16") else 0
    problem = MatmulProblem(210, 150, 130, dtype, out, layout, shift)
    model = load_target(target)
    r, s, t = model.mmul[MULTIPLIED[dtype]]
    plan = plan_matmul(problem, model, block=(4 * r, 4 * s, 4 * t))
    assert plan.scheme.k_blocks > 1
    design, _ = lowered(plan)
    assert all(one.passed for one in judgements(plan, design, tmp_path))
