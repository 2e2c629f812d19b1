"""The search: which blocks and grids are worth a look, which of them are legal, which is best.

A rough closed form ranks pairs (m, n) on every grid; the best of each are timed by the calibrated model with
the deepest blocks of K that fit, and from the fastest of those the search walks downhill over neighbouring
sizes. What is chosen is then held against every limit; if it breaks one, the next best is taken.
"""

from __future__ import annotations

from functools import lru_cache
from heapq import nsmallest
from typing import TYPE_CHECKING

from npukbuild.kernels.abi import DTYPE_BYTES
from npukbuild.planner.limits import room_for_constants, violations
from npukbuild.planner.memory import l1_bytes
from npukbuild.planner.ranking import by_choice, fastest_first, predicted
from npukbuild.planner.scheme import (
    ACCUMULATOR_BYTES,
    STACK_BYTES,
    STATIC_BYTES,
    Resident,
    Scheme,
    ceil_div,
    even_or_one,
    micro_tile,
)
from npukbuild.planner.sequence import fewest_tasks
from npukbuild.planner.streams import WORD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from npukbuild.kernels.matmul import MatmulProblem
    from npukbuild.planner.cost import Prediction
    from npukbuild.targets import Target

Timed = tuple[Scheme, "Prediction"]

LONGEST = 256
"""Largest block along M or N that the search looks at: C's rows of a column, 4 x m, have to stay within the
shim's 1023, and longer blocks leave L1 no room for the other operand."""

SEEDS = 6
"""Pairs (m, n) per grid that the model times before the walk."""

WALKS = 4
"""Fastest schemes (of different m or grid) from which the search walks on."""

STEPS = 12
"""Longest walk."""

ENOUGH = 900
"""Schemes looked at after which no walk goes on: a plan has to be there in milliseconds."""

SLOWER = 4.0
"""Grids whose rough time is this much above the best grid's are left out."""


def round_up(value: int, unit: int) -> int:
    """Return the least multiple of ``unit`` that is >= ``value``."""
    return ceil_div(value, unit) * unit


def search(
    problem: MatmulProblem,
    target: Target,
    *,
    block: tuple[int, int, int] | None = None,
    cols: int | None = None,
    count: int = 1,
) -> list[Timed]:
    """Return up to ``count`` legal schemes with their times, the chosen one first; empty if nothing is legal.

    Args:
        problem: What to compute.
        target: Where.
        block: Only this block (m, k, n).
        cols: Only this many columns.
        count: How many to return at most.
    """
    grids = list(_grids(problem, target, cols, block))
    if block is not None:
        return _search_block(problem, target, block, grids, count)
    finder = _Finder(problem, target)
    for grid, pairs in _seeds(problem, target, grids):
        for m, n in pairs:
            finder.try_pair(m, n, grid)
    finder.walk()
    legal = _legal(finder.found, count)
    if not legal:
        for small in small_blocks(problem, target):
            for grid in grids:
                finder.try_block(small, grid)
        legal = _legal(finder.found, count)
    return legal


def _search_block(
    problem: MatmulProblem,
    target: Target,
    block: tuple[int, int, int],
    grids: list[tuple[int, int]],
    count: int,
) -> list[Timed]:
    """Search with a given block; only where nothing else is legal, without room for constants.

    Our core functions have none, so such a design links unless the compiler makes some up; the plan warns.
    """
    legal: list[Timed] = []
    for static_bytes in (STATIC_BYTES, 0):
        if not legal:
            finder = _Finder(problem, target, static_bytes)
            for grid in grids:
                finder.try_block(block, grid)
            legal = _legal(finder.found, count, static_bytes)
    return legal


def small_blocks(problem: MatmulProblem, target: Target) -> Iterator[tuple[int, int, int]]:
    """Yield blocks of a few micro-tiles: what is left to try where strides or runs are the limit."""
    r, _, t = micro_tile(problem, target)
    for m in (4 * r, 2 * r, r):
        for n in (16 * t, 4 * t, t):
            for k in _depths(problem, target, m, n):
                yield m, k, n


