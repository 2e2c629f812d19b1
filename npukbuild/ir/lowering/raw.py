"""Register writes of a runtime sequence: descriptors, queues, locks and buffers addressed by number.

Where the registers lie and what their fields are is in ``targets/dma_registers.toml``. Writes that mean
nothing here stay :class:`~npukbuild.ir.design.WriteRegister`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from npukbuild.errors import DesignError
from npukbuild.ir.design import (
    Allocation,
    Push,
    SetLock,
    TileId,
    WriteBuffer,
    WriteRegister,
)
from npukbuild.ir.dialects.base import attribute_ints, location_of
from npukbuild.ir.lowering import traces
from npukbuild.ir.lowering.bd_words import decode, encode
from npukbuild.ir.lowering.written import Start, describe
from npukbuild.targets.dma_registers import dma_registers

if TYPE_CHECKING:
    from xdsl.ir import Operation

    from npukbuild.ir.design import Buffer, Descriptor, Dim, Direction, Location
    from npukbuild.ir.dialects import aiex_ops
    from npukbuild.ir.dialects.base import DesignOp
    from npukbuild.ir.lowering.sequence import Sequencer

_NO_FIELDS = {"column", "row", "column_num", "row_num", "bd_id", "ddr_id", "burst_length"}
"""Attributes of ``npu.writebd`` that are no field of the descriptor's words."""


@dataclass
class Registers:
    """The descriptors written so far, word by word (None: not written), and what is known of them."""

    words: dict[tuple[TileId, int], list[int | None]] = field(default_factory=dict)
    patched: dict[tuple[TileId, int], tuple[int, int]] = field(default_factory=dict)
    """The host argument and byte that a shim descriptor moves."""
    starts: dict[tuple[TileId, int], int] = field(default_factory=dict)
    """How often a descriptor was started since it was written."""


def write32(run: Sequencer, op: aiex_ops.Write32Op) -> None:
    """Lower ``npu.write32``."""
    value = run.number(op.field("value"), op, "value") & 0xFFFFFFFF
    address = run.number(op.field("address"), op, "address") & 0xFFFFFFFF
    buffer = _buffer(run, op)
    if buffer is not None:
        run.found.append(WriteBuffer(buffer.name, address, value, location_of(op)))
        return
    tile, offset = _locate(run, op, address)
    _write(run, tile, offset, value, op)


def _buffer(run: Sequencer, op: DesignOp) -> Buffer | None:
    """Return the buffer that a write names; its address then counts words from the buffer's start.

    Source: mlir-aie ``getAbsoluteAddress`` (AIEXDialect.cpp).
    """
    name = op.text("buffer")
    if name is not None and name not in run.placed:
        raise DesignError(f"no buffer is named {name}", where=str(location_of(op)))
    return run.placed[name] if name is not None else None


def maskwrite32(run: Sequencer, op: aiex_ops.MaskWrite32Op) -> None:
    """Lower ``npu.maskwrite32``."""
    address, value, mask = (
        run.number(op.field(key), op, key) & 0xFFFFFFFF for key in ("address", "value", "mask")
    )
    buffer = _buffer(run, op)
    if buffer is not None:
        _mask_buffer(run, buffer, address, (value, mask), op)
        return
    tile, offset = _locate(run, op, address)
    place = _bd_word(run, tile, offset, op)
    if place is None:
        _register(run, WriteRegister(tile, offset, value, mask, location_of(op)))
        return
    slot, word = place
    old = _words(run, tile, slot)[word] or 0
    _set_word(run, tile, slot, word, old & ~mask | value & mask)


def _mask_buffer(run: Sequencer, buffer: Buffer, word: int, change: tuple[int, int], op: Operation) -> None:
    offset = (buffer.address or 0) + 4 * word
    if not 0 <= 4 * word <= buffer.type.bytes - 4:
        raise DesignError(
            f"{op.name} reaches outside buffer {buffer.name}",
            where=str(location_of(op)),
            why=f"word {word} of {buffer.type.bytes // 4}",
        )
    run.found.append(WriteRegister(buffer.tile, offset, *change, location_of(op)))


def blockwrite(run: Sequencer, op: DesignOp) -> None:
    """Lower ``npu.blockwrite`` of a ``memref.global``'s words."""
    owner = cast("Operation", op.operands[0].owner)
    name = getattr(getattr(owner, "name_", None), "string_value", lambda: "")()
    data = run.state.globals.get(name)
    if not data:
        raise DesignError("blockwrite needs the value of a memref.global", where=str(location_of(op)))
    address = run.number(op.number("address"), op, "address")
    buffer = _buffer(run, op)
    if buffer is not None:
        for number, value in enumerate(data):
            run.found.append(WriteBuffer(buffer.name, address + number, value, location_of(op)))
        return
    tile, offset = _locate(run, op, address)
    for number, value in enumerate(data):
        _write(run, tile, offset + 4 * number, value, op)


