"""The search: which blocks and grids are worth a look, which of them are legal, which is best.

Blocks along M and N come in sizes that cover the problem in whole steps with little padding; for each pair the
block of K is as deep as L1 allows. A rough closed form ranks the pairs of every grid, and the best of them are
checked against every limit and timed by the calibrated model.
"""

from __future__ import annotations

from functools import lru_cache
from heapq import nsmallest
from typing import TYPE_CHECKING

from npukbuild.kernels.abi import DTYPE_BYTES
from npukbuild.planner.limits import violations
from npukbuild.planner.ranking import order, predicted
from npukbuild.planner.scheme import (
    ACCUMULATOR_BYTES,
    STACK_BYTES,
    STATIC_BYTES,
    Resident,
    Scheme,
    ceil_div,
    even_or_one,
)
from npukbuild.planner.sequence import schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from npukbuild.kernels.matmul import MatmulProblem
    from npukbuild.planner.cost import Prediction
    from npukbuild.targets import Target

Pair = tuple[float, int, int, int, int]
"""Rough time, m, n, columns, rows."""

LONGEST = 256
"""Largest block along M or N: C's rows of a column, 4 x m, have to stay below the shim's 1023."""

KEPT = 36
"""Pairs that are timed by the model."""

K_CHOICES = 2
"""Depths of the block of K tried per pair."""


def round_up(value: int, unit: int) -> int:
    """Return the least multiple of ``unit`` that is >= ``value``."""
    return ceil_div(value, unit) * unit


def search(
    problem: MatmulProblem,
    target: Target,
    *,
    block: tuple[int, int, int] | None = None,
    cols: int | None = None,
) -> list[tuple[Scheme, Prediction]]:
    """Return legal schemes with their times, the chosen one first; empty if nothing is legal.

    Args:
        problem: What to compute.
        target: Where.
        block: Only this block (m, k, n).
        cols: Only this many columns.
    """
    grids = list(_grids(problem, target, cols, block))
    found = []
    for scheme in _schemes(problem, target, grids, block):
        if violations(scheme):
            continue
        cut = schedule(scheme)
        if cut is not None:
            found.append((scheme, predicted(scheme, cut)))
    return order(found) if found else []


def _grids(
    problem: MatmulProblem, target: Target, cols: int | None, block: tuple[int, int, int] | None
) -> Iterator[tuple[int, int]]:
    """Yield (columns, rows) without grids whose last row or column would have nothing to do."""
    r, _, t = target.mmul[problem.dtype]
    least_m, least_n = (block[0], block[2]) if block else (r, t)
    all_columns = (
        [cols] if cols else [*(1 << bit for bit in range(3) if 1 << bit < target.columns), target.columns]
    )
    for columns in all_columns:
        if not cols and columns > 1 and (columns - 1) * least_n >= problem.n:
            continue
        for rows in range(1, target.core_rows + 1):
            if rows == 1 or (rows - 1) * least_m < problem.m:
                yield columns, rows


def _schemes(
    problem: MatmulProblem,
    target: Target,
    grids: list[tuple[int, int]],
    block: tuple[int, int, int] | None,
) -> Iterator[Scheme]:
    if block is not None:
        m, k, n = block
        for columns, rows in grids:
            yield from _variants(problem, target, (m, k, n), (columns, rows))
        return
    pairs: list[Pair] = []
    for grid in grids:
        pairs.extend(nsmallest(KEPT, _pairs(problem, target, grid)))
    # The rough time is no judge between grids, so each keeps a share besides the overall best.
    kept = set(nsmallest(KEPT, pairs))
    for grid in grids:
        kept.update(nsmallest(4, (pair for pair in pairs if pair[3:] == grid)))
    for _, m, n, columns, rows in sorted(kept):
        for k in _depths(problem, target, m, n):
            yield from _variants(problem, target, (m, k, n), (columns, rows))


