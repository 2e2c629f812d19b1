"""DMA channels: they take tasks from a queue of their own and walk descriptor chains under locks."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.simulator.descriptors import contiguous
from npukbuild.simulator.faults import at, fault
from npukbuild.simulator.memory import poison_words
from npukbuild.simulator.overlaps import shared_words
from npukbuild.simulator.streams import no_route

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.errors import SimulationFault
    from npukbuild.ir.design import Direction, TileId
    from npukbuild.simulator.agenda import Agenda
    from npukbuild.simulator.descriptors import Bd, Task
    from npukbuild.simulator.findings import Findings
    from npukbuild.simulator.overlaps import Shared
    from npukbuild.simulator.streams import Stream
    from npukbuild.simulator.timing import EventTiming

_WORD = 4
_PACKET_ID = 0x1F
"""Bits 4..0 of a header word (AM020, stream switch, packet header)."""


class DmaChannel:
    """One direction of one DMA channel of a tile.

    Attributes:
        queue: Tasks that wait behind the current one.
        bd: The descriptor in progress, None between descriptors.
        left: Bytes of it that can move now (0 while it waits for a lock).
        moved: Bytes of it that have moved.
        tokens: Completion tokens that the host has not collected.
        blocked: The lock operation that it waits for.
        forwards: Whether all its streams carry packets, so that data without a header have it in them.
    """

    __slots__ = (
        "_acquired",
        "_on_grant",
        "_ready",
        "agenda",
        "bd",
        "blocked",
        "can_spill",
        "ddr",
        "direction",
        "fifo",
        "findings",
        "finished",
        "forwards",
        "handler",
        "index",
        "left",
        "loc",
        "moved",
        "name",
        "owner",
        "packet_id",
        "pending",
        "queue",
        "ready_at",
        "receives",
        "starts",
        "streams",
        "task",
        "tile",
        "timed",
        "timing",
        "tokens",
        "waiting",
    )

    def __init__(
        self,
        tile: TileId,
        direction: Direction,
        index: int,
        agenda: Agenda,
        timing: EventTiming,
        findings: Findings,
    ) -> None:
        self.tile = tile
        self.direction = direction
        self.index = index
        self.name = f"{tile} {direction} {index}"
        self.receives = direction == "S2MM"
        self.agenda = agenda
        self.timed = agenda.timed
        self.timing = timing
        self.findings = findings
        self.fifo: str | None = None
        self.loc: Any = None
        self.streams: list[Stream] = []
        self.forwards = False
        self.queue: deque[Task] = deque()
        self.task: Task | None = None
        self.bd: Bd | None = None
        self.left = 0
        self.moved = 0
        self.pending = b""
        self.owner: Any = None
        self.packet_id: int | None = None
        self.can_spill = True
        self.tokens = 0
        self.finished = 0
        self.starts = 0
        self.waiting: Callable[[], None] | None = None
        self.handler: Callable[[Task], None] | None = None
        self.blocked: tuple[Any, int, bool] | None = None
        self.ready_at = 0.0
        self.ddr: Any = None
        self._acquired = 0
        self._ready = agenda.ready
        self._on_grant = self._granted

    def push(self, task: Task) -> None:
        """Queue a task; it starts at once when the channel is idle."""
        self.queue.append(task)
        if self.task is None:
            self._next_task()

    def _next_task(self) -> None:
        if not self.queue:
            return
        task = self.task = self.queue.popleft()
        if self.timed:
            task.begun = self.agenda.now
            self.ready_at = self.agenda.now + self.timing.task_start(self)
        self.starts += 1
        self._begin(task.begin())

    def _begin(self, bd: Bd) -> None:
        self.bd = bd
        self.moved = 0
        acquires = bd.acquires
        if len(acquires) == 1:
            lock, count, equal = acquires[0]
            value = lock.value
            if value == count or (value > count and not equal):
                lock.value = value - count
                self._activate()
            else:
                self.blocked = acquires[0]
                lock.waiters.append((count, equal, self._on_grant))
        else:
            self._acquired = 0
            self._acquire(bd)

    def _granted(self) -> None:
        self.blocked = None
        self._activate()

    def _acquire(self, bd: Bd) -> None:
        """Take the locks of a descriptor with none or several, one after the other."""
        acquires = bd.acquires
        while self._acquired < len(acquires):
            lock, count, equal = acquires[self._acquired]
            if not lock.take(count, equal):
                self.blocked = acquires[self._acquired]
                lock.wait(count, equal, self._resume)
                return
            self._acquired += 1
        self._activate()

    def _resume(self) -> None:
        self.blocked = None
        self._acquired += 1
        assert self.bd is not None
        self._acquire(self.bd)

    def _activate(self) -> None:
        bd = self.bd
        assert bd is not None
        if not bd.host:
            active = bd.memory.active  # type: ignore[union-attr]
            if active:
                self._check_conflict(bd, active)
            active.append(self)
        if self.timed:
            start = self.agenda.now + self.timing.descriptor_cycles(bd)
            self.ready_at = max(start, self.ready_at)
        self.left = bd.size
        if self.receives:
            if self.pending:
                self._absorb()
                if not self.left:
                    self.complete()
                    return
            for stream in self.streams:
                if stream.source.left:
                    stream.pump()
            return
        if not bd.memory.clean:
            self._check_poison(bd)
        self.packet_id = bd.packet[1] if bd.packet is not None else None
        if self.forwards and bd.packet is None:
            self._header_from_data(bd)
        for stream in self.streams:
            if stream.packet == self.packet_id:
                stream.pump()
                return
        raise no_route(self.name, self.packet_id, self.streams, bd.descriptor.loc or self.loc)

    def _header_from_data(self, bd: Bd) -> None:
        """Take the first word for the packet header, as a packet-switched port does with plain data.

        So a design forwards packets whose header a flow with ``keep_pkt_header`` has left in memory.
        """
        if bd.size <= _WORD:
            return
        word = int.from_bytes(contiguous(bd.read(0, _WORD)).tobytes(), "little")
        self.packet_id = word & _PACKET_ID
        self.moved = _WORD
        self.left = bd.size - _WORD

    def complete(self) -> None:
        """Finish the descriptor: give its locks back, go on with the chain, the repeats or the next task."""
        bd, task = self.bd, self.task
        assert bd is not None
        assert task is not None
        self.bd = None
        memory = bd.memory
        if not bd.host:
            memory.active.remove(self)  # type: ignore[union-attr]
            if self.receives and not memory.clean:
                if bd.covers:
                    memory.clean = True
                else:
                    memory.look()  # type: ignore[union-attr]
        for lock, count in bd.releases:
            waiters = lock.waiters
            if len(waiters) == 1:  # the usual case of LockState.release, in place: this is the hottest loop
                need, equal, resume = waiters[0]
                value = lock.value + count
                if not equal and need <= value <= lock.maximum:
                    waiters.clear()
                    lock.value = value - need
                    self._ready.append(resume)
                    continue
            lock.release(count, self.name, bd.descriptor.loc or self.loc)
        if bd.next is not None:
            self._begin(bd.next)
        elif task.started < task.starts:
            self._begin(task.begin())
        else:
            self._end_task(task)

    def _end_task(self, task: Task) -> None:
        self.task = None
        task.done = True
        self.finished += 1
        if task.token:
            self.tokens += 1
        if self.handler is not None:
            self.handler(task)
        if self.waiting is not None:
            self.waiting()
        self._next_task()

    # What a stream asks of its ends ------------------------------------------------------------------

    def read(self, count: int) -> Any:
        """Return the next ``count`` bytes to send."""
        assert self.bd is not None
        return self.bd.read(self.moved, count)

    def write(self, data: Any, count: int) -> None:
        """Store the next ``count`` received bytes."""
        bd = self.bd
        assert bd is not None
        bd.write(self.moved, count, data)

    def accept(self, data: Any) -> None:
        """Take bytes that wait in the switches, or store them when a descriptor is ready for all of them."""
        self.pending += data.tobytes()
        if self.left:
            self._absorb()
            if not self.left:
                self.complete()

    def _absorb(self) -> None:
        count = min(self.left, len(self.pending))
        data = np.frombuffer(self.pending[:count], np.uint8)
        self.pending = self.pending[count:]
        self.write(data, count)
        self.left -= count
        self.moved += count

    def header(self) -> int:
        """Return the packet header word (id in bits 4..0, type in bits 14..12, parity left out)."""
        assert self.bd is not None
        if self.bd.packet is None:
            return int.from_bytes(contiguous(self.bd.read(0, _WORD)).tobytes(), "little")
        kind, ident = self.bd.packet
        return ident | kind << 12 | self.tile.row << 16 | self.tile.column << 21

    # Checks --------------------------------------------------------------------------------------------

    def _check_conflict(self, bd: Bd, active: list[DmaChannel]) -> None:
        for other in active:
            theirs = other.bd
            if theirs is None or not (self.receives or other.receives):
                continue
            shared = shared_words(bd, theirs)
            if shared is None:
                continue
            raise self._conflict(bd, other, theirs, shared)

    def _conflict(self, bd: Bd, other: DmaChannel, theirs: Bd, shared: Shared) -> SimulationFault:
        both = "two writers" if self.receives and other.receives else "a reader and a writer"
        memory: Any = bd.memory
        names = memory.name
        if theirs.memory is not memory:
            names += f" and {theirs.memory.name}, which overlap,"
        return fault(
            f"{both} use buffer {names} at the same time",
            loc=bd.descriptor.loc or self.loc,
            why=f"{self.name}{at(bd.descriptor.loc)} begins to {self._verb} "
            f"{shared.text(memory, memory.start)} while {other.name}{at(theirs.descriptor.loc)} has not "
            f"finished to {other._verb} them ({other.moved} of its {theirs.size} bytes are done)",
            hint="the two must take turns by a pair of locks; give each descriptor its acquire and release",
        )

    @property
    def _verb(self) -> str:
        return "write" if self.receives else "read"

    def _check_poison(self, bd: Bd) -> None:
        data = bd.read(0, bd.size)
        found = poison_words(np.ascontiguousarray(data).reshape(-1).view(np.uint8))
        if len(found):
            self.findings.poison_read(self, bd, found)
