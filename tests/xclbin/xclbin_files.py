"""Containers for the tests: the two golden stand-ins, and variants of them made with our own writer."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.xclbin import Container, Header, Section, kinds, read
from npukbuild.xclbin.container import lay_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GOLDEN = Path(__file__).parent.parent / "golden"
G1 = GOLDEN / "G1_matmul_64x64x512_bf16.standin.xclbin"
G7 = GOLDEN / "G7_chain_ln_softmax_gelu_1024_bf16.standin.xclbin"
PDI_UUID_AT = 0xD08
"""Offset of the first PDI's UUID in G1's AIE_PARTITION."""


def golden() -> Container:
    """Return G1's container, as read."""
    return read(G1.read_bytes())


def mirror_of(container: Container) -> bytes:
    """Write mirror metadata the way xclbinutil lays it out."""
    header = container.header
    text = {
        "Magic": "xclbin2",
        "UniqueID": struct.pack("<Q", header.unique_id).hex(),
        "TimeStamp": str(header.timestamp),
        "FeatureRomTimeStamp": str(header.feature_rom_timestamp),
        "InterfaceUUID": header.interface_uuid.hex(),
        "XclBinUUID": header.uuid.hex(),
    }
    rows = ",".join(
        '"section_header":'
        + json.dumps(
            {"Kind": str(s.kind), "Name": s.name, "Offset": hex(s.offset), "Size": hex(s.size)},
            separators=(",", ":"),
        )
        for s in container.sections
    )
    body = f'{{"header":{json.dumps(text, separators=(",", ":"))},{rows}}}\n' if rows else "{}\n"
    return b"XCLBIN_MIRROR_DATA_START" + body.encode() + b"XCLBIN_MIRROR_DATA_END"


def assemble(sections: Iterable[Section], header: Header | None = None, *, mirror: bool = True) -> Container:
    """Lay sections out, with a mirror that agrees."""
    sections = list(sections)
    header = golden().header if header is None else header
    bare = lay_out(header, sections)
    return lay_out(header, sections, mirror_of(bare)) if mirror else bare


def rebuilt(*, without: tuple[int, ...] = (), **header: Any) -> Container:
    """Return G1 laid out anew without some kinds of sections, or with other header fields."""
    source = golden()
    sections = [section for section in source.sections if section.kind not in without]
    return assemble(sections, replace(source.header, **header))


def edited(kind: int, change: Callable[[bytearray], object]) -> Container:
    """Return G1 with the bytes of one section changed in place (the length may change)."""
    source = golden()
    sections = []
    for section in source.sections:
        if section.kind == kind:
            data = bytearray(section.data)
            change(data)
            sections.append(Section(kind, bytes(data), section.name_bytes))
        else:
            sections.append(section)
    return assemble(sections, source.header)


def swap(old: bytes, new: bytes) -> Callable[[bytearray], object]:
    """Return a change that replaces the first occurrence of some bytes."""

    def change(data: bytearray) -> None:
        at = data.index(old)
        data[at : at + len(old)] = new

    return change


def poke(layout: str, at: int, *values: Any) -> Callable[[bytearray], object]:
    """Return a change that packs values at an offset."""
    return lambda data: struct.pack_into("<" + layout, data, at, *values)


def another_build(container: Container, seed: int) -> Container:
    """Return what a second run of the packager would have made: other UUIDs, other time."""
    when = 1_800_000_000 + seed
    sections = []
    for section in container.sections:
        data = bytearray(section.data)
        if section.kind == kinds.AIE_PARTITION:
            data[PDI_UUID_AT : PDI_UUID_AT + 16] = bytes([seed % 255 + 1] * 16)
        sections.append(Section(section.kind, bytes(data), section.name_bytes))
    header = replace(container.header, uuid=bytes([seed % 251 + 1] * 16), unique_id=when, timestamp=when)
    return assemble(sections, header)