def _legal(found: Iterable[Timed], count: int, static_bytes: int = STATIC_BYTES) -> list[Timed]:
    """Return the first ``count`` legal schemes: the one worth its cores, then the others by time."""
    ordered = fastest_first(found)
    legal: list[Timed] = []
    for entry in by_choice(ordered):
        if not violations(entry[0], static_bytes=static_bytes):
            legal.append(entry)
            break
    for entry in ordered:
        if len(legal) >= count:
            break
        if entry not in legal and not violations(entry[0], static_bytes=static_bytes):
            legal.append(entry)
    return legal


class _Finder:
    """Schemes tried so far, each timed once."""

    def __init__(self, problem: MatmulProblem, target: Target, static_bytes: int = STATIC_BYTES) -> None:
        self._problem = problem
        self._static_bytes = static_bytes
        self._target = target
        self._times: dict[tuple[int, int, int, int, int, str, int], Timed | None] = {}

    @property
    def found(self) -> list[Timed]:
        """Every scheme that fits L1, with its time."""
        return [entry for entry in self._times.values() if entry is not None]

    def try_pair(self, m: int, n: int, grid: tuple[int, int]) -> None:
        """Time the blocks (m, n) on ``grid`` with the depths of K that fit."""
        for k in _depths(self._problem, self._target, m, n):
            self.try_block((m, k, n), grid)

    def try_block(self, block: tuple[int, int, int], grid: tuple[int, int]) -> None:
        """Time one block on ``grid`` in every way of buffering that makes sense."""
        for resident in _residents(self._problem, block, grid):
            # One buffer of C only where two do not fit.
            if self._try(block, grid, resident, 2) is None:
                self._try(block, grid, resident, 1)

    def walk(self) -> None:
        """Try the neighbours of the fastest schemes until none of them is faster."""
        starts: dict[tuple[int, int, int], Timed] = {}
        for entry in fastest_first(self.found):
            starts.setdefault((entry[0].m, entry[0].columns, entry[0].rows), entry)
        for start in list(starts.values())[:WALKS]:
            here = start
            for _ in range(STEPS):
                if len(self._times) >= ENOUGH:
                    return
                before = len(self._times)
                scheme = here[0]
                for m, n in _neighbours(scheme):
                    self.try_pair(m, n, (scheme.columns, scheme.rows))
                if len(self._times) == before:
                    break
                near = [entry for entry in self.found if _same_grid(entry[0], scheme)]
                best = min(near, key=lambda entry: entry[1].total_us)
                if best is here:
                    break
                here = best

    def _try(
        self, block: tuple[int, int, int], grid: tuple[int, int], resident: Resident, c_depth: int
    ) -> Timed | None:
        key = (*block, *grid, resident, c_depth)
        if key not in self._times:
            self._times[key] = self._time(block, grid, resident, c_depth)
        return self._times[key]

    def _time(
        self, block: tuple[int, int, int], grid: tuple[int, int], resident: Resident, c_depth: int
    ) -> Timed | None:
        if not _may_fit(self._problem, self._target, block, c_depth, self._static_bytes):
            return None
        scheme = Scheme(self._problem, self._target, *block, *grid, resident, c_depth)
        return (
            (scheme, predicted(scheme, fewest_tasks(scheme))) if _fits(scheme, self._static_bytes) else None
        )


def _may_fit(
    problem: MatmulProblem, target: Target, block: tuple[int, int, int], c_depth: int, static_bytes: int
) -> bool:
    """Say whether a block could fit L1, from its sizes alone; most of those tried cannot."""
    m, k, n = block
    size, out = DTYPE_BYTES[problem.stored_dtype], DTYPE_BYTES[problem.out_dtype]
    streamed = 2 if k < problem.k else 1
    sums = ACCUMULATOR_BYTES if k < problem.k and problem.out_dtype != problem.acc_dtype else 0
    needed = streamed * k * (m + n) * size + m * n * (c_depth * out + sums)
    return needed + STACK_BYTES + static_bytes <= target.core.data_bytes


