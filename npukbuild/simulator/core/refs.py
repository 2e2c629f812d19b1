"""What a core program holds at run time: references to memory, ends of fifos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from npukbuild.simulator.core.scalars import bf16_bits, bf16_value
from npukbuild.simulator.faults import at, fault

if TYPE_CHECKING:
    from npukbuild.ir.design import FifoEnd, Location
    from npukbuild.simulator.locks import LockState
    from npukbuild.simulator.memory import BufferMemory

_FORMATS = {"i8": "b", "i16": "h", "i32": "i", "i64": "q", "ui8": "B", "ui16": "H", "ui32": "I", "bf16": "H",
            "f16": "e", "f32": "f"}  # fmt: skip
_WIDTH = {
    "i8": 1,
    "i16": 2,
    "i32": 4,
    "i64": 8,
    "ui8": 1,
    "ui16": 2,
    "ui32": 4,
    "bf16": 2,
    "f16": 2,
    "f32": 4,
}


class Ref:
    """A ``memref`` value: a window on a buffer.

    Attributes:
        live: Whether the core may use it now (an object of a fifo: while it is acquired).
        offset: First element, relative to the buffer's start viewed as ``element``.
        root: For a subview, the reference that it was made of.
    """

    __slots__ = (
        "_live",
        "_view",
        "element",
        "memory",
        "offset",
        "pointer",
        "rights",
        "root",
        "shape",
        "strides",
    )

    def __init__(
        self,
        memory: BufferMemory,
        element: str,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        offset: int = 0,
        root: Ref | None = None,
    ) -> None:
        self.memory = memory
        self.element = element
        self.shape = shape
        self.strides = strides if strides is not None else row_major(shape)
        self.offset = offset
        self.pointer = memory.pointer + offset * _WIDTH[element]
        self._view: Any = root.view if root is not None and root.element == element else self._cast()
        self.root = root
        self._live = True
        self.rights: Rights | None = None

    def _cast(self) -> Any:
        raw = memoryview(self.memory.data).cast("B")
        width = _WIDTH[self.element]
        return raw[: len(raw) // width * width].cast(cast("Any", _FORMATS[self.element]))

    @property
    def view(self) -> Any:
        """The elements of the whole buffer, with all that was to be done to them done."""
        if self.memory.work is not None:
            self.memory.work.settle()
        return self._view

    @property
    def live(self) -> bool:
        """Whether the core may touch the memory now."""
        if self.root is not None:
            return self.root.live
        return self._live and (self.rights is None or self.rights.held())

    @live.setter
    def live(self, value: bool) -> None:
        self._live = value

    def place(self, indices: tuple[int, ...], loc: Location | None) -> int:
        """Return the element index in :attr:`view` of a multi-dimensional index."""
        offset = self.offset
        for index, size, stride in zip(indices, self.shape, self.strides, strict=True):
            if not 0 <= index < size:
                raise fault(
                    f"a core accesses {_place(self)} outside its bounds",
                    loc=loc,
                    hint="check the loop's bounds and the index against the block's shape",
                    why=f"index [{', '.join(map(str, indices))}] of a block of "
                    f"{'x'.join(map(str, self.shape))}",
                )
            offset += index * stride
        return offset

    def load(self, indices: tuple[int, ...], loc: Location | None) -> Any:
        """Return one element."""
        place = self.place(indices, loc)
        if not self.live:
            raise not_held(self, loc)
        if self.memory.active:
            check_dma(self, loc, writes=False)
        if not self.memory.clean:
            self._check_poison(place, loc)
        value = self.view[place]
        return bf16_value(value) if self.element == "bf16" else value

    def store(self, value: Any, indices: tuple[int, ...], loc: Location | None) -> None:
        """Write one element."""
        place = self.place(indices, loc)
        if not self.live:
            raise not_held(self, loc)
        if self.memory.active:
            check_dma(self, loc, writes=True)
        self.view[place] = bf16_bits(value) if self.element == "bf16" else value

    def fill_from(self, source: Ref, loc: Location | None) -> None:
        """Take all elements of another reference (``memref.copy``)."""
        from npukbuild.simulator.core.blocks import whole

        whole(self, loc, writes=True)[...] = whole(source, loc, writes=False)

    def _check_poison(self, place: int, loc: Location | None) -> None:
        from npukbuild.simulator.memory import has_poison

        self.memory.look()
        word = place * _WIDTH[self.element] // 4 * 4
        if not self.memory.clean and has_poison(self.memory.data[word : word + 4]):
            raise fault(
                f"a core reads {self.memory.name}[{place}] of {self.memory.buffer.tile}, which was "
                "never written",
                loc=loc,
                why=f"{self.memory.unwritten()} of its {self.memory.type.elements} elements hold nothing yet",
                hint="give the buffer an initial value, or write it before it is read",
            )

    def window(
        self, offsets: Any, sizes: Any, strides: Any, drop: tuple[int, ...], loc: Location | None
    ) -> Ref:
        """Return ``memref.subview``; dimensions in ``drop`` do not appear in the result."""
        start = self.offset + sum(o * s for o, s in zip(offsets, self.strides, strict=True))
        for offset, size, step, extent in zip(offsets, sizes, strides, self.shape, strict=True):
            last = offset + (size - 1) * step
            if not (0 <= offset < extent and 0 <= last < extent):
                raise fault(
                    f"a subview of {self.memory.name} lies outside it",
                    loc=loc,
                    why=f"offsets {list(offsets)}, sizes {list(sizes)}, strides {list(strides)} in "
                    f"{'x'.join(map(str, self.shape))}",
                    hint="each offset + (size - 1) * stride must stay below the size of its dimension",
                )
        keep = [place for place in range(len(sizes)) if place not in drop]
        shape = tuple(sizes[place] for place in keep)
        steps = tuple(strides[place] * self.strides[place] for place in keep)
        return Ref(self.memory, self.element, shape, steps, start, self)

    def recast(
        self,
        element: str,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        offset: int,
        loc: Location | None,
    ) -> Ref:
        """Return another shape on the same bytes; ``offset`` counts from the buffer's start."""
        reach = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
        first = offset + sum(step for step in reach if step < 0)
        last = offset + sum(step for step in reach if step > 0)
        if first < 0 or (last + 1) * _WIDTH[element] > self.memory.type.bytes:
            raise fault(
                f"a cast of {self.memory.name} reaches outside it",
                loc=loc,
                why=f"it names elements {first}..{last} of {element}, the buffer has "
                f"{self.memory.type.bytes} bytes",
                hint="check offset, sizes and strides against the buffer's size",
            )
        return Ref(self.memory, element, shape, strides, offset, self)


