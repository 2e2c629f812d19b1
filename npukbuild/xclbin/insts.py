"""The instruction stream (``insts.bin``): little-endian 32-bit words that the NPU's controller executes.

Header: ``rows << 24 | generation << 16 | minor << 8 | major``, ``memtile rows << 8 | columns``, number of
operations, total bytes. Then the operations; their layouts stand with the classes below. Source: mlir-aie
``lib/Targets/AIETargetNPU.cpp``.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.errors import ContainerError
from npukbuild.xclbin.registers import (
    DIRECTIONS,
    Direction,
    TileRegisters,
    registers,
    split_address,
    split_queue_word,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from npukbuild.xclbin.insts_check import Mismatch

HEADER_WORDS = 4
_TEXT = re.compile(rb"[0-9a-fA-F]{8}\r?\n")
MAX_BYTES = 256 << 20
"""Longest stream that is read; the longest golden one has 26 KB."""


class UnknownOperationError(ContainerError):
    """The stream holds an operation that this decoder does not know, so nothing after it can be read."""


@dataclass(frozen=True, slots=True)
class Write32:
    """Write a register: ``[0, 0, address, 0, value, 24]``."""

    at: int
    address: int
    value: int


@dataclass(frozen=True, slots=True)
class BlockWrite:
    """Write consecutive registers: ``[1, column | row << 8 or 0, address, bytes, data...]``."""

    at: int
    address: int
    words: tuple[int, ...]
    tile_word: int = 0


@dataclass(frozen=True, slots=True)
class MaskWrite:
    """Write the bits of ``mask`` in a register: ``[3, 0, address, 0, value, mask, 28]``."""

    at: int
    address: int
    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class Preempt:
    """A point where the controller may switch to another context: ``[6 | level << 8]``."""

    at: int
    level: int


@dataclass(frozen=True, slots=True)
class LoadPdi:
    """Load another PDI: ``[8 | id << 16, bytes, address low, address high]``."""

    at: int
    id: int
    size: int
    address: int


@dataclass(frozen=True, slots=True)
class Sync:
    """Wait for a task-complete token.

    ``[128, 16, direction | row << 8 | column << 16, rows << 8 | columns << 16 | channel << 24]``.
    """

    at: int
    column: int
    row: int
    direction: int
    channel: int
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class Patch:
    """Add a host buffer's address to a BD: 12 words ``[129, 48, ...]``.

    Word 5 action, 6 register address, 8 argument index (of the runtime sequence), 10 byte offset.
    """

    at: int
    action: int
    address: int
    argument: int
    offset: int


Operation = Write32 | BlockWrite | MaskWrite | Preempt | LoadPdi | Sync | Patch


@dataclass(frozen=True, slots=True)
class Stream:
    """A decoded instruction stream; ``at`` of an operation is its first word's index."""

    rows: int
    generation: int
    version: tuple[int, int]
    memtile_rows: int
    columns: int
    operations: tuple[Operation, ...]
    word_count: int

    def counts(self) -> dict[str, int]:
        """Return how many operations of each kind there are, by lower-case class name."""
        found: dict[str, int] = {}
        for operation in self.operations:
            name = type(operation).__name__.lower()
            found[name] = found.get(name, 0) + 1
        return found


@dataclass(frozen=True, slots=True)
class BdWrite:
    """What a block write means: a BD's fields as the registers hold them (sizes plain, strides less 1)."""

    column: int
    row: int
    tile: TileRegisters
    bd: int
    fields: dict[str, int]


@dataclass(frozen=True, slots=True)
class QueuePush:
    """What a write to a task queue means: run BD ``bd`` and its chain ``repeat + 1`` times."""

    column: int
    row: int
    tile: TileRegisters
    direction: Direction
    channel: int
    bd: int
    repeat: int
    token: bool


@dataclass(frozen=True, slots=True)
class ControllerId:
    """What a masked write to a channel's control means: who gets its tokens."""

    column: int
    row: int
    direction: Direction
    channel: int
    controller: int


