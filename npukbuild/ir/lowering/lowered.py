"""What a design already has in lowered form: DMA programs, flows, allocations, cascades, lock ids."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from npukbuild.errors import DesignError
from npukbuild.ir.design import (
    Allocation,
    Cascade,
    Channel,
    Descriptor,
    Direction,
    Flow,
    LockUse,
    Port,
    TileId,
)
from npukbuild.ir.dialects import aie_ops, core_ops, dma_ops
from npukbuild.ir.dialects.base import DesignOp, location_of
from npukbuild.ir.lowering.constants import constant
from npukbuild.ir.lowering.fifos import free_lock
from npukbuild.ir.lowering.state import BufferSpec, State
from npukbuild.ir.lowering.values import tile_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xdsl.ir import Block, Operation

_HARMLESS = (aie_ops.EndOp, aie_ops.BufferOp, aie_ops.LockOp, dma_ops.NextBdOp)

_ACTIONS: dict[str, Any] = {
    "Acquire": "acquire_eq",
    "AcquireGreaterEqual": "acquire_ge",
    "Release": "release",
}


def assign_lock_ids(state: State) -> None:
    """Give locks without an id the lowest free one of their tile."""
    for position, lock in enumerate(state.locks):
        if lock.id < 0:
            state.locks[position] = replace(lock, id=free_lock(state, lock.tile))


def lower_programs(state: State) -> None:
    """Turn ``aie.mem``, ``aie.memtile_dma`` and ``aie.shim_dma`` into channels."""
    kinds = {dma_ops.MemOp: "core", dma_ops.MemTileDmaOp: "mem", dma_ops.ShimDmaOp: "shim"}
    for program in state.device.body.blocks[0].ops:
        if not isinstance(program, dma_ops.DmaProgramOp):
            continue
        tile = tile_of(state, program.operands[0], program)
        if state.kind(tile) != kinds[type(program)]:
            state.problems.error(f"{program.name} on {state.kind(tile)} tile {tile}", location_of(program))
        state.channels.extend(_program(state, tile, program))


def _program(state: State, tile: TileId, program: DesignOp) -> Iterable[Channel]:
    found: list[Channel] = []
    blocks = list(program.body.blocks)
    block: Block | None = blocks[0] if blocks else None
    seen: set[int] = set()
    while block is not None and id(block) not in seen:
        seen.add(id(block))
        following = None
        for op in block.ops:
            if isinstance(op, dma_ops.DmaStartOp):
                found.append(_channel(tile, op, _walk_chain(state, op, tile)))
                following = op.successors[1]
            elif isinstance(op, dma_ops.DmaOp):
                found.append(_channel(tile, op, _regions(state, op, tile)))
            elif not isinstance(op, _HARMLESS) and constant(op) is None:
                raise DesignError(f"{op.name} outside of a descriptor", where=str(location_of(op)))
        block = following
    return found


def _channel(tile: TileId, op: DesignOp, descriptors: tuple[Descriptor, ...]) -> Channel:
    direction = cast("Direction", op.text("channel_dir") or ("S2MM", "MM2S")[op.number("channel_dir") or 0])
    index, repeat = op.number("channel_index") or 0, op.number("repeat_count") or 0
    return Channel(tile, direction, index, descriptors, repeat, None, location_of(op))


def _walk_chain(state: State, start: dma_ops.DmaStartOp, tile: TileId) -> tuple[Descriptor, ...]:
    """Follow ``next_bd`` from where a channel starts; a block met again closes the cycle."""
    numbers: dict[int, int] = {}
    found: list[Descriptor] = []
    block: Block | None = start.successors[0]
    while block is not None:
        numbers[id(block)] = len(found)
        last = block.last_op
        following = last.successors[0] if isinstance(last, dma_ops.NextBdOp) else None
        if not any(isinstance(op, dma_ops.DmaBdOp) for op in block.ops):
            if found:
                found[-1] = replace(found[-1], next=None)
            break
        descriptor = descriptor_of(state, list(block.ops), tile, start)
        if following is None:
            found.append(replace(descriptor, next=None))
            break
        if id(following) in numbers:
            found.append(replace(descriptor, next=numbers[id(following)]))
            break
        found.append(replace(descriptor, next=len(found) + 1))
        block = following
    return tuple(found)


def _regions(state: State, op: dma_ops.DmaOp, tile: TileId) -> tuple[Descriptor, ...]:
    loop = op.flag("loop") if "loop" in op.attributes else True
    found = [descriptor_of(state, list(region.blocks[0].ops), tile, op) for region in op.regions]
    last = len(found) - 1
    return tuple(
        replace(one, next=number + 1 if number < last else (0 if loop else None))
        for number, one in enumerate(found)
    )


def descriptor_of(state: State, ops: list[Operation], tile: TileId, around: Operation) -> Descriptor:
    """Return the descriptor that a block describes: lock uses around one ``aie.dma_bd``."""
    acquires: list[LockUse] = []
    releases: list[LockUse] = []
    found: Descriptor | None = None
    packet: tuple[int, int] | None = None
    for op in ops:
        if isinstance(op, aie_ops.UseLockOp):
            (acquires if found is None else releases).append(lock_use(state, op, tile))
        elif isinstance(op, dma_ops.DmaBdPacketOp):
            packet = (op.number("packet_type") or 0, op.number("packet_id") or 0)
        elif isinstance(op, dma_ops.DmaBdOp):
            if found is not None:
                raise DesignError("two descriptors in one block", where=str(location_of(op)))
            found = _plain(state, op)
        elif not isinstance(op, _HARMLESS) and constant(op) is None:
            raise DesignError(
                f"operation {op.name} is not supported in a DMA program", where=str(location_of(op))
            )
    if found is None:
        raise DesignError(f"a block of {around.name} has no descriptor", where=str(location_of(around)))
    return replace(found, acquires=tuple(acquires), releases=tuple(releases), packet=packet or found.packet)


def _plain(state: State, op: dma_ops.DmaBdOp) -> Descriptor:
    spec = state.values.get(op.operands[0])
    if not isinstance(spec, BufferSpec):
        raise DesignError("a descriptor needs an aie.buffer", where=str(location_of(op)))
    offset, length = bd_field(op, "offset") or 0, bd_field(op, "len")
    return bd_descriptor(op, spec.name, offset, spec.type.elements if length is None else length)


def bd_descriptor(op: dma_ops.DmaBdOp, buffer: str, offset: int, length: int) -> Descriptor:
    """Return a descriptor from the attributes of ``aie.dma_bd``."""
    return Descriptor(
        buffer,
        offset,
        length,
        tuple(op.data("dimensions") or ()),
        tuple(op.data("pad_dimensions") or ()),
        bd_field(op, "pad_value") or 0,
        id=op.number("bd_id"),
        packet=op.data("packet"),
        loc=location_of(op),
    )


def bd_field(op: dma_ops.DmaBdOp, name: str) -> int | None:
    """Return a number of a descriptor, given as a literal or as an SSA constant."""
    position = op.number(f"{name}_operand")
    if position is None:
        return op.number(name)
    owner = op.operands[position].owner
    value = constant(owner) if not hasattr(owner, "ops") else None
    if value is None:
        raise DesignError(f"{name} of aie.dma_bd must be a constant", where=str(location_of(op)))
    return value


def lock_use(state: State, op: aie_ops.UseLockOp, tile: TileId) -> LockUse:
    """Return the lock operation of a descriptor, checking that the tile's DMA reaches the lock."""
    name = state.values.get(op.operands[0])
    if not isinstance(name, str):
        raise DesignError("use_lock needs an aie.lock", where=str(location_of(op)))
    value = op.number("value")
    if len(op.operands) > 1:
        owner = op.operands[1].owner
        value = constant(owner) if not hasattr(owner, "ops") else None
        if value is None:
            raise DesignError("a descriptor's lock value must be a constant", where=str(location_of(op)))
    lock = state.lock(name)
    near = lock.tile == tile or (
        state.kind(tile) == "mem" and lock.tile.row == tile.row and abs(lock.tile.column - tile.column) == 1
    )
    if not near:
        state.problems.error(f"the DMA of {tile} cannot use lock {name} of {lock.tile}", location_of(op))
    return LockUse(name, _ACTIONS[op.action], 1 if value is None else value)


