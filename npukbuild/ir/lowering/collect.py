"""First pass: what the device declares, as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from xdsl.dialects.builtin import (
    MemRefType,
)
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import GlobalOp

from npukbuild.errors import DesignError, RequestError
from npukbuild.ir.design import Array, Function, Lock, TileId
from npukbuild.ir.dialects import (
    aie_ops,
    aiex_ops,
    configure_ops,
    core_ops,
    dma_ops,
    fifo_ops,
    switch_ops,
    trace_ops,
)
from npukbuild.ir.dialects.base import DesignOp, attribute_text, location_of
from npukbuild.ir.lowering.attributes import check_attributes
from npukbuild.ir.lowering.collect_fifos import read_allocate, read_fifo, read_links, read_register
from npukbuild.ir.lowering.logical_tiles import place_logical_tiles
from npukbuild.ir.lowering.state import BufferSpec, State
from npukbuild.ir.lowering.values import dense_bytes, dense_words, tile_of, typed
from npukbuild.ir.problems import Problems
from npukbuild.targets import load_target

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.ir import Attribute, Operation

    from npukbuild.targets import Target

_TOLD = 6
"""Devices that a message lists."""


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
    loading = [device for device in devices if name is None and _loads_others(device)]
    if len(devices) > 1 and len(loading) == 1:
        return loading[0]
    if len(devices) > 1:
        named = [device for device in devices if device.sym is not None]
        told = ", ".join(
            f"{device.sym or 'one without a name'} (line {where.line if where else '?'})"
            for device in devices[:_TOLD]
            for where in (location_of(device),)
        )
        more = f", and {len(devices) - _TOLD} more" if len(devices) > _TOLD else ""
        raise DesignError(
            f"the design has {len(devices)} devices: {told}{more}",
            where=str(location_of(devices[1])),
            hint=f"pick one by its name, such as {named[0].sym} (--device)"
            if named
            else "give each device a file of its own, or a name: aie.device(npu1) @name { ... }",
        )
    return devices[0]


def _loads_others(device: aie_ops.DeviceOp) -> bool:
    """Whether a device's runtime sequence loads configurations: it is where the host begins."""
    return any(
        isinstance(op, configure_ops.ConfigureOp)
        or (isinstance(op, configure_ops.LoadPdiOp) and op.text("device_ref") not in (None, device.sym))
        for op in device.body.walk()
    )


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
        elif isinstance(op, aie_ops.UseLockOp):
            _plain_lock_use(state, op)
    place_logical_tiles(state)
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
    read_links(state)
    check_attributes(state)
    return state


def _plain_lock_use(state: State, op: aie_ops.UseLockOp) -> None:
    """Refuse a lock operation that does not wait: the model's locks always do."""
    if "acq_en" in op.attributes and not op.flag("acq_en"):
        state.problems.error("aie.use_lock with acq_en = false is not supported", location_of(op))
    if op.text("blocking") == "NonBlocking" or op.number("blocking") == 0:
        state.problems.error("aie.use_lock that is NonBlocking is not supported", location_of(op))


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


def _buffer(state: State, op: DesignOp, position: int) -> None:
    kind = typed(op.results[0].type, op)
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
    kind = typed(op.results[0].type, op)
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
        return typed(kind, op)
    return str(kind)


def _nested(state: State, program: DesignOp, position: int) -> None:
    """Read the buffers and locks that older designs declare inside a DMA program."""
    for op in program.body.walk():
        reader = _READERS.get(type(op)) if isinstance(op, _MEMORY) else None
        if reader is not None:
            reader(state, op, position)


def _unexpected(state: State, op: Operation) -> None:
    state.problems.error(f"operation {op.name} is not supported here", location_of(op))


_READERS: dict[type[Any], Any] = {
    aie_ops.BufferOp: _buffer,
    aie_ops.ExternalBufferOp: _external,
    aie_ops.LockOp: _lock,
    aie_ops.CoreOp: _core,
    FuncOp: _function,
    fifo_ops.ObjectFifoOp: read_fifo,
    fifo_ops.ObjectFifoAllocateOp: read_allocate,
    fifo_ops.ObjectFifoRegisterExternalBuffersOp: read_register,
}

_MEMORY = (aie_ops.BufferOp, aie_ops.LockOp)

_LATER = (
    aie_ops.TileOp,
    aie_ops.LogicalTileOp,
    aie_ops.EndOp,
    aie_ops.FlowOp,
    aie_ops.PacketFlowOp,
    aie_ops.ShimDmaAllocationOp,
    core_ops.CascadeFlowOp,
    core_ops.ConfigureCascadeOp,
    aie_ops.SequenceOp,
    dma_ops.BdChainOp,
    dma_ops.DmaProgramOp,
    fifo_ops.ObjectFifoLinkOp,
    trace_ops.TraceOp,
    switch_ops.SwitchOp,
    switch_ops.WireOp,
    aiex_ops.OldRuntimeSequenceOp,
)
