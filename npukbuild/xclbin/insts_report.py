"""An instruction stream as plain data and as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.xclbin.insts import (
    BdWrite,
    BlockWrite,
    ControllerId,
    LoadPdi,
    MaskWrite,
    Operation,
    Patch,
    Preempt,
    QueuePush,
    Stream,
    Sync,
    Write32,
    meaning,
)
from npukbuild.xclbin.registers import DIRECTIONS, registers, split_address
from npukbuild.xclbin.transfer import transfer_of_bd

if TYPE_CHECKING:
    from collections.abc import Mapping


def inspect_stream(stream: Stream) -> dict[str, Any]:
    """Describe a stream: header, counts, and every operation with its meaning."""
    generation = registers().generations[stream.generation]
    return {
        "generation": stream.generation,
        "device": generation.name,
        "columns": stream.columns,
        "rows": stream.rows,
        "memtile_rows": stream.memtile_rows,
        "version": f"{stream.version[0]}.{stream.version[1]}",
        "words": stream.word_count,
        "counts": stream.counts(),
        "operations": [
            {
                "word": op.at,
                "op": type(op).__name__.lower(),
                **_fields(op, stream),
                "text": describe(op, stream),
            }
            for op in stream.operations
        ],
    }


def _fields(operation: Operation, stream: Stream) -> dict[str, Any]:
    """Return the operation's own numbers, and what they do to a DMA."""
    out: dict[str, Any] = {
        name: getattr(operation, name) for name in operation.__slots__ if name not in ("at", "words")
    }
    if isinstance(operation, BlockWrite):
        out["words"] = list(operation.words)
    match meaning(operation, stream):
        case BdWrite() as write:
            out["bd"] = {"tile": [write.column, write.row], "id": write.bd, "fields": write.fields}
        case QueuePush() as push:
            out["start"] = {
                "tile": [push.column, push.row],
                "direction": push.direction,
                "channel": push.channel,
                "bd": push.bd,
                "repeat": push.repeat,
                "token": push.token,
            }
        case ControllerId() as target:
            out["controller"] = {
                "tile": [target.column, target.row],
                "direction": target.direction,
                "channel": target.channel,
                "id": target.controller,
            }
        case None:
            pass
    return out


def describe(operation: Operation, stream: Stream) -> str:
    """Say in one line what an operation does."""
    match meaning(operation, stream):
        case BdWrite() as write:
            return f"BD {write.bd} of {_tile(write)}: {_bd(write)}"
        case QueuePush() as push:
            times = f", {push.repeat + 1} times" if push.repeat else ""
            token = ", token" if push.token else ""
            return f"start {_tile(push)} {push.direction} {push.channel}: BD {push.bd}{times}{token}"
        case ControllerId() as target:
            channel = f"{_tile(target)} {target.direction} {target.channel}"
            return f"tokens of {channel} go to controller {target.controller}"
        case None:
            return _plain(operation)


def _tile(place: BdWrite | QueuePush | ControllerId) -> str:
    return f"({place.column},{place.row})"


def _bd(write: BdWrite) -> str:
    fields = write.fields
    if write.tile.kind == "shim":
        parts = transfer_of_bd(fields, None).as_dict()
        text = f"{parts['length']}, {parts['pattern']}"
        if parts["iteration"] != "none":
            text += f", iteration {parts['iteration']}"
    else:
        text = f"{fields['buffer_length']} words at {4 * fields['base_address']:#x}"
        text += "".join(_sizes(fields))
    if fields["lock_acquire_enable"]:
        text += f", acquire lock {fields['lock_acquire_id']}"
    if fields["lock_release_value"]:
        text += f", release lock {fields['lock_release_id']}"
    if fields["use_next_bd"]:
        text += f", then BD {fields['next_bd']}"
    return text if fields["valid"] else f"{text}, not valid"


def _sizes(fields: Mapping[str, int]) -> list[str]:
    """Return the dimensions of a memtile or core BD as the registers hold them, innermost first."""
    out = []
    for index in range(4):
        size, stride = fields.get(f"d{index}_size", 0), fields.get(f"d{index}_stride", 0)
        if size or stride:
            out.append(f", d{index} {size or 'rest'}@{stride + 1}")
    return out


def _plain(operation: Operation) -> str:
    match operation:
        case Write32():
            return f"write {_register(operation.address)} = {operation.value:#x}"
        case MaskWrite():
            where = _register(operation.address)
            return f"write {where} = {operation.value:#x} under mask {operation.mask:#x}"
        case BlockWrite():
            return f"write {len(operation.words)} words from {_register(operation.address)}"
        case Preempt():
            return f"preemption point, level {operation.level}"
        case LoadPdi():
            return f"load PDI {operation.id}: {operation.size} bytes at {operation.address:#x}"
        case Sync():
            direction = DIRECTIONS[operation.direction]
            return f"wait for ({operation.column},{operation.row}) {direction} {operation.channel}"
        case Patch():
            where = _register(operation.address)
            return f"{where} += address of argument {operation.argument} + {operation.offset} bytes"


def _register(address: int) -> str:
    column, row, offset = split_address(address)
    return f"({column},{row}) {offset:#x}"
