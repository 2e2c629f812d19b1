"""The instruction stream's codec: golden streams decode, damaged ones are refused."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.errors import ContainerError
from npukbuild.xclbin.insts import BdWrite, ControllerId, LoadPdi, Preempt, QueuePush, Sync, decode, meaning
from npukbuild.xclbin.insts_report import describe, inspect_stream
from npukbuild.xclbin.registers import registers
from tests.xclbin.golden_sequences import GOLDEN, NAMES
from tests.xclbin.insts_rig import SHORT, golden, stream

FACTS = json.loads((GOLDEN / "golden.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_golden_streams_decode_to_their_counts(name: str) -> None:
    found = decode(golden(name))
    assert found.counts() == FACTS[name]["insts_ops"]
    assert found.word_count == FACTS[name]["insts_words"]
    device = FACTS[name]["device"]
    assert (found.generation, found.columns) == {
        "npu1_1col": (3, 1),
        "npu1": (3, 4),
        "npu2": (4, 8),
    }[device]


@pytest.mark.parametrize("name", SHORT)
def test_cut_streams_are_refused(name: str) -> None:
    data = golden(name)
    for size in range(0, len(data), 2):
        with pytest.raises(ContainerError):
            decode(data[:size])


def test_a_bd_and_its_push_are_decoded() -> None:
    found = decode(golden("G2_matmul_128x512x512_bf16"))
    known = [meaning(operation, found) for operation in found.operations]
    bd = next(item for item in known if isinstance(item, BdWrite) and item.bd == 1)
    # %B[8,8,64,64] strides [64,32768,512,1] of bf16: words are pairs.
    assert bd.fields["buffer_length"] == 8 * 64 * 64 // 2
    assert (bd.fields["d0_size"], bd.fields["d1_size"]) == (32, 64)
    assert (bd.fields["d1_stride"], bd.fields["d2_stride"]) == (255, 16383)
    assert (bd.fields["iteration_size"], bd.fields["iteration_stride"]) == (7, 31)
    assert (bd.fields["burst_length"], bd.fields["valid"]) == (2, 1)
    push = next(item for item in known if isinstance(item, QueuePush) and item.bd == 1)
    assert (push.direction, push.channel, push.repeat, push.token) == ("MM2S", 1, 7, False)
    control = next(item for item in known if isinstance(item, ControllerId))
    assert (control.direction, control.channel, control.controller) == ("S2MM", 0, 15)
    sync = found.operations[-1]
    assert isinstance(sync, Sync)
    assert (sync.column, sync.row, sync.direction, sync.channel, sync.columns, sync.rows) == (
        0,
        0,
        0,
        0,
        1,
        1,
    )


def test_all_operations_have_words_and_a_sentence() -> None:
    data = stream(
        [0, 0, 0x00200400, 0, 7, 24],
        [1, 0, 0x00200500, 24, 1, 2],
        [3, 0, 0x0001D208, 0, 0xF00, 0x1F00, 28],
        [3, 0, 0x00200600, 0, 1, 3, 28],
        [6 | 2 << 8],
        [8 | 5 << 16, 4096, 0x1000, 2],
        [128, 16, 1 | 1 << 8, 1 << 8 | 2 << 16 | 3 << 24],
        [129, 48, 0, 0, 0, 0, 0x1D004, 0, 2, 0, 64, 0],
    )
    found = decode(data)
    assert [describe(operation, found) for operation in found.operations] == [
        "write (0,2) 0x400 = 0x7",
        "write 2 words from (0,2) 0x500",
        "tokens of (0,0) S2MM 1 go to controller 15",
        "write (0,2) 0x600 = 0x1 under mask 0x3",
        "preemption point, level 2",
        "load PDI 5: 4096 bytes at 0x200001000",
        "wait for (0,1) MM2S 3",
        "(0,0) 0x1d004 += address of argument 2 + 64 bytes",
    ]
    assert found.operations[4:6] == (Preempt(30, 2), LoadPdi(31, 5, 4096, 0x200001000))
    report = inspect_stream(found)
    assert report["counts"]["loadpdi"] == 1
    assert json.loads(json.dumps(report))["operations"][5]["size"] == 4096


def test_memtile_and_core_bds_are_decoded() -> None:
    mem, core = registers().tiles["mem"], registers().tiles["core"]
    mem_words = mem.pack_bd(
        {"buffer_length": 1024, "base_address": 0x20000, "d0_size": 16, "d0_stride": 0, "d1_stride": 31,
         "lock_acquire_enable": 1, "lock_acquire_id": 64,
         "use_next_bd": 1, "next_bd": 25, "valid": 1}
    )  # fmt: skip
    core_words = core.pack_bd({"buffer_length": 512, "base_address": 0x340})
    data = stream(
        [1, 0, 1 << 20 | 0xA0000 + 0x20 * 24, 48, *mem_words],
        [0, 0, 1 << 20 | 0xA063C, 0, 24 | 3 << 16, 24],
        [1, 2 << 8, 2 << 20 | 0x1D000 + 0x20 * 15, 40, *core_words],
        [0, 0, 2 << 20 | 0x1DE0C, 0, 15 | 1 << 31, 24],
    )
    found = decode(data)
    assert [describe(operation, found) for operation in found.operations] == [
        "BD 24 of (0,1): 1024 words at 0x80000, d0 16@1, d1 rest@32, acquire lock 64, then BD 25",
        "start (0,1) MM2S 1: BD 24, 4 times",
        "BD 15 of (0,2): 512 words at 0xd00, not valid",
        "start (0,2) S2MM 1: BD 15, token",
    ]


@pytest.mark.parametrize("kind", ["shim", "mem", "core"])
def test_bd_fields_do_not_overlap(kind: str) -> None:
    tile = registers().tiles[kind]
    taken: dict[int, int] = {}
    for name, field in tile.fields.items():
        mask = field.limit << field.lsb
        assert field.lsb + field.bits <= 32
        assert not taken.get(field.word, 0) & mask, name
        taken[field.word] = taken.get(field.word, 0) | mask
        # And each comes back from the words it went into.
        assert tile.unpack_bd(tile.pack_bd({name: field.limit}))[name] == field.limit
        with pytest.raises(ContainerError, match="does not fit"):
            tile.pack_bd({name: field.limit + 1})


HEADERS = {
    "version": (0, 0x06030200, "format version 0.2"),
    "generation": (0, 0x06090100, "device generation 9"),
    "rows": (0, 0x07030100, "7 rows"),
    "columns": (1, 0x105, "5 columns on npu1 with 4"),
    "no columns": (1, 0x100, "0 columns"),
    "memtile rows": (1, 0x201, "second word 0x201"),
    "count": (2, 12, "it says 12 operations, 11 follow"),
    "bytes": (3, 424, "it says 424 bytes, the file has 420"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers_are_checked(case: str) -> None:
    at, value, words = HEADERS[case]
    data = bytearray(golden(SHORT[0]))
    struct.pack_into("<I", data, 4 * at, value)
    with pytest.raises(ContainerError) as caught:
        decode(bytes(data))
    assert words in (caught.value.why or "")


def test_all_mistakes_of_a_header_come_at_once() -> None:
    data = bytearray(golden(SHORT[0]))
    struct.pack_into("<4I", data, 0, 0x07090200, 0x302, 1, 2)
    with pytest.raises(ContainerError) as caught:
        decode(bytes(data))
    assert len(caught.value.details) == 5


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ([2, 0, 0, 0], "unknown operation"),
        ([5], "unknown operation"),
        ([130, 16, 0, 0], "unknown operation"),
        ([0, 0, 4, 0, 1, 20], "damaged"),
        ([0, 9, 4, 0, 1, 24], "damaged"),
        ([0 | 1 << 8, 0, 4, 0, 1, 24], "damaged"),
        ([1, 0, 4, 15], "damaged"),
        ([1, 0, 4, 18, 1], "damaged"),
        ([1, 3, 4, 20, 1], "damaged"),
        ([1, 0, 4, 400, 1], "cut off"),
        ([3, 0, 4, 0, 1, 1, 24], "damaged"),
        ([128, 16, 2, 0], "damaged"),
        ([128, 12, 0, 0], "damaged"),
        ([129, 48, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], "damaged"),
        ([8, 0, 0], "cut off"),
    ],
)
def test_damaged_operations_are_named_with_their_word(operation: list[int], words: str) -> None:
    with pytest.raises(ContainerError, match=words) as caught:
        decode(stream([6], operation))
    assert (caught.value.where or "").startswith("word 5")


def test_the_old_text_form_is_recognised() -> None:
    text = b"06030100\n00000101\n0000000b\n000001a4\n"
    with pytest.raises(ContainerError, match="is text"):
        decode(text)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=60))
def test_random_words_are_decoded_or_refused(words: list[int]) -> None:
    data = struct.pack(f"<{len(words)}I", *words)
    for candidate in (data, stream(words)):
        try:
            inspect_stream(decode(candidate))
        except ContainerError:
            continue
