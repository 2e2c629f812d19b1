"""Our lowered runtime sequences against the instruction streams that the real compiler made of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import pytest

from npukbuild.ir import load_design
from npukbuild.ir.design import ELEMENT_BYTES, Design, Push, TileId, Wait
from npukbuild.ir.lowering.bd_words import BdFields, decode

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = sorted(path.name.removesuffix(".insts.bin") for path in GOLDEN.glob("*.insts.bin"))


@dataclass
class Started:
    """One start of a descriptor as the instruction stream has it."""

    tile: TileId
    direction: str
    channel: int
    bd: int
    repeat: int
    token: bool
    fields: BdFields
    argument: int
    offset: int


@dataclass
class Synced:
    tile: TileId
    direction: str
    channel: int


def instructions(path: Path) -> list[Started | Synced]:
    """Decode an instruction stream into starts and waits (opcodes as the format's description has them)."""
    raw = path.read_bytes()
    words = list(struct.unpack(f"<{len(raw) // 4}I", raw))
    descriptors: dict[tuple[TileId, int], list[int]] = {}
    patches: dict[tuple[TileId, int], tuple[int, int]] = {}
    found: list[Started | Synced] = []
    at = 4
    while at < len(words):
        code = words[at] & 0xFF
        if code == 0:
            tile, offset = TileId(words[at + 2] >> 25, words[at + 2] >> 20 & 0x1F), words[at + 2] & 0xFFFFF
            value = words[at + 4]
            channel, direction = (offset - 0x1D204) // 8, "S2MM"
            if channel >= 2:
                channel, direction = channel - 2, "MM2S"
            key = (tile, value & 0xF)
            found.append(
                Started(
                    tile,
                    direction,
                    channel,
                    value & 0xF,
                    value >> 16 & 0xFF,
                    bool(value >> 31),
                    decode("shim", descriptors[key]),
                    *patches[key],
                )
            )
            at += 6
        elif code == 1:
            tile, offset = TileId(words[at + 2] >> 25, words[at + 2] >> 20 & 0x1F), words[at + 2] & 0xFFFFF
            count = words[at + 3] // 4
            descriptors[tile, (offset - 0x1D000) // 0x20] = words[at + 4 : at + count]
            at += count
        elif code == 3:
            at += 7
        elif code == 128:
            place = words[at + 2]
            found.append(
                Synced(
                    TileId(place >> 16 & 0xFF, place >> 8 & 0xFF),
                    "MM2S" if place & 0xFF else "S2MM",
                    words[at + 3] >> 24,
                )
            )
            at += 4
        elif code == 129:
            register = words[at + 6]
            tile = TileId(register >> 25, register >> 20 & 0x1F)
            slot = ((register & 0xFFFFF) - 0x1D004) // 0x20
            patches[tile, slot] = (words[at + 8], words[at + 10])
            at += 12
        else:
            pytest.fail(f"opcode {code} at word {at}")
    return found


def ours(design: Design) -> list[Started | Synced]:
    """Return our sequence in the same form, with the fields that the hardware's descriptor would hold."""
    names = [name for name, _ in design.sequence.arguments]
    types = dict(design.sequence.arguments)
    found: list[Started | Synced] = []
    for op in design.sequence.operations:
        if isinstance(op, Wait):
            found.append(Synced(op.tile, op.direction, op.channel))
        elif isinstance(op, Push):
            (one,) = op.descriptors
            width = ELEMENT_BYTES[types[one.buffer].element]
            dims = [(dim.size, dim.stride) for dim in reversed(one.dims)] + [(1, 0)] * (3 - len(one.dims))
            sizes = (0, 0) if not one.dims else (dims[0][0] * width // 4, dims[1][0])
            strides = tuple(
                1 if not one.dims or place == 0 else max(dims[place][1] * width // 4, 1) for place in range(3)
            )
            iteration = op.iteration
            fields = BdFields(
                one.length * width // 4,
                sizes,
                (strides[0], strides[1], strides[2]),
                1 if iteration is None or iteration.stride == 0 else iteration.size,
                1 if iteration is None or iteration.stride == 0 else iteration.stride * width // 4,
                None,
                None,
                True,
                None,
                None,
            )
            found.append(
                Started(
                    op.target.tile,
                    op.target.direction,
                    op.target.channel,
                    one.id or 0,
                    op.repeat,
                    op.token,
                    fields,
                    names.index(one.buffer),
                    one.offset * width,
                )
            )
    return found


def blank(entry: Started | Synced) -> Started | Synced:
    """Forget what has no meaning: the strides of dimensions that are not used."""
    if isinstance(entry, Synced):
        return entry
    fields = entry.fields
    inner = fields.sizes[0] * max(fields.sizes[1], 1)
    used = (True, fields.sizes[1] > 1, bool(inner) and fields.length > inner)
    strides = tuple(stride if use else 0 for stride, use in zip(fields.strides, used, strict=True))
    sizes = fields.sizes if fields.sizes[1] != 1 else (fields.sizes[0], 0)
    entry.fields = BdFields(
        fields.length,
        (sizes[0], sizes[1]),
        (strides[0], strides[1], strides[2]),
        fields.iteration_size,
        fields.iteration_stride,
        fields.packet,
        fields.next,
        fields.valid,
        fields.acquire,
        fields.release,
    )
    return entry


@pytest.mark.parametrize("name", NAMES)
def test_our_sequence_is_the_compilers_instruction_stream(name: str) -> None:
    design = load_design((GOLDEN / f"{name}.mlir").read_text())
    expected = [blank(entry) for entry in instructions(GOLDEN / f"{name}.insts.bin")]
    assert [blank(entry) for entry in ours(design)] == expected
