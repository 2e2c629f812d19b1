"""Register writes of a runtime sequence: descriptors, queues, locks and buffers addressed by number.

Register addresses and fields: AMD's AIE-ML register reference as used by aie-rt's ``xaiemlgbl_params.h``
(shim and core descriptors from 0x1D000, memtile from 0xA0000, 0x20 apart; queues at 0x1D204, 0x1DE04,
0xA0604; locks 16 bytes apart). Only shim descriptors are decoded; writes that mean nothing here stay
:class:`~npukbuild.ir.design.WriteRegister`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from npukbuild.errors import DesignError
from npukbuild.ir.design import (
    ELEMENT_BYTES,
    Allocation,
    Descriptor,
    Dim,
    Direction,
    Push,
    SetLock,
    TileId,
    WriteBuffer,
    WriteRegister,
)
from npukbuild.ir.dialects.base import location_of

if TYPE_CHECKING:
    from xdsl.ir import Operation

    from npukbuild.ir.design import Location
    from npukbuild.ir.dialects import aiex_ops
    from npukbuild.ir.dialects.base import DesignOp
    from npukbuild.ir.lowering.sequence import Sequencer

_BD_BASE, _BD_STEP, _BD_WORDS = {"shim": 0x1D000, "core": 0x1D000, "mem": 0xA0000}, 0x20, 8
_QUEUES: dict[str, tuple[int, int]] = {
    "shim": (0x1D204, 0x10),
    "core": (0x1DE04, 0x10),
    "mem": (0xA0604, 0x30),
}
_LOCKS = {"shim": 0x14000, "core": 0x1F000, "mem": 0xC0000}


@dataclass
class Registers:
    """The descriptors written so far, as 8 words each, and the host buffer patched into them."""

    words: dict[tuple[TileId, int], list[int]] = field(default_factory=dict)
    patched: dict[tuple[TileId, int], tuple[int, int]] = field(default_factory=dict)
    fields: dict[tuple[TileId, int], ShimWords] = field(default_factory=dict)
    """Descriptors written by ``npu.writebd``, field by field."""


@dataclass(frozen=True)
class ShimWords:
    """A shim descriptor's fields: lengths and strides in 32-bit words, sizes as counts (0 = no wrap)."""

    length: int
    sizes: tuple[int, int]
    strides: tuple[int, int, int]
    iteration_size: int
    iteration_stride: int
    packet: tuple[int, int] | None
    next: int | None
    valid: bool
    acquire: tuple[int, int] | None
    release: tuple[int, int] | None


def decode_shim(words: list[int]) -> ShimWords:
    """Decode the 8 words of a shim descriptor (strides are stored minus one)."""
    w = [word & 0xFFFFFFFF for word in words]
    acquire = (w[7] & 0xF, w[7] >> 5 & 0x7F) if w[7] >> 12 & 1 else None
    release = (w[7] >> 13 & 0xF, w[7] >> 18 & 0x7F)
    return ShimWords(
        length=w[0],
        sizes=(w[3] >> 20 & 0x3FF, w[4] >> 20 & 0x3FF),
        strides=((w[3] & 0xFFFFF) + 1, (w[4] & 0xFFFFF) + 1, (w[5] & 0xFFFFF) + 1),
        iteration_size=(w[6] >> 20 & 0x3F) + 1,
        iteration_stride=(w[6] & 0xFFFFF) + 1,
        packet=(w[2] >> 16 & 7, w[2] >> 19 & 0x1F) if w[2] >> 30 & 1 else None,
        next=(w[7] >> 27 & 0xF) if w[7] >> 26 & 1 else None,
        valid=bool(w[7] >> 25 & 1),
        acquire=acquire,
        release=release if release[1] else None,
    )