def lower_flows(state: State) -> tuple[dict[str, Allocation], tuple[Cascade, ...]]:
    """Read flows, packet flows, allocations and cascades."""
    allocations: dict[str, Allocation] = {}
    cascades: list[Cascade] = []
    for op in state.device.body.blocks[0].ops:
        if isinstance(op, aie_ops.FlowOp):
            _flow(state, op)
        elif isinstance(op, aie_ops.PacketFlowOp):
            _packet_flow(state, op)
        elif isinstance(op, aie_ops.ShimDmaAllocationOp):
            _allocation(state, op, allocations)
        elif isinstance(op, core_ops.CascadeFlowOp):
            source, dest = (tile_of(state, value, op) for value in op.operands)
            _cascade(state, cascades, Cascade(source, dest, location_of(op)))
        elif isinstance(op, core_ops.ConfigureCascadeOp):
            tile = tile_of(state, op.operands[0], op)
            east = op.text("outputDir") == "East"
            dest = TileId(tile.column + 1, tile.row) if east else TileId(tile.column, tile.row - 1)
            if any(
                isinstance(other, core_ops.ConfigureCascadeOp)
                and state.tiles[other.operands[0]] == dest
                and other.text("inputDir") == ("West" if east else "North")
                for other in state.device.body.blocks[0].ops
            ):
                cascades.append(Cascade(tile, dest, location_of(op)))
    return allocations, tuple(cascades)


