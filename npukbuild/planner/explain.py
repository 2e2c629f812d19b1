"""Why a request cannot be met, in numbers, and what near it can: always by trying, never by a rule of thumb.

Legality is not monotonic (a larger block can be legal where a smaller one is not: whole micro-tiles, even
block counts, banks), so the nearest blocks and shapes are found by holding real schemes against every limit.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import log2
from typing import TYPE_CHECKING

from npukbuild.errors import CannotFitError, RequestError
from npukbuild.planner.limits import shape_violations, violations
from npukbuild.planner.memory import Item, arithmetic, core_items
from npukbuild.planner.scheme import STACK_BYTES, Scheme, micro_tile
from npukbuild.planner.search import round_up, search, small_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npukbuild.kernels.matmul import MatmulProblem
    from npukbuild.targets import Target

Block = tuple[int, int, int]

NEAREST = 4
"""How many blocks that fit are named."""


def check_forced(problem: MatmulProblem, target: Target, *, block: Block | None, cols: int | None) -> None:
    """Refuse sizes that are none, and more columns than the target has.

    Raises:
        RequestError: A size is below 1.
        CannotFitError: The target has fewer columns.
    """
    if block is not None and min(block) < 1:
        raise RequestError(f"a block of {_by(block)} has a size below 1", where="--block")
    if cols is not None and cols < 1:
        raise RequestError(f"{cols} columns are none", where="--cols")
    if cols is not None and cols > target.columns:
        raise CannotFitError(
            f"{problem.name} cannot use {cols} columns of {target.name}",
            where="--cols",
            why=f"{cols} columns > {target.columns}",
            hint=f"use --cols {target.columns} or fewer, or a target with more columns",
        )


def cannot_fit(
    problem: MatmulProblem, target: Target, *, block: Block | None, cols: int | None
) -> CannotFitError:
    """Return the error for a request that :func:`npukbuild.planner.search.search` found no plan for."""
    if block is not None:
        return _block_cannot_fit(problem, target, block, cols)
    return _problem_cannot_fit(problem, target, cols)


def _block_cannot_fit(
    problem: MatmulProblem, target: Target, block: Block, cols: int | None
) -> CannotFitError:
    attempt = Scheme(problem, target, *block, cols or 1, 1)
    found = shape_violations(attempt)
    details: list[str] = []
    if found:
        why, details = found[0], found[1:]
    else:
        doubled = _double_buffered(attempt)
        why = arithmetic(doubled, target.core.data_bytes)
        leanest = Scheme(problem, target, *block, cols or 1, 1, "", 1)
        if ">" not in why:
            why = violations(leanest, static_bytes=0)[0]
        elif core_items(leanest) != doubled:
            details.append(
                f"with one buffer where one can do: {arithmetic(core_items(leanest), target.core.data_bytes)}"
            )
    near = nearest_blocks(problem, target, block, cols)
    details.extend(f"fits: {_by(other)} with {_use(problem, target, other, cols)}" for other in near)
    hint = f"use --block {_by(near[0])}, or leave --block out" if near else "leave --block out"
    return CannotFitError(
        f"a block of {_by(block)} does not fit a core of {target.name}",
        where="--block",
        why=why,
        details=details,
        hint=hint,
    )


def _double_buffered(scheme: Scheme) -> tuple[Item, ...]:
    return tuple(
        item if item.name == "sum" else Item(item.name, 2, item.bytes) for item in core_items(scheme)
    )


def _use(problem: MatmulProblem, target: Target, block: Block, cols: int | None) -> str:
    scheme = search(problem, target, block=block, cols=cols)[0][0]
    return arithmetic(core_items(scheme), target.core.data_bytes)


def nearest_blocks(problem: MatmulProblem, target: Target, block: Block, cols: int | None) -> list[Block]:
    """Return legal blocks near ``block``, the nearest first; distance is the sum of the sizes' log ratios."""
    micro = micro_tile(problem, target)
    rows, depths, columns = (_axis(size, unit) for size, unit in zip(block, micro, strict=True))
    near = sorted(product(rows, depths, columns), key=lambda other: (_distance(block, other), other))
    found: list[Block] = []
    for other in near:
        if other == block or not _may_fit(problem, target, other):
            continue
        best = search(problem, target, block=other, cols=cols)
        if best and not violations(best[0][0]):
            found.append(other)
            if len(found) == NEAREST:
                break
    return found


def _axis(size: int, unit: int) -> list[int]:
    """Return the sizes to try: neighbours of ``size`` in micro-tiles, then 1 and 1.5 times powers of two."""
    centre = max(unit, round_up(size, unit))
    found = {centre, max(unit, size // unit * unit), centre + unit, max(unit, centre - unit)}
    power = unit
    while power <= 2 * size:
        found.update((power, power + power // 2 // unit * unit))
        power *= 2
    return sorted(found)


def _distance(block: Block, other: Block) -> float:
    return round(sum(abs(log2(b / a)) for a, b in zip(block, other, strict=True)), 6)


def _may_fit(problem: MatmulProblem, target: Target, block: Block) -> bool:
    """Say whether single buffers of the block fit; a cheap test before the real one."""
    scheme = Scheme(problem, target, *block, 1, 1, "", 1)
    size, out = scheme.element_bytes
    m, k, n = block
    return (m * k + k * n) * size + m * n * out + STACK_BYTES <= target.core.data_bytes


def _problem_cannot_fit(problem: MatmulProblem, target: Target, cols: int | None) -> CannotFitError:
    r, s, t = micro_tile(problem, target)
    smallest = Scheme(problem, target, 4 * r, 2 * s, 4 * t, cols or target.columns, 1)
    reasons = violations(smallest) or ["every block breaks some limit"]
    near = list(nearest_shapes(problem, target, cols))
    return CannotFitError(
        f"{problem.name} cannot be done on {target.name} in one call",
        why=reasons[0],
        details=[*reasons[1:], *(f"fits: M x K x N = {_by(shape)}" for shape in near)],
        hint=f"cut the problem into parts of {_by(near[0])} or less" if near else None,
    )


def nearest_shapes(problem: MatmulProblem, target: Target, cols: int | None) -> Iterator[Block]:
    """Yield, for each axis that one can shorten to get there, the longest shape found that does fit.

    Along an axis the size is halved until something fits and then grown again by ever smaller steps, each
    tried.
    """
    whole = (problem.m, problem.k, problem.n)
    for axis in range(3):
        size = whole[axis]
        while size > 1 and not _fits(problem, target, cols, axis, size):
            size //= 2
        if not _fits(problem, target, cols, axis, size):
            continue
        step = size // 2
        while step > max(1, size // 64):
            if size + step < whole[axis] and _fits(problem, target, cols, axis, size + step):
                size += step
            step //= 2
        m, k, n = (size if index == axis else length for index, length in enumerate(whole))
        yield m, k, n


def _fits(problem: MatmulProblem, target: Target, cols: int | None, axis: int, size: int) -> bool:
    sizes = [problem.m, problem.k, problem.n]
    sizes[axis] = size
    shorter = replace(problem, m=sizes[0], k=sizes[1], n=sizes[2])
    return any(
        not violations(Scheme(shorter, target, *block, cols or 1, 1, "", 1))
        for block in small_blocks(shorter, target)
    )


def _by(sizes: Block) -> str:
    return "x".join(str(size) for size in sizes)
