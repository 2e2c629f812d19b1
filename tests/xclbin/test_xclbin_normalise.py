"""Normalise: equal builds become equal bytes, different designs stay different, nothing else moves."""

from __future__ import annotations

import struct
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.errors import ContainerError
from npukbuild.xclbin import Section, diff, kinds, normalise, read, verify
from npukbuild.xclbin.container import HEADER_BYTES
from npukbuild.xclbin.identity import leftovers
from npukbuild.xclbin.partition import read_partition
from tests.xclbin.xclbin_files import G1, G7, PDI_UUID_AT, another_build, assemble, edited, golden, poke, swap


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.binary(max_size=40))
def test_builds_that_differ_in_identity_become_equal(left: int, right: int, key: bytes) -> None:
    ours, theirs = another_build(golden(), left), another_build(golden(), right)
    assert normalise(ours.to_bytes(), key) == normalise(theirs.to_bytes(), key)


def test_normalising_again_changes_nothing() -> None:
    for key in (None, b"", b"key"):
        once = normalise(another_build(golden(), 7).to_bytes(), key)
        assert normalise(once, key) == once


def test_a_wrong_length_does_not_unsettle_it() -> None:
    # The mirror's time stamp has a digit too many, so that rewriting it makes the wrong length right.
    tail = golden().tail[1].replace(b'"TimeStamp":"1795252095"', b'"TimeStamp":"17952520950"')
    container = golden().with_tail(tail)
    damaged = replace(container, header=replace(container.header, length=G1.stat().st_size))
    once = normalise(damaged.to_bytes())
    assert len(once) == G1.stat().st_size
    assert normalise(once) == once


def test_only_the_identity_changes() -> None:
    before = G1.read_bytes()
    after = normalise(before)
    assert len(after) == len(before)
    changed = {i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b}
    allowed = {*range(0x128, 0x130), *range(0x138, 0x140), *range(0x1A0, 0x1B0)}
    mirror = before.index(b"XCLBIN_MIRROR_DATA_START")
    for name, length in ((b"UniqueID", 16), (b"TimeStamp", 10), (b"XclBinUUID", 32)):
        at = before.index(b'"' + name + b'":"', mirror) + len(name) + 4
        allowed |= set(range(at, at + length))
    assert changed <= allowed
    # Each of them did change: uuid, unique id and time in the header and in the mirror.
    assert len(changed) > 60


def test_the_mirror_still_agrees() -> None:
    assert "mirror-disagrees" not in {f.code for f in verify(read(normalise(G1.read_bytes())))}


def test_different_designs_stay_different_even_under_one_key() -> None:
    header = [read(normalise(path.read_bytes(), b"same key")).header for path in (G1, G7)]
    assert header[0].uuid != header[1].uuid
    assert header[0].unique_id != header[1].unique_id
    assert header[0].timestamp != header[1].timestamp


def test_keys_make_a_difference() -> None:
    keys = (None, b"a", b"b", b"ab")
    uuids = [read(normalise(G1.read_bytes(), key)).header.uuid for key in keys]
    assert all(a != b for a, b in combinations(uuids, 2))
    # No key and an empty key are the same thing.
    assert normalise(G1.read_bytes()) == normalise(G1.read_bytes(), b"")


def test_any_other_bit_keeps_builds_apart() -> None:
    # A changed PDI, a changed argument, a changed column: never the same UUID.
    plain = read(normalise(golden().to_bytes())).header.uuid
    for container in (
        edited(kinds.AIE_PARTITION, poke("I", 0x600, 1)),
        edited(kinds.EMBEDDED_METADATA, swap(b'"bo4"', b'"bo5"')),
        edited(kinds.AIE_PARTITION, poke("H", 0x20, 4)),
    ):
        assert read(normalise(container.to_bytes())).header.uuid != plain


def test_values_are_what_xrt_expects() -> None:
    header = read(normalise(G1.read_bytes())).header
    assert header.uuid[6] >> 4 == 4  # version 4
    assert header.uuid[8] >> 6 == 2  # RFC 4122 variant
    assert len(str(header.timestamp)) == 10
    assert 0 < header.unique_id < 2**63


def pdi_uuid(data: bytes) -> bytes:
    section = read(data).only(kinds.AIE_PARTITION)
    assert section is not None
    return read_partition(section.data).pdis[0].uuid


def test_pdi_uuids_are_derived_and_zero_ones_left() -> None:
    random = another_build(golden(), 5).to_bytes()
    assert pdi_uuid(random) != pdi_uuid(normalise(random)) != bytes(16)
    assert pdi_uuid(normalise(G1.read_bytes())) == bytes(16)


