"""What the passes of the lowering hand on to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from xdsl.ir import Operation, SSAValue

    from npukbuild.ir.design import Array, Channel, Dim, Flow, Function, Location, Lock, Pad, TileId
    from npukbuild.ir.dialects.aie_ops import CoreOp, DeviceOp
    from npukbuild.ir.problems import Problems
    from npukbuild.targets import Target


@dataclass
class BufferSpec:
    """A buffer before placement. ``order`` is its place in the device's text after lowering."""

    name: str
    tile: TileId
    type: Array
    order: tuple[int, int, int]
    address: int | None = None
    bank: int | None = None
    initial: bytes | None = None
    fifo: str | None = None
    loc: Location | None = None
    external: bool = False


@dataclass(frozen=True)
class Fifo:
    """An ``aie.objectfifo`` as written."""

    name: str
    producer: TileId
    consumers: tuple[TileId, ...]
    depth: int | tuple[int, ...]
    type: Array
    consumer_type: Array
    to_stream: tuple[Dim, ...]
    from_stream: tuple[tuple[Dim, ...], ...]
    pads: tuple[Pad, ...]
    pad_value: int
    repeat: int | None
    iter_count: int | None
    initial: tuple[bytes, ...] | None
    via_dma: bool
    unsynchronized: bool
    stream: int | None
    stream_port: int
    via_shared_mem: int | None
    packet: tuple[int, int] | None
    loc: Location | None

    def declared(self, end: int) -> int:
        """Return the declared depth of an end: 0 the producer, 1 the first consumer, ..."""
        if isinstance(self.depth, int):
            return self.depth
        return self.depth[end] if end < len(self.depth) else self.depth[-1]

    @property
    def explicit(self) -> bool:
        """Whether every end has its own depth."""
        return not isinstance(self.depth, int)


@dataclass(frozen=True)
class Link:
    """An ``aie.objectfifo.link`` with the tile that joins its fifos."""

    ins: tuple[str, ...]
    outs: tuple[str, ...]
    src_offsets: tuple[int, ...]
    dst_offsets: tuple[int, ...]
    tile: TileId
    repeat: int | None
    loc: Location | None

    @property
    def is_join(self) -> bool:
        """Several inputs."""
        return len(self.ins) > 1

    @property
    def is_distribute(self) -> bool:
        """Several outputs."""
        return len(self.outs) > 1

    @property
    def offsets(self) -> tuple[int, ...]:
        """The slices' offsets in the big object."""
        return self.src_offsets if self.is_join else self.dst_offsets


@dataclass
class End:
    """One end of a fifo after the split, or a whole shared-memory fifo (``role`` both)."""

    name: str
    fifo: Fifo
    role: Literal["produce", "consume", "both"]
    tile: TileId
    type: Array
    depth: int
    consumer: int = 0
    link: Link | None = None
    buffers: list[BufferSpec] = field(default_factory=list)
    locks: list[Lock] = field(default_factory=list)
    channel: int | None = None
    external: tuple[BufferSpec, ...] = ()

    @property
    def loc(self) -> Location | None:
        """Where the fifo is declared."""
        return self.fifo.loc

    @property
    def dims(self) -> tuple[Dim, ...]:
        """The data layout on this end."""
        if self.role == "consume":
            return self.fifo.from_stream[self.consumer]
        return self.fifo.to_stream if self.role == "produce" else ()

    @property
    def repeat(self) -> int:
        """``repeat_count`` counts on the producer's end only."""
        return (self.fifo.repeat or 1) if self.role == "produce" else 1

    @property
    def on_stream_port(self) -> bool:
        """Whether the end is a core's stream port instead of a DMA channel."""
        which = self.fifo.stream
        return which == 2 or which == {"produce": 0, "consume": 1}.get(self.role, -1)


@dataclass
class State:
    """A device under lowering."""

    device: DeviceOp
    target: Target
    problems: Problems
    tiles: dict[SSAValue, TileId] = field(default_factory=dict)
    tile_order: int = 0
    """Position in the device of the last ``aie.tile``: lowered fifos put their buffers behind it."""
    buffers: list[BufferSpec] = field(default_factory=list)
    locks: list[Lock] = field(default_factory=list)
    values: dict[SSAValue, BufferSpec | str] = field(default_factory=dict)
    """SSA values of buffers, and of locks by name."""
    fifos: dict[str, Fifo] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    delegates: dict[str, TileId] = field(default_factory=dict)
    registered: dict[tuple[str, TileId], list[BufferSpec]] = field(default_factory=dict)
    cores: dict[TileId, CoreOp] = field(default_factory=dict)
    stacks: dict[TileId, int] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    ends: list[End] = field(default_factory=list)
    splits: list[tuple[End, tuple[End, ...]]] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    globals: dict[str, tuple[int, ...]] = field(default_factory=dict)
    transfers: list[tuple[Operation, Array, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    """``dma_memcpy_nd`` as written: operation, host buffer, sizes, strides (outermost first)."""

    traced: set[tuple[TileId, str, int]] = field(default_factory=set)
    """Channels (tile, direction, index) that take nothing but the hardware's event traces."""

    def kind(self, tile: TileId) -> str:
        """Return ``shim``, ``mem`` or ``core``."""
        return self.target.kind(tile.row)

    def link_of(self, name: str, tile: TileId | None = None) -> Link | None:
        """Return the link that a fifo takes part in (at ``tile``)."""
        for link in self.links:
            if name in link.ins + link.outs and (tile is None or link.tile == tile):
                return link
        return None

    def lock(self, name: str) -> Lock:
        """Return a lock by name."""
        return next(lock for lock in self.locks if lock.name == name)
