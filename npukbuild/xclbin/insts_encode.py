"""From a design's runtime sequence to its instruction stream, word for word as mlir-aie lowers it.

A second, independent road to ``insts.bin``: what the real compiler writes must equal it, and a stream that
does not is not the design's. Only the design's values are read (no import of ``ir``: this room knows files).
Descriptors of a task (``dma_configure_task``) are written where the task is started, which the real compiler
does where it is configured: the effect is the same, the order of words need not be.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from npukbuild.errors import ContainerError
from npukbuild.xclbin.registers import (
    DIRECTIONS,
    Generation,
    TileRegisters,
    join_address,
    join_queue_word,
    registers,
)
from npukbuild.xclbin.transfer import argument_of, dims_in_words, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BASE_ADDRESS_WORD = 1
"""Word of a shim BD that a patch adds the host buffer's address to."""


def encode_design(design: Any) -> bytes:
    """Return the instruction stream of ``design``'s only runtime sequence.

    Raises:
        ContainerError: Something does not fit the registers, or needs what a stream cannot say.
    """
    refuse_stages(design)
    known = registers()
    generation, columns = known.device(design.device)
    operations = [
        words for operation in design.sequence.operations for words in _encode(operation, design, generation)
    ]
    body = [word for words in operations for word in words]
    head = [
        known.array["rows"] << 24
        | generation.number << 16
        | known.stream["minor"] << 8
        | known.stream["major"],
        known.array["memtile_rows"] << 8 | columns,
        len(operations),
        4 * (len(body) + 4),
    ]
    return struct.pack(f"<{len(body) + 4}I", *head, *body)


def refuse_stages(design: Any) -> None:
    """Refuse a runtime sequence that loads configurations: a stream names them by ids that no design tells.

    Raises:
        ContainerError: It does.
    """
    for stage in design.sequence.stages:
        raise ContainerError(
            f"the runtime sequence loads configuration {stage.design.name}",
            where=str(stage.loc) if stage.loc else None,
            why="its number in the instruction stream is given when the whole is packaged",
        )


def _encode(operation: Any, design: Any, generation: Generation) -> Iterator[list[int]]:
    """Yield the operations that one operation of the sequence becomes."""
    match type(operation).__name__:
        case "Push":
            yield from _push(operation, design, generation)
        case "Wait":
            for _ in range(operation.count):
                yield _sync(operation)
        case "Free":
            return
        case "WriteBuffer" | "SetLock" | "WriteRegister":
            address, value, mask = register_write(operation, design)
            yield _write32(address, value) if mask is None else _mask_write(address, value, mask)
        case other:
            raise ContainerError("an operation cannot be put into an instruction stream", where=other)


def register_write(operation: Any, design: Any) -> tuple[int, int, int | None]:
    """Return address, value and mask of a sequence operation that writes one register or word.

    Raises:
        ContainerError: The buffer has no address yet.
    """
    match type(operation).__name__:
        case "WriteBuffer":
            buffer = design.buffers[operation.buffer]
            if buffer.address is None:
                raise ContainerError("a buffer that the host writes has no address", where=buffer.name)
            offset = buffer.address + 4 * operation.index
            address = join_address(buffer.tile.column, buffer.tile.row, offset)
            return address, operation.value & 0xFFFFFFFF, None
        case "SetLock":
            lock = design.locks[operation.lock]
            tile = registers().of_row(lock.tile.row)
            offset = tile.lock_base + lock.id * tile.lock_stride
            return join_address(lock.tile.column, lock.tile.row, offset), operation.value, None
        case _:
            tile_id = operation.tile
            address = join_address(tile_id.column, tile_id.row, operation.address)
            return address, operation.value & 0xFFFFFFFF, operation.mask


