"""The lowered design: what the hardware has, as frozen values.

This is what ``ir.lowering`` makes of a design's text, what ``ir.account`` counts, and all that the
simulator executes. Offsets, lengths, sizes and strides are in *elements* of the buffer's type and dims are
listed outermost first, as the dialect spells them; addresses and ``bytes`` are in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xdsl.ir import Region

Direction = Literal["S2MM", "MM2S"]
TileKind = Literal["shim", "mem", "core"]

ELEMENT_BYTES: dict[str, int] = {
    "i8": 1, "i16": 2, "i32": 4, "i64": 8, "bf16": 2, "f16": 2, "f32": 4, "ui8": 1, "ui16": 2, "ui32": 4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the design's text (1-based)."""

    line: int
    column: int = 0
    file: str | None = None

    def __str__(self) -> str:
        return f"{self.file or 'design'}:{self.line}" + (f":{self.column}" if self.column else "")


@dataclass(frozen=True, slots=True, order=True)
class TileId:
    """A place in the array: column and row, row 0 the shim, row 1 the memtile, rows 2 up the cores."""

    column: int
    row: int

    def __str__(self) -> str:
        return f"({self.column},{self.row})"


@dataclass(frozen=True, slots=True)
class Array:
    """An element type with a shape: what a ``memref`` says."""

    element: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in bytes without padding."""
        return self.elements * ELEMENT_BYTES[self.element]

    def __str__(self) -> str:
        return f"memref<{''.join(f'{size}x' for size in self.shape)}{self.element}>"


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory of one tile.

    ``address`` is what the bank-aware (or sequential) placement gave it. ``unnamed``: the design declares no
    such buffer, a descriptor of the runtime sequence moves these words by their address.
    """

    name: str
    tile: TileId
    type: Array
    address: int | None
    initial: bytes | None = None
    fifo: str | None = None
    loc: Location | None = None
    unnamed: bool = False


@dataclass(frozen=True, slots=True)
class Lock:
    """A semaphore of one tile: id, value after configuration."""

    name: str
    tile: TileId
    id: int
    init: int
    fifo: str | None = None
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class LockUse:
    """One lock operation on a semaphore.

    ``acquire_ge`` waits for value >= n and subtracts n, ``acquire_eq`` waits for value == n and subtracts n,
    ``release`` adds n.
    """

    lock: str
    action: Literal["acquire_ge", "acquire_eq", "release"]
    value: int


@dataclass(frozen=True, slots=True)
class Dim:
    """One address dimension of a BD."""

    size: int
    stride: int


