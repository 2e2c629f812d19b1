"""Streams against their designs: encoded from one, and every departure noticed."""

from __future__ import annotations

import operator
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.errors import ContainerError
from npukbuild.ir import load_design
from npukbuild.ir.design import (
    Allocation,
    Array,
    Buffer,
    Descriptor,
    Dim,
    Free,
    Lock,
    SetLock,
    TileId,
    Wait,
    WriteBuffer,
    WriteRegister,
)
from npukbuild.xclbin.insts import (
    BdWrite,
    BlockWrite,
    ControllerId,
    MaskWrite,
    Patch,
    Write32,
    check_against_design,
    decode,
    encode,
    meaning,
)
from npukbuild.xclbin.insts_report import describe
from npukbuild.xclbin.transfer import Transfer, canonical, transfer_of_bd
from tests.xclbin.golden_sequences import GOLDEN, NAMES, read_sequence
from tests.xclbin.insts_rig import SHORT, golden, one_push, with_operations

if TYPE_CHECKING:
    from npukbuild.ir.design import Design, SequenceOp


@pytest.mark.parametrize("name", NAMES)
def test_golden_streams_are_what_we_encode(name: str) -> None:
    # Byte for byte, from a reading of the design that shares nothing with npukbuild.ir.
    assert encode(read_sequence(name)) == golden(name)


@pytest.mark.parametrize("name", NAMES)
def test_golden_streams_are_their_designs(name: str) -> None:
    design = load_design((GOLDEN / f"{name}.mlir").read_text(), file=f"{name}.mlir")
    assert check_against_design(golden(name), design) == ()
    assert encode(design) == golden(name)


@pytest.mark.parametrize("name", NAMES)
def test_streams_of_other_designs_are_noticed(name: str) -> None:
    design = read_sequence(name)
    for other in NAMES:
        assert bool(check_against_design(golden(other), design)) == (other != name)


def order_of_addresses(fields: dict[str, int]) -> list[int]:
    """Step a shim BD's counters word by word, as the hardware does."""
    sizes = [fields["d0_size"], fields["d1_size"], 0]
    strides = [fields[f"d{index}_stride"] + 1 for index in range(3)]
    counters, out = [0, 0, 0], []
    for _ in range(fields["buffer_length"]):
        out.append(sum(map(operator.mul, counters, strides)))
        for index, size in enumerate(sizes):
            counters[index] += 1
            if counters[index] != size:
                break
            counters[index] = 0
    return out


def without_effect(name: str, changed: bytes, word: int) -> bool:
    """Say whether a change keeps every address in its order, or only touches what no one reads."""
    ours, theirs = decode(golden(name)), decode(changed)
    for operation, other in zip(ours.operations, theirs.operations, strict=True):
        left, right = meaning(operation, ours), meaning(other, theirs)
        if isinstance(operation, Patch) and word - operation.at in (2, 3, 4):
            return True  # reserved words
        if isinstance(operation, MaskWrite) and word - operation.at == 4:
            return left == right  # bits outside the mask
        if left != right:
            assert isinstance(left, BdWrite)
            assert isinstance(right, BdWrite)
            names = {key for key, value in left.fields.items() if right.fields[key] != value}
            attributes = {"burst_length", "axcache", "axqos", "smid"}
            unread = {"packet_type", "packet_id", "next_bd"}
            if names <= attributes | unread:
                return not left.fields["enable_packet"] and not left.fields["use_next_bd"]
            return order_of_addresses(left.fields) == order_of_addresses(right.fields)
    return False


@pytest.mark.parametrize("name", SHORT)
def test_every_changed_word_is_noticed(name: str) -> None:
    design, data = read_sequence(name), golden(name)
    noticed = 0
    for index in range(len(data) // 4):
        for bit in (0, 5, 9, 17, 31):
            changed = bytearray(data)
            (word,) = struct.unpack_from("<I", data, 4 * index)
            struct.pack_into("<I", changed, 4 * index, word ^ 1 << bit)
            try:
                if check_against_design(bytes(changed), design):
                    noticed += 1
                    continue
            except ContainerError:
                noticed += 1
                continue
            assert without_effect(name, bytes(changed), index), (index, bit)
    assert noticed > 3 * len(data) // 4


# What a transfer does, by brute force: the addresses in order.
def addresses(length: int, dims: tuple[tuple[int, int], ...]) -> list[int]:
    out = [0]
    for size, stride in dims or ((length, 1),):
        out = [base + index * stride for base in out for index in range(size)]
    return out[:length]


dims_strategy = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 40)), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(dims_strategy)
def test_canonical_dims_keep_the_order_of_addresses(dims: list[tuple[int, int]]) -> None:
    length = 1
    for size, _ in dims:
        length *= size
    assert addresses(length, canonical(dims)) == addresses(length, tuple(dims))


