"""Verify: every fault of a container at once, from its lengths to what the host will find in it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from npukbuild.xclbin import kinds
from npukbuild.xclbin.container import ALIGNMENT
from npukbuild.xclbin.fault import Fault
from npukbuild.xclbin.meaning import meaning_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npukbuild.xclbin.container import Container

_MOST = 500
"""Faults listed of one file; a hostile one could have millions."""
_ONLY_ONE = (
    kinds.AIE_PARTITION, kinds.EMBEDDED_METADATA, kinds.IP_LAYOUT, kinds.MEM_TOPOLOGY, kinds.CONNECTIVITY,
    kinds.GROUP_TOPOLOGY, kinds.GROUP_CONNECTIVITY,
)  # fmt: skip


def verify(container: Container) -> tuple[Fault, ...]:
    """Return all faults of a container, the worst first; empty when there is nothing to say."""
    found: dict[Fault, None] = {}
    for fault in chain(_frame_faults(container), _section_faults(container), meaning_faults(container)):
        if len(found) == _MOST and fault not in found:
            rest = f"more than {_MOST} faults; the rest is not shown"
            found[Fault("error", "many-faults", "file", rest)] = None
            break
        found[fault] = None
    order = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(found, key=lambda fault: order[fault.severity]))


def _frame_faults(container: Container) -> Iterator[Fault]:
    """Check what frames the sections: lengths, identity, signature, bytes between sections."""
    header = container.header
    if header.length != container.file_size:
        yield Fault(
            "error",
            "length",
            "header",
            f"it says {header.length} bytes, the file has {container.file_size}",
        )
    if header.signed:
        yield Fault("note", "signed", "header", f"a signature of {header.signature_length} bytes is attached")
    if not any(header.uuid):
        yield Fault("error", "uuid-zero", "header", "the UUID is all zeros: XRT finds loaded designs by it")
    if header.section_count == 0:
        yield Fault("error", "no-sections", "header", "the container holds no section")
    if header.mode >= len(kinds.MODE_NAMES):
        yield Fault("warning", "mode", "header", f"mode {header.mode} is not one that XRT knows")
    tail_at, _ = container.tail
    for offset, data in container.gaps:
        if offset != tail_at and any(data):
            yield Fault(
                "warning",
                "padding",
                f"offset {offset:#x}",
                f"{len(data)} bytes between sections are not zeros",
            )


def _section_faults(container: Container) -> Iterator[Fault]:
    """Check the section table: bounds, overlaps, alignment, doubles."""
    spans: list[tuple[int, int, str]] = [(0, container.table_end, "header and section table")]
    for index, section in enumerate(container.sections):
        where = f"section {index} ({section.kind_name})"
        if not section.complete:
            yield Fault(
                "error",
                "beyond-end",
                where,
                f"bytes {section.offset} to {section.offset + section.size} of a file of "
                f"{container.file_size}",
            )
        if section.size == 0:
            yield Fault("warning", "empty-section", where, "it has no bytes")
        elif section.offset % ALIGNMENT:
            yield Fault(
                "warning",
                "alignment",
                where,
                f"offset {section.offset:#x} is not a multiple of {ALIGNMENT}",
            )
        if section.data:
            spans.append((section.offset, section.offset + len(section.data), where))
    spans.sort()
    reached, owner = 0, ""
    for start, end, where in spans:
        if start < reached:
            yield Fault(
                "error", "overlap", where, f"it overlaps {owner} by {min(reached, end) - start} bytes"
            )
        if end > reached:
            reached, owner = end, where
    for kind in _ONLY_ONE:
        if (count := len(container.of_kind(kind))) > 1:
            yield Fault(
                "error",
                "doubled",
                kinds.section_name(kind),
                f"{count} sections of this kind; only the first is used",
            )