def decode(data: bytes) -> Stream:
    """Decode an instruction stream.

    Raises:
        ContainerError: It is no stream, an operation is unknown or cut off, or the header does not tell
            what follows; all that is wrong with the header stands in ``details``.
    """
    words = _words(data)
    operations = tuple(_operations(words))
    head, shape, count, size = words[:HEADER_WORDS]
    stream = Stream(
        rows=head >> 24,
        generation=head >> 16 & 0xFF,
        version=(head & 0xFF, head >> 8 & 0xFF),
        memtile_rows=shape >> 8 & 0xFF,
        columns=shape & 0xFF,
        operations=operations,
        word_count=len(words),
    )
    wrong = list(_header_faults(stream, count, size, shape))
    if wrong:
        raise ContainerError(
            "the instruction stream's header does not fit what follows",
            why=wrong[0],
            details=wrong[1:],
            hint="the file is damaged, or of a format newer than this; build it again",
        )
    return stream


def check_against_design(data: bytes | Stream, design: Any) -> tuple[Mismatch, ...]:
    """Compare a stream with what a design's runtime sequence says.

    Args:
        data: The stream, or its bytes.
        design: A :class:`npukbuild.ir.design.Design`.

    Returns:
        All differences in order; empty when every BD, push, patch, write and wait is the design's.

    Raises:
        ContainerError: The bytes are no instruction stream.
    """
    from npukbuild.xclbin.insts_check import compare

    return compare(data if isinstance(data, Stream) else decode(data), design)


def encode(design: Any) -> bytes:
    """Make the instruction stream of a design's runtime sequence, as the real compiler does.

    Args:
        design: A :class:`npukbuild.ir.design.Design`.

    Raises:
        ContainerError: A transfer does not fit the registers.
    """
    from npukbuild.xclbin.insts_encode import encode_design

    return encode_design(design)


def meaning(operation: Operation, stream: Stream) -> BdWrite | QueuePush | ControllerId | None:
    """Say what a register write does to a DMA; None for other registers and operations."""
    if not isinstance(operation, BlockWrite | Write32 | MaskWrite):
        return None
    column, row, offset = split_address(operation.address)
    tile = registers().of_row(row, stream.memtile_rows)
    if isinstance(operation, BlockWrite):
        bd = tile.bd_at(offset)
        if bd is None or not tile.bd_words <= len(operation.words) <= tile.bd_stride // 4:
            return None
        return BdWrite(column, row, tile, bd, tile.unpack_bd(operation.words))
    if isinstance(operation, Write32):
        place = tile.channel_at(tile.queue, offset)
        if place is None:
            return None
        bd_id, repeat, token = split_queue_word(operation.value, tile)
        return QueuePush(column, row, tile, *place, bd_id, repeat, token)
    place = tile.channel_at(tile.control, offset)
    mask = registers().stream["controller_id_mask"]
    if place is None or operation.mask != mask:
        return None
    shift = (mask & -mask).bit_length() - 1
    return ControllerId(column, row, *place, (operation.value & mask) >> shift)


def _words(data: bytes) -> Sequence[int]:
    if len(data) > MAX_BYTES:
        raise ContainerError("the instruction stream is absurdly long", why=f"{len(data)} bytes")
    if _TEXT.match(data):
        raise ContainerError(
            "this instruction stream is text, one hexadecimal word a line",
            why="aiecc wrote this form before March 2025",
            hint="rebuild with a newer aiecc; nothing reads the old form any more",
        )
    if len(data) < 4 * HEADER_WORDS or len(data) % 4:
        raise ContainerError(
            "this is not an instruction stream",
            why=f"{len(data)} bytes are not {HEADER_WORDS} whole words or more",
        )
    return struct.unpack(f"<{len(data) // 4}I", data)


def _header_faults(stream: Stream, count: int, size: int, shape: int) -> Iterator[str]:
    known = registers()
    major, minor = stream.version
    if (major, minor) != (known.stream["major"], known.stream["minor"]):
        yield f"format version {major}.{minor}, known is 0.1"
    generation = known.generations.get(stream.generation)
    if generation is None:
        yield f"device generation {stream.generation}, known are {', '.join(map(str, known.generations))}"
    elif not 1 <= stream.columns <= generation.columns:
        yield f"{stream.columns} columns on {generation.name} with {generation.columns}"
    if stream.rows != known.array["rows"]:
        yield f"{stream.rows} rows, the arrays have {known.array['rows']}"
    if stream.memtile_rows != known.array["memtile_rows"] or shape >> 16:
        yield f"second word {shape:#x}, expected {known.array['memtile_rows']} memtile row and columns"
    if count != len(stream.operations):
        yield f"it says {count} operations, {len(stream.operations)} follow"
    if size != 4 * stream.word_count:
        yield f"it says {size} bytes, the file has {4 * stream.word_count}"


