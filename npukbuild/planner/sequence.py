"""The runtime sequence: which blocks each task moves, with which descriptor, and what is waited for.

All streams of a group are one task each. Groups take turns with two sets of descriptor ids, and before a set
is used again the C of the group that had it is awaited on every column: C of a group cannot be complete
before all of its A and B have been read, so no descriptor is written while it lives and no queue holds more
than two tasks.
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

    ``j_inner``: the blocks of one row of blocks follow each other (N innermost); otherwise those of one
    column. A group spans ``outer_step`` x ``inner_step`` of the ``outer`` x ``inner`` blocks, less at
    the end.
    """

    j_inner: bool
    outer: int
    inner: int
    outer_step: int
    inner_step: int

    @property
    def count(self) -> int:
        """Number of groups, which is the number of tasks that each stream's channel is given."""
        return ceil_div(self.outer, self.outer_step) * ceil_div(self.inner, self.inner_step)

    def groups(self) -> Iterator[Group]:
        """Yield the groups in order."""
        for outer in range(0, self.outer, self.outer_step):
            for inner in range(0, self.inner, self.inner_step):
                yield self._group(outer, inner)

    def first_and_last(self) -> tuple[Group, Group]:
        """Return the first group and the last, which is the farthest and may be the smallest."""
        outer, inner = ((total - 1) // step * step for total, step in self._axes())
        return self._group(0, 0), self._group(outer, inner)

    def _axes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (self.outer, self.outer_step), (self.inner, self.inner_step)

    def _group(self, outer: int, inner: int) -> Group:
        outer_count = min(self.outer_step, self.outer - outer)
        inner_count = min(self.inner_step, self.inner - inner)
        if self.j_inner:
            return Group(outer, outer_count, inner, inner_count)
        return Group(inner, inner_count, outer, outer_count)


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
    return min(found, key=lambda cut: cut.count) if found else None


def _cut(scheme: Scheme, j_inner: bool) -> Schedule | None:
    inner = scheme.n_blocks if j_inner else scheme.m_blocks
    outer = scheme.m_blocks if j_inner else scheme.n_blocks
    for outer_step, inner_step in _steps(scheme, outer, inner, scheme.target.shim.iteration):
        cut = Schedule(j_inner, outer, inner, outer_step, inner_step)
        # Strides are the same in all groups and only the last ones are smaller.
        if all(_expressible(scheme, group, j_inner) for group in cut.first_and_last()):
            return cut
    return None


def _steps(scheme: Scheme, outer: int, inner: int, limit: int) -> Iterator[tuple[int, int]]:
    """Yield (outer, inner) blocks per group, largest groups first."""
    if scheme.resident or inner == 1:
        # The operand that stays is sent once per outer block, so a group may span several of them.
        yield min(limit, outer), inner
    for step in (inner, limit, 1) if not scheme.resident else (inner,):
        if step <= inner:
            yield 1, step


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
    for number, group in enumerate(plan.groups()):
        if number >= len(ID_SETS):
            yield Remark(f"group {number - len(ID_SETS)} has finished: its descriptor ids may be used again")
            yield from waits
        ids = ID_SETS[number % len(ID_SETS)]
        yield Remark(_describe(number, group, ids))
        yield from _tasks(scheme, group, ids, j_inner=plan.j_inner)
    for _ in range(min(len(ID_SETS), plan.count)):
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


def _describe(number: int, group: Group, ids: tuple[int, int, int]) -> str:
    rows = _span("row block", group.i, group.ni)
    columns = _span("column block", group.j, group.nj)
    return f"group {number}: {rows}, {columns}, descriptors {ids[0]}-{ids[2]}"


def _span(what: str, first: int, count: int) -> str:
    return f"{what} {first}" if count == 1 else f"{what}s {first}..{first + count - 1}"


def task_count(scheme: Scheme, plan: Schedule) -> int:
    """Return the number of ``dma_memcpy_nd`` of the whole call."""
    return plan.count * (2 * scheme.columns + len(scheme.a_groups))


def fewest_tasks(scheme: Scheme) -> int:
    """Return the number of tasks if no stride is too long, without laying out the schedule."""
    limit = scheme.target.shim.iteration
    rows, columns = scheme.m_blocks, scheme.n_blocks
    if scheme.resident:
        groups = ceil_div(rows if scheme.resident == "a" else columns, limit)
    else:
        groups = min(_groups(rows, columns, limit), _groups(columns, rows, limit))
    return groups * (2 * scheme.columns + len(scheme.a_groups))


def _groups(outer: int, inner: int, limit: int) -> int:
    return ceil_div(outer, limit) if inner == 1 else outer * ceil_div(inner, limit)