@dataclass(frozen=True, slots=True)
class Pad:
    """Zero padding around one dimension (memtile MM2S only), in elements (innermost) or runs."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A buffer descriptor. ``dims`` empty means ``length`` contiguous elements from ``offset``.

    ``buffer`` names a :class:`Buffer`; in a runtime task it names a sequence argument instead.
    ``next`` is the index of the following descriptor in the same chain, None at its end.
    """

    buffer: str
    offset: int
    length: int
    dims: tuple[Dim, ...] = ()
    pads: tuple[Pad, ...] = ()
    pad_value: int = 0
    acquires: tuple[LockUse, ...] = ()
    releases: tuple[LockUse, ...] = ()
    next: int | None = None
    id: int | None = None
    packet: tuple[int, int] | None = None
    """(packet type, packet id) for packet-switched streams."""
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A DMA channel with the chain it is given at configuration time.

    ``repeat`` is the number of *further* starts of the chain (``repeat_count`` of ``aie.dma_start``).
    A channel that only runtime tasks use has no descriptors. Several entries for one channel are tasks that
    wait in its queue, in this order.
    """

    tile: TileId
    direction: Direction
    index: int
    descriptors: tuple[Descriptor, ...] = ()
    repeat: int = 0
    fifo: str | None = None
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """An end of a stream: ``DMA``, ``Core``, ``South``, ... with its index."""

    tile: TileId
    bundle: str
    index: int


@dataclass(frozen=True, slots=True)
class Flow:
    """A circuit- (``packet_id`` None) or packet-switched stream from one source to one or more ends."""

    source: Port
    destinations: tuple[Port, ...]
    packet_id: int | None = None
    keep_header: bool = False
    fifo: str | None = None
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class FifoEnd:
    """How a core sees one end of an objectfifo: its buffers in rotation and the two locks.

    Acquire(Consume, n) takes n from ``cons_lock``, release(Consume, n) gives n to ``prod_lock``;
    Produce is mirrored. Elements already held count towards an acquire (sliding window).
    """

    fifo: str
    port: Literal["Produce", "Consume"]
    tile: TileId
    type: Array
    buffers: tuple[str, ...]
    prod_lock: str | None
    cons_lock: str | None
    lock_scale: int = 1
    """Credits per element (``repeat_count``)."""
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class Core:
    """One core's program: the region of ``aie.core`` with objectfifo operations left in place.

    ``fifo_ends`` maps (fifo name, port) to the :class:`FifoEnd` which the acquire and release operations in
    ``body`` mean. Names of SSA values that refer to buffers and locks of the device resolve through
    ``values`` (by identity of the SSA value).
    """

    tile: TileId
    body: Region
    stack_size: int
    link_with: tuple[str, ...]
    fifo_ends: Mapping[tuple[str, str], FifoEnd]
    values: Mapping[Any, Buffer | Lock]
    elf_file: str | None = None
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """A core function declared in the device: argument types are :class:`Array` or scalar type names."""

    name: str
    arguments: tuple[Array | str, ...]
    results: tuple[str, ...] = ()
    link_with: str | None = None
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """The shim (or memtile) channel behind a symbol that the runtime sequence uses."""

    name: str
    tile: TileId
    direction: Direction
    channel: int
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """Configure one chain of descriptors on a channel and start it (``dma_memcpy_nd``, ``dma_start_task``).

    The chain runs ``repeat + 1`` times. ``iteration`` (size, stride in elements): each start advances the
    base by stride and wraps after size starts.
    """

    target: Allocation
    descriptors: tuple[Descriptor, ...]
    repeat: int
    iteration: Dim | None
    token: bool
    task: str | None = None
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for one completion token of a channel (``dma_wait``, ``dma_await_task``, ``npu.sync``)."""

    tile: TileId
    direction: Direction
    channel: int
    count: int = 1
    task: str | None = None
    frees: bool = False
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class Free:
    """Give a task's descriptors back without waiting (``dma_free_task``)."""

    task: str
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class WriteBuffer:
    """Write one 32-bit word into a buffer (``npu.rtp_write``)."""

    buffer: str
    index: int
    value: int
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class SetLock:
    """Set a lock's value from the host (``aiex.set_lock``)."""

    lock: str
    value: int
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class WriteRegister:
    """Write a 32-bit register (``npu.write32``, ``npu.maskwrite32``); ``mask`` None means all bits."""

    tile: TileId
    address: int
    value: int
    mask: int | None = None
    loc: Location | None = None


SequenceOp = Push | Wait | Free | WriteBuffer | SetLock | WriteRegister


@dataclass(frozen=True, slots=True)
class Sequence:
    """The runtime sequence: the host arguments in order and what the controller executes in order.

    Where it loads other configurations into the array (``aiex.configure``, ``npu.load_pdi``), ``stages``
    follow the operations, each on an array that is configured anew.
    """

    name: str
    arguments: tuple[tuple[str, Array], ...]
    operations: tuple[SequenceOp, ...]
    loc: Location | None = None
    stages: tuple[Stage, ...] = ()
    sized: tuple[str, ...] = ()
    """Arguments whose type does not say how large the host's buffer is: it has at least as many elements."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A configuration that a runtime sequence loads: a design whose only sequence is executed on it."""

    design: Design
    loc: Location | None = None


@dataclass(frozen=True, slots=True)
class Cascade:
    """A cascade connection from one core to its south or east neighbour."""

    source: TileId
    destination: TileId
    loc: Location | None = None


@dataclass(frozen=True)
class Design:
    """A whole device as configured, and what the host then does with it.

    Mappings are keyed by name (buffers, locks, allocations, functions, sequences) or tile (cores).
    """

    device: str
    name: str
    tiles: tuple[TileId, ...]
    buffers: Mapping[str, Buffer]
    locks: Mapping[str, Lock]
    channels: tuple[Channel, ...]
    flows: tuple[Flow, ...]
    cores: Mapping[TileId, Core]
    functions: Mapping[str, Function]
    allocations: Mapping[str, Allocation]
    sequences: Mapping[str, Sequence]
    cascades: tuple[Cascade, ...] = ()
    warnings: tuple[str, ...] = ()
    stacks: Mapping[TileId, int] = field(default_factory=dict)

    @property
    def sequence(self) -> Sequence:
        """The only runtime sequence."""
        (sequence,) = self.sequences.values()
        return sequence

    @property
    def configurations(self) -> tuple[Design, ...]:
        """What the array is configured as during a call, in order, each device once."""
        stages = [stage for sequence in self.sequences.values() for stage in sequence.stages]
        own = not stages or any(sequence.operations for sequence in self.sequences.values())
        found = {self.name: self} if own else {}
        for stage in stages:
            found.setdefault(stage.design.name, stage.design)
        return tuple(found.values())
