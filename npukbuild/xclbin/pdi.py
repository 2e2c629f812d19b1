r"""A light reader of PDI files (programmable device image) and of the CDO commands in them.

It shows what a PDI will do to the array: which tiles it writes, how many commands of which kind. Layout of
the image header table, image and partition headers as ``bootgen -arch versal`` writes them (words are
32-bit little-endian; offsets count words from the start of the PDI)::

    +0x10  version, images, image header offset, partitions, partition header offset
    +0x24  id code; +0x38 "IDPP"
    image header:      first partition header, partitions, ..., name (16 at +0x10), image id (+0x20)
    partition header:  ..., total length (+0x08), next (+0x0c), ..., data offset (+0x20), attributes
    CDO:               4, "CDO\0", version, length (words), checksum, commands
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from npukbuild.errors import ContainerError
from npukbuild.xclbin.binary import Heap, fixed_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BUS_WIDTH_WORD = 0x000000DD
"""First word of a PDI: the bus-width detection pattern."""
_TABLE = 0x10
_IDENT = b"IDPP"
_CDO_IDENT = 0x004F4443
_MAX_HEADERS = 64

# Names of the generic CDO commands (module 1), aie-rt and Versal's CDO format.
_COMMANDS: dict[int, str] = {
    0x101: "mask_poll", 0x102: "mask_write", 0x103: "write", 0x104: "delay", 0x105: "dma_write",
    0x106: "mask_poll64", 0x107: "mask_write64", 0x108: "write64", 0x109: "dma_xfer", 0x111: "nop",
}  # fmt: skip
# The word of a command's payload that holds the (low half of the) address.
_ADDRESS_WORD: dict[int, int] = {0x101: 0, 0x102: 0, 0x103: 0, 0x105: 1, 0x106: 1, 0x107: 1, 0x108: 1}


@dataclass(frozen=True, slots=True)
class Cdo:
    """A configuration data object: how many commands of each kind, and the tiles they address."""

    version: int
    words: int
    commands: Mapping[str, int]
    tiles: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Pdi:
    """A PDI's headers, and its CDOs."""

    id_code: int
    images: tuple[tuple[str, int], ...]
    cdos: tuple[Cdo, ...] = field(default=())

    @property
    def tiles(self) -> tuple[tuple[int, int], ...]:
        """All (column, row) that the PDI writes to."""
        return tuple(sorted({tile for cdo in self.cdos for tile in cdo.tiles}))


@lru_cache(maxsize=4)
def read_pdi(data: bytes) -> Pdi:
    """Read a PDI; the last few are kept, since verifying and describing a file ask for the same ones.

    Raises:
        ContainerError: It does not start as a PDI, or its headers or commands point outside it.
    """
    heap = Heap(data, "PDI")
    (first,) = heap.unpack("I", 0, "bus width word")
    if first != BUS_WIDTH_WORD or data[_TABLE + 0x28 : _TABLE + 0x2C] != _IDENT:
        raise ContainerError(
            "this is not a PDI",
            why=f"first word {first:#010x} (expected {BUS_WIDTH_WORD:#010x}) and the mark 'IDPP' at 0x38",
        )
    _version, images, image_at, partitions, partition_at, _boot, id_code = heap.unpack(
        "IIIIIII", _TABLE, "image header table"
    )
    if max(images, partitions) > _MAX_HEADERS:
        raise ContainerError(
            "the PDI's header table is damaged", why=f"{images} images, {partitions} partitions"
        )
    names = []
    for index in range(images):
        at = image_at * 4 + index * 64
        (name, image_id) = heap.unpack("16sI", at + 0x10, f"image header {index}")
        names.append((fixed_text(name), image_id))
    cdos = (_read_partition(heap, partition_at * 4, index) for index in range(partitions))
    return Pdi(id_code, tuple(names), tuple(cdo for cdo in cdos if cdo is not None))


def _read_partition(heap: Heap, table: int, index: int) -> Cdo | None:
    """Read the partition's CDO, None where it holds something else (an ELF file, say)."""
    at = table + index * 128
    where = f"partition header {index}"
    (total,) = heap.unpack("I", at + 0x08, where)
    (start,) = heap.unpack("I", at + 0x20, where)
    body = heap.slice(start * 4, total * 4, f"partition {index}")
    inner = Heap(body, f"PDI partition {index}")
    if len(body) < 20:
        return None
    rest, ident, version, length, _checksum = inner.unpack("IIIII", 0, "CDO header")
    if ident != _CDO_IDENT:
        return None
    commands = inner.slice((rest + 1) * 4, 4 * length, "CDO commands")
    words = struct.unpack(f"<{length}I", commands)
    kinds: Counter[int] = Counter()
    tiles: set[tuple[int, int]] = set()
    for command, payload in _commands(words):
        kinds[command] += 1
        place = _ADDRESS_WORD.get(command)
        if place is not None and place < len(payload):
            address = payload[place]
            tiles.add((address >> 25 & 0x7F, address >> 20 & 0x1F))
    named = {_COMMANDS.get(command, f"{command:#x}"): count for command, count in kinds.items()}
    return Cdo(version, length, named, tuple(sorted(tiles)))


def _commands(words: Sequence[int]) -> Iterable[tuple[int, Sequence[int]]]:
    """Walk the commands: length in bits 16-23 (255: the next word holds it), kind in bits 0-15."""
    position, count = 0, len(words)
    while position < count:
        head = words[position]
        size, skip = head >> 16 & 0xFF, 1
        if size == 0xFF and position + 1 < count:
            size, skip = words[position + 1], 2
        end = position + skip + size
        if end > count:
            raise ContainerError(
                "the CDO is cut off",
                where=f"word {position}",
                why=f"the command {head:#010x} needs {size} words, {count - position - skip} follow",
            )
        # The first four words are all that an address can stand in; the rest of a block stays unread.
        yield head & 0xFFFF, words[position + skip : min(end, position + skip + 4)]
        position = end