def _operations(words: Sequence[int]) -> Iterator[Operation]:
    position = HEADER_WORDS
    while position < len(words):
        code = words[position] & 0xFF
        length = _length(words, position, code)
        if position + length > len(words):
            raise ContainerError(
                "the instruction stream is cut off",
                where=f"word {position}",
                why=f"the operation {code} has {length} words, {len(words) - position} are left",
            )
        yield _operation(position, code, words[position : position + length])
        position += length


def _length(words: Sequence[int], at: int, code: int) -> int:
    if code == 1:
        size = words[at + 3] if at + 3 < len(words) else 0
        if size < 16 or size % 4:
            raise _bad(at, code, f"a block write of {size} bytes")
        return size // 4
    try:
        return {0: 6, 3: 7, 6: 1, 8: 4, 128: 4, 129: 12}[code]
    except KeyError:
        raise UnknownOperationError(
            "the instruction stream has an unknown operation",
            where=f"word {at}",
            why=f"operation {code} ({words[at]:#010x}); known are 0, 1, 3, 6, 8, 128, 129",
            hint="the file is damaged, or was made by a newer compiler than this reads",
        ) from None


def _bad(at: int, code: int, why: str) -> ContainerError:
    return ContainerError(
        "the instruction stream has a damaged operation", where=f"word {at}, operation {code}", why=why
    )


def _operation(at: int, code: int, words: Sequence[int]) -> Operation:
    """Build one operation; every word that has only one legal value is checked."""
    expected = {0: {1: 0, 3: 0, 5: 24}, 3: {1: 0, 3: 0, 6: 28}, 128: {1: 16}, 129: {1: 48, 7: 0, 9: 0, 11: 0}}
    for index, value in expected.get(code, {}).items():
        if words[index] != value:
            raise _bad(at, code, f"word {index} of it is {words[index]:#x} instead of {value:#x}")
    if code not in (6, 8) and words[0] >> 8:
        raise _bad(at, code, f"its first word is {words[0]:#010x}")
    match code:
        case 0:
            return Write32(at, words[2], words[4])
        case 1:
            return _block_write(at, words)
        case 3:
            return MaskWrite(at, words[2], words[4], words[5])
        case 6:
            return Preempt(at, words[0] >> 8)
        case 8:
            return LoadPdi(at, words[0] >> 16, words[1], words[2] | words[3] << 32)
        case 128:
            return _sync(at, words)
        case _:
            return Patch(at, words[5], words[6], words[8], words[10])


def _block_write(at: int, words: Sequence[int]) -> BlockWrite:
    """Build a block write; newer compilers name the tile a second time, which must be the address's."""
    column, row, _ = split_address(words[2])
    if words[1] not in (0, column | row << 8):
        raise _bad(at, 1, f"its tile word is {words[1]:#x}, its address is in tile ({column},{row})")
    return BlockWrite(at, words[2], tuple(words[4:]), words[1])


def _sync(at: int, words: Sequence[int]) -> Sync:
    if words[2] >> 24 or words[3] & 0xFF:
        raise _bad(at, 128, f"its words are {words[2]:#010x} {words[3]:#010x}")
    direction = words[2] & 0xFF
    if direction >= len(DIRECTIONS):
        raise _bad(at, 128, f"direction {direction}, known are 0 (S2MM) and 1 (MM2S)")
    return Sync(
        at,
        column=words[2] >> 16 & 0xFF,
        row=words[2] >> 8 & 0xFF,
        direction=direction,
        channel=words[3] >> 24,
        columns=words[3] >> 16 & 0xFF,
        rows=words[3] >> 8 & 0xFF,
    )