def test_zero_pdi_uuids_are_filled_on_request() -> None:
    filled = normalise(G1.read_bytes(), fill_zero_pdi=True)
    assert pdi_uuid(filled) != bytes(16)
    assert verify(read(filled)) == ()


def test_feature_rom_time_is_replaced_only_where_set() -> None:
    header = replace(golden().header, feature_rom_timestamp=1234567890)
    container = assemble(golden().sections, header)
    data = normalise(container.to_bytes())
    assert "mirror-disagrees" not in {f.code for f in verify(read(data))}
    after = read(data).header
    assert after.feature_rom_timestamp == after.timestamp != 1234567890
    assert read(normalise(G1.read_bytes())).header.feature_rom_timestamp == 0


def test_files_without_mirror_are_normalised_too() -> None:
    bare = assemble(golden().sections, mirror=False).to_bytes()
    assert read(normalise(bare)).header.uuid != golden().header.uuid
    assert normalise(normalise(bare)) == normalise(bare)


def test_spaced_json_is_rewritten_in_place() -> None:
    # Other versions of the packager pretty-print the mirror.
    spaced = golden().with_tail(golden().tail[1].replace(b'":"', b'" : "'))
    after = normalise(spaced.to_bytes())
    assert len(after) == len(spaced.to_bytes())
    assert "mirror-disagrees" not in {f.code for f in verify(read(after))}


def test_a_damaged_mirror_is_refused() -> None:
    broken = golden().with_tail(golden().tail[1].replace(b'"Magic"', b'"Magic'))
    with pytest.raises(ContainerError, match="mirror"):
        normalise(broken.to_bytes())


def test_a_mirror_that_hides_the_header_is_refused() -> None:
    tail = golden().tail[1]
    hidden = tail.replace(b'"header":{', b'"header":{"inner":{"TimeStamp":"1795252095"},', 1)
    with pytest.raises(ContainerError, match="cannot be rewritten"):
        normalise(golden().with_tail(hidden).to_bytes())


def test_a_section_over_the_header_is_refused() -> None:
    data = bytearray(G1.read_bytes())
    struct.pack_into("<Q", data, HEADER_BYTES + 24, 0x128)  # the first section's offset: on the unique id
    with pytest.raises(ContainerError, match="cannot be normalised"):
        normalise(bytes(data))


def test_a_signed_file_is_refused() -> None:
    signed = replace(golden(), header=replace(golden().header, signature_length=256))
    with pytest.raises(ContainerError, match="signed"):
        normalise(signed.to_bytes())


def test_leftovers_are_named() -> None:
    build = Section(
        kinds.BUILD_METADATA, b'{"build_metadata":{"xclbin":{"packaged_by":{"time_stamp":"now"}}}}'
    )
    assert leftovers(assemble([*golden().sections, build])) == (
        "BUILD_METADATA carries a time or UUID of its own and is left as it is",
    )
    assert leftovers(golden()) == ()


def test_diff_ignores_identity_unless_asked() -> None:
    ours, theirs = another_build(golden(), 1), another_build(golden(), 2)
    assert diff(ours, theirs) == []
    paths = {d.path for d in diff(ours, theirs, identity=True)}
    assert {"identity.uuid", "identity.timestamp", "identity.pdi_uuids[0]"} <= paths


def test_diff_names_what_differs() -> None:
    changed = edited(kinds.EMBEDDED_METADATA, swap(b'"void*"', b'"char*"'))
    found = {d.path: (d.left, d.right) for d in diff(golden(), changed)}
    assert found["kernels[0].arguments[3].type"] == ("void*", "char*")
    assert all("offset" not in path for path in found)
    columns = {
        d.path: (d.left, d.right) for d in diff(golden(), edited(kinds.AIE_PARTITION, poke("H", 0x20, 4)))
    }
    assert columns["partitions[0].columns"] == (1, 4)


def test_diff_sees_reserved_bytes() -> None:
    changed = replace(golden(), header=replace(golden().header, reserved=b"\0" * 28))
    assert [d.path for d in diff(golden(), changed)] == ["reserved fields or bytes between sections"]


def test_diff_of_a_damaged_file_still_works() -> None:
    damaged = edited(kinds.AIE_PARTITION, poke("I", 0x78, 1 << 30))
    assert any(d.path.startswith("unreadable") for d in diff(golden(), damaged))


def test_pdi_uuid_offset_of_the_tests_is_right() -> None:
    section = golden().only(kinds.AIE_PARTITION)
    assert section is not None
    assert read_partition(section.data).pdis[0].uuid_offset == PDI_UUID_AT
