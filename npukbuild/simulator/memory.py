"""Memories of the array: buffers with guard bytes and poison, and the host's arrays.

Every buffer of the array starts as *poison*, a 32-bit pattern that is a signalling NaN both as one float32
and as two bfloat16. A word that still is poison was never written. A second pattern serves the differential
run of a core function (see :mod:`npukbuild.simulator.calls`), which tells a word that a function left alone
from one that it wrote with exactly those bits.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from npukbuild.ir.design import Array, Buffer
    from npukbuild.simulator.work import Work

POISON = 0x7FA57FB3
POISON_SECOND = 0xFF9DFF8B
GUARD_NEAR = 64
"""Guard bytes on each side of a buffer that are looked at after each call of a core function."""
GUARD_FAR = 1024
"""Guard bytes on each side that are looked at when a call ends."""
_ALIGN = 64
_GUARD_BYTE = 0xC7
GUARD_PATTERN = bytes([_GUARD_BYTE]) * GUARD_NEAR
_FAR_PATTERN = bytes([_GUARD_BYTE]) * GUARD_FAR


class BufferMemory:
    """One buffer of a tile.

    Attributes:
        pointer: Its address on the host; equal to the address on the array modulo 64.
        clean: Whether every word is known to be written.
        active: The DMA channels that are in the middle of a descriptor on this buffer.
        work: Where copies and calls may be under way that have to end before anyone looks.
    """

    __slots__ = (
        "_data",
        "_high",
        "_low",
        "_store",
        "active",
        "after",
        "before",
        "buffer",
        "clean",
        "name",
        "pointer",
        "type",
        "work",
    )

    host = False

    def __init__(self, buffer: Buffer, data: Any, store: Any, start: int) -> None:
        self.buffer = buffer
        self.name = buffer.name
        self.type: Array = buffer.type
        self._store = store
        self._data = data
        self.work: Work | None = None
        self.pointer: int = store.ctypes.data + start
        view = memoryview(store)
        size = buffer.type.bytes
        self.before = view[start - GUARD_NEAR : start]
        self.after = view[start + size : start + size + GUARD_NEAR]
        self._low = view[start - GUARD_FAR : start]
        self._high = view[start + size : start + size + GUARD_FAR]
        self.clean = False
        self.active: list[Any] = []

    @property
    def data(self) -> Any:
        """The buffer's bytes, with all that was to be done to them done."""
        if self.work is not None:
            self.work.settle()
        return self._data

    def fill(self, initial: bytes | None) -> None:
        """Write the initial value, or poison."""
        if initial is not None:
            self.data[:] = np.frombuffer(initial, np.uint8)
            self.clean = True
        else:
            poison(self.data, POISON)

    def look(self) -> None:
        """Set :attr:`clean` when no word is poison any more."""
        self.clean = not has_poison(self.data)

    def guard_addresses(self) -> tuple[int, int]:
        """Return where the :data:`GUARD_NEAR` bytes before and behind the buffer lie."""
        return self.pointer - GUARD_NEAR, self.pointer + self.type.bytes

    def guards_intact(self) -> bool:
        """Say whether all guard bytes, near and far, still hold their pattern."""
        return bytes(self._low) == _FAR_PATTERN and bytes(self._high) == _FAR_PATTERN

    def repair_guards(self) -> None:
        """Write the guard pattern again, after a fault was reported."""
        start = self.pointer - self._store.ctypes.data
        self._store[:start] = _GUARD_BYTE
        self._store[start + self.type.bytes :] = _GUARD_BYTE


def poison(data: Any, pattern: int) -> None:
    """Fill bytes with a repeated 32-bit pattern (a last part of a word gets its first bytes)."""
    word = np.frombuffer(pattern.to_bytes(4, "little"), np.uint8)
    whole = len(data) // 4 * 4
    data[:whole].view(np.uint32)[:] = pattern
    data[whole:] = word[: len(data) - whole]


def poison_words(data: Any) -> Any:
    """Return the indices of the 32-bit words that are poison."""
    whole = len(data) // 4 * 4
    return np.flatnonzero(data[:whole].view(np.uint32) == POISON)


def has_poison(data: Any) -> bool:
    """Say whether any 32-bit word is poison."""
    whole = len(data) // 4 * 4
    return bool((data[:whole].view(np.uint32) == POISON).any())


def make_memories(buffers: Iterable[Buffer], work: Work | None = None) -> dict[str, BufferMemory]:
    """Allocate all buffers; those of one tile whose addresses overlap share their bytes, as on the array.

    Args:
        buffers: All buffers of an array.
        work: See :attr:`BufferMemory.work`.
    """
    memories: dict[str, BufferMemory] = {}
    tiles: dict[Any, list[Buffer]] = {}
    for buffer in buffers:
        tiles.setdefault(buffer.tile, []).append(buffer)
    for members in tiles.values():
        placed = sorted((b for b in members if b.address is not None), key=lambda b: b.address or 0)
        group: list[Buffer] = []
        end = -1
        for buffer in placed:
            address = buffer.address or 0
            if group and address >= end:
                memories.update(_allocate(group))
                group = []
            group.append(buffer)
            end = max(end, address + buffer.type.bytes)
        if group:
            memories.update(_allocate(group))
        for buffer in members:
            if buffer.address is None:
                memories.update(_allocate([buffer]))
    for memory in memories.values():
        memory.work = work
    return memories


def _allocate(group: list[Buffer]) -> dict[str, BufferMemory]:
    base = group[0].address or 0
    size = max((b.address or 0) + b.type.bytes for b in group) - base
    far = max(GUARD_FAR, size)
    store = np.full(size + GUARD_FAR + far + 2 * _ALIGN, _GUARD_BYTE, np.uint8)
    start = GUARD_FAR + (base - (store.ctypes.data + GUARD_FAR)) % _ALIGN
    made: dict[str, BufferMemory] = {}
    for buffer in group:
        first = start + (buffer.address or 0) - base
        memory = BufferMemory(buffer, store[first : first + buffer.type.bytes], store, first)
        made[buffer.name] = memory
    for buffer in group:
        made[buffer.name].fill(None)
    for buffer in group:
        if buffer.initial is not None:
            made[buffer.name].fill(buffer.initial)
    return made


class HostMemory:
    """One host argument.

    Attributes:
        address: One word, where the bytes of the call in progress lie.
        work: Where copies may be under way that have to end before anyone looks.
    """

    __slots__ = ("_data", "address", "clean", "name", "type", "work")

    host = True

    def __init__(self, name: str, kind: Array, work: Work | None = None) -> None:
        self.name = name
        self.type = kind
        self.address = array("Q", [0])
        self.clean = True
        self.work = work
        self._data: Any = None

    @property
    def data(self) -> Any:
        """The bytes given to the call in progress, with all that was to be done to them done."""
        if self.work is not None:
            self.work.settle()
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data = value
        self.address[0] = value.__array_interface__["data"][0]
