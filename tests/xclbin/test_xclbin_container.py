"""The codec: what was read is written back byte for byte, and only what is no container is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.errors import ContainerError
from npukbuild.xclbin import Header, Section, kinds, read
from npukbuild.xclbin.container import HEADER_BYTES, ROW_BYTES, lay_out
from npukbuild.xclbin.metadata import read_kernels
from npukbuild.xclbin.partition import read_partition
from npukbuild.xclbin.pdi import read_pdi
from npukbuild.xclbin.topology import read_connections, read_ips, read_memory_banks
from tests.xclbin.xclbin_files import G1, G7, assemble, golden


@pytest.mark.parametrize("path", [G1, G7], ids=["G1", "G7"])
def test_golden_files_survive_reading_and_writing(path: object) -> None:
    data = path.read_bytes()  # type: ignore[attr-defined]
    container = read(data)
    # Rebuilt from parts: a wrong part would show.
    assert container.to_bytes() == data
    assert container.header.length == len(data)
    assert [section.kind for section in container.sections] == [6, 32, 2, 8, 7, 27, 26]


def test_golden_header_fields() -> None:
    header = golden().header
    assert header.version == "2.23.0"
    assert not header.signed
    assert header.timestamp == header.unique_id == 0x6B015F7F
    assert header.uuid.hex() == "e60db45cc372492b535f8142596b24d8"


def test_golden_partition_and_pdi() -> None:
    section = golden().only(kinds.AIE_PARTITION)
    assert section is not None
    partition = read_partition(section.data)
    assert (partition.column_width, partition.start_columns) == (1, (1, 2, 3, 4))
    assert (partition.operations_per_cycle, partition.inference_fingerprint) == (2048, 23423)
    assert partition.pre_post_fingerprint == 12345
    (pdi,) = partition.pdis
    (group,) = pdi.groups
    assert (group.name, group.type, group.pdi_id) == ("DPU", "PRIMARY", 1)
    assert (group.kernel_ids, group.pre_cdo_groups) == ((0x901,), (0xC1,))
    image = read_pdi(pdi.image)
    assert (image.id_code, image.images) == (0x14CA8093, (("aie_image", 0x1C000000),))
    # G1 uses the shim, the memtile and one core of column 0, and nothing else.
    assert image.tiles == ((0, 0), (0, 1), (0, 2))
    assert image.cdos[0].commands == {"nop": 20, "mask_write": 24, "dma_write": 16, "write": 70}


def test_golden_kernel_arguments_and_memory() -> None:
    container = golden()
    sections = {section.kind: section.data for section in container.sections}
    (kernel,) = read_kernels(sections[kinds.EMBEDDED_METADATA])
    assert (kernel.name, kernel.kernel_id, kernel.instances) == ("MLIR_AIE", 0x901, ("MLIRAIE",))
    assert [(a.name, a.offset, a.is_buffer) for a in kernel.arguments[:4]] == [
        ("opcode", 0x00, False),
        ("instr", 0x08, True),
        ("ninstr", 0x10, False),
        ("bo0", 0x14, True),
    ]
    assert [a.offset for a in kernel.arguments[3:]] == [0x14 + 8 * i for i in range(5)]
    banks = read_memory_banks(sections[kinds.MEM_TOPOLOGY])
    assert [(b.tag, b.size_kb, b.base_address) for b in banks] == [
        ("HOST", 0x10000, 0x4000000),
        ("SRAM", 0xC000, 0x4000000),
    ]
    (ip,) = read_ips(sections[kinds.IP_LAYOUT])
    assert (ip.name, ip.type, ip.subtype, ip.kernel_id) == (
        "MLIR_AIE:MLIRAIE",
        "IP_PS_KERNEL",
        "DPU",
        0x901,
    )
    rows = read_connections(sections[kinds.CONNECTIVITY])
    assert {(row.argument, row.memory) for row in rows} == {(1, 1), *((i, 0) for i in range(3, 8))}


def test_partitions_with_several_pdis_and_groups() -> None:
    # Written here from the structures of XRT's header, field by field.
    heap = bytearray(184)

    def put(data: bytes) -> int:
        heap.extend(bytes(-len(heap) % 8))
        at = len(heap)
        heap.extend(data)
        return at

    def group(
        name: bytes, kind: int, pdi_id: int, kernels: tuple[int, ...], before: tuple[int, ...]
    ) -> bytes:
        ids, pre = (
            put(struct.pack(f"<{len(kernels)}Q", *kernels)),
            put(struct.pack(f"<{len(before)}I", *before)),
        )
        return struct.pack("<IB3xQIIII64x", put(name), kind, pdi_id, len(kernels), ids, len(before), pre)

    pdis = b""
    for index in range(2):
        rows = group(b"main\0", 1, 10 + index, (0x901 + index, 0x911 + index), (0xC1, 0xC2))
        rows += group(b"lite\0", 2, 20 + index, (0x921 + index,), ())
        at, image = put(rows), put(b"image" * (index + 1))
        pdis += struct.pack("<16sIIII64x", bytes([index + 1] * 16), 5 * (index + 1), image, 2, at)
    at, starts = put(pdis), put(struct.pack("<2H", 0, 4))
    head = (1, put(b"QoS\0"), 2048, 7, 8, 4, 2, starts, 2, at, put(b"c0ffee\0"))
    struct.pack_into("<B3xII4xQQH6xII72xIII52x", heap, 0, *head)

    partition = read_partition(bytes(heap))
    assert (partition.schema_version, partition.name, partition.kernel_commit_id) == (1, "QoS", "c0ffee")
    assert (partition.column_width, partition.start_columns) == (4, (0, 4))
    assert [pdi.uuid[0] for pdi in partition.pdis] == [1, 2]
    assert [pdi.image for pdi in partition.pdis] == [b"image", b"imageimage"]
    assert [[(g.name, g.type, g.pdi_id) for g in pdi.groups] for pdi in partition.pdis] == [
        [("main", "PRIMARY", 10), ("lite", "LITE", 20)],
        [("main", "PRIMARY", 11), ("lite", "LITE", 21)],
    ]
    assert [g.kernel_ids for g in partition.pdis[1].groups] == [(0x902, 0x912), (0x922,)]
    assert [g.pre_cdo_groups for g in partition.pdis[0].groups] == [(0xC1, 0xC2), ()]


sections_strategy = st.lists(
    st.builds(
        Section,
        kind=st.integers(0, 0xFFFFFFFF),
        data=st.binary(max_size=70),
        name_bytes=st.binary(min_size=16, max_size=16),
        padding=st.binary(min_size=4, max_size=4),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(sections_strategy, st.binary(max_size=40), st.integers(0, 2**64 - 1))
def test_any_sections_survive(sections: list[Section], tail: bytes, unique_id: int) -> None:
    container = lay_out(Header(unique_id=unique_id), sections, tail)
    again = read(container.to_bytes())
    assert again.to_bytes() == container.to_bytes()
    assert [(s.kind, s.name_bytes, s.data, s.padding) for s in again.sections] == [
        (s.kind, s.name_bytes, s.data, s.padding) for s in sections
    ]
    assert again.header == container.header
    assert all(section.offset % 8 == 0 for section in again.sections)
    assert again.header.length == len(container.to_bytes())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 6))
def test_whatever_is_read_is_written_back(rest: bytes, count: int) -> None:
    # A real header with a random table and random bytes behind it: overlaps, gaps, rows beyond the end.
    data = lay_out(Header(), []).to_bytes()[: HEADER_BYTES - 8] + struct.pack("<I4x", count) + rest
    try:
        container = read(data)
    except ContainerError:
        assert count * ROW_BYTES > len(rest) or count >= 2
        return
    assert container.to_bytes() == data


def test_unknown_kinds_are_kept() -> None:
    container = assemble([Section(4711, b"whatever", b"mine".ljust(16, b"\0"))])
    (section,) = read(container.to_bytes()).sections
    assert (section.kind_name, section.name, section.data) == ("KIND_4711", "mine", b"whatever")


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100, HEADER_BYTES - 1])
def test_cut_headers_are_refused(size: int) -> None:
    with pytest.raises(ContainerError):
        read(G1.read_bytes()[:size])


def test_cut_table_says_how_much_is_missing() -> None:
    with pytest.raises(ContainerError) as caught:
        read(G1.read_bytes()[: HEADER_BYTES + 3 * ROW_BYTES])
    assert caught.value.why == "7 sections need 736 bytes, the file has 576"


def test_another_file_is_named() -> None:
    with pytest.raises(ContainerError, match="this is not an XCLBIN"):
        read(b"\x7fELF" + bytes(1000))


def test_with_section_keeps_the_length() -> None:
    container = golden()
    changed = container.with_section(0, bytes(88))
    assert changed.to_bytes()[736 : 736 + 88] == bytes(88)
    assert len(changed.to_bytes()) == container.file_size
    with pytest.raises(ContainerError, match="as many others"):
        container.with_section(0, b"short")