@settings(max_examples=150, deadline=None)
@given(dims_strategy)
def test_bd_fields_say_what_the_descriptor_says(dims: list[tuple[int, int]]) -> None:
    data = encode(one_push(dims=tuple(Dim(*dim) for dim in dims)))
    found = decode(data)
    bd = next(m for m in (meaning(op, found) for op in found.operations) if isinstance(m, BdWrite))
    transfer = transfer_of_bd(bd.fields, (0, 0))
    assert addresses(transfer.length, transfer.dims) == addresses(transfer.length, tuple(dims))


def test_other_sequence_operations_are_encoded_and_checked() -> None:
    tile = TileId(0, 3)
    extras: tuple[SequenceOp, ...] = (
        WriteBuffer("rtp", 2, -1),
        SetLock("go", 1),
        WriteRegister(tile, 0x32000, 1),
        WriteRegister(tile, 0x32000, 1, 0xFF),
        Free("task"),
        Wait(TileId(0, 0), "MM2S", 0, count=2),
    )
    design = replace(
        one_push(*extras, token=True),
        buffers={"rtp": Buffer("rtp", tile, Array("i32", (16,)), 0x400)},
        locks={"go": Lock("go", TileId(0, 1), 5, 0)},
    )
    found = decode(encode(design))
    assert [describe(operation, found) for operation in found.operations[-6:]] == [
        "write (0,3) 0x408 = 0xffffffff",
        "write (0,1) 0xc0050 = 0x1",
        "write (0,3) 0x32000 = 0x1",
        "write (0,3) 0x32000 = 0x1 under mask 0xff",
        "wait for (0,0) MM2S 0",
        "wait for (0,0) MM2S 0",
    ]
    assert check_against_design(found, design) == ()
    other = with_operations(*design.sequence.operations[:-1])
    assert any(
        "the design lacks" in str(m)
        for m in check_against_design(found, replace(design, sequences=other.sequences))
    )


def test_chained_descriptors_are_encoded_and_checked() -> None:
    chain = (Descriptor("A", 0, 64, next=1, id=4), Descriptor("A", 640, 64, packet=(2, 7), id=9))
    design = one_push(descriptors=chain, repeat=2)
    found = decode(encode(design))
    assert check_against_design(found, design) == ()
    assert "then BD 9" in describe(found.operations[0], found)
    swapped = one_push(descriptors=(chain[0], replace(chain[1], offset=641)), repeat=2)
    (mismatch,) = check_against_design(found, swapped)
    assert str(mismatch) == (
        "start of (0,0) MM2S 0: BD 1 offset is 2560 bytes, the design says 2564 bytes (word 52)"
    )
    endless = one_push(descriptors=(chain[0], replace(chain[1], next=0)), repeat=2)
    assert any("endless" in str(m) for m in check_against_design(found, endless))


def test_mismatches_name_both_places() -> None:
    name = SHORT[0]
    text = (GOLDEN / f"{name}.mlir").read_text()
    text = text.replace("%C[0, 0, 0, 0][1, 8, 64, 64]", "%C[0, 0, 0, 0][1, 4, 64, 64]")
    mismatches = check_against_design(golden(name), load_design(text, file="design.mlir"))
    start = "start of (0,0) S2MM 0"
    assert [m.what for m in mismatches] == [
        f"{start}: length is 16384 words, the design says 8192 words",
        f"{start}: pattern is 8@32 64@256 32@1, the design says 4@32 64@256 32@1",
    ]
    assert str(mismatches[0]).endswith("(word 95, design.mlir:48:7)")


def test_streams_of_another_device_are_noticed() -> None:
    design = replace(read_sequence(SHORT[0]), device="npu2_2col")
    words = [str(m) for m in check_against_design(golden(SHORT[0]), design)]
    assert words == [
        "the stream is for device generation 3, npu2_2col is 4",
        "the stream is for 1 columns, npu2_2col has 2",
    ]


