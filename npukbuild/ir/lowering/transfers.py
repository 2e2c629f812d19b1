"""What a runtime sequence says of transfers, waits, parameters and locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.errors import DesignError
from npukbuild.ir.design import Descriptor, Dim, Pad, Push, SetLock, TileId, Wait, WriteBuffer
from npukbuild.ir.dialects.base import location_of
from npukbuild.ir.lowering import traces

if TYPE_CHECKING:
    from xdsl.ir import Operation

    from npukbuild.ir.design import Buffer
    from npukbuild.ir.dialects import aiex_ops
    from npukbuild.ir.dialects.base import DesignOp
    from npukbuild.ir.lowering.sequence import Sequencer


def memcpy(run: Sequencer, op: aiex_ops.DmaMemcpyNdOp) -> None:
    """Lower ``npu.dma_memcpy_nd``."""
    name = op.text("metadata") or ""
    target = run.allocation(name, op)
    view = run.view(op.operands[0])
    if view is None:
        raise DesignError("a transfer needs an argument of the runtime sequence", where=str(location_of(op)))
    if target is None or traces.leave_out(run.state, target.tile, target.direction, target.channel):
        return
    offsets, sizes, strides = (
        tuple(run.number(entry, op, key) for entry in op.entries(key))
        for key in ("offsets", "sizes", "strides")
    )
    offset = view.offset + sum(first * second for first, second in zip(offsets, strides, strict=True))
    linear = sizes[1:3] == (1, 1) and strides[1:] == (0, 0, 1)
    dims = tuple(Dim(size, stride) for size, stride in zip(sizes[1:], strides[1:], strict=True))
    while len(dims) > 1 and dims[0].size == 1:
        dims = dims[1:]
    length = sizes[1] * sizes[2] * sizes[3]
    descriptor = Descriptor(
        view.argument,
        offset,
        length,
        () if linear else dims,
        _memcpy_pads(op),
        id=op.number("id"),
        packet=op.data("packet"),
        loc=location_of(op),
    )
    iteration = Dim(sizes[0], strides[0]) if sizes[0] > 1 else None
    token = op.flag("issue_token") or target.direction == "S2MM"
    run.found.append(Push(target, (descriptor,), sizes[0] - 1, iteration, token, loc=location_of(op)))
    run.state.transfers.append((op, view.type, sizes, strides))


def _memcpy_pads(op: aiex_ops.DmaMemcpyNdOp) -> tuple[Pad, ...]:
    pads = tuple(
        Pad(op.number(f"d{dim}_zero_before") or 0, op.number(f"d{dim}_zero_after") or 0) for dim in (2, 1, 0)
    )
    return pads if any(pad.before or pad.after for pad in pads) else ()


def wait(run: Sequencer, op: DesignOp) -> None:
    """Lower ``npu.dma_wait``."""
    target = run.allocation(op.text("symbol") or "", op)
    if target is not None:
        add_wait(run, op, Wait(target.tile, target.direction, target.channel, loc=location_of(op)))


def add_wait(run: Sequencer, op: Operation, wait: Wait) -> None:
    """Add a wait, unless nothing would ever come."""
    traces.refuse_wait(run.state, wait.tile, wait.direction, wait.channel, op)
    run.found.append(wait)


def sync(run: Sequencer, op: aiex_ops.SyncOp) -> None:
    """Lower ``npu.sync``."""
    column, row, direction, channel = (
        run.number(op.field(name), op, name) for name in ("column", "row", "direction", "channel")
    )
    columns, rows = (
        run.number(1 if op.field(name) is None else op.field(name), op, name)
        for name in ("column_num", "row_num")
    )
    if columns > run.state.target.columns or rows > run.state.target.rows:
        raise DesignError(f"npu.sync over {columns} x {rows} tiles", where=str(location_of(op)))
    for tile in (TileId(column + c, row + r) for c in range(max(columns, 1)) for r in range(max(rows, 1))):
        add_wait(run, op, Wait(tile, "MM2S" if direction else "S2MM", channel, loc=location_of(op)))


def rtp(run: Sequencer, op: aiex_ops.RtpWriteOp) -> None:
    """Lower ``npu.rtp_write``."""
    name = op.text("buffer") or op.text("buffer_sym_name") or ""
    index, value = (run.number(op.field(key), op, key) for key in ("index", "value"))
    run.found.append(
        WriteBuffer(_buffer_named(run, name, op).name, index, value & 0xFFFFFFFF, location_of(op))
    )


def _buffer_named(run: Sequencer, name: str, op: Operation) -> Buffer:
    buffer = run.placed.get(name)
    if buffer is None:
        raise DesignError(f"no buffer is named {name}", where=str(location_of(op)))
    return buffer


def set_lock(run: Sequencer, op: DesignOp) -> None:
    """Lower ``set_lock``."""
    name = run.state.values.get(op.operands[0])
    if not isinstance(name, str):
        raise DesignError("set_lock needs an aie.lock", where=str(location_of(op)))
    run.found.append(SetLock(name, op.number("value") or 0, location_of(op)))