def control_packet(run: Sequencer, op: DesignOp) -> None:
    """Lower ``control_packet``: a write of registers in a row, sent through a control port."""
    data = attribute_ints(op.attributes.get("data"))
    opcode = op.number("opcode") or 0
    if opcode or data is None:
        raise DesignError(
            f"{op.name} with opcode {opcode}" if opcode else f"{op.name} without data",
            where=str(location_of(op)),
            why="in a runtime sequence only writes (opcode 0) are supported",
            hint="send the packet as data of a host buffer through an aie.packet_flow to TileControl",
        )
    tile, offset = _locate(run, op, run.number(op.number("address"), op, "address"))
    for number, value in enumerate(data):
        _write(run, tile, offset + 4 * number, value & 0xFFFFFFFF, op)


def writebd(run: Sequencer, op: DesignOp) -> None:
    """Lower ``npu.writebd``: its numbers are the register's values, so strides and iteration minus one.

    ``buffer_offset`` counts bytes on core and shim tiles and words on memtiles (mlir-aie's AIEDmaToNpu).
    """
    tile = TileId(op.number("column") or 0, op.number("row") or 0)
    slot = op.number("bd_id") or 0
    kind = _kind(run, tile, op)
    if not 0 <= slot < run.state.target.limits(kind).bds:
        raise DesignError(
            f"npu.writebd of descriptor {slot} of {tile}",
            where=str(location_of(op)),
            why=f"a {kind} tile has {run.state.target.limits(kind).bds}",
        )
    values = {name: op.number(name) or 0 for name in op.attributes if name not in _NO_FIELDS}
    offset = values.get("buffer_offset", 0)
    if kind == "shim":
        values.pop("buffer_offset", None)
        if op.number("ddr_id") is not None:
            run.registers.patched[tile, slot] = (op.number("ddr_id") or 0, offset)
    elif kind == "core":
        values["buffer_offset"] = offset // dma_registers(kind).address_unit
    try:
        words = encode(kind, values)
    except ValueError as error:
        raise DesignError(
            f"npu.writebd of descriptor {slot} of {tile}", where=str(location_of(op)), why=str(error)
        ) from None
    run.registers.words[tile, slot] = [*words]
    run.registers.starts.pop((tile, slot), None)


def address_patch(run: Sequencer, op: DesignOp) -> None:
    """Lower ``npu.address_patch``: which host buffer, at which byte, a shim descriptor moves."""
    plus = run.number(op.operands[0] if op.operands else op.number("arg_plus"), op, "arg_plus")
    tile, offset = _locate(run, op, run.number(op.number("addr"), op, "addr"))
    registers = dma_registers("shim")
    slot = (offset - registers.bds) // registers.bd_step
    run.registers.patched[tile, slot] = (op.number("arg_idx") or 0, plus)


def push_queue(run: Sequencer, op: DesignOp) -> None:
    """Lower ``npu.push_queue``."""
    values = []
    for name in ("bd_id", "repeat_count"):
        position = op.number(f"{name}_operand")
        values.append(run.number(op.number(name) if position is None else op.operands[position], op, name))
    tile = TileId(op.number("column") or 0, op.number("row") or 0)
    direction = cast("Direction", op.text("direction") or ("S2MM", "MM2S")[op.number("direction") or 0])
    _push(run, tile, direction, op.number("channel") or 0, values[0], values[1], op.flag("issue_token"), op)


def _locate(run: Sequencer, op: DesignOp, address: int) -> tuple[TileId, int]:
    """Return tile and offset of a register: ``column << 25 | row << 20 | offset``."""
    column, row = op.number("column"), op.number("row")
    if column is None or row is None:
        return TileId(address >> 25, address >> 20 & 0x1F), address & 0xFFFFF
    del run
    return TileId(column, row), address & 0xFFFFF


def _kind(run: Sequencer, tile: TileId, op: Operation) -> str:
    target = run.state.target
    if not (0 <= tile.column < target.columns and 0 <= tile.row < target.rows):
        raise DesignError(
            f"register write to {tile}", where=str(location_of(op)), why=f"{target.name} has no such tile"
        )
    return run.state.kind(tile)


