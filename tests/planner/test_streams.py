"""What a transfer walks, element by element, against the order in which the blocks are needed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.kernels.matmul import MatmulProblem
from npukbuild.planner.scheme import Scheme
from npukbuild.planner.sequence import Schedule, Task, WaitFor, operations, schedule
from npukbuild.planner.streams import Transfer, transfer
from npukbuild.targets import load_target

SHIM = load_target("npu1").shim


def walk(one: Transfer) -> list[int]:
    """The element indices of ``one`` in the order in which the DMA moves them."""
    grid = np.zeros((1,), dtype=np.int64) + one.offset
    for size, stride in zip(one.sizes, one.strides, strict=True):
        grid = (grid[:, None] + np.arange(size)[None, :] * stride).reshape(-1)
    return grid.tolist()


def nest_walk(offset: int, loops: list[tuple[int, int]]) -> list[int]:
    return [
        offset + sum(index * stride for index, (_, stride) in zip(at, loops, strict=True))
        for at in product(*(range(size) for size, _ in loops))
    ]


@settings(max_examples=200, deadline=None)
@given(
    loops=st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 12).map(lambda x: 2 * x)), min_size=1, max_size=4
    ),
    inner=st.integers(1, 6).map(lambda x: 2 * x),
    offset=st.integers(0, 50).map(lambda x: 2 * x),
)
def test_a_transfer_walks_exactly_the_loops(loops: list[tuple[int, int]], inner: int, offset: int) -> None:
    nest = [*loops, (inner, 1)]
    found = transfer(offset, nest, 2, SHIM)
    if found is not None:
        assert walk(found) == nest_walk(offset, nest)
        assert found.strides[3] == 1
        for size, stride in list(zip(found.sizes, found.strides, strict=True))[1:]:
            assert size == 1 or stride > 0, "only the outermost dimension can repeat"


def test_limits_of_a_transfer() -> None:
    def fits(*loops: tuple[int, int], size: int = 2) -> bool:
        return transfer(0, loops, size, SHIM) is not None

    assert fits((64, 0), (4, 8), (4, 1))
    assert not fits((65, 0), (4, 8), (4, 1)), "64 repeats"
    assert fits((8, 8192), (2046, 1))
    assert not fits((8, 8192), (2048, 1)), "runs of 1023 words"
    assert fits((100_000, 1)), "a plain run has no limit"
    assert not fits((2, 0), (4096, 1)), "a repeated run has"
    assert fits((2, 2**21), (64, 1))
    assert not fits((2, 2**21 + 2), (64, 1)), "strides of 2^20 words"
    assert not fits((3, 1)), "whole words"
    assert not fits((4, 7), (2, 1)), "strides of whole words"
    assert not fits((4, 8), (4, 2)), "elements of a run follow each other"
    assert not fits((2, 900), (3, 200), (4, 42), (2, 20), (2, 1)), "four dimensions"


def test_long_strides_are_avoided_by_joining_loops() -> None:
    # 64 rows of a row-major matrix 40,000 wide, block of K by block of K: a stride of 64 rows is too long.
    found = transfer(0, [(4, 256), (32, 64 * 40_000), (64, 40_000), (64, 1)], 2, SHIM)
    assert found is not None
    assert max(found.strides) * 2 // 4 <= SHIM.stride_words
    assert walk(found)[:130] == nest_walk(0, [(4, 256), (32, 64 * 40_000), (64, 40_000), (64, 1)])[:130]


def _blocks(scheme: Scheme, cut: Schedule) -> list[tuple[int, int]]:
    outer, inner = (range(cut.outer), range(cut.inner))
    if cut.j_inner:
        return [(i, j) for i in outer for j in inner]
    return [(i, j) for j in outer for i in inner]


def _expected_c(scheme: Scheme, cut: Schedule, column: int) -> list[int]:
    _, _, width = scheme.padded
    high = scheme.rows * scheme.m
    return [
        (i * high + y) * width + (j * scheme.columns + column) * scheme.n + x
        for i, j in _blocks(scheme, cut)
        for y in range(high)
        for x in range(scheme.n)
    ]


def _expected_a(scheme: Scheme, cut: Schedule, rows: tuple[int, ...]) -> list[int]:
    _, depth, _ = scheme.padded
    blocks = _blocks(scheme, cut)
    steps = list(dict.fromkeys(i for i, _ in blocks)) if scheme.resident == "a" else [i for i, _ in blocks]
    return [
        ((i * scheme.rows + rows[0]) * scheme.m + y) * depth + block * scheme.k + x
        for i in steps
        for block in range(scheme.k_blocks)
        for y in range(len(rows) * scheme.m)
        for x in range(scheme.k)
    ]


def _expected_b(scheme: Scheme, cut: Schedule, column: int) -> list[int]:
    _, depth, width = scheme.padded
    blocks = _blocks(scheme, cut)
    steps = list(dict.fromkeys(j for _, j in blocks)) if scheme.resident == "b" else [j for _, j in blocks]
    found = []
    for j in steps:
        first = (j * scheme.columns + column) * scheme.n
        for block in range(scheme.k_blocks):
            if scheme.problem.b_layout == "row":
                rows = range(block * scheme.k, (block + 1) * scheme.k)
                found += [y * width + first + x for y in rows for x in range(scheme.n)]
            else:
                rows = range(first, first + scheme.n)
                found += [y * depth + block * scheme.k + x for y in rows for x in range(scheme.k)]
    return found


SCHEMES = [
    (MatmulProblem(64, 64, 512), "npu1", (64, 64, 64), (1, 1), "a"),
    (MatmulProblem(200, 24, 40), "npu1", (16, 24, 16), (2, 4), "b"),
    (MatmulProblem(200, 24, 90), "npu1", (16, 24, 16), (2, 3), "a"),
    (MatmulProblem(100, 50, 70), "npu1", (8, 16, 16), (3, 4), ""),
    (MatmulProblem(100, 50, 70, "i8", "i32", "col"), "npu2", (8, 16, 16), (5, 2), ""),
    (MatmulProblem(600, 16, 16), "npu1", (4, 8, 16), (1, 2), ""),
    (MatmulProblem(16, 16, 1100, b_layout="col"), "npu1", (8, 8, 8), (2, 2), ""),
]


@pytest.mark.parametrize(("problem", "target", "block", "grid", "resident"), SCHEMES)
def test_every_stream_moves_its_blocks_in_the_order_of_the_cores(
    problem: MatmulProblem, target: str, block: tuple[int, int, int], grid: tuple[int, int], resident: str
) -> None:
    scheme = Scheme(problem, load_target(target), *block, *grid, resident)  # type: ignore[arg-type]
    cut = schedule(scheme)
    assert cut is not None
    moved: dict[str, list[int]] = {}
    for task in operations(scheme, cut):
        if isinstance(task, Task):
            moved.setdefault(task.fifo, []).extend(walk(task.transfer))
    for column in range(scheme.columns):
        assert moved.pop(f"c{column}_l2") == _expected_c(scheme, cut, column)
        assert moved.pop(f"b{column}_l3") == _expected_b(scheme, cut, column)
    for number, (_, rows) in enumerate(scheme.a_groups):
        assert moved.pop(f"a{number}_l3") == _expected_a(scheme, cut, rows)
    assert not moved


@pytest.mark.parametrize(("problem", "target", "block", "grid", "resident"), SCHEMES)
def test_no_descriptor_is_written_while_it_lives(
    problem: MatmulProblem, target: str, block: tuple[int, int, int], grid: tuple[int, int], resident: str
) -> None:
    scheme = Scheme(problem, load_target(target), *block, *grid, resident)  # type: ignore[arg-type]
    cut = schedule(scheme)
    assert cut is not None
    alive: dict[str, list[int]] = {}
    for step in operations(scheme, cut):
        if isinstance(step, Task):
            ids = alive.setdefault(step.fifo, [])
            assert step.id not in ids, "reused before its group was awaited"
            ids.append(step.id)
            assert len(ids) <= SHIM.queue
        elif isinstance(step, WaitFor):
            # The oldest C of a column is there: its A and B have been read.
            column = step.fifo[1:].split("_")[0]
            alive[step.fifo].pop(0)
            for fifo in (
                f"b{column}_l3",
                *(f"a{n}_l3" for n, (at, _) in enumerate(scheme.a_groups) if str(at) == column),
            ):
                alive[fifo].pop(0)
    assert not any(alive.values()), "the call returns before something is awaited"
