r"""The container itself: header, section table, sections, and the bytes between them.

Layout (little-endian; source: ``xrt/detail/xclbin.h`` of Xilinx/XRT)::

    0x000  "xclbin2\0", signature length (-1: unsigned), 28 x 0xFF, key block (256), unique id
    0x130  length, time stamp, feature ROM time stamp, version, mode, action mask, interface UUID,
           platform VBNV (64), UUID, debug binary (16), number of sections
    0x1c8  section table, 40 bytes a row: kind, name (16), offset, size
    then   the sections, each on an 8-byte boundary, zeros between them
    then   the mirror metadata: JSON between two markers
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from npukbuild.errors import ContainerError
from npukbuild.xclbin.binary import fixed_text
from npukbuild.xclbin.kinds import section_name

if TYPE_CHECKING:
    from collections.abc import Iterable

MAGIC = b"xclbin2\0"
_HEADER = struct.Struct("<8si28s256sQ QQQHBBHH16s64s16s16sI4s")
_ROW = struct.Struct("<I16s4sQQ")
HEADER_BYTES = _HEADER.size
ROW_BYTES = _ROW.size
ALIGNMENT = 8


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of ``struct axlf`` and ``struct axlf_header`` in the order of the file."""

    magic: bytes = MAGIC
    signature_length: int = -1
    reserved: bytes = b"\xff" * 28
    key_block: bytes = b"\xff" * 256
    unique_id: int = 0
    length: int = 0
    timestamp: int = 0
    feature_rom_timestamp: int = 0
    version_patch: int = 0
    version_major: int = 2
    version_minor: int = 0
    mode: int = 0
    action_mask: int = 0
    interface_uuid: bytes = bytes(16)
    platform: bytes = bytes(64)
    uuid: bytes = bytes(16)
    debug_bin: bytes = bytes(16)
    section_count: int = 0
    padding: bytes = bytes(4)

    @property
    def version(self) -> str:
        """Version of the packager (xclbinutil carries XRT's own): ``2.23.0``."""
        return f"{self.version_major}.{self.version_minor}.{self.version_patch}"

    @property
    def signed(self) -> bool:
        """Whether a signature is attached, so that no byte may be changed."""
        return self.signature_length != -1

    def to_bytes(self) -> bytes:
        """Return the 456 bytes of the header."""
        return _HEADER.pack(*(getattr(self, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Section:
    """One row of the section table with the bytes it points at.

    ``data`` holds what the file has of them: it is shorter than ``size`` where the row points beyond the
    end of the file.
    """

    kind: int
    data: bytes = field(repr=False)
    name_bytes: bytes = bytes(16)
    offset: int = 0
    size: int = -1
    padding: bytes = bytes(4)

    def __post_init__(self) -> None:
        if self.size < 0:
            object.__setattr__(self, "size", len(self.data))

    @property
    def kind_name(self) -> str:
        """``AIE_PARTITION``, or ``KIND_77`` for a kind that XRT's header does not name."""
        return section_name(self.kind)

    @property
    def name(self) -> str:
        """The row's own name; xclbinutil cuts it to 15 characters."""
        return fixed_text(self.name_bytes)

    @property
    def complete(self) -> bool:
        """Whether the file holds all bytes that the row claims."""
        return len(self.data) == self.size

    def row(self) -> bytes:
        """Return the 40 bytes of the section table."""
        return _ROW.pack(self.kind, self.name_bytes, self.padding, self.offset, self.size)


@dataclass(frozen=True, slots=True)
class Container:
    """A whole file: ``to_bytes`` gives back exactly what :func:`read` was given.

    ``gaps`` are the bytes that belong to no section, with their offsets: padding between sections, and
    everything after the last one (the mirror metadata).
    """

    header: Header
    sections: tuple[Section, ...]
    gaps: tuple[tuple[int, bytes], ...]
    file_size: int

    def to_bytes(self) -> bytes:
        """Return the file's bytes, rebuilt from the parts."""
        out = bytearray(self.file_size)
        out[:HEADER_BYTES] = self.header.to_bytes()
        for index, section in enumerate(self.sections):
            start = HEADER_BYTES + index * ROW_BYTES
            out[start : start + ROW_BYTES] = section.row()
        for offset, data in self.gaps:
            out[offset : offset + len(data)] = data
        for section in self.sections:
            if section.data:
                out[section.offset : section.offset + len(section.data)] = section.data
        return bytes(out)

    def of_kind(self, kind: int) -> tuple[Section, ...]:
        """Return the sections of one kind in the table's order."""
        return tuple(section for section in self.sections if section.kind == kind)

    def only(self, kind: int) -> Section | None:
        """Return the first section of a kind, None where there is none."""
        return next(iter(self.of_kind(kind)), None)

    @property
    def table_end(self) -> int:
        """Offset of the first byte after the section table."""
        return HEADER_BYTES + len(self.sections) * ROW_BYTES

    @property
    def tail(self) -> tuple[int, bytes]:
        """Offset and bytes after the last section: the mirror metadata and what may follow it."""
        end = max([self.table_end, *(s.offset + len(s.data) for s in self.sections if s.data)])
        for offset, data in self.gaps:
            if offset == end:
                return offset, data
        return end, b""

    def with_section(self, index: int, data: bytes) -> Container:
        """Return the container with one section's bytes replaced by as many others."""
        section = self.sections[index]
        if len(data) != len(section.data):
            raise ContainerError(
                "a section's bytes can only be replaced by as many others",
                where=section.kind_name,
                why=f"{len(data)} bytes for {len(section.data)}",
            )
        sections = list(self.sections)
        sections[index] = replace(section, data=data)
        return replace(self, sections=tuple(sections))

    def with_tail(self, data: bytes) -> Container:
        """Return the container with other bytes after its last section, and its length to fit."""
        start, old = self.tail
        gaps = [*(gap for gap in self.gaps if gap[0] != start), (start, data)]
        grown = self.file_size + len(data) - len(old)
        # The header's length follows only where it was right before; a wrong one is verify's to report.
        length = grown if self.header.length == self.file_size else self.header.length
        return replace(self, gaps=tuple(gaps), file_size=grown, header=replace(self.header, length=length))


def read(data: bytes) -> Container:
    """Take a container apart.

    Damage that leaves the table readable (a section beyond the end, a wrong length, an overlap) does not
    raise here: :func:`npukbuild.xclbin.verify` lists it all at once.

    Args:
        data: The file's bytes.

    Raises:
        ContainerError: This is no container, or its section table is cut off, or its sections claim many
            times the file's size.
    """
    header = _read_header(data)
    table_end = HEADER_BYTES + header.section_count * ROW_BYTES
    if table_end > len(data):
        raise ContainerError(
            "the XCLBIN's section table is cut off",
            where=f"offset {HEADER_BYTES:#x}",
            why=f"{header.section_count} sections need {table_end} bytes, the file has {len(data)}",
            hint="the file was not written completely; build or download it again",
        )
    sections = tuple(_read_sections(data, header.section_count))
    return Container(header, sections, tuple(_gaps(data, table_end, sections)), len(data))


def _read_header(data: bytes) -> Header:
    if data[: len(MAGIC)] != MAGIC:
        raise ContainerError(
            "this is not an XCLBIN",
            why=f"it starts with {bytes(data[:8])!r} instead of {MAGIC!r}" if data else "the file is empty",
            hint="insts.bin, PDI and ELF files are no containers" if data else "build it again",
        )
    if len(data) < HEADER_BYTES:
        raise ContainerError(
            "the XCLBIN's header is cut off",
            why=f"it needs {HEADER_BYTES} bytes, the file has {len(data)}",
            hint="the file was not written completely; build or download it again",
        )
    values: tuple[Any, ...] = _HEADER.unpack_from(data)
    return Header(*values)


def _read_sections(data: bytes, count: int) -> Iterable[Section]:
    claimed = 0
    for index in range(count):
        kind, name, padding, offset, size = _ROW.unpack_from(data, HEADER_BYTES + index * ROW_BYTES)
        piece = data[offset : min(offset + size, len(data))] if offset < len(data) else b""
        claimed += len(piece)
        if claimed > 2 * len(data):
            raise ContainerError(
                "the XCLBIN's sections lie on top of each other",
                where=f"section {index} ({section_name(kind)})",
                why=f"together they claim more than twice the file's {len(data)} bytes",
                hint="the section table is damaged; build or download the file again",
            )
        yield Section(kind, bytes(piece), name, offset, size, padding)


def _gaps(data: bytes, table_end: int, sections: tuple[Section, ...]) -> Iterable[tuple[int, bytes]]:
    covered = sorted([(0, table_end), *((s.offset, s.offset + len(s.data)) for s in sections if s.data)])
    position = 0
    for start, end in covered:
        if start > position:
            yield position, data[position:start]
        position = max(position, end)
    if position < len(data):
        yield position, data[position:]


def lay_out(header: Header, sections: Iterable[Section], tail: bytes = b"") -> Container:
    """Make a container of parts: offsets, alignment, padding, counts and lengths are set here.

    Args:
        header: Its ``length`` and ``section_count`` are replaced.
        sections: Their offsets and sizes are replaced.
        tail: The mirror metadata to put behind the last section, 8-byte aligned.
    """
    rows = list(sections)
    position = HEADER_BYTES + len(rows) * ROW_BYTES
    placed, gaps = [], []

    def align() -> None:
        nonlocal position
        padding = -position % ALIGNMENT
        if padding:
            gaps.append((position, bytes(padding)))
        position += padding

    for section in rows:
        align()
        placed.append(replace(section, offset=position, size=len(section.data)))
        position += len(section.data)
    if tail:
        padding = bytes(-position % ALIGNMENT)
        gaps.append((position, padding + tail))
        position += len(padding) + len(tail)
    header = replace(header, length=position, section_count=len(placed))
    return Container(header, tuple(placed), tuple(gaps), position)
