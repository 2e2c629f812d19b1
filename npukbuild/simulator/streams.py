"""Streams: what couples a sending end with one or more receiving ends.

A hand-over moves as many bytes as the sender has left in its descriptor and every receiver has room for in
its own, so ends of different granularity meet without a buffer in between. The real switches hold a few
words; that matters only when the *rest* of a descriptor fits into them, since only a finished descriptor
gives its lock or token back. Exactly then (and never otherwise) data wait in a receiver's ``pending`` bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.simulator.descriptors import contiguous
from npukbuild.simulator.faults import fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.ir.design import Flow
    from npukbuild.simulator.agenda import Agenda
    from npukbuild.simulator.timing import EventTiming
    from npukbuild.simulator.work import Work

_CACHE_LIMIT = 4096


class Stream:
    """One source end and the ends that all receive what it sends.

    An *end* is a DMA channel or a core's stream port: it has ``left`` (bytes it can move now, 0 when it is
    not ready), ``read``/``write`` and ``complete`` (called when ``left`` has reached 0).

    Attributes:
        busy_cycles: Cycles in which data moved.
        bytes: Bytes that moved.
    """

    __slots__ = (
        "_copies",
        "_count",
        "_duration",
        "_give",
        "_jobs",
        "_on_finish",
        "_queue",
        "_ready",
        "agenda",
        "busy",
        "busy_cycles",
        "bytes",
        "ends",
        "flow",
        "handovers",
        "keep_header",
        "name",
        "packet",
        "record",
        "slack",
        "source",
        "timed",
        "timing",
        "work",
    )

    def __init__(
        self,
        flow: Flow,
        source: Any,
        ends: list[Any],
        agenda: Agenda,
        timing: EventTiming,
        record: Any,
        work: Work | None = None,
    ) -> None:
        self.flow = flow
        self.packet = flow.packet_id
        self.keep_header = flow.keep_header
        self.source = source
        self.ends = ends
        self.agenda = agenda
        self.timing = timing
        self.timed = agenda.timed
        self.slack = timing.fifo_bytes
        self.record = record
        self.name = f"{source.name} to {', '.join(end.name for end in ends)}"
        self.busy = False
        self.bytes = 0
        self.busy_cycles = 0.0
        self.handovers = 0
        self._ready = agenda.ready
        self._on_finish = self._finish
        self._count = 0
        self._duration = 0.0
        self._copies: dict[Any, list[tuple[Any, Any]]] = {}
        self.work = work
        self._jobs: dict[Any, int] = {}
        self._give: Any = work.give if work is not None else None
        self._queue = work.address if work is not None else 0

    def pump(self) -> None:
        """Start the next hand-over if all ends are ready."""
        if self.busy:
            return
        source = self.source
        count: int = source.left
        if not count or (self.packet is not None and not self._routed()):
            return
        for end in self.ends:
            left = end.left
            if left < count:
                if not left:
                    if source.left <= self.slack:
                        self._spill(source.left)
                    return
                count = left
        self.busy = True
        self._count = count
        if self.timed:
            self._schedule(count)
        else:
            self._ready.append(self._on_finish)

    def _routed(self) -> bool:
        """For packets: whether the packet now at the source goes this way and all ends are free for it."""
        source = self.source
        if source.packet_id != self.packet:
            return False
        if any(end.owner is not None and end.owner is not self for end in self.ends):
            return False
        for end in self.ends:
            if end.owner is None:
                end.owner = self
                if self.keep_header:
                    end.accept(np.frombuffer(source.header().to_bytes(4, "little"), np.uint8))
        return True

    def _schedule(self, count: int) -> None:
        agenda, timing = self.agenda, self.timing
        now = agenda.now
        start = max(now, self.source.ready_at)
        cycles = count / timing.stream_bytes
        for end in (self.source, *self.ends):
            start = max(start, end.ready_at)
        for end in (self.source, *self.ends):
            if end.ddr is not None:
                cycles = max(cycles, end.ddr.cycles(end, count, start))
        if self.packet is not None:
            cycles += timing.packet_cycles
        self._duration = cycles
        agenda.later(start + cycles - now, self._finish)

    def _finish(self, _event: object = None) -> None:
        count = self._count
        source, ends = self.source, self.ends
        self._move(count)
        self.bytes += count
        self.handovers += len(ends)
        if self.timed:
            self.busy_cycles += self._duration
            self.record.transfer(self, count, self.agenda.now - self._duration, self._duration)
        source.left -= count
        source.moved += count
        for end in ends:
            end.left -= count
            end.moved += count
        for end in ends:
            if not end.left:
                end.complete()
        if not source.left:
            if self.packet is not None:
                self._end_packet()
            source.complete()
        self.busy = False  # only now: an end that goes on at once must not find the others at rest
        self.pump()

    def _end_packet(self) -> None:
        """Free the ends, and let the other streams there try in turn, the one behind this one first.

        The switches arbitrate round robin: from the head of the list, the first two of several sources that
        always have a packet would take turns and the others never come.
        """
        for end in self.ends:
            end.owner = None
            streams = end.streams
            mine = streams.index(self)
            for other in (*streams[mine + 1 :], *streams[:mine]):
                other.pump()

    def _move(self, count: int) -> None:
        source, ends = self.source, self.ends
        if len(ends) == 1:
            end = ends[0]
            key: Any = (source.bd, end.bd, source.moved, end.moved, count)
        else:
            key = (source.bd, source.moved, count, *[end.bd for end in ends], *[end.moved for end in ends])
        job = self._jobs.get(key)
        if job is not None:
            if self._give(self._queue, job):
                self.work.refused(job)  # type: ignore[union-attr]
            return
        pairs = self._copies.get(key)
        if pairs is not None:
            for target, origin in pairs:
                target[...] = origin
            return
        if not self._keep(key, count):
            data = source.read(count)
            if len(ends) > 1:
                data = contiguous(data)
            for end in ends:
                end.write(data, count)

    def _keep(self, key: Any, count: int) -> bool:
        """Prepare a copy between descriptors that never change, and do it once; False: it cannot be."""
        source, ends = self.source, self.ends
        bds = [end.bd for end in (source, *ends)]
        if len(self._copies) + len(self._jobs) >= _CACHE_LIMIT or any(bd is None for bd in bds):
            return False
        if bds[0].padded is not None or (self.work is None and any(bd.host for bd in bds)):
            return False
        views = [
            bd.access.piece(bd.memory.data, bd.base, end.moved, count)
            for bd, end in zip(bds, (source, *ends), strict=True)
        ]
        if any(view is None for view in views):
            return False
        copies = self._copies_of(bds, views, count)
        if copies is None:
            return False
        if self.work is not None:
            job = self.work.prepare_copies(copies)
            if job is None:
                return False
            self._jobs[key] = job
        else:
            self._copies[key] = [(target, origin) for target, _, origin, _ in copies]
        for target, _, origin, _ in copies:
            target[...] = origin
        return True

    def _copies_of(self, bds: list[Any], views: list[Any], count: int) -> list[Any] | None:
        """Return the copies as (target, its memory, origin, its memory), None when some would overlap."""
        (origin, *targets), (source, *ends) = views, bds
        if any(np.may_share_memory(origin, target) for target in targets):
            return None
        copies = []
        memory, plain = source.memory, source.access.contiguous
        for place, (target, bd) in enumerate(zip(targets, ends, strict=True)):
            if not plain and (not bd.access.contiguous or len(ends) > 1) and not place:
                if ends[0].access.contiguous:  # the others copy from where the first has it in stream order
                    copies.append((*_pair(target, origin, True, False), bd.memory, memory))
                    origin, memory, plain = target, bd.memory, True
                    continue
                staging = np.empty(count, np.uint8)
                copies.append((*_pair(staging, origin, True, False), None, memory))
                origin, memory, plain = staging, None, True
            copies.append((*_pair(target, origin, bd.access.contiguous, plain), bd.memory, memory))
        return [(target, to, start, of) for target, start, to, of in copies]

    def _spill(self, count: int) -> None:
        """Put the rest of the source's descriptor into the switches when it fits there."""
        source = self.source
        if not source.can_spill:
            return
        for end in self.ends:
            if end.left < count and len(end.pending) + count > self.slack:
                return
        data = contiguous(source.read(count)).copy()
        source.left = 0
        source.moved += count
        self.bytes += count
        for end in self.ends:
            end.accept(data)
        if self.packet is not None:
            self._end_packet()
        source.complete()


def _pair(target: Any, origin: Any, target_plain: bool, origin_plain: bool) -> tuple[Any, Any]:
    """Give both views of a copy one shape and unit; one of them at least is plain bytes."""
    if origin_plain:
        return (target, origin) if target_plain else (target, origin.view(target.dtype).reshape(target.shape))
    return target.view(origin.dtype).reshape(origin.shape), origin


def no_route(channel: str, packet: int | None, streams: Sequence[Stream], loc: Any) -> Exception:
    """Return the fault of data that no stream carries away."""
    which = "without a packet header" if packet is None else f"with packet id {packet}"
    return fault(
        f"{channel} sends data {which}, and no stream leaves it for them",
        loc=loc,
        why="its streams: "
        + (
            ", ".join("all data" if one.packet is None else f"packet id {one.packet}" for one in streams)
            or "none"
        ),
        hint="add the aie.flow or aie.packet_flow, or correct the packet id",
    )
