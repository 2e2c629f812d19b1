"""Memories of the array: buffers with guard bytes and poison, and the host's arrays.

Every buffer of the array starts as *poison*, a 32-bit pattern that is a signalling NaN both as one float32
and as two bfloat16. A word that still is poison was never written. A second pattern serves the differential
run of a core function (see :mod:`npukbuild.simulator.calls`), which tells a word that a function left alone
from one that it wrote with exactly those bits.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.ir.design import ELEMENT_BYTES

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
        start: Its first byte, counted from where its memory begins. Buffers that overlap share a memory.
        clean: Whether every word is known to be written.
        active: The DMA channels that are in the middle of a descriptor on this memory.
        work: Where copies and calls may be under way that have to end before anyone looks.
    """

    __slots__ = (
        "_data",
        "_ends",
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
        "start",
        "type",
        "work",
    )

    host = False

    def __init__(self, buffer: Buffer, store: Any, start: int, ends: tuple[int, int]) -> None:
        """Make the memory.

        Args:
            buffer: The buffer.
            store: Bytes that hold it and all that overlap it, with guard bytes around.
            start: Where it lies in them.
            ends: Where the first of those buffers begins in them, and where the last ends.
        """
        self.buffer = buffer
        self.name = buffer.name
        self.type: Array = buffer.type
        self._store = store
        self._data = store[start : start + buffer.type.bytes]
        self.work: Work | None = None
        self.pointer: int = store.ctypes.data + start
        self.start = start - ends[0]
        self._ends = low, high = ends
        view = memoryview(store)
        self.before = view[low - GUARD_NEAR : low]
        self.after = view[high : high + GUARD_NEAR]
        self._low = view[low - GUARD_FAR : low]
        self._high = view[high : high + GUARD_FAR]
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
        first: int = self._store.ctypes.data
        return first + self._ends[0] - GUARD_NEAR, first + self._ends[1]

    def guards_intact(self) -> bool:
        """Say whether all guard bytes, near and far, still hold their pattern."""
        return bytes(self._low) == _FAR_PATTERN and bytes(self._high) == _FAR_PATTERN

    def spilled(self) -> tuple[int, int]:
        """Return how far guard bytes were overwritten: bytes before the buffer, bytes behind it."""
        pattern = np.frombuffer(_FAR_PATTERN, np.uint8)
        low = np.flatnonzero(np.frombuffer(self._low, np.uint8) != pattern)
        high = np.flatnonzero(np.frombuffer(self._high, np.uint8) != pattern)
        return GUARD_FAR - int(low[0]) if len(low) else 0, int(high[-1]) + 1 if len(high) else 0

    def unwritten(self) -> int:
        """Return how many elements hold a word that nobody wrote."""
        return len(poison_words(self.data)) * 4 // ELEMENT_BYTES[self.type.element]

    def repair_guards(self) -> None:
        """Write the guard pattern again, after a fault was reported."""
        low, high = self._ends
        self._store[:low] = _GUARD_BYTE
        self._store[high:] = _GUARD_BYTE


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
    store = _walled(size + GUARD_FAR + far + 2 * _ALIGN)
    store[:] = _GUARD_BYTE
    start = GUARD_FAR + (base - (store.ctypes.data + GUARD_FAR)) % _ALIGN
    made: dict[str, BufferMemory] = {}
    active: list[Any] = []
    for buffer in group:
        first = start + (buffer.address or 0) - base
        memory = made[buffer.name] = BufferMemory(buffer, store, first, (start, start + size))
        memory.active = active
    for buffer in group:
        made[buffer.name].fill(None)
    for buffer in group:
        if buffer.initial is not None:
            made[buffer.name].fill(buffer.initial)
    return made


def _walled(size: int) -> Any:
    """Return bytes between two pages that nobody may touch (Linux).

    A core function that runs far beyond its blocks stops there, before it ruins the memory that the report
    of its crash needs.
    """
    if sys.platform != "linux":
        return np.zeros(size, np.uint8)
    page = mmap.PAGESIZE
    inside = -(-size // page) * page
    pages = mmap.mmap(-1, inside + 2 * page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    whole = np.frombuffer(pages, np.uint8)
    protect = ctypes.CDLL(None).mprotect
    first = whole.ctypes.data
    for wall in (first, first + page + inside):
        protect(ctypes.c_void_p(wall), ctypes.c_size_t(page), 0)
    return whole[page : page + size]


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