def _fits(scheme: Scheme, static_bytes: int) -> bool:
    return l1_bytes(scheme) <= scheme.target.core.data_bytes and room_for_constants(scheme) >= static_bytes


def _same_grid(one: Scheme, other: Scheme) -> bool:
    return one.columns == other.columns and one.rows == other.rows


def _grids(
    problem: MatmulProblem, target: Target, cols: int | None, block: tuple[int, int, int] | None
) -> Iterator[tuple[int, int]]:
    """Yield (columns, rows) without grids whose last row or column would have nothing to do."""
    r, _, t = micro_tile(problem, target)
    least_m, least_n = (block[0], block[2]) if block else (r, t)
    some = (1, 2, 4, target.columns)
    for columns in (cols,) if cols else sorted({count for count in some if count <= target.columns}):
        if not cols and columns > 1 and (columns - 1) * least_n >= problem.n:
            continue
        for rows in range(1, target.core_rows + 1):
            if rows == 1 or (rows - 1) * least_m < problem.m:
                yield columns, rows


def _seeds(
    problem: MatmulProblem, target: Target, grids: list[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], list[tuple[int, int]]]]:
    """Yield the grids worth a look, each with its most promising (m, n)."""
    ranked = {grid: nsmallest(SEEDS, _pairs(problem, target, grid)) for grid in grids}
    best = min((pairs[0][0] for pairs in ranked.values() if pairs), default=0.0)
    for grid, pairs in ranked.items():
        # What is short beside a launch is not left out: there it is the number of cores that counts.
        if pairs and pairs[0][0] <= max(SLOWER * best, _LAUNCH_CYCLES):
            yield grid, [(m, n) for _, m, n in pairs]


_LAUNCH_CYCLES = 200_000.0
"""Cycles of the array that no caller would notice beside a launch of 100 us and more."""


def _pairs(problem: MatmulProblem, target: Target, grid: tuple[int, int]) -> Iterator[tuple[float, int, int]]:
    """Yield (rough cycles, m, n) for the blocks worth a look on ``grid``."""
    columns, rows = grid
    r, s, t = micro_tile(problem, target)
    size = DTYPE_BYTES[problem.stored_dtype]
    depth = round_up(problem.k, s)
    macs = target.macs[f"{problem.stored_dtype}_{problem.dtype}"] * columns * rows
    # Bytes per cycle into the array: A enters through one column per core row, B through every column.
    a_port, b_port = 4.0 * min(rows, columns), 4.0 * columns
    for m in sizes(ceil_div(problem.m, rows), r):
        m_blocks = ceil_div(problem.m, m * rows)
        for n in sizes(ceil_div(problem.n, columns), t):
            room = deepest(problem, target, m, n)
            if room < s:
                continue
            n_blocks = ceil_div(problem.n, n * columns)
            steps = m_blocks * n_blocks
            # Loops over few tiles and short runs from DDR cost in proportion.
            run = min(room, depth)
            compute = steps * m * rows * n * columns * depth / macs * (1.5 + 4.0 / m + 4.0 / n + 20.0 / run)
            a = (
                m
                * rows
                * m_blocks
                * depth
                * size
                * (1 if depth <= room else n_blocks)
                * (1 + 48 / (run * size))
            )
            b = n * columns * n_blocks * depth * size * m_blocks * (1 + 48 / (n * size))
            yield max(compute, a / a_port, b / b_port) + 64.0 * steps, m, n


