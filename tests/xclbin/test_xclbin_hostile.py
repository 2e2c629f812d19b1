"""Hostile bytes: no crash, no hang, no allocation out of proportion."""

from __future__ import annotations

import contextlib
import random
import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.errors import ContainerError
from npukbuild.xclbin import Section, diff, inspect, kinds, normalise, read, verify
from npukbuild.xclbin.build import read_build
from npukbuild.xclbin.container import HEADER_BYTES
from npukbuild.xclbin.insts import decode
from npukbuild.xclbin.insts_report import inspect_stream
from npukbuild.xclbin.metadata import read_kernels
from npukbuild.xclbin.mirror import END, START, read_mirror
from npukbuild.xclbin.partition import read_partition
from npukbuild.xclbin.pdi import read_pdi
from npukbuild.xclbin.topology import read_connections, read_ips, read_memory_banks
from tests.xclbin.xclbin_files import G1, G7, assemble, edited, golden, poke

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READERS: tuple[Callable[[bytes], object], ...] = (
    read_partition, read_memory_banks, read_ips, read_connections, read_kernels, read_pdi, read_build,
    read_mirror, decode,
)  # fmt: skip


def exercise(data: bytes) -> str:
    """Do everything that a command could do with a file; nothing but ContainerError may leave."""
    try:
        container = read(data)
    except ContainerError:
        return "refused"
    assert container.to_bytes() == data
    inspect(container)
    verify(container)
    try:
        after = normalise(data)
    except ContainerError:
        return "read"
    assert normalise(after) == after
    return "normalised"


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield damaged copies: flipped bits, interesting numbers, cut ends, moved and doubled pieces."""
    rng = random.Random(seed)
    numbers = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    head = HEADER_BYTES + 400
    for _ in range(count):
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
            # Half of the damage hits the header and tables, where it does most.
            at = rng.randrange(min(head, len(out))) if rng.random() < 0.5 else rng.randrange(len(out))
            kind = rng.randrange(7)
            if kind <= 1:
                out[at] ^= 1 << rng.randrange(8)
            elif kind == 2:
                out[at] = rng.randrange(256)
            elif kind == 3 and at + 8 <= len(out):
                struct.pack_into("<I", out, at & ~3, rng.choice(numbers))
            elif kind == 4:
                struct.pack_into("<Q", out, min(at & ~7, len(out) - 8), rng.getrandbits(64))
            elif kind == 5:
                del out[at : at + rng.randrange(1, 65)]
            else:
                out[at:at] = out[at : at + rng.randrange(1, 65)]
            if len(out) < 16:
                break
        yield bytes(out)


@pytest.mark.parametrize("path", [G1, G7], ids=["G1", "G7"])
def test_a_sample_of_mutations(path: object) -> None:
    seen = {exercise(data) for data in mutations(path.read_bytes(), 800, 1)}  # type: ignore[attr-defined]
    # The damage reaches all depths, or the test would prove little.
    assert seen == {"refused", "read", "normalised"}


@pytest.mark.slow
@pytest.mark.parametrize("path", [G1, G7], ids=["G1", "G7"])
def test_fifty_thousand_mutations_each(path: object) -> None:
    for data in mutations(path.read_bytes(), 50_000, 2):  # type: ignore[attr-defined]
        exercise(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(READERS))
def test_random_bytes_for_every_reader(data: bytes, reader: Callable[[bytes], object]) -> None:
    with contextlib.suppress(ContainerError):
        reader(data)


@pytest.mark.parametrize("size", range(0, 3433, 61))
def test_cut_partitions(size: int) -> None:
    section = golden().only(kinds.AIE_PARTITION)
    assert section is not None
    # G1's partition ends with its PDI row, so that any cut must be noticed.
    with pytest.raises(ContainerError):
        read_partition(section.data[:size])


def peak(work: Callable[[], object]) -> int:
    """Return the most bytes that ``work`` had allocated at once; its ContainerError is expected."""
    tracemalloc.start()
    try:
        work()
    except ContainerError:
        pass
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return most


HUGE = {
    "banks": lambda: read_memory_banks(struct.pack("<i4x", 0x7FFFFFFF) + bytes(80)),
    "ips": lambda: read_ips(struct.pack("<i4x", 0x7FFFFFFF) + bytes(80)),
    "connections": lambda: read_connections(struct.pack("<i", 0x7FFFFFFF) + bytes(80)),
    "negative": lambda: read_connections(struct.pack("<i", -1) + bytes(80)),
    "start columns": lambda: verify(edited(kinds.AIE_PARTITION, poke("I", 0x28, 0xFFFFFFFF))),
    "PDIs": lambda: verify(edited(kinds.AIE_PARTITION, poke("I", 0x78, 0xFFFFFFFF))),
    "image": lambda: verify(edited(kinds.AIE_PARTITION, poke("I", 0xD08 + 16, 0xFFFFFFFF))),
    "sections": lambda: read(golden().to_bytes()[: HEADER_BYTES - 8] + struct.pack("<I4x", 0xFFFFFFFF)),
    "CDO": lambda: verify(edited(kinds.AIE_PARTITION, poke("I", 0xD0 + 0x158, 0xFFFFFFFF))),
    "stream": lambda: decode(struct.pack("<8I", 0x06030100, 0x101, 1, 32, 1, 0, 0, 0xFFFFFFFC)),
}


@pytest.mark.parametrize("case", HUGE)
def test_huge_counts_allocate_nothing(case: str) -> None:
    assert peak(HUGE[case]) < 2_000_000


def test_sections_on_top_of_each_other_do_not_multiply() -> None:
    # 2,000 rows that each claim the whole file of 1 MB would be 2 GB.
    rows = b"".join(struct.pack("<I16s4xQQ", 6, b"", 0, 1 << 20) for _ in range(2000))
    data = golden().to_bytes()[: HEADER_BYTES - 8] + struct.pack("<I4x", 2000) + rows
    data += bytes((1 << 20) - len(data))
    with pytest.raises(ContainerError, match="on top of each other"):
        read(data)
    assert peak(lambda: read(data)) < 8 << 20


def test_pdis_of_the_same_bytes_do_not_multiply() -> None:
    # 5,000 PDIs that each claim the same 400 KB image.
    image, count = 400_000, 5000

    def claim(data: bytearray) -> None:
        at = len(data)
        data += struct.pack("<16sIIII64x", b"u" * 16, image, 0, 0, 0) * count
        struct.pack_into("<II", data, 0x78, count, at)

    container = edited(kinds.AIE_PARTITION, claim)
    assert peak(lambda: verify(container)) < 12_000_000
    assert any("again and again" in fault.what for fault in verify(container))


KERNEL = (
    b'<project><platform><device><core><kernel type="dpu"><arg name="a" size="%s"/>'
    b"</kernel></core></device></platform></project>"
)
BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<project><platform name="&c;"/></project>"""