def _pairs(problem: MatmulProblem, target: Target, grid: tuple[int, int]) -> Iterator[Pair]:
    """Yield the blocks (m, n) worth a look on ``grid`` with a rough time in cycles."""
    columns, rows = grid
    r, s, t = target.mmul[problem.dtype]
    size = DTYPE_BYTES[problem.dtype]
    depth = round_up(problem.k, s)
    macs = target.macs[f"{problem.dtype}_{problem.dtype}"] * columns * rows
    port = 4.0 * columns  # bytes per cycle into the array on one channel of each column
    for m in sizes(ceil_div(problem.m, rows), r):
        m_blocks = ceil_div(problem.m, m * rows)
        for n in sizes(ceil_div(problem.n, columns), t):
            room = deepest(problem, target, m, n)
            if room < s:
                continue
            n_blocks = ceil_div(problem.n, n * columns)
            steps = m_blocks * n_blocks
            area = steps * m * rows * n * columns
            short = 1.0 + 4.0 / m + 4.0 / n + 8.0 / min(room, depth)
            compute = area * depth / macs * short
            a = m * rows * m_blocks * depth * size * (1 if depth <= room else n_blocks)
            b = n * columns * n_blocks * depth * size * m_blocks
            yield max(compute, a / port, b / port) + 64.0 * steps, m, n, columns, rows


@lru_cache(maxsize=256)
def sizes(total: int, unit: int) -> tuple[int, ...]:
    """Return block sizes, multiples of ``unit``, that cover ``total`` elements well.

    Those of a few equal parts (rounded to the micro-tile, and to four of them, which is what the register block
    likes) and round ones.
    """
    wide = 4 * unit
    found: set[int] = set()
    for parts in range(max(1, ceil_div(total, LONGEST)), ceil_div(total, LONGEST) + 6):
        part = ceil_div(total, parts)
        found.update((round_up(part, unit), round_up(part, wide)))
    whole = round_up(total, unit)
    found.update(size for size in range(16, LONGEST + 1, 16) if size % unit == 0 and size <= whole)
    return tuple(sorted(size for size in found if size <= LONGEST))


def deepest(problem: MatmulProblem, target: Target, m: int, n: int) -> int:
    """Return the largest block of K, in whole micro-tiles, that leaves A, B and C room in L1 (0: none)."""
    _, s, _ = target.mmul[problem.dtype]
    size, out = DTYPE_BYTES[problem.dtype], DTYPE_BYTES[problem.out_dtype]
    sums = ACCUMULATOR_BYTES if problem.out_dtype != problem.acc_dtype else 0
    free = target.core.data_bytes - STACK_BYTES - STATIC_BYTES - m * n * (out + sums)
    return max(0, free // (2 * (m + n) * size)) // s * s


def _depths(problem: MatmulProblem, target: Target, m: int, n: int) -> Iterable[int]:
    """Return the blocks of K to try: all of it if it fits, else in a few even counts of equal blocks."""
    _, s, _ = target.mmul[problem.dtype]
    room = deepest(problem, target, m, n)
    found: list[int] = []
    whole = round_up(problem.k, s)
    # The whole of K needs no accumulator beside C, and one operand may stay single-buffered.
    if whole <= 4 * max(room, s):
        found.append(whole)
    if room >= s:
        blocks = even_or_one(max(2, ceil_div(problem.k, room)))
        for count in range(blocks, blocks + 2 * K_CHOICES, 2):
            found.append(round_up(ceil_div(problem.k, count), s))
    return dict.fromkeys(found)


def _variants(
    problem: MatmulProblem, target: Target, block: tuple[int, int, int], grid: tuple[int, int]
) -> Iterator[Scheme]:
    """Yield the ways to buffer one block on one grid."""
    m, k, n = block
    columns, rows = grid
    residents: list[Resident] = [""]
    if k >= problem.k:
        if ceil_div(problem.n, n * columns) > 1:
            residents.append("a")
        if ceil_div(problem.m, m * rows) > 1:
            residents.append("b")
    for resident in residents:
        for c_depth in (2, 1):
            yield Scheme(problem, target, m, k, n, columns, rows, resident, c_depth)