def _bd_word(run: Sequencer, tile: TileId, offset: int, op: Operation) -> tuple[int, int] | None:
    """Return descriptor and word that a register holds, None for other registers."""
    kind = _kind(run, tile, op)
    registers = dma_registers(kind)
    slot, rest = divmod(offset - registers.bds, registers.bd_step)
    inside = 0 <= slot < run.state.target.limits(kind).bds and rest // 4 < registers.bd_words
    return (slot, rest // 4) if inside else None


def _words(run: Sequencer, tile: TileId, slot: int) -> list[int | None]:
    empty: list[int | None] = [None] * dma_registers(run.state.kind(tile)).bd_words
    return run.registers.words.setdefault((tile, slot), empty)


def _set_word(run: Sequencer, tile: TileId, slot: int, word: int, value: int) -> None:
    _words(run, tile, slot)[word] = value
    run.registers.starts.pop((tile, slot), None)


def _write(run: Sequencer, tile: TileId, offset: int, value: int, op: Operation) -> None:
    loc = location_of(op)
    kind = _kind(run, tile, op)
    limits, registers = run.state.target.limits(kind), dma_registers(kind)
    place = _bd_word(run, tile, offset, op)
    if place is not None:
        _set_word(run, tile, *place, value)
        return
    queues: tuple[tuple[Direction, int, int], ...] = (
        ("S2MM", limits.s2mm, registers.queue_s2mm),
        ("MM2S", limits.mm2s, registers.queue_mm2s),
    )
    for direction, count, first in queues:
        channel, odd = divmod(offset - first, 8)
        if odd == 0 and 0 <= channel < count:
            bd, repeat = value & registers.bd_id_mask, value >> 16 & 0xFF
            _push(run, tile, direction, channel, bd, repeat, bool(value >> 31), op)
            return
    lock, odd = divmod(offset - registers.locks, 16)
    if odd == 0 and 0 <= lock < limits.locks:
        named = next((one for one in run.state.locks if one.tile == tile and one.id == lock), None)
        if named is not None:
            run.found.append(SetLock(named.name, value, loc))
            return
    if kind != "shim" and offset < limits.data_bytes:
        run.found.append(_memory_write(run, tile, offset, value, loc))
        return
    _register(run, WriteRegister(tile, offset, value, None, loc))


def _register(run: Sequencer, write: WriteRegister) -> None:
    traces.observes(run.state, write.tile, write.address, write.loc)
    run.found.append(write)


def _memory_write(run: Sequencer, tile: TileId, offset: int, value: int, loc: Location | None) -> WriteBuffer:
    for buffer in run.placed.values():
        at = buffer.address
        if buffer.tile == tile and at is not None and at <= offset < at + buffer.type.bytes:
            return WriteBuffer(buffer.name, (offset - at) // 4, value, loc)
    raise DesignError(f"write to address {offset:#x} of {tile}", where=str(loc), why="no buffer is there")


def _push(
    run: Sequencer,
    tile: TileId,
    direction: Direction,
    channel: int,
    bd: int,
    repeat: int,
    token: bool,
    op: Any,
) -> None:
    loc = location_of(op)
    _kind(run, tile, op)
    if traces.leave_out(run.state, tile, direction, channel):
        return
    done = run.registers.starts.get((tile, bd), 0)
    start = Start(tile, direction, channel, repeat + 1, done, loc)
    chain: list[Descriptor] = []
    iterations: set[Dim | None] = set()
    places: dict[int, int] = {}
    current: int | None = bd
    while current is not None and current not in places:
        places[current] = len(chain)
        descriptor, iteration, following = _started(run, start, current)
        iterations.add(iteration)
        chain.append(replace(descriptor, next=None))
        if following is not None:
            chain[-1] = replace(descriptor, next=places.get(following, len(chain)))
        run.registers.starts[tile, current] = run.registers.starts.get((tile, current), 0) + repeat + 1
        current = following
    if len(iterations) > 1 or (current is not None and iterations != {None}):
        raise start.refuse(
            bd,
            "starts a chain whose iterations differ or that runs in a circle with one",
            "the simulator supports one iteration for a chain that ends",
        )
    name = next(
        (
            n
            for n, a in run.allocations.items()
            if (a.tile, a.direction, a.channel) == (tile, direction, channel)
        ),
        "",
    )
    target = Allocation(name, tile, direction, channel, loc)
    run.found.append(Push(target, tuple(chain), repeat, iterations.pop(), token, loc=loc))


def _started(run: Sequencer, start: Start, slot: int) -> tuple[Descriptor, Dim | None, int | None]:
    """Return descriptor, iteration and successor of what was written, or else configured, under an id."""
    words = run.registers.words.get((start.tile, slot))
    configured = _configured(run, start.tile, slot)
    if words is None:
        if configured is None:
            raise start.refuse(slot, "is started but was never written")
        return configured[0], None, configured[1]
    if configured is not None and None in words:
        raise start.refuse(
            slot,
            f"has word {words.index(None)} from the design's DMA program and others from the sequence",
            "the simulator supports descriptors that are written whole",
        )
    fields = decode(run.state.kind(start.tile), [word or 0 for word in words])
    descriptor, iteration = describe(run, start, slot, fields)
    return descriptor, iteration, fields.next


def _configured(run: Sequencer, tile: TileId, slot: int) -> tuple[Descriptor, int | None] | None:
    """Return a descriptor of the design's own DMA program with the id of its successor."""
    for channel in run.state.channels:
        for descriptor in channel.descriptors if channel.tile == tile else ():
            if descriptor.id == slot:
                following = descriptor.next
                return descriptor, None if following is None else channel.descriptors[following].id
    return None