@pytest.mark.parametrize(
    "xml",
    [BOMB, BOMB.decode().replace('version="1.0"', 'version="1.0" encoding="utf-16"').encode("utf-16")],
    ids=["utf-8", "utf-16"],
)
def test_document_types_are_refused(xml: bytes) -> None:
    with pytest.raises(ContainerError, match="document type"):
        read_kernels(xml)


@pytest.mark.parametrize(
    "xml",
    [b"<!DOCTYPE project><project/>", b'<!DOCTYPE project SYSTEM "file:///etc/passwd"><project/>'],
)
def test_document_types_without_entities_are_refused(xml: bytes) -> None:
    with pytest.raises(ContainerError, match="document type"):
        read_kernels(xml)


def test_depth_is_bounded_by_itself() -> None:
    # Far below what the parsers stand: our own limit must be the one that strikes.
    assert read_kernels(b"<a>" * 64 + b"</a>" * 64) == ()
    with pytest.raises(ContainerError, match="absurdly"):
        read_kernels(b"<a>" * 65 + b"</a>" * 65)
    assert read_mirror(START + b'{"a":' * 64 + b"1" + b"}" * 64 + END) is not None
    with pytest.raises(ContainerError, match="nested absurdly"):
        read_mirror(START + b'{"a":' * 65 + b"1" + b"}" * 65 + END)


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (b"<project>", "not well-formed"),
        (b"", "not well-formed"),
        (b"<a>" * 200_000, "absurdly"),
        (b"<a>" + b"<b/>" * 200_000 + b"</a>", "absurdly"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "well-formed|decoded"),
        (KERNEL % b"9e9", "number"),
        (KERNEL % (b"9" * 5000), "number"),
    ],
)
def test_bad_metadata_is_named(xml: bytes, words: str) -> None:
    with pytest.raises(ContainerError, match=words):
        read_kernels(xml)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 200_000,
        b'{"header":' * 5000,
        b"{}{}",
        b"[]",
        b"\xff\xfe",
        b'{"section_header":{"Kind":"x"}}',
        b'{"section_header":{"Kind":"6","Offset":' + b"9" * 6000 + b"}}",
        b'{"section_header":{}}',
        b"NaN",
    ],
)
def test_bad_mirrors_are_named(text: bytes) -> None:
    with pytest.raises(ContainerError, match="mirror"):
        read_mirror(START + text + END)


