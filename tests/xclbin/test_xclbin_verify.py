"""Verify: each kind of damage is found and named, and whole files are left in peace."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from npukbuild.xclbin import Container, Section, kinds, read, verify
from npukbuild.xclbin.container import HEADER_BYTES, ROW_BYTES, lay_out
from tests.xclbin.xclbin_files import (
    G1,
    G7,
    PDI_UUID_AT,
    another_build,
    assemble,
    edited,
    golden,
    poke,
    rebuilt,
    swap,
)

if TYPE_CHECKING:
    from collections.abc import Callable

META, PART, IPS, MEM, WIRES, GROUP_WIRES = (
    kinds.EMBEDDED_METADATA,
    kinds.AIE_PARTITION,
    kinds.IP_LAYOUT,
    kinds.MEM_TOPOLOGY,
    kinds.CONNECTIVITY,
    kinds.GROUP_CONNECTIVITY,
)


def codes(container: Container, severity: str | None = None) -> set[str]:
    return {f.code for f in verify(container) if severity in (None, f.severity)}


@pytest.mark.parametrize("path", [G1, G7], ids=["G1", "G7"])
def test_golden_files_have_no_errors(path: object) -> None:
    # Their packager left the PDI's UUID at zero, which the facts about early aiecc warn of.
    assert codes(read(path.read_bytes())) == {"pdi-uuid-zero"}  # type: ignore[attr-defined]


def test_a_build_with_pdi_uuid_has_nothing_to_say() -> None:
    assert verify(another_build(golden(), 3)) == ()


def test_our_own_layout_agrees_with_the_packagers() -> None:
    assert codes(rebuilt()) == {"pdi-uuid-zero"}


def raw(change: Callable[[bytearray], object]) -> Container:
    data = bytearray(G1.read_bytes())
    change(data)
    return read(bytes(data))


def row_field(index: int, field: str) -> int:
    return HEADER_BYTES + index * ROW_BYTES + {"kind": 0, "offset": 24, "size": 32}[field]


INSTANCE = b'<instance name="MLIRAIE"/>'
SIXTH = b'<arg name="bo5" addressQualifier="1" id="8" size="0x8" offset="0x3C" hostSize="0x8" type="void*"/>'
MASK_WRITE = 0x00030102


FRAME = {
    "length": lambda: raw(poke("Q", 0x130, 5)),
    "signed": lambda: raw(poke("i", 8, 64)),
    "uuid-zero": lambda: rebuilt(uuid=bytes(16)),
    "mode": lambda: rebuilt(mode=99),
    "no-sections": lambda: assemble([], golden().header),
    "padding": lambda: raw(poke("B", 5773, 1)),
    "beyond-end": lambda: raw(poke("Q", row_field(6, "size"), 1 << 40)),
    "overlap": lambda: raw(poke("Q", row_field(3, "offset"), 5600)),
    "alignment": lambda: raw(poke("Q", row_field(3, "offset"), 5601)),
    "empty-section": lambda: assemble([*golden().sections, Section(77, b"")]),
    "doubled": lambda: assemble([*golden().sections, golden().sections[0]]),
    "mirror-missing": lambda: assemble(golden().sections, mirror=False),
    "mirror-disagrees": lambda: replace(golden(), header=replace(golden().header, uuid=b"u" * 16)),
    "mirror-damaged": lambda: raw(swap(b"XCLBIN_MIRROR_DATA_END", b"XCLBIN_MIRROR_DATA_EN_")),
    "trailing-bytes": lambda: golden().with_tail(golden().tail[1] + b"more"),
}

MEANING = {
    "columns": lambda: edited(PART, poke("H", 0x20, 0)),
    "start-columns": lambda: edited(PART, poke("I", 0x28, 0)),
    "no-pdi": lambda: edited(PART, poke("I", 0x78, 0)),
    "pdi-empty": lambda: edited(PART, poke("I", PDI_UUID_AT + 16, 0)),
    "pdi-damaged": lambda: edited(PART, poke("I", 0xD0, 0xDEAD)),
    "no-cdo-group": lambda: edited(PART, poke("I", PDI_UUID_AT + 24, 0)),
    "no-kernel-id": lambda: edited(PART, poke("I", 0xCA8 + 16, 0)),
    "section-damaged": lambda: edited(PART, poke("I", 0x78, 1 << 30)),
    "kernel-id": lambda: edited(META, swap(b'"0x901"', b'"0x902"')),
    "no-kernel": lambda: edited(META, swap(b'type="dpu"', b'type="ps"')),
    "no-instance": lambda: edited(META, swap(b'<instance name="MLIRAIE"/>', b"")),
    "ip-missing": lambda: edited(IPS, swap(b"MLIRAIE", b"MLIRAIF")),
    "ip-type": lambda: edited(IPS, poke("I", 8, 1)),
    "argument-index": lambda: edited(META, swap(b'id="4"', b'id="9"')),
    "argument-overlap": lambda: edited(META, swap(b'offset="0x1C"', b'offset="0x18"')),
    "argument-size": lambda: edited(META, swap(b'size="0x4"', b'size="0x0"')),
    "convention": lambda: edited(META, swap(b'"opcode"', b'"opc"')),
    "no-buffers": lambda: edited(META, no_buffers),
    "many-buffers": lambda: edited(META, swap(INSTANCE, SIXTH + INSTANCE)),
    "no-memory": lambda: edited(MEM, lambda data: (poke("B", 9, 0)(data), poke("B", 49, 0)(data))),
    "wiring-ip": lambda: edited(WIRES, poke("i", 8, 7)),
    "wiring-argument": lambda: edited(GROUP_WIRES, poke("i", 4, 19)),
    "wiring-memory": lambda: edited(WIRES, poke("i", 12, -1)),
    "argument-without-memory": lambda: edited(WIRES, poke("i", 4, 3)),
    "pdi-columns": lambda: edited(PART, swap(mask_write(0, 2), mask_write(2, 2))),
}  # fmt: skip


def mask_write(column: int, row: int) -> bytes:
    """The first words of the command that resets a core."""
    return struct.pack("<II", MASK_WRITE, column << 25 | row << 20 | 0x32000)


def no_buffers(data: bytearray) -> None:
    head, mark, tail = bytes(data).partition(b'<arg name="bo0"')
    data[:] = head + (mark + tail).replace(b'addressQualifier="1"', b'addressQualifier="0"')


@pytest.mark.parametrize("code", [*FRAME, *MEANING])
def test_each_damage_is_named(code: str) -> None:
    found = codes((FRAME | MEANING)[code]())
    assert code in found
    # And it is not named where it is not.
    assert code not in codes(golden())


@pytest.mark.parametrize("kind", [PART, META, IPS, MEM, WIRES])
def test_missing_sections_keep_a_file_from_loading(kind: int) -> None:
    faults = verify(rebuilt(without=(kind,)))
    name = kinds.section_name(kind)
    assert any(f.code == "missing-section" and f.where == name and f.severity == "error" for f in faults)


def test_missing_group_sections_only_warn() -> None:
    faults = verify(rebuilt(without=(kinds.GROUP_TOPOLOGY, kinds.GROUP_CONNECTIVITY)))
    assert [f.severity for f in faults if f.code == "missing-section"] == ["warning", "warning"]


def test_a_bare_pdi_container_is_unloadable() -> None:
    # What xclbinutil once called "successfully written": one PDI section, nothing to find a kernel by.
    bare = verify(assemble([Section(kinds.PDI, bytes(1500))]))
    assert sum(f.code == "missing-section" and f.severity == "error" for f in bare) == 5


def test_all_faults_come_at_once_and_the_worst_first() -> None:
    container = edited(META, swap(b'"0x901"', b'"0x902"'))
    container = replace(container, header=replace(container.header, length=1, mode=99))
    faults = verify(container)
    assert {"length", "kernel-id", "mode", "pdi-uuid-zero"} <= {f.code for f in faults}
    order = [f.severity for f in faults]
    assert order == sorted(order, key=["error", "warning", "note"].index)
    kernel = next(f for f in faults if f.code == "kernel-id")
    assert "0x902" in kernel.what


def test_two_pdis_may_not_share_a_uuid() -> None:
    def double(data: bytearray) -> None:
        # A second PDI row behind the first, with the same UUID and a shorter image.
        first = bytearray(data[PDI_UUID_AT : PDI_UUID_AT + 96])
        first[:16] = b"x" * 16
        second = bytearray(first)
        struct.pack_into("<I", second, 16, 400)
        at = len(data)
        data += first + second
        struct.pack_into("<II", data, 0x78, 2, at)

    assert "pdi-uuid-twice" in codes(edited(PART, double))


def test_a_million_faults_are_not_listed() -> None:
    rows = b"".join(struct.pack("<iii", i, i + 2, -1) for i in range(5000))
    sections = [
        replace(s, data=struct.pack("<i", 5000) + rows) if s.kind == WIRES else s for s in golden().sections
    ]
    faults = verify(lay_out(golden().header, sections))
    assert len(faults) <= 501
    assert "many-faults" in {f.code for f in faults}