def _flow(state: State, op: DesignOp) -> None:
    source = _port(state, op, 0, "source")
    dest = _port(state, op, 1, "dest")
    for position, known in enumerate(state.flows):
        if known.source == source and known.packet_id is None and known.fifo is None:
            state.flows[position] = replace(known, destinations=(*known.destinations, dest))
            return
    state.flows.append(Flow(source, (dest,), loc=location_of(op)))


def _port(state: State, op: DesignOp, operand: int, prefix: str) -> Port:
    names = (f"{prefix}_bundle", f"{prefix}_channel") if prefix else ("bundle", "channel")
    bundle = op.text(names[0])
    if bundle is None:
        bundle = ("Core", "DMA", "FIFO", "South", "West", "North", "East")[op.number(names[0]) or 0]
    return Port(tile_of(state, op.operands[operand], op), bundle, op.number(names[1]) or 0)


def _packet_flow(state: State, op: DesignOp) -> None:
    sources, dests = [], []
    for inner in op.body.walk():
        if isinstance(inner, aie_ops.PacketSourceOp):
            sources.append(_port(state, inner, 0, ""))
        elif isinstance(inner, aie_ops.PacketDestOp):
            dests.append(_port(state, inner, 0, ""))
    ident = op.number("ID") or 0
    if not sources or not dests:
        state.problems.error("a packet flow needs a source and a destination", location_of(op))
    if not 0 <= ident < state.target.streams["packet_ids"]:
        state.problems.error(
            f"packet id {ident} does not exist",
            location_of(op),
            why=f"ids are 0..{state.target.streams['packet_ids'] - 1}",
        )
    for source in sources:
        state.flows.append(Flow(source, tuple(dests), ident, op.flag("keep_pkt_header"), loc=location_of(op)))


def _allocation(state: State, op: DesignOp, allocations: dict[str, Allocation]) -> None:
    tile = tile_of(state, op.operands[0], op) if op.operands else TileId(op.number("col") or 0, 0)
    name = op.text("sym_name") or ""
    direction = cast("Direction", op.text("channel_dir") or ("S2MM", "MM2S")[op.number("channel_dir") or 0])
    if name in allocations:
        state.problems.error(f"shim_dma_allocation {name} is declared twice", location_of(op))
    allocations[name] = Allocation(name, tile, direction, op.number("channel_index") or 0, location_of(op))


def _cascade(state: State, cascades: list[Cascade], cascade: Cascade) -> None:
    source, dest = cascade.source, cascade.destination
    south = dest == TileId(source.column, source.row - 1)
    east = dest == TileId(source.column + 1, source.row)
    if not (south or east) or state.kind(source) != "core" or state.kind(dest) != "core":
        state.problems.error(
            f"no cascade from {source} to {dest}",
            cascade.loc,
            why="a core's cascade goes to its south or east neighbour",
        )
    cascades.append(cascade)