def test_brackets_in_texts_are_no_nesting() -> None:
    mirror = read_mirror(START + b'{"header":{"A":"' + b"[" * 500 + b'\\""}}' + END)
    assert mirror is not None
    assert mirror.header["A"] == "[" * 500 + '"'


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{" * 3, b'{"a":' * 4000 + b"1" + b"}" * 4000, b""])
def test_bad_build_metadata_is_named(text: bytes) -> None:
    with pytest.raises(ContainerError, match="BUILD_METADATA"):
        read_build(text)


def test_build_metadata_says_what_made_it() -> None:
    text = b'{"build_metadata":{"xclbin":{"packaged_by":{"name":"xclbinutil","version":"2.23.0","n":1}}}}\0'
    assert read_build(text) == {"packaged_by": {"name": "xclbinutil", "version": "2.23.0"}}
    report = inspect(assemble([*golden().sections, Section(kinds.BUILD_METADATA, text)]))
    assert report["made_by"]["packaged_by"]["name"] == "xclbinutil"
    assert report["made_by"]["packager_version"] == "2.23.0"


def test_damaged_sections_do_not_hide_the_others() -> None:
    report = inspect(edited(kinds.IP_LAYOUT, poke("i", 0, 99)))
    assert report["kernels"][0]["name"] == "MLIR_AIE"
    assert report["ips"] == []
    assert len(report["unreadable"]) == 1
    assert diff(golden(), golden()) == []


def test_timestamps_beyond_the_calendar_are_shown_as_numbers() -> None:
    data = bytearray(G1.read_bytes())
    struct.pack_into("<Q", data, 0x138, 2**64 - 1)
    assert inspect(read(bytes(data)))["identity"]["created"] is None


@pytest.mark.slow
def test_a_hundred_thousand_mutated_streams() -> None:
    data = G1.with_name("G6_layernorm_1500x512_bf16.insts.bin").read_bytes()
    for mutated in mutations(data, 100_000, 3):
        try:
            inspect_stream(decode(mutated))
        except ContainerError:
            continue


def test_a_sample_of_mutated_streams() -> None:
    data = G1.with_name("G6_layernorm_1500x512_bf16.insts.bin").read_bytes()
    read_back = 0
    for mutated in mutations(data, 1500, 4):
        try:
            inspect_stream(decode(mutated))
            read_back += 1
        except ContainerError:
            continue
    assert 0 < read_back < 1500