def test_registers_no_design_names_are_noticed() -> None:
    design = one_push()
    found = decode(encode(design))
    # BD 16 of 16 is the channels' control registers.
    beyond = BlockWrite(900, 0x1D000 + 0x20 * 16, (0,) * 8)
    noticed = check_against_design(replace(found, operations=(*found.operations, beyond)), design)
    assert any("0x1d200" in str(m) for m in noticed)


def test_a_token_without_receiver_is_noticed() -> None:
    design = one_push(direction="S2MM")
    data = encode(design)
    found = decode(data)
    without = [op for op in found.operations if not isinstance(meaning(op, found), ControllerId)]
    assert len(without) == len(found.operations) - 1
    mismatches = check_against_design(replace(found, operations=tuple(without)), design)
    assert [m.what for m in mismatches] == ["the token of (0,0) S2MM 0 has no receiver"]


def test_bds_that_are_never_started_are_noticed() -> None:
    found = decode(golden(SHORT[0]))
    extra = BlockWrite(999, 0x1D000 + 0x20 * 7, (64, 0, 0, 0, 0, 0, 0, 1 << 25))
    mismatches = check_against_design(
        replace(found, operations=(*found.operations, extra)), read_sequence(SHORT[0])
    )
    assert [str(m) for m in mismatches] == ["BD 7 of (0,0) is never started (word 999)"]


def test_unwritten_bds_and_stray_patches_are_noticed() -> None:
    found = decode(golden(SHORT[0]))
    strays = (Write32(900, 0x1D214, 11), Patch(906, 0, 0x1D028, 0, 0))
    words = [
        str(m)
        for m in check_against_design(
            replace(found, operations=(*found.operations, *strays)), read_sequence(SHORT[0])
        )
    ]
    assert "BD 11 of (0,0) is started unwritten (word 900)" in words
    assert "a patch of 0x1d028, which is no BD's address (word 906)" in words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"descriptors": (Descriptor("A", 0, 64),)}, "no usable id"),
        ({"descriptors": (Descriptor("A", 0, 64, id=16),)}, "no usable id"),
        ({"descriptors": (Descriptor("Z", 0, 64, id=1),)}, "no argument of the sequence"),
        ({"descriptors": (Descriptor("A", 0, 4096, (Dim(4, 2048), Dim(1024, 1)), id=1),)}, "d0_size"),
        ({"descriptors": (Descriptor("A", 0, 16, (Dim(2, 1),) * 4, id=1),)}, "three dimensions"),
        ({"repeat": 256}, "repeat count"),
        ({"target": Allocation("m", TileId(0, 1), "MM2S", 0)}, "tile's own buffers"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ContainerError, match=words):
        encode(one_push(**changes))


def test_sub_word_transfers_are_whole_words() -> None:
    def with_bf16(descriptor: Descriptor) -> Design:
        base = one_push(descriptors=(descriptor,))
        sequence = replace(base.sequence, arguments=(("A", Array("bf16", (4096,))),))
        return replace(base, sequences={"sequence": sequence})

    for descriptor, words in (
        (Descriptor("A", 0, 3, id=0), "length"),
        (Descriptor("A", 0, 6, (Dim(2, 8), Dim(3, 1)), id=0), "innermost size"),
        (Descriptor("A", 0, 8, (Dim(2, 5), Dim(4, 1)), id=0), "stride"),
        (Descriptor("A", 0, 8, (Dim(2, 64), Dim(4, 2)), id=0), "innermost stride is not 1"),
    ):
        with pytest.raises(ContainerError, match=words):
            encode(with_bf16(descriptor))


def test_transfers_that_are_spelled_differently_are_equal() -> None:
    # 8 rows of 64 at pitch 64 are one run of 512.
    flat, rows = one_push(dims=(Dim(512, 1),)), one_push(dims=(Dim(8, 64), Dim(64, 1)))
    assert encode(flat) != encode(rows)
    assert check_against_design(encode(flat), rows) == ()
    assert check_against_design(encode(rows), flat) == ()
    assert Transfer(0, 0, 512, canonical([(8, 64), (64, 1)]), None).as_dict()["pattern"] == "contiguous"


def test_devices_without_streams_are_refused() -> None:
    for device in ("xcvc1902", "npu9", "npu1_0col", ""):
        with pytest.raises(ContainerError, match="takes no instruction stream"):
            encode(replace(read_sequence(SHORT[0]), device=device))
