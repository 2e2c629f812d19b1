"""The registers an instruction stream writes, read from ``registers.toml``: BDs, queues, controls, locks."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from npukbuild.errors import ContainerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TileKind = Literal["shim", "mem", "core"]
Direction = Literal["S2MM", "MM2S"]
DIRECTIONS: tuple[Direction, Direction] = ("S2MM", "MM2S")
"""Their numbers in a sync instruction are their places here."""

_COLUMN_SHIFT, _ROW_SHIFT = 25, 20
_OFFSET_MASK = (1 << _ROW_SHIFT) - 1
_TOKEN_BIT, _REPEAT_SHIFT, _REPEAT_MASK = 31, 16, 0xFF


@dataclass(frozen=True, slots=True)
class Field:
    """Where a BD's field lies: the word, its lowest bit there, its width."""

    word: int
    lsb: int
    bits: int

    @property
    def limit(self) -> int:
        """The largest value the field holds."""
        return (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class TileRegisters:
    """The DMA and lock registers of one kind of tile; addresses are offsets within the tile."""

    kind: TileKind
    bd_base: int
    bd_stride: int
    bds: int
    bd_words: int
    bd_id_mask: int
    channels: int
    channel_stride: int
    queue: Mapping[str, int]
    control: Mapping[str, int]
    lock_base: int
    lock_stride: int
    fields: Mapping[str, Field]

    def bd_at(self, offset: int) -> int | None:
        """Return the id of the BD whose first register is at ``offset``, None if there is none."""
        index, rest = divmod(offset - self.bd_base, self.bd_stride)
        return index if not rest and 0 <= index < self.bds else None

    def bd_address(self, bd: int) -> int:
        """Return the offset of a BD's first register."""
        return self.bd_base + bd * self.bd_stride

    def channel_at(self, bases: Mapping[str, int], offset: int) -> tuple[Direction, int] | None:
        """Return direction and channel of a queue or control register, None if ``offset`` is none."""
        for direction in DIRECTIONS:
            index, rest = divmod(offset - bases[direction], self.channel_stride)
            if not rest and 0 <= index < self.channels:
                return direction, index
        return None

    def unpack_bd(self, words: Sequence[int]) -> dict[str, int]:
        """Split a BD's words into its fields, strides and sizes as the registers hold them."""
        return {
            name: words[field.word] >> field.lsb & field.limit
            for name, field in self.fields.items()
            if field.word < len(words)
        }

    def pack_bd(self, values: Mapping[str, int]) -> list[int]:
        """Put fields together to a BD's words.

        Raises:
            ContainerError: A value does not fit its field.
        """
        words = [0] * self.bd_words
        for name, value in values.items():
            field = self.fields[name]
            if not 0 <= value <= field.limit:
                raise ContainerError(
                    f"a BD's {name} does not fit its field",
                    where=f"{self.kind} tile",
                    why=f"{value} is not in 0..{field.limit}",
                )
            words[field.word] |= value << field.lsb
        return words


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation of the array, by its number in the stream's header."""

    number: int
    name: str
    columns: int
    burst: int


@dataclass(frozen=True, slots=True)
class Registers:
    """All of ``registers.toml``."""

    stream: Mapping[str, int]
    array: Mapping[str, int]
    generations: Mapping[int, Generation]
    tiles: Mapping[str, TileRegisters]

    def of_row(self, row: int, memtile_rows: int | None = None) -> TileRegisters:
        """Return the registers of the tiles in ``row``."""
        mems = self.array["memtile_rows"] if memtile_rows is None else memtile_rows
        return self.tiles["shim" if row == 0 else "mem" if row <= mems else "core"]

    def device(self, name: str) -> tuple[Generation, int]:
        """Return generation and columns of a device: ``npu1``, ``npu2_3col``.

        Raises:
            ContainerError: No such device takes instruction streams.
        """
        found = re.fullmatch(r"(npu[0-9]+)(?:_([1-9])col)?", name)
        for generation in self.generations.values():
            if found and generation.name == found[1]:
                return generation, int(found[2] or generation.columns)
        raise ContainerError("this device takes no instruction stream", where=name)


@cache
def registers() -> Registers:
    """Load ``registers.toml``."""
    text = resources.files("npukbuild.xclbin").joinpath("registers.toml").read_text("utf-8")
    data: dict[str, Any] = tomllib.loads(text)
    tiles = {}
    for kind in ("shim", "mem", "core"):
        values = dict(data[kind])
        fields = {name: Field(*place) for name, place in values.pop("fields").items()}
        tiles[kind] = TileRegisters(kind=kind, fields=fields, **values)
    generations = {
        int(number): Generation(number=int(number), **values) for number, values in data["generation"].items()
    }
    return Registers(data["stream"], data["array"], generations, tiles)


def split_address(address: int) -> tuple[int, int, int]:
    """Split an address into column, row and offset within the tile."""
    return address >> _COLUMN_SHIFT, address >> _ROW_SHIFT & 0x1F, address & _OFFSET_MASK


def join_address(column: int, row: int, offset: int) -> int:
    """Make an address of column, row and offset within the tile."""
    return column << _COLUMN_SHIFT | row << _ROW_SHIFT | offset


def split_queue_word(word: int, tile: TileRegisters) -> tuple[int, int, bool]:
    """Split a word pushed on a task queue into BD id, further repeats, and token."""
    return (
        word & tile.bd_id_mask,
        word >> _REPEAT_SHIFT & _REPEAT_MASK,
        bool(word >> _TOKEN_BIT),
    )


def join_queue_word(bd: int, repeat: int, *, token: bool) -> int:
    """Make a word for a task queue.

    Raises:
        ContainerError: The repeat count does not fit its 8 bits.
    """
    if not 0 <= repeat <= _REPEAT_MASK:
        raise ContainerError("a repeat count does not fit", why=f"{repeat} is not in 0..{_REPEAT_MASK}")
    return bd | repeat << _REPEAT_SHIFT | int(token) << _TOKEN_BIT
