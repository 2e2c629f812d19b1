"""First pass: what the device declares, as plain values."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    MemRefType,
)
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import GlobalOp

from npukbuild.errors import DesignError, RequestError
from npukbuild.ir.design import ELEMENT_BYTES, Array, Function, Lock, TileId
from npukbuild.ir.dialects import aie_ops, aiex_ops, dma_ops, fifo_ops
from npukbuild.ir.dialects.aie_types import ObjectFifoSubviewType, ObjectFifoType
from npukbuild.ir.dialects.base import DesignOp, attribute_text, location_of
from npukbuild.ir.lowering.state import BufferSpec, Fifo, Link, State
from npukbuild.ir.problems import Problems
from npukbuild.targets import load_target

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.ir import Attribute, Operation, SSAValue

    from npukbuild.targets import Target


def find_device(module: ModuleOp, name: str | None = None) -> aie_ops.DeviceOp:
    """Return the design's device.

    Raises:
        DesignError: There is none, or several and ``name`` picks none of them.
    """
    devices = [op for op in module.walk() if isinstance(op, aie_ops.DeviceOp)]
    if name is not None:
        devices = [device for device in devices if device.sym == name]
    if not devices:
        raise DesignError("the design has no aie.device", hint="a design is one aie.device(npu1) { ... }")
    if len(devices) > 1:
        names = ", ".join(str(device.sym) for device in devices)
        raise DesignError(
            f"the design has {len(devices)} devices: {names}",
            where=str(location_of(devices[1])),
            hint="name one",
        )
    return devices[0]


def device_target(device: aie_ops.DeviceOp) -> Target:
    """Return the array model of a device.

    Raises:
        DesignError: The device is none of ours; ``npu1_4col`` gets its new name.
    """
    name = device.text("device") or ""
    try:
        return load_target(name)
    except RequestError as error:
        raise DesignError(
            f"unknown device {name!r}", where=str(location_of(device)), why=error.why, hint=error.hint
        ) from None


def collect(module: ModuleOp, name: str | None = None) -> State:
    """Read the declarations of the device (the one called ``name``) into a :class:`State`."""
    device = find_device(module, name)
    state = State(device, device_target(device), Problems())
    for op in device.body.walk():
        if isinstance(op, aie_ops.TileOp):
            _tile(state, op)
    for position, op in enumerate(device.body.blocks[0].ops):
        if isinstance(op, aie_ops.TileOp):
            state.tile_order = position
        reader = _READERS.get(type(op))
        if reader is not None:
            reader(state, op, position)
        elif isinstance(op, dma_ops.DmaProgramOp):
            _nested(state, op, position)
        elif isinstance(op, GlobalOp):
            state.globals[op.sym_name.data] = dense_words(op.initial_value)
        elif not isinstance(op, _LATER) and op.dialect_name() not in ("arith", "index"):
            _unexpected(state, op)
    _links(state)
    return state


def array_of(kind: Attribute | None) -> Array:
    """Return the :class:`Array` of a memref or fifo type.

    Raises:
        ValueError: The type has a dynamic shape or elements we do not know.
    """
    if isinstance(kind, ObjectFifoType | ObjectFifoSubviewType):
        kind = kind.element
    if not isinstance(kind, MemRefType):
        raise ValueError(f"{kind} is not a memref")  # noqa: TRY004 - a wrong design, not a wrong call
    shape = tuple(int(size) for size in kind.get_shape())
    if any(size < 0 for size in shape):
        raise ValueError(f"{kind} has a dynamic shape")
    element = str(kind.get_element_type())
    element = {"si8": "i8", "si16": "i16", "si32": "i32", "index": "i32"}.get(element, element)
    if element not in ELEMENT_BYTES:
        raise ValueError(f"elements of type {element} are not supported")
    return Array(element, shape)


_MOST_INITIAL = 1 << 20
"""Bytes of an initial value: more than any memory of the array."""


def dense_bytes(value: Attribute | None, kind: Array) -> bytes | None:
    """Return the bytes of an initial value, little-endian as the array holds them."""
    if not isinstance(value, DenseIntOrFPElementsAttr):
        return None
    if kind.bytes > _MOST_INITIAL:
        return None
    raw = bytes(value.data.data)
    if len(raw) == kind.bytes:
        return raw
    return raw * (kind.bytes // len(raw)) if raw else None


def dense_words(value: Attribute | None) -> tuple[int, ...]:
    """Return the 32-bit words of a dense value."""
    if not isinstance(value, DenseIntOrFPElementsAttr):
        return ()
    return tuple(int(number) & 0xFFFFFFFF for number in value.get_values())


def _tile(state: State, op: DesignOp) -> None:
    tile = TileId(op.number("col") or 0, op.number("row") or 0)
    target = state.target
    if tile.column >= target.columns or tile.row >= target.rows:
        state.problems.error(
            f"{target.name} has no tile {tile}",
            location_of(op),
            why=f"it has columns 0..{target.columns - 1} and rows 0..{target.rows - 1}",
        )
    state.tiles[op.results[0]] = tile


def tile_of(state: State, value: SSAValue, op: Operation) -> TileId:
    """Return the tile that an operand names."""
    tile = state.tiles.get(value)
    if tile is None:
        raise DesignError(f"{op.name} needs a tile", where=str(location_of(op)))
    return tile


def _typed(kind: Attribute | None, op: Operation) -> Array:
    try:
        return array_of(kind)
    except ValueError as error:
        raise DesignError(f"{op.name}: {error}", where=str(location_of(op))) from None


def _buffer(state: State, op: DesignOp, position: int) -> None:
    kind = _typed(op.results[0].type, op)
    tile = tile_of(state, op.operands[0], op)
    name = op.sym or f"_anonymous{sum(spec.name.startswith('_anonymous') for spec in state.buffers)}"
    if state.kind(tile) == "shim":
        state.problems.error(
            f"buffer {name} on shim tile {tile}", location_of(op), why="a shim has no memory"
        )
    spec = BufferSpec(
        name,
        tile,
        kind,
        (position, 0, 0),
        op.number("address"),
        op.number("mem_bank"),
        dense_bytes(op.attributes.get("initial_value"), kind),
        loc=location_of(op),
    )
    _unique(state, name, spec.loc)
    state.buffers.append(spec)
    state.values[op.results[0]] = spec


def _external(state: State, op: DesignOp, position: int) -> None:
    kind = _typed(op.results[0].type, op)
    name = op.sym or f"ext_buffer_{sum(spec.external for spec in state.buffers)}"
    spec = BufferSpec(name, TileId(0, 0), kind, (position, 0, 0), loc=location_of(op), external=True)
    _unique(state, name, spec.loc)
    state.buffers.append(spec)
    state.values[op.results[0]] = spec


def _unique(state: State, name: str, loc: Any) -> None:
    if any(spec.name == name for spec in state.buffers):
        state.problems.error(f"buffer {name} is declared twice", loc)


def _lock(state: State, op: DesignOp, position: int) -> None:
    del position
    tile = tile_of(state, op.operands[0], op)
    ident = op.number("lockID")
    number = -1 if ident is None else ident
    name = op.sym or f"lock_{tile.column}_{tile.row}_{len(state.locks)}"
    if any(lock.name == name for lock in state.locks):
        state.problems.error(f"lock {name} is declared twice", location_of(op))
    if ident is not None and any(lock.tile == tile and lock.id == ident for lock in state.locks):
        state.problems.error(f"lock {ident} of tile {tile} is declared twice", location_of(op))
    state.locks.append(Lock(name, tile, number, op.number("init") or 0, None, location_of(op)))
    state.values[op.results[0]] = name


def _core(state: State, op: DesignOp, position: int) -> None:
    del position
    tile = tile_of(state, op.operands[0], op)
    if state.kind(tile) != "core":
        state.problems.error(f"aie.core on {state.kind(tile)} tile {tile}", location_of(op))
    if tile in state.cores:
        state.problems.error(f"tile {tile} has two cores", location_of(op))
    state.cores[tile] = cast("aie_ops.CoreOp", op)
    stack = op.number("stack_size")
    state.stacks[tile] = state.target.core.default_stack if stack is None else stack


def _function(state: State, op: FuncOp, position: int) -> None:
    del position
    if op.body.blocks and op.body.blocks[0].first_op is not None:
        return
    name = op.sym_name.data
    arguments = tuple(_argument(kind, op) for kind in op.function_type.inputs.data)
    link = attribute_text(op.attributes.get("link_with"))
    if name in state.functions:
        state.problems.error(f"function {name} is declared twice", location_of(op))
    results = tuple(str(kind) for kind in op.function_type.outputs.data)
    state.functions[name] = Function(name, arguments, results, link, location_of(op))


def _argument(kind: Attribute, op: Operation) -> Array | str:
    if isinstance(kind, MemRefType):
        shape = tuple(int(size) for size in kind.get_shape())
        if any(size < 0 for size in shape):
            return "memref"
        return _typed(kind, op)
    return str(kind)


def _fifo(state: State, op: DesignOp, position: int) -> None:
    del position
    assert isinstance(op, fifo_ops.ObjectFifoOp)
    kind = _typed(_unwrapped(op.attributes.get("elemType")), op)
    consumer = op.attributes.get("consumerElemType")
    name = op.sym or ""
    initial = op.attributes.get("initValues", op.attributes.get("init_values"))
    consumers = tuple(tile_of(state, value, op) for value in op.operands[1:])
    layouts = op.data("dimensionsFromStreamPerConsumer") or ()
    fifo = Fifo(
        name=name,
        producer=tile_of(state, op.operands[0], op),
        consumers=consumers,
        depth=op.depths,
        type=kind,
        consumer_type=kind if consumer is None else _typed(_unwrapped(consumer), op),
        to_stream=tuple(op.data("dimensionsToStream") or ()),
        from_stream=tuple(layouts) + ((),) * (len(consumers) - len(layouts)),
        pads=tuple(op.data("padDimensions") or ()),
        pad_value=op.number("pad_value") or 0,
        repeat=op.number("repeat_count") or op.number("memtile_repeat"),
        iter_count=op.number("iter_count"),
        initial=_initials(initial, kind),
        via_dma=op.flag("via_DMA"),
        unsynchronized=op.flag("disable_synchronization"),
        stream=op.number("aie_stream"),
        stream_port=op.number("aie_stream_port") or 0,
        via_shared_mem=op.number("via_shared_mem"),
        packet=op.data("packet"),
        loc=location_of(op),
    )
    for known in set(op.attributes) - _FIFO_ATTRIBUTES:
        state.problems.error(f"attribute {known} of an objectfifo is not supported", fifo.loc)
    if op.flag("plio"):
        state.problems.error(f"objectfifo {name} uses plio", fifo.loc, why="an NPU has no programmable logic")
    if name in state.fifos:
        state.problems.error(f"objectfifo {name} is declared twice", fifo.loc)
    state.fifos[name] = fifo


def _unwrapped(kind: Attribute | None) -> Attribute | None:
    inner = getattr(kind, "type", None)
    return kind if isinstance(kind, ObjectFifoType) or inner is None else inner


def _initials(value: Attribute | None, kind: Array) -> tuple[bytes, ...] | None:
    if not isinstance(value, ArrayAttr):
        return None
    return tuple(dense_bytes(item, kind) or b"" for item in value.data)


def _allocate(state: State, op: DesignOp, position: int) -> None:
    del position
    name = op.text("objFifo_name") or ""
    if name in state.delegates:
        state.problems.error(f"objectfifo {name} has more than one allocate", location_of(op))
    state.delegates[name] = tile_of(state, op.operands[0], op)


def _register(state: State, op: DesignOp, position: int) -> None:
    del position
    name = op.text("objFifo_name") or ""
    tile = tile_of(state, op.operands[0], op)
    specs = state.registered.setdefault((name, tile), [])
    for value in op.operands[1:]:
        spec = state.values.get(value)
        if isinstance(spec, BufferSpec) and spec.external:
            spec.tile = tile
            specs.append(spec)
        else:
            state.problems.error("only an aie.external_buffer can be registered", location_of(op))


def _links(state: State) -> None:
    """Read the links after all fifos are known."""
    seen: dict[tuple[str, str], object] = {}
    for op in state.device.body.blocks[0].ops:
        if not isinstance(op, fifo_ops.ObjectFifoLinkOp):
            continue
        loc = location_of(op)
        ins, outs = op.names("fifoIns"), op.names("fifoOuts")
        missing = [name for name in ins + outs if name not in state.fifos]
        if missing or not ins or not outs:
            state.problems.error(f"link names no objectfifo {', '.join(missing)}", loc)
            continue
        for side, names in (("input", ins), ("output", outs)):
            for name in names:
                if (side, name) in seen:
                    state.problems.error(f"objectfifo {name} is the {side} of two links", loc)
                seen[side, name] = op
        shared = set(state.fifos[ins[0]].consumers)
        for name in ins[1:]:
            shared &= set(state.fifos[name].consumers)
        shared &= {state.fifos[name].producer for name in outs}
        if len(shared) != 1 or len({state.fifos[name].producer for name in outs}) != 1:
            state.problems.error(
                "a link needs one tile where its inputs end and its outputs begin",
                loc,
                why=f"{', '.join(ins)} and {', '.join(outs)} share none",
            )
            continue
        repeat = next((state.fifos[name].repeat for name in outs if state.fifos[name].repeat), None)
        source, dest = _offsets(state, op, ins, outs)
        state.links.append(Link(ins, outs, source, dest, shared.pop(), repeat, loc))


def _offsets(
    state: State, op: fifo_ops.ObjectFifoLinkOp, ins: tuple[str, ...], outs: tuple[str, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the slices' offsets; the spelling before offsets existed lays them one behind the other."""
    source, dest = op.offsets("src_offsets"), op.offsets("dst_offsets")
    if not op.flag("implied"):
        return source, dest
    if len(ins) > 1:
        source = tuple(accumulate((state.fifos[name].consumer_type.elements for name in ins[:-1]), initial=0))
    elif len(outs) > 1:
        dest = tuple(accumulate((state.fifos[name].type.elements for name in outs[:-1]), initial=0))
    return source, dest