def write32(run: Sequencer, op: aiex_ops.Write32Op) -> None:
    """Lower ``npu.write32``."""
    value = run.number(op.field("value"), op, "value") & 0xFFFFFFFF
    name = op.text("buffer")
    address = run.number(op.field("address"), op, "address") & 0xFFFFFFFF
    if name is not None:
        if name not in run.placed:
            raise DesignError(f"no buffer is named {name}", where=str(location_of(op)))
        run.found.append(WriteBuffer(name, address // 4, value, location_of(op)))
        return
    tile, offset = _locate(run, op, address)
    _write(run, tile, offset, value, op)


def maskwrite32(run: Sequencer, op: aiex_ops.MaskWrite32Op) -> None:
    """Lower ``npu.maskwrite32``."""
    address, value, mask = (
        run.number(op.field(key), op, key) & 0xFFFFFFFF for key in ("address", "value", "mask")
    )
    tile, offset = _locate(run, op, address)
    run.found.append(WriteRegister(tile, offset, value, mask, location_of(op)))


def blockwrite(run: Sequencer, op: DesignOp) -> None:
    """Lower ``npu.blockwrite`` of a ``memref.global``'s words."""
    owner = cast("Operation", op.operands[0].owner)
    name = getattr(getattr(owner, "name_", None), "string_value", lambda: "")()
    data = run.state.globals.get(name)
    if not data:
        raise DesignError("blockwrite needs the value of a memref.global", where=str(location_of(op)))
    address = run.number(op.number("address"), op, "address")
    buffer = op.text("buffer")
    if buffer is not None:
        for number, value in enumerate(data):
            run.found.append(WriteBuffer(buffer, address // 4 + number, value, location_of(op)))
        return
    tile, offset = _locate(run, op, address)
    for number, value in enumerate(data):
        _write(run, tile, offset + 4 * number, value, op)


def writebd(run: Sequencer, op: DesignOp) -> None:
    """Lower ``npu.writebd`` on a shim; sizes and strides are the register's values."""
    tile = TileId(op.number("column") or 0, op.number("row") or 0)
    slot = op.number("bd_id") or 0
    if run.state.kind(tile) != "shim":
        raise DesignError(
            f"npu.writebd on {tile}",
            where=str(location_of(op)),
            why="only shim descriptors can be written this way here",
        )

    def value(name: str) -> int:
        return op.number(name) or 0

    run.registers.fields[tile, slot] = ShimWords(
        length=value("buffer_length"),
        sizes=(value("d0_size"), value("d1_size")),
        strides=(value("d0_stride") + 1, value("d1_stride") + 1, value("d2_stride") + 1),
        iteration_size=value("iteration_size") + 1,
        iteration_stride=value("iteration_stride") + 1,
        packet=(value("packet_type"), value("packet_id")) if value("enable_packet") else None,
        next=value("next_bd") if value("use_next_bd") else None,
        valid=bool(value("valid_bd")),
        acquire=(value("lock_acq_id"), value("lock_acq_val")) if value("lock_acq_enable") else None,
        release=(value("lock_rel_id"), value("lock_rel_val")) if value("lock_rel_val") else None,
    )
    if op.number("ddr_id") is not None:
        run.registers.patched[tile, slot] = (value("ddr_id"), value("buffer_offset"))


def address_patch(run: Sequencer, op: DesignOp) -> None:
    """Lower ``npu.address_patch``: which host buffer, at which byte, a shim descriptor moves."""
    plus = run.number(op.operands[0] if op.operands else op.number("arg_plus"), op, "arg_plus")
    tile, offset = _locate(run, op, run.number(op.number("addr"), op, "addr"))
    slot = (offset - _BD_BASE["shim"]) // _BD_STEP
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


def _write(run: Sequencer, tile: TileId, offset: int, value: int, op: Operation) -> None:
    loc = location_of(op)
    kind = run.state.kind(tile) if tile.row < run.state.target.rows else ""
    limits = run.state.target.limits(kind) if kind else None
    if limits is None or tile.column >= run.state.target.columns:
        raise DesignError(
            f"register write to {tile}", where=str(loc), why=f"{run.state.target.name} has no such tile"
        )
    slot, rest = divmod(offset - _BD_BASE[kind], _BD_STEP)
    if kind == "shim" and 0 <= slot < limits.bds:
        run.registers.fields.pop((tile, slot), None)
        run.registers.words.setdefault((tile, slot), [0] * _BD_WORDS)[rest // 4] = value
        return
    base, apart = _QUEUES[kind]
    for direction, count, first in (("S2MM", limits.s2mm, base), ("MM2S", limits.mm2s, base + apart)):
        channel, odd = divmod(offset - first, 8)
        if odd == 0 and 0 <= channel < count:
            bd = value & (0x3F if kind == "mem" else 0xF)
            _push(
                run,
                tile,
                cast("Direction", direction),
                channel,
                bd,
                value >> 16 & 0xFF,
                bool(value >> 31),
                op,
            )
            return
    lock, odd = divmod(offset - _LOCKS[kind], 16)
    if odd == 0 and 0 <= lock < limits.locks:
        named = next((one for one in run.state.locks if one.tile == tile and one.id == lock), None)
        if named is not None:
            run.found.append(SetLock(named.name, value, loc))
            return
    if kind != "shim" and offset < limits.data_bytes:
        run.found.append(_memory_write(run, tile, offset, value, loc))
        return
    run.found.append(WriteRegister(tile, offset, value, None, loc))


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
    if run.state.kind(tile) != "shim":
        raise DesignError(
            f"start of a descriptor on {tile} by register",
            where=str(loc),
            why="only shim descriptors can be started this way here",
        )
    chain: list[Descriptor] = []
    iteration: Dim | None = None
    current: int | None = bd
    while current is not None and len(chain) < run.state.target.shim.bds:
        words = run.registers.words.get((tile, current))
        written = run.registers.fields.get((tile, current))
        if words is None and written is None:
            raise DesignError(
                f"descriptor {current} of {tile} is started but was never written", where=str(loc)
            )
        fields = written or decode_shim(words or [])
        descriptor, iteration = _descriptor(run, tile, current, fields, loc)
        chain.append(descriptor)
        current = fields.next
        if current is not None:
            chain[-1] = _with_next(descriptor, len(chain))
    name = next(
        (
            n
            for n, a in run.allocations.items()
            if (a.tile, a.direction, a.channel) == (tile, direction, channel)
        ),
        "",
    )
    target = Allocation(name, tile, direction, channel, loc)
    run.found.append(Push(target, tuple(chain), repeat, iteration, token, loc=loc))


def _with_next(descriptor: Descriptor, number: int) -> Descriptor:
    from dataclasses import replace

    return replace(descriptor, next=number)


def _descriptor(
    run: Sequencer, tile: TileId, bd: int, fields: ShimWords, loc: Location | None
) -> tuple[Descriptor, Dim | None]:
    patched = run.registers.patched.get((tile, bd))
    names = list(run.arguments.values())
    if patched is None or patched[0] >= len(names):
        raise DesignError(
            f"descriptor {bd} of {tile} has no host buffer",
            where=str(loc),
            why="npu.address_patch did not name one",
        )
    if fields.acquire or fields.release:
        raise DesignError(f"descriptor {bd} of {tile} uses locks", where=str(loc))
    name, kind = names[patched[0]]
    per_word = 4 / ELEMENT_BYTES[kind.element]
    sizes = [size for size in fields.sizes if size]
    dims: list[Dim] = []
    covered = 1
    for number, size in enumerate(sizes):
        stride = 1 if number == 0 and fields.strides[0] == 1 else int(fields.strides[number] * per_word)
        dims.insert(0, Dim(int(size * per_word) if number == 0 else size, stride))
        covered *= size
    if sizes and fields.length > covered:
        dims.insert(0, Dim(fields.length // covered, int(fields.strides[len(sizes)] * per_word)))
    offset = int(patched[1] / ELEMENT_BYTES[kind.element])
    iteration = None
    if fields.iteration_size > 1:
        iteration = Dim(fields.iteration_size, int(fields.iteration_stride * per_word))
    return (
        Descriptor(
            name, offset, int(fields.length * per_word), tuple(dims), id=bd, packet=fields.packet, loc=loc
        ),
        iteration,
    )
