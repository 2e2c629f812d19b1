"""The runtime sequence: which blocks each task moves, with which descriptor, and what is waited for.

All streams of a group are one task each. Groups take turns with two sets of descriptor ids, and before a set is
used again the C of the group that had it is awaited on every column: C of a group cannot be complete before all
of its A and B have been read, so three live tasks per channel never meet and the queue never holds more than two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.planner.scheme import ceil_div
from npukbuild.planner.streams import Group, Transfer, a_transfer, b_transfer, c_transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npukbuild.planner.scheme import Scheme

ID_SETS = ((0, 1, 2), (8, 9, 10))
"""Descriptor ids of C, A and B on every shim, for even and odd groups."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Order of the blocks and how they are cut into groups.

    ``j_inner``: the blocks of one row of blocks follow each other (N innermost); otherwise those of one column.
    """

    j_inner: bool
    groups: tuple[Group, ...]

    @property
    def tasks_per_stream(self) -> int:
        """Tasks that each stream's channel is given."""
        return len(self.groups)


@dataclass(frozen=True, slots=True)
class Task:
    """One ``dma_memcpy_nd``."""

    argument: str
    fifo: str
    id: int
    transfer: Transfer


@dataclass(frozen=True, slots=True)
class WaitFor:
    """One ``dma_wait`` on the C of a column."""

    fifo: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment line."""

    text: str


def schedule(scheme: Scheme) -> Schedule | None:
    """Return the schedule with the fewest groups, or None where no cut of the problem is expressible.

    A resident operand fixes the order. Otherwise both orders are tried with as many blocks per group as the
    repeat and stride fields allow, down to one block per group.
    """
    if scheme.resident:
        orders: tuple[bool, ...] = (scheme.resident == "a",)
    else:
        orders = (True, False)
    found = [cut for j_inner in orders if (cut := _cut(scheme, j_inner)) is not None]
    return min(found, key=lambda cut: len(cut.groups)) if found else None


def _cut(scheme: Scheme, j_inner: bool) -> Schedule | None:
    inner_count = scheme.n_blocks if j_inner else scheme.m_blocks
    outer_count = scheme.m_blocks if j_inner else scheme.n_blocks
    limit = scheme.target.shim.iteration
    for outer_step, inner_step in _steps(scheme, outer_count, inner_count, limit):
        groups = tuple(
            _group(j_inner, (outer, min(outer_step, outer_count - outer)), (inner, min(inner_step, inner_count - inner)))
            for outer in range(0, outer_count, outer_step)
            for inner in range(0, inner_count, inner_step)
        )
        # Sizes only shrink and strides stay the same from the first group to the last.
        if _expressible(scheme, groups[0], j_inner) and _expressible(scheme, groups[-1], j_inner):
            return Schedule(j_inner, groups)
    return None


def _steps(scheme: Scheme, outer: int, inner: int, limit: int) -> Iterator[tuple[int, int]]:
    """Yield (outer, inner) blocks per group, largest groups first."""
    if scheme.resident or inner == 1:
        # The operand that stays is sent once per outer block, so a group may span several of them.
        yield from ((min(limit, outer), inner), (1, inner))
    if not scheme.resident:
        for step in (inner, limit, 1):
            if step <= inner:
                yield 1, step


def _group(j_inner: bool, outer: tuple[int, int], inner: tuple[int, int]) -> Group:
    (i, ni), (j, nj) = (outer, inner) if j_inner else (inner, outer)
    return Group(i, ni, j, nj)


def _expressible(scheme: Scheme, group: Group, j_inner: bool) -> bool:
    last = scheme.columns - 1
    return (
        all(a_transfer(scheme, group, rows, j_inner=j_inner) is not None for _, rows in scheme.a_groups)
        and b_transfer(scheme, group, last, j_inner=j_inner) is not None
        and c_transfer(scheme, group, last, j_inner=j_inner) is not None
    )


def operations(scheme: Scheme, plan: Schedule) -> Iterator[Task | WaitFor | Remark]:
    """Yield the sequence's operations in order."""
    columns = range(scheme.columns)
    waits = [WaitFor(f"c{column}_l2") for column in columns]
    for number, group in enumerate(plan.groups):
        if number >= len(ID_SETS):
            yield Remark(f"group {number - len(ID_SETS)} has finished: its descriptor ids may be used again")
            yield from waits
        ids = ID_SETS[number % len(ID_SETS)]
        yield Remark(_describe(scheme, number, group, ids))
        yield from _tasks(scheme, group, ids, j_inner=plan.j_inner)
    for _ in range(min(len(ID_SETS), len(plan.groups))):
        yield from waits


def _tasks(scheme: Scheme, group: Group, ids: tuple[int, int, int], *, j_inner: bool) -> Iterator[Task]:
    for column in range(scheme.columns):
        c = c_transfer(scheme, group, column, j_inner=j_inner)
        assert c is not None
        yield Task("C", f"c{column}_l2", ids[0], c)
        for number, (source, rows) in enumerate(scheme.a_groups):
            if source == column:
                a = a_transfer(scheme, group, rows, j_inner=j_inner)
                assert a is not None
                yield Task("A", f"a{number}_l3", ids[1], a)
        b = b_transfer(scheme, group, column, j_inner=j_inner)
        assert b is not None
        yield Task("B", f"b{column}_l3", ids[2], b)


def _describe(scheme: Scheme, number: int, group: Group, ids: tuple[int, int, int]) -> str:
    rows = _span("row block", group.i, group.ni)
    columns = _span("column block", group.j, group.nj)
    return f"group {number}: {rows}, {columns}, descriptors {ids[0]}-{ids[2]}"


def _span(what: str, first: int, count: int) -> str:
    return f"{what} {first}" if count == 1 else f"{what}s {first}..{first + count - 1}"


def task_count(scheme: Scheme, plan: Schedule) -> int:
    """Return the number of ``dma_memcpy_nd`` of the whole call."""
    return len(plan.groups) * (2 * scheme.columns + len(scheme.a_groups))


def fewest_groups(outer: int, inner: int, limit: int) -> int:
    """Return how many groups a problem of ``outer`` x ``inner`` blocks takes when strides do not matter."""
    return 1 if inner == 1 and outer <= limit else outer * ceil_div(inner, limit)