def _nested(state: State, program: DesignOp, position: int) -> None:
    """Read the buffers and locks that older designs declare inside a DMA program."""
    for op in program.body.walk():
        reader = _READERS.get(type(op)) if isinstance(op, _MEMORY) else None
        if reader is not None:
            reader(state, op, position)


def _unexpected(state: State, op: Operation) -> None:
    state.problems.error(f"operation {op.name} is not supported here", location_of(op))


_FIFO_ATTRIBUTES = {
    "sym_name",
    "elemNumber",
    "elemType",
    "consumerElemType",
    "dimensionsToStream",
    "packet",
    "dimensionsFromStreamPerConsumer",
    "padDimensions",
    "pad_value",
    "repeat_count",
    "memtile_repeat",
    "iter_count",
    "initValues",
    "init_values",
    "via_DMA",
    "plio",
    "disable_synchronization",
    "aie_stream",
    "aie_stream_port",
    "via_shared_mem",
    "sym_visibility",
}

_READERS: dict[type[Any], Any] = {
    aie_ops.BufferOp: _buffer,
    aie_ops.ExternalBufferOp: _external,
    aie_ops.LockOp: _lock,
    aie_ops.CoreOp: _core,
    FuncOp: _function,
    fifo_ops.ObjectFifoOp: _fifo,
    fifo_ops.ObjectFifoAllocateOp: _allocate,
    fifo_ops.ObjectFifoRegisterExternalBuffersOp: _register,
}

_MEMORY = (aie_ops.BufferOp, aie_ops.LockOp)

_LATER = (
    aie_ops.TileOp,
    aie_ops.EndOp,
    aie_ops.FlowOp,
    aie_ops.PacketFlowOp,
    aie_ops.ShimDmaAllocationOp,
    aie_ops.CascadeFlowOp,
    aie_ops.ConfigureCascadeOp,
    aie_ops.SequenceOp,
    dma_ops.DmaProgramOp,
    fifo_ops.ObjectFifoLinkOp,
    aiex_ops.OldRuntimeSequenceOp,
)
