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
    from npukbuild.ir.design import Flow
    from npukbuild.simulator.agenda import Agenda
    from npukbuild.simulator.timing import EventTiming

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
        "_on_finish",
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
    )

    def __init__(
        self, flow: Flow, source: Any, ends: list[Any], agenda: Agenda, timing: EventTiming, record: Any
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
        self._copies: dict[Any, Any] = {}

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
                    if count <= self.slack:
                        self._spill(count)
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
        self.busy = False
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
        pairs = self._copies.get(key)
        if pairs is not None:
            for target, origin in pairs:
                target[...] = origin
            return
        if source.bd is None or source.bd.host or not self._cache(key, count):
            data = source.read(count)
            if len(ends) > 1:
                data = contiguous(data)
            for end in ends:
                end.write(data, count)

    def _cache(self, key: Any, count: int) -> bool:
        """Keep the pairs of views of a copy between descriptors that never change, and do it once."""
        source = self.source
        if (
            len(self._copies) >= _CACHE_LIMIT
            or source.bd is None
            or source.bd.host
            or source.bd.padded is not None
        ):
            return False
        if any(end.bd is None or end.bd.host for end in self.ends):
            return False
        origin = source.bd.read(source.moved, count)
        if not np.shares_memory(origin, source.bd.memory.data):
            return False
        targets = [end.bd.access.piece(end.bd.memory.data, 0, end.moved, count) for end in self.ends]
        if any(target is None for target in targets):
            return False
        pairs: list[tuple[Any, Any]] = []
        origin_plain = source.bd.access.contiguous
        first = self.ends[0]
        for place, (end, target) in enumerate(zip(self.ends, targets, strict=True)):
            if place and first.bd.access.contiguous:
                pairs.append(_pair(target, targets[0], end.bd.access.contiguous, True))
            else:
                pairs.append(_pair(target, origin, end.bd.access.contiguous, origin_plain))
        if any(pair[0] is None for pair in pairs):
            return False
        for target, origin in pairs:
            target[...] = origin
        self._copies[key] = pairs
        return True

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
    """Give both views of a copy one shape and unit; (None, None) when both walk memory in strides."""
    if target_plain and target.dtype == np.uint8 and target.ndim == 1:
        if origin_plain:
            return target, contiguous(origin)
        return target.view(origin.dtype).reshape(origin.shape), origin
    if origin_plain and origin.dtype == np.uint8 and origin.ndim == 1:
        return target, origin.view(target.dtype).reshape(target.shape)
    return None, None


def no_route(channel: str, packet: int | None, loc: Any) -> Exception:
    """Return the fault of data that no stream carries away."""
    which = "without a packet header" if packet is None else f"with packet id {packet}"
    return fault(
        f"{channel} sends data {which}, and no stream leaves it for them",
        loc=loc,
        hint="add the aie.flow or aie.packet_flow, or correct the packet id",
    )
