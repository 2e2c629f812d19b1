"""What cannot be done is refused with the arithmetic, and what is offered instead really fits."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.errors import CannotFitError, RequestError
from npukbuild.kernels.matmul import MatmulProblem
from npukbuild.planner import plan_matmul
from npukbuild.planner.limits import violations
from npukbuild.planner.memory import Item, arithmetic
from npukbuild.planner.scheme import Scheme
from npukbuild.targets import load_target


def refusal(problem: MatmulProblem, target: str = "npu1", **forced: object) -> CannotFitError:
    with pytest.raises(CannotFitError) as caught:
        plan_matmul(problem, load_target(target), **forced)  # type: ignore[arg-type]
    return caught.value


def test_the_arithmetic_is_written_out() -> None:
    items = (Item("A", 2, 8192), Item("B", 2, 65_536), Item("C", 2, 65_536))
    written = "A 2 x 8,192 + B 2 x 65,536 + C 2 x 65,536 + stack 1,024 = 279,552 > 65,536"
    assert arithmetic(items, 65_536, stack=1024) == written


def test_a_block_too_large_for_l1() -> None:
    error = refusal(MatmulProblem(64, 64, 512), block=(64, 64, 512))
    assert error.why == "A 2 x 8,192 + B 2 x 65,536 + C 2 x 65,536 + stack 3,328 = 281,856 > 65,536"
    assert error.where == "--block"
    assert "A 8,192 + B 65,536 + C 65,536 + stack 3,328 = 142,592 > 65,536" in error.details[0]


def test_the_sum_counts_too() -> None:
    error = refusal(MatmulProblem(512, 512, 512), block=(128, 64, 64))
    assert error.why is not None
    assert "sum 32,768" in error.why


@settings(max_examples=15, deadline=None)
@given(
    m=st.integers(1, 300), k=st.integers(1, 300), n=st.integers(1, 300),
    dtype=st.sampled_from(["bf16", "i8", "i16"]), target=st.sampled_from(["npu1", "npu2"]),
)  # fmt: skip
def test_offered_blocks_fit(m: int, k: int, n: int, dtype: str, target: str) -> None:
    problem = MatmulProblem(500, 500, 500, dtype)
    refused: CannotFitError | None = None
    try:
        plan_matmul(problem, load_target(target), block=(m, k, n))
    except CannotFitError as error:
        refused = error
    if refused is None:
        return
    offered = re.findall(r"fits: (\d+)x(\d+)x(\d+) with .* <= 65,536", "\n".join(refused.details))
    assert offered
    for sizes in offered:
        block = (int(sizes[0]), int(sizes[1]), int(sizes[2]))
        assert plan_matmul(problem, load_target(target), block=block).block == block


def test_a_block_of_no_whole_tiles() -> None:
    error = refusal(MatmulProblem(64, 64, 64), block=(63, 60, 64))
    assert error.why == "block m = 63 is not a multiple of 4, the aie::mmul tile"
    assert any("block k = 60 is not a multiple of 8" in line for line in error.details)


def test_more_columns_than_there_are() -> None:
    error = refusal(MatmulProblem(64, 64, 64), cols=5)
    assert error.why == "5 columns > 4"
    assert error.hint is not None
    assert "--cols 4" in error.hint


def test_bfp16_needs_aie2p() -> None:
    plan_matmul(MatmulProblem(64, 64, 64, "bfp16"), load_target("npu2_1col"))
    with pytest.raises(RequestError, match="npu1 cannot multiply bfp16"):
        plan_matmul(MatmulProblem(64, 64, 64, "bfp16"), load_target("npu1"))


@pytest.mark.parametrize("forced", [{"block": (0, 64, 64)}, {"cols": 0}])
def test_sizes_that_are_none(forced: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        plan_matmul(MatmulProblem(64, 64, 64), load_target("npu1"), **forced)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (MatmulProblem(8, 8, 40_000_000), "words of at most 1,048,576"),
        (MatmulProblem(200_000, 200_000, 64), "host buffer A of 80,000,000,000 bytes exceeds 2,147,483,647"),
    ],
)
def test_impossible_sizes_name_the_nearest_possible(problem: MatmulProblem, reason: str) -> None:
    error = refusal(problem)
    assert error.why is not None
    assert reason in error.why
    offered = re.findall(r"fits: M x K x N = (\d+)x(\d+)x(\d+)", "\n".join(error.details))
    assert offered
    for sizes in offered:
        plan_matmul(MatmulProblem(int(sizes[0]), int(sizes[1]), int(sizes[2])), load_target("npu1"))


# Each limit of the planner's checklist, broken alone by a scheme that nothing would search for.
BROKEN = [
    ((64, 64, 512, 1, 1), "L1:"),
    ((16, 64, 64, 5, 1), "5 columns asked for, npu1 has 4"),
    ((2, 64, 64, 1, 1), "block m = 2 is not a multiple of 4"),
    ((16, 12, 64, 1, 1), "block k = 12 is not a multiple of 8"),
    ((8, 8, 2052, 1, 1), "dimension"),
    ((4, 2056, 4, 1, 1), "no shim descriptor"),
]


@pytest.mark.parametrize(("layout", "words"), BROKEN)
def test_limits_are_checked(layout: tuple[int, int, int, int, int], words: str) -> None:
    problem = MatmulProblem(4096, 4112, 4104)
    assert any(words in line for line in violations(Scheme(problem, load_target("npu1"), *layout, "", 1)))


def test_no_room_for_constants_is_refused() -> None:
    # All fits in bytes, but placed bank by bank only 256 bytes are left behind the highest buffer.
    scheme = Scheme(MatmulProblem(4096, 4096, 4096, "i8"), load_target("npu1"), 32, 112, 112, 4, 4)
    (line,) = violations(scheme)
    assert "57,088 <= 65,536" in line
    assert "only 256 bytes are left behind the highest buffer" in line