@lru_cache(maxsize=512)
def sizes(total: int, unit: int) -> tuple[int, ...]:
    """Return block sizes, multiples of ``unit``, that cover ``total`` elements well.

    Those of a few equal parts (rounded to the micro-tile, and to four of them, which is what the register
    block likes) and round ones.
    """
    wide = 4 * unit
    found: set[int] = set()
    first = max(1, ceil_div(total, LONGEST))
    for parts in range(first, first + 6):
        part = ceil_div(total, parts)
        found.update((round_up(part, unit), round_up(part, wide)))
    whole = round_up(total, unit)
    found.update(size for size in range(16, LONGEST + 1, 16) if size % unit == 0 and size <= whole)
    return tuple(sorted(size for size in found if size <= LONGEST))


def _neighbours(scheme: Scheme) -> Iterator[tuple[int, int]]:
    """Yield the (m, n) near ``scheme``'s: the next sizes up and down, alone and one against the other."""
    r, _, t = scheme.micro
    m_sizes = _near(scheme.m, r, ceil_div(scheme.problem.m, scheme.rows))
    n_sizes = _near(scheme.n, t, ceil_div(scheme.problem.n, scheme.columns))
    for m in m_sizes:
        yield m, scheme.n
    for n in n_sizes:
        yield scheme.m, n
    for m in m_sizes:
        for n in n_sizes:
            if (m < scheme.m) != (n < scheme.n) and m != scheme.m and n != scheme.n:
                yield m, n


def _near(size: int, unit: int, total: int) -> tuple[int, ...]:
    """Return ``size``, its neighbours, and the sizes that cover ``total`` in one part more or less."""
    parts = ceil_div(total, size)
    found = {size}
    for step in (unit * 2, unit * 4):
        found.update((size - step, size + step))
    for count in (parts - 1, parts + 1):
        if count > 0:
            found.add(round_up(ceil_div(total, count), unit))
    return tuple(sorted(near for near in found if unit <= near <= LONGEST))


def deepest(problem: MatmulProblem, target: Target, m: int, n: int) -> int:
    """Return the largest block of K, in whole micro-tiles, that leaves A, B and C room in L1 (0: none)."""
    _, s, _ = micro_tile(problem, target)
    size, out = DTYPE_BYTES[problem.stored_dtype], DTYPE_BYTES[problem.out_dtype]
    sums = ACCUMULATOR_BYTES if problem.out_dtype != problem.acc_dtype else 0
    free = target.core.data_bytes - STACK_BYTES - STATIC_BYTES - m * n * (out + sums)
    longest = target.shim.wrap[0] * WORD // size
    return min(max(0, free // (2 * (m + n) * size)), longest) // s * s


def _depths(problem: MatmulProblem, target: Target, m: int, n: int) -> Iterable[int]:
    """Return the blocks of K to try: all of it if it fits, the deepest two, the deepest without padding.

    Blocks of K come in even numbers, see :func:`npukbuild.planner.scheme.even_or_one`.
    """
    _, s, _ = micro_tile(problem, target)
    whole = round_up(problem.k, s)
    size = DTYPE_BYTES[problem.stored_dtype]
    found: list[int] = []
    # The whole of K needs no accumulator beside C, and the operands may stay single-buffered.
    if whole * (m + n) * size < target.core.data_bytes:
        found.append(whole)
    room = deepest(problem, target, m, n)
    if room >= s:
        blocks = even_or_one(max(2, ceil_div(problem.k, room)))
        found.extend(round_up(ceil_div(problem.k, count), s) for count in (blocks, blocks + 2))
        exact = next((count for count in range(blocks, 4 * blocks, 2) if whole % (count * s) == 0), None)
        if exact is not None:
            found.append(whole // exact)
    return dict.fromkeys(found)


def _residents(
    problem: MatmulProblem, block: tuple[int, int, int], grid: tuple[int, int]
) -> tuple[Resident, ...]:
    """Return which operand may stay in L1: where K is one block, the one that several others go by."""
    m, k, n = block
    columns, rows = grid
    if k < problem.k:
        return ("",)
    along_n = ceil_div(problem.n, n * columns) > 1
    along_m = ceil_div(problem.m, m * rows) > 1
    if along_n and along_m:
        return ("a", "b")
    return ("a",) if along_n else ("b",) if along_m else ("",)