class Rights:
    """In a lowered design: a buffer that a DMA fills or empties belongs to the core only under a lock.

    The pair of locks comes from the DMA's descriptors on that buffer: what the DMA releases, the core
    acquires.
    """

    __slots__ = ("core_locks",)

    def __init__(self) -> None:
        self.core_locks: list[Credit] = []

    def held(self) -> bool:
        """Whether the core holds a credit of any of the buffer's locks."""
        return any(credit.count > 0 for credit in self.core_locks)


class Credit:
    """How many units the core has acquired of a lock and not given on to its partner."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class EndState:
    """One end of an objectfifo during a run: which objects the core holds.

    Attributes:
        base: Index of the oldest object that is not released.
        held: Objects acquired and not released.
    """

    __slots__ = ("base", "core", "depth", "end", "give", "held", "refs", "scale", "take")

    def __init__(
        self, core: str, end: FifoEnd, refs: list[Ref], take: LockState | None, give: LockState | None
    ) -> None:
        self.core = core
        self.end = end
        self.refs = refs
        self.depth = len(refs)
        self.take = take
        self.give = give
        self.scale = end.lock_scale
        self.base = 0
        self.held = 0
        for ref in refs:
            ref.live = False

    def acquire(self, count: int, taken: int) -> tuple[Ref, ...]:
        """Return the first ``count`` held objects, after ``taken`` more were granted."""
        self.held += taken
        base, depth, refs = self.base, self.depth, self.refs
        if count == 1:
            ref = refs[base]
            ref.live = True
            return (ref,)
        objects = tuple(refs[(base + place) % depth] for place in range(count))
        for ref in objects:
            ref.live = True
        return objects

    def release(self, count: int, loc: Location | None) -> None:
        """Give the ``count`` oldest objects to the other side."""
        if count > self.held:
            raise fault(
                f"{self.core} releases {count} objects of {self.end.fifo} and holds {self.held}",
                loc=loc,
                why=f"of its end ({self.end.port}) it has acquired {self.held} that it has not released yet",
                hint="release as often as you acquire, on every path through the core's loops and branches",
            )
        self.held -= count
        base = self.base
        for _ in range(count):
            self.refs[base].live = False
            base = (base + 1) % self.depth
        self.base = base
        if self.give is not None:
            self.give.release(count * self.scale, self.core, loc)


def not_held(ref: Ref, loc: Location | None) -> Exception:
    """Return the fault of using memory without its lock."""
    base = ref
    while base.root is not None:
        base = base.root
    fifo = base.memory.buffer.fifo
    thing = f"an object of fifo {fifo} ({_place(base)})" if fifo else f"buffer {_place(base)}"
    return fault(
        f"a core uses {thing} without holding its lock",
        loc=loc,
        why="it was released before, or never acquired; the DMA may be filling or emptying it",
        hint="acquire it before the first use, and release it behind the last one",
    )


def check_dma(ref: Ref, loc: Location | None, *, writes: bool) -> None:
    """Refuse an access to a buffer that a DMA is in the middle of.

    Raises:
        SimulationFault: The DMA writes it, or the core does.
    """
    memory = ref.memory
    for channel in memory.active:
        bd = channel.bd
        if bd is not None and bd.memory is not memory:  # another buffer, which overlaps this one somewhere
            low = bd.memory.start + bd.base - memory.start
            if low + bd.access.first >= memory.type.bytes or low + bd.access.last <= 0:
                continue
        if writes or channel.receives:
            where = at(bd.descriptor.loc) if bd is not None else ""
            done = f": {channel.moved} of {bd.size} bytes" if bd is not None else ""
            raise fault(
                f"a core uses buffer {_place(ref)} while {channel.name} "
                f"{'writes' if channel.receives else 'reads'} it",
                loc=loc,
                why=f"the DMA's descriptor{where} has begun and is not finished{done}",
                hint="acquire the lock that the DMA releases before using the buffer",
            )


def _place(ref: Ref) -> str:
    return f"{ref.memory.name} of {ref.memory.buffer.tile}"


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a dense array, in elements."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))
