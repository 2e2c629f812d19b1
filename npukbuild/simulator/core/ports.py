"""Ports of a core that carry values: cascade and stream."""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.simulator.core.scalars import bf16_bits, bf16_value

if TYPE_CHECKING:
    from npukbuild.ir.design import TileId
    from npukbuild.simulator.agenda import Agenda, Callback

_FORMS = {"i32": "<i", "f32": "<f", "i16": "<hxx", "i8": "<bxxx", "i64": "<q", "index": "<q"}
_WORD = 4


class Wait:
    """What a core yields to wait at a port; the other side wakes it."""

    __slots__ = ("agenda", "text", "waiters")

    def __init__(self, agenda: Agenda, text: str) -> None:
        self.agenda = agenda
        self.text = text
        self.waiters: list[Callback] = []

    def add(self, resume: Callback) -> None:
        """Call ``resume`` at the next :meth:`wake`."""
        self.waiters.append(resume)

    def wake(self) -> None:
        """Let those who wait look again."""
        if self.waiters:
            self.agenda.ready.extend(self.waiters)
            self.waiters.clear()


class Cascade:
    """A cascade between two neighbouring cores: values in order, at most ``depth`` under way."""

    __slots__ = ("depth", "destination", "empty", "full", "items", "source")

    def __init__(self, source: TileId, destination: TileId, depth: int, agenda: Agenda) -> None:
        self.source = source
        self.destination = destination
        self.items: deque[Any] = deque()
        self.depth = depth
        self.full = Wait(agenda, f"room in the cascade from {source} to {destination}")
        self.empty = Wait(agenda, f"a value in the cascade from {source} to {destination}")

    def put(self, value: Any) -> bool:
        """Send a value; False when there is no room."""
        if len(self.items) >= self.depth:
            return False
        self.items.append(value)
        self.empty.wake()
        return True

    def get(self) -> Any:
        """Take a value; None when there is none."""
        if not self.items:
            return None
        value = self.items.popleft()
        self.full.wake()
        return value


class StreamPort:
    """A core's direct stream port: an end of a :class:`Stream` that the core feeds or drains word by word."""

    def __init__(self, tile: TileId, index: int, agenda: Agenda, *, receives: bool, depth_bytes: int) -> None:
        self.tile = tile
        self.name = f"{tile} core stream {'in' if receives else 'out'} {index}"
        self.receives = receives
        self.depth = depth_bytes
        self.streams: list[Any] = []
        self.bd = None
        self.moved = 0
        self.left = depth_bytes if receives else 0
        self.pending = b""
        self.owner: Any = None
        self.packet_id: int | None = None
        self.ready_at = 0.0
        self.ddr: Any = None
        self.can_spill = False
        self.loc: Any = None
        self.full = Wait(agenda, f"room in {self.name}")
        self.empty = Wait(agenda, f"data in {self.name}")

    def put(self, value: Any, kind: str) -> bool:
        """Send a value; False when there is no room."""
        data = _pack(value, kind)
        if len(self.pending) + len(data) > self.depth:
            return False
        self.pending += data
        self.left = len(self.pending)
        for stream in self.streams:
            stream.pump()
        return True

    def get(self, kind: str) -> Any:
        """Take a value; None when not enough has come."""
        size = 8 if kind == "i64" else _WORD
        if len(self.pending) < size:
            return None
        data, self.pending = self.pending[:size], self.pending[size:]
        self._room()
        return _unpack(data, kind)

    def _room(self) -> None:
        self.left = self.depth - len(self.pending)
        for stream in self.streams:
            stream.pump()

    def read(self, count: int) -> Any:
        """Return the next bytes to send."""
        data, self.pending = self.pending[:count], self.pending[count:]
        return np.frombuffer(data, np.uint8)

    def write(self, data: Any, count: int) -> None:
        """Take bytes that arrived."""
        self.pending += np.ascontiguousarray(data).tobytes()
        self.empty.wake()

    def accept(self, data: Any) -> None:
        """Take bytes out of turn (a packet's header, the last of a descriptor)."""
        self.write(data, len(data))
        self.left = max(0, self.depth - len(self.pending))

    def complete(self) -> None:
        """All that could move has moved."""
        if self.receives:
            self.left = max(0, self.depth - len(self.pending))
        else:
            self.left = len(self.pending)
            self.full.wake()


def _pack(value: Any, kind: str) -> bytes:
    if kind == "bf16":
        return struct.pack("<Hxx", bf16_bits(value))
    return struct.pack(_FORMS[kind], value)


def _unpack(data: bytes, kind: str) -> Any:
    if kind == "bf16":
        return bf16_value(struct.unpack("<Hxx", data)[0])
    return struct.unpack(_FORMS[kind], data)[0]
