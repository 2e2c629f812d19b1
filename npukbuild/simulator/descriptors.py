"""Descriptors and tasks as the DMA channels execute them."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.ir.design import ELEMENT_BYTES, Descriptor
from npukbuild.ir.runs import is_unwrapped
from npukbuild.simulator.access import Access, padded_shape
from npukbuild.simulator.faults import fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from npukbuild.ir.design import Dim, Location
    from npukbuild.simulator.locks import LockState
    from npukbuild.simulator.memory import BufferMemory, HostMemory

_WORD = 4


class Bd:
    """A buffer descriptor bound to memory and locks.

    Attributes:
        size: Bytes it puts on, or takes from, the stream.
        base: Bytes that the iteration adds to all addresses; what walks another part of memory is another
            descriptor here (:meth:`moved_by`).
    """

    __slots__ = (
        "_moved",
        "access",
        "acquires",
        "base",
        "covers",
        "descriptor",
        "host",
        "memory",
        "next",
        "packet",
        "padded",
        "pieces",
        "releases",
        "shaped",
        "size",
    )

    def __init__(
        self, descriptor: Descriptor, memory: BufferMemory | HostMemory, locks: Mapping[str, LockState]
    ) -> None:
        self.descriptor = descriptor
        self.memory = memory
        self.host = memory.host
        check_words(descriptor, memory.type.element)
        self.access = Access(descriptor, memory.type.element)
        self.size = self.access.size
        self.base = 0
        self._moved: dict[int, Bd] = {0: self}
        self.next: Bd | None = None
        self.packet = descriptor.packet
        self.acquires = tuple((locks[u.lock], u.value, u.action == "acquire_eq") for u in descriptor.acquires)
        self.releases = tuple((locks[u.lock], u.value) for u in descriptor.releases)
        self.covers = self.access.contiguous and self.size == memory.type.bytes
        self.pieces: dict[tuple[int, int], Any] = {}
        self.shaped: dict[tuple[int, tuple[int, ...]], Any] = {}
        self.padded: Any = None
        if descriptor.pads:
            self.padded = _Padded(descriptor, memory.type.element)
            self.size = self.padded.size
        self._check_bounds(0)

    def _check_bounds(self, base: int) -> None:
        first, last, size = self.access.first + base, self.access.last + base, self.memory.type.bytes
        if first >= 0 and last <= size:
            return
        width = ELEMENT_BYTES[self.memory.type.element]
        kind = "host argument" if self.host else "buffer"
        raise fault(
            f"a descriptor reaches outside {kind} {self.memory.name}",
            loc=self.descriptor.loc,
            why=f"it touches elements {first // width}..{-(-last // width) - 1} and {self.memory.name} has "
            f"{self.memory.type.elements} ({self.memory.type})",
            hint="check offset, sizes and strides against the buffer's shape",
        )

    def moved_by(self, base: int) -> Bd:
        """Return the chain that begins here with ``base`` bytes added to all its addresses."""
        found = self._moved.get(base)
        if found is None:
            made: dict[int, Bd] = {}
            bd: Bd | None = self
            while bd is not None and id(bd) not in made:
                twin = made[id(bd)] = copy(bd)
                twin.base, twin.pieces, twin.shaped = base, {}, {}
                bd = bd.next
            for twin in made.values():
                twin.next = made[id(twin.next)] if twin.next is not None else None
            found = self._moved[base] = made[id(self)]
        return found

    def check_iteration(self, bases: Sequence[int]) -> None:
        """Check the bounds of every start of a repeated task."""
        for base in bases:
            self._check_bounds(base)

    def read(self, position: int, count: int) -> Any:
        """Return ``count`` stream bytes from ``position`` as an array, a view wherever possible."""
        if self.padded is not None:
            return self.padded.read(self, position, count)
        data = self.memory.data
        if self.host:
            view = self.access.piece(data, self.base, position, count)
        else:
            key = (position, count)
            if key not in self.pieces:
                self.pieces[key] = self.access.piece(data, self.base, position, count)
            view = self.pieces[key]
        return view if view is not None else self._gather(position, count)

    def write(self, position: int, count: int, data: Any) -> None:
        """Store a piece of the stream; ``data`` is contiguous bytes or a view of any shape."""
        memory = self.memory.data
        if self.host:
            view = self.access.piece(memory, self.base, position, count)
        else:
            key = (position, count)
            view = self.pieces.get(key)
            if view is None:
                view = self.pieces[key] = self.access.piece(memory, self.base, position, count)
        if view is None:
            words = self.access.words(self.base, position, count)
            memory.view(np.uint32)[words] = contiguous(data).view(np.uint32)
        elif self.access.contiguous:
            if data.ndim == 1 and data.dtype == np.uint8:
                view[:] = data
            elif self.host:
                view.view(data.dtype).reshape(data.shape)[...] = data
            else:
                shaped = self.shaped.get((position, data.shape))
                if shaped is None or shaped.dtype != data.dtype:
                    shaped = self.shaped[position, data.shape] = view.view(data.dtype).reshape(data.shape)
                shaped[...] = data
        else:
            view[...] = contiguous(data).view(view.dtype).reshape(view.shape)

    def _gather(self, position: int, count: int) -> Any:
        words = self.access.words(self.base, position, count)
        data = self.memory.data.view(np.uint32)[words].view(np.uint8)
        skip = position % _WORD
        return data[skip : skip + count]


class _Padded:
    """The stream of a memtile descriptor with padding: rebuilt from memory each time it starts."""

    __slots__ = ("data", "inner", "size")

    def __init__(self, descriptor: Descriptor, element: str) -> None:
        shape = padded_shape(descriptor)
        width = ELEMENT_BYTES[element]
        dtype = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[width]
        self.data = np.full(shape, descriptor.pad_value, dtype)
        self.inner = self.data[
            tuple(
                slice(pad.before, pad.before + dim.size)
                for dim, pad in zip(descriptor.dims, descriptor.pads, strict=True)
            )
        ]
        self.size: int = self.data.nbytes

    def read(self, bd: Bd, position: int, count: int) -> Any:
        if position == 0:
            whole = bd.access.view(bd.memory.data, bd.base)
            self.inner[...] = contiguous(whole).view(self.inner.dtype).reshape(self.inner.shape)
        return self.data.reshape(-1).view(np.uint8)[position : position + count]


def contiguous(data: Any) -> Any:
    """Return the bytes of ``data`` in stream order, without a copy where possible."""
    return np.ascontiguousarray(data).reshape(-1).view(np.uint8)


def check_words(descriptor: Descriptor, element: str) -> None:
    """Refuse patterns that the DMA, which moves 32-bit words, cannot walk.

    Raises:
        SimulationFault: There is nothing to move, or a length, offset, stride or inner run is not whole
            words.
    """
    width = ELEMENT_BYTES[element]
    problems = []
    if descriptor.length <= 0:
        raise fault(
            f"a descriptor on {descriptor.buffer} moves nothing",
            loc=descriptor.loc,
            why=f"its length is {descriptor.length} elements; a channel that has it never comes to its end",
            hint="give it a length, or leave it out of the chain",
        )
    if descriptor.length * width % _WORD:
        problems.append(f"length {descriptor.length} is {descriptor.length * width} bytes")
    if descriptor.offset * width % _WORD:
        problems.append(f"offset {descriptor.offset} is {descriptor.offset * width} bytes")
    if descriptor.dims and width < _WORD and not is_unwrapped(descriptor, width):
        inner = descriptor.dims[-1]
        if inner.stride != 1:
            problems.append(f"the innermost stride is {inner.stride} elements of {width} bytes")
        if inner.size * width % _WORD:
            problems.append(f"the innermost size {inner.size} is {inner.size * width} bytes")
        problems.extend(
            f"stride {dim.stride} is {dim.stride * width} bytes"
            for dim in descriptor.dims[:-1]
            if dim.size > 1 and dim.stride * width % _WORD
        )
    if problems:
        raise fault(
            f"a descriptor on {descriptor.buffer} does not move whole words",
            loc=descriptor.loc,
            why="the DMA moves 32-bit words; " + "; ".join(problems),
            hint="a bf16 or i8 transpose inside a word has to happen in the core function",
        )


class Task:
    """A chain of descriptors with its number of starts, as a channel's queue holds it.

    Attributes:
        serial: Number of the task within the run (0: started at configuration).
        done: It has finished on the array.
        retired: It had finished when the host last came back from a wait, so the host may rely on it.
    """

    __slots__ = (
        "begun",
        "done",
        "first",
        "iteration",
        "label",
        "loc",
        "retired",
        "serial",
        "started",
        "starts",
        "token",
    )

    def __init__(
        self,
        first: Bd,
        *,
        starts: int,
        token: bool,
        iteration: tuple[int, int] | None = None,
        serial: int = 0,
        label: str = "",
        loc: Location | None = None,
    ) -> None:
        self.first = first
        self.starts = starts
        self.token = token
        self.iteration = iteration
        self.serial = serial
        self.label = label
        self.loc = loc
        self.started = 0
        self.begun = 0.0
        self.done = False
        self.retired = False

    @property
    def endless(self) -> bool:
        """Whether the chain is a circle, as those are that the design's own DMA programs configure."""
        seen: set[int] = set()
        bd: Bd | None = self.first
        while bd is not None and id(bd) not in seen:
            seen.add(id(bd))
            bd = bd.next
        return bd is not None

    def begin(self) -> Bd:
        """Return the first descriptor of the next start, with its base advanced by the iteration."""
        if self.iteration is not None:
            count, step = self.iteration
            self.started += 1
            return self.first.moved_by((self.started - 1) % count * step)
        self.started += 1
        return self.first


def bind_chain(
    descriptors: Sequence[Descriptor],
    memory_of: Callable[[str], BufferMemory | HostMemory],
    locks: Mapping[str, LockState],
) -> list[Bd]:
    """Bind a chain and connect its ``next`` links; the first entry is where it starts."""
    chain = [Bd(descriptor, memory_of(descriptor.buffer), locks) for descriptor in descriptors]
    for bd in chain:
        if bd.descriptor.next is not None:
            bd.next = chain[bd.descriptor.next]
    return chain


def iteration_bytes(iteration: Dim | None, element: str) -> tuple[int, int] | None:
    """Return (starts until it wraps, bytes per start)."""
    if iteration is None:
        return None
    return iteration.size, iteration.stride * ELEMENT_BYTES[element]
