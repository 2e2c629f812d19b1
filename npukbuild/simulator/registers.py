"""Register writes of the runtime sequence: those that the model knows, all others refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.errors import DesignError
from npukbuild.simulator.descriptors import Task
from npukbuild.simulator.faults import fault
from npukbuild.simulator.memory import has_poison
from npukbuild.targets.dma_registers import dma_registers

if TYPE_CHECKING:
    from npukbuild.ir.design import Location, TileId, WriteRegister
    from npukbuild.simulator.array import ArrayState
    from npukbuild.simulator.descriptors import Bd


def write(array: ArrayState, op: WriteRegister) -> None:
    """Carry out one register write.

    Known are the lock values, the data memory, the task queues of channels that have static descriptors, and
    the controller ids of channels: the packet id that a completion token travels under has no effect here.
    Registers of events, traces and counters change nothing (the lowering has warned of them).

    Raises:
        DesignError: The register is none of these.
    """
    kind = array.target.kind(op.tile.row)
    table = array.target.timing["events"]["registers"][kind]
    address = op.address & 0xFFFFF
    locks = table["locks"]
    count = array.target.limits(kind).locks
    if locks <= address < locks + table["lock_step"] * count and not (address - locks) % table["lock_step"]:
        _set_lock(array, op, (address - locks) // table["lock_step"])
        return
    size = array.target.limits(kind).data_bytes
    if size and table["memory"] <= address < table["memory"] + size:
        _store(array, op, address - table["memory"])
        return
    if _names_a_controller(array, op, kind, address) or dma_registers(kind).observes(address):
        return
    for direction, name in (("S2MM", "queue_s2mm"), ("MM2S", "queue_mm2s")):
        channels = getattr(array.target.limits(kind), direction.lower())
        offset = address - table[name]
        if 0 <= offset < 8 * channels and not offset % 8:
            _start(array, op, direction, offset // 8)
            return
    raise DesignError(
        f"the simulator does not support a write to register 0x{address:05X} of {kind} tile {op.tile}",
        where=str(op.loc) if op.loc else None,
        why="known are lock values, data memory and DMA task queues",
        hint="use the operation that stands for it (set_lock, rtp_write, dma_memcpy_nd)",
    )


def read(array: ArrayState, tile: TileId, address: int, loc: Location | None) -> int:
    """Return a register's word: data memory and the values of locks.

    Raises:
        DesignError: The register is none of these.
        SimulationFault: The memory was never written.
    """
    kind = array.target.kind(tile.row)
    table = array.target.timing["events"]["registers"][kind]
    for memory in array.memories.values():
        at = memory.buffer.address
        if memory.buffer.tile == tile and at is not None:
            place = address - table["memory"] - at
            if 0 <= place <= memory.type.bytes - 4:
                if has_poison(memory.data[place : place + 4]):
                    raise fault(
                        f"{memory.name}[byte {place}] of {tile} is read, which was never written",
                        loc=loc,
                        why="the host asks for it by a control packet",
                        hint="read it after a core or a DMA has written it",
                    )
                return int(memory.data[place : place + 4].view("<u4")[0])
    for lock in array.locks.values():
        if lock.lock.tile == tile and address == table["locks"] + table["lock_step"] * lock.lock.id:
            return lock.value
    raise DesignError(
        f"the simulator does not support a read of register 0x{address:05X} of {kind} tile {tile}",
        where=str(loc) if loc else None,
        why="known are lock values and the buffers in data memory",
    )


def _set_lock(array: ArrayState, op: WriteRegister, number: int) -> None:
    for lock in array.locks.values():
        if lock.lock.tile == op.tile and lock.lock.id == number:
            lock.set(_merge(op, lock.value), op.loc)
            return
    raise fault(
        f"lock {number} of {op.tile} is written, and the design has no such lock",
        loc=op.loc,
        why="its locks there have the ids "
        + (", ".join(str(one) for one in sorted(_lock_ids(array, op.tile))) or "none"),
        hint="declare the lock (aie.lock with this id), or correct the address",
    )


def _lock_ids(array: ArrayState, tile: TileId) -> list[int]:
    return [one.lock.id for one in array.locks.values() if one.lock.tile == tile]


def _store(array: ArrayState, op: WriteRegister, address: int) -> None:
    for memory in array.memories.values():
        buffer = memory.buffer
        if buffer.tile == op.tile and buffer.address is not None:
            place = address - buffer.address
            if 0 <= place <= buffer.type.bytes - 4:
                word = memory.data[place : place + 4].view("<u4")
                word[0] = _merge(op, int(word[0]))
                memory.look()
                return
    raise fault(
        f"data memory 0x{address:05X} of {op.tile} is written, and no buffer lies there",
        loc=op.loc,
        why="buffers there: "
        + (
            ", ".join(
                f"{one.name} 0x{one.buffer.address:05X}..0x{one.buffer.address + one.type.bytes - 1:05X}"
                for one in array.memories.values()
                if one.buffer.tile == op.tile and one.buffer.address is not None
            )
            or "none"
        ),
        hint="write into a buffer by its name (rtp_write, or write32 with buffer = @name)",
    )


def _start(array: ArrayState, op: WriteRegister, direction: str, index: int) -> None:
    ident, repeat, token = op.value & 0x3F, op.value >> 16 & 0xFF, bool(op.value >> 31)
    bd = _descriptor(array, op.tile, ident)
    if bd is None:
        raise DesignError(
            f"a task queue of {op.tile} is given descriptor {ident}, which the design does not configure",
            where=str(op.loc) if op.loc else None,
            why=f"no DMA program of {op.tile} has a descriptor with this id",
            hint="use dma_memcpy_nd or dma_configure_task to describe the transfer",
        )
    channel = array.channel(op.tile, direction, index)  # type: ignore[arg-type]
    channel.push(Task(bd, starts=repeat + 1, token=token, label=f"descriptor {ident}", loc=op.loc))


def _descriptor(array: ArrayState, tile: TileId, ident: int) -> Bd | None:
    from npukbuild.simulator.descriptors import bind_chain

    for channel in array.design.channels:
        if channel.tile != tile:
            continue
        for place, descriptor in enumerate(channel.descriptors):
            if descriptor.id == ident:
                return bind_chain(channel.descriptors, array.memories.__getitem__, array.locks)[place]
    return None


def _names_a_controller(array: ArrayState, op: WriteRegister, kind: str, address: int) -> bool:
    registers, limits = dma_registers(kind), array.target.limits(kind)
    for queue, count in ((registers.queue_s2mm, limits.s2mm), (registers.queue_mm2s, limits.mm2s)):
        offset = address - (queue - registers.control_before_queue)
        if 0 <= offset < 8 * count and not offset % 8:
            touched = op.value if op.mask is None else op.mask
            return not touched & ~registers.controller_id_mask
    return False


def _merge(op: WriteRegister, old: int) -> int:
    return op.value if op.mask is None else (old & ~op.mask) | (op.value & op.mask)