def _push(push: Any, design: Any, generation: Generation) -> Iterator[list[int]]:
    """BDs with their patches, then (with a token) the controller id, then the queue word."""
    column, row = push.target.tile.column, push.target.tile.row
    tile, where = registers().of_row(row), str(push.loc or push.target.name)
    if tile.kind != "shim":
        raise ContainerError(
            "a runtime task of a tile's own buffers cannot be encoded", where=where, why=f"row {row}"
        )
    ids = [_bd_id(descriptor, tile, where) for descriptor in push.descriptors]
    for descriptor, bd in zip(push.descriptors, ids, strict=True):
        argument, element_bytes = argument_of(descriptor, design.sequence.arguments, where)
        fields = bd_fields(descriptor, push.iteration, element_bytes, generation, where)
        if descriptor.next is not None:
            fields |= {"use_next_bd": 1, "next_bd": ids[descriptor.next]}
        address = join_address(column, row, tile.bd_address(bd))
        words = tile.pack_bd(fields)
        yield [1, 0, address, 4 * (4 + len(words)), *words]
        target, offset = address + 4 * _BASE_ADDRESS_WORD, descriptor.offset * element_bytes
        yield [129, 48, 0, 0, 0, 0, target, 0, argument, 0, offset, 0]
    direction, channel = push.target.direction, push.target.channel
    place = channel * tile.channel_stride
    if push.token:
        stream = registers().stream
        yield _mask_write(
            join_address(column, row, tile.control[direction] + place),
            stream["controller_id_value"],
            stream["controller_id_mask"],
        )
    yield _write32(
        join_address(column, row, tile.queue[direction] + place),
        join_queue_word(ids[0], push.repeat, token=push.token),
    )


def _bd_id(descriptor: Any, tile: TileRegisters, where: str) -> int:
    if descriptor.id is None or not 0 <= descriptor.id < tile.bds:
        raise ContainerError(
            "a runtime descriptor has no usable id",
            where=where,
            why=f"id {descriptor.id}; a {tile.kind} tile has 0..{tile.bds - 1}",
        )
    return int(descriptor.id)


def bd_fields(
    descriptor: Any, iteration: Any, element_bytes: int, generation: Generation, where: str
) -> dict[str, int]:
    """Return the fields of a shim BD.

    A linear transfer (no dims) leaves all sizes 0 (they never wrap), so that its length is not bound by the
    10-bit size fields. Strides are stored less 1, and only where their dimension has more than one step.
    """
    dims = dims_in_words(descriptor.dims, element_bytes, where)
    fields = {
        "buffer_length": words_of(descriptor.length, element_bytes, "length", where),
        "burst_length": generation.burst,
        "axcache": registers().stream["axcache"],
        "valid": 1,
    }
    if descriptor.packet is not None:
        fields |= {
            "enable_packet": 1,
            "packet_type": descriptor.packet[0],
            "packet_id": descriptor.packet[1],
        }
    if dims:
        fields |= _dim_fields(dims, where)
    if iteration is not None and iteration.size > 1 and iteration.stride > 0:
        stride = words_of(iteration.stride, element_bytes, "iteration stride", where)
        fields |= {"iteration_size": iteration.size - 1, "iteration_stride": stride - 1}
    return fields


def _dim_fields(dims: Sequence[tuple[int, int]], where: str) -> dict[str, int]:
    if len(dims) > 3:
        raise ContainerError("a shim BD has three dimensions", where=where, why=f"{len(dims)} are given")
    (d2, t2), (d1, t1), (d0, t0) = [(1, 0)] * (3 - len(dims)) + list(dims)
    fields = {"d0_size": d0, "d0_stride": t0 - 1, "d1_size": d1}
    if d1 > 1:
        fields["d1_stride"] = t1 - 1
    if d2 > 1:
        fields["d2_stride"] = t2 - 1
    return fields


def _write32(address: int, value: int) -> list[int]:
    return [0, 0, address, 0, value, 24]


def _mask_write(address: int, value: int, mask: int) -> list[int]:
    return [3, 0, address, 0, value, mask, 28]


def _sync(wait: Any) -> list[int]:
    place = DIRECTIONS.index(wait.direction) | wait.tile.row << 8 | wait.tile.column << 16
    return [128, 16, place, 1 << 8 | 1 << 16 | wait.channel << 24]
