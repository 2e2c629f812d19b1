"""Packets that write and read a tile's registers, sent as data of the host or as operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npukbuild.errors import DesignError, SimulationFault
from npukbuild.ir import load_design
from npukbuild.simulator import Simulator
from tests.simulator.designs import BOTH

DESIGN = """module {
  aie.device(npu1_1col) {
    %shim = aie.tile(0, 0)
    %core = aie.tile(0, 2)
    %go = aie.lock(%core, 3) {init = 0 : i32, sym_name = "go"}
    %full = aie.lock(%core, 4) {init = 0 : i32, sym_name = "full"}
    %free = aie.lock(%core, 5) {init = 1 : i32, sym_name = "free"}
    %a = aie.buffer(%core) {sym_name = "a", address = 1024 : i32} : memref<8xi32>
    %b = aie.buffer(%core) {sym_name = "b", address = 2048 : i32} : memref<8xi32>
    %rest = aie.buffer(%core) {sym_name = "rest", address = 3072 : i32} : memref<8xi32>
    aie.packet_flow(1) {
      aie.packet_source<%shim, DMA : 0>
      aie.packet_dest<%core, TileControl : 0>
    }
    aie.packet_flow(2) {
      aie.packet_source<%core, TileControl : 0>
      aie.packet_dest<%shim, DMA : 1>
    }
    aie.flow(%core, DMA : 0, %shim, DMA : 0)
    %m = aie.mem(%core) {
      %0 = aie.dma_start(MM2S, 0, ^bd, ^end)
    ^bd:
      aie.use_lock(%full, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<8xi32>, 0, 8)
      aie.use_lock(%free, Release, 1)
      aie.next_bd ^bd
    ^end:
      aie.end
    }
    %c = aie.core(%core) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c8 = arith.constant 8 : index
      %many = arith.constant 1000000 : index
      scf.for %n = %c0 to %many step %c1 {
        aie.use_lock(%go, AcquireGreaterEqual, 1)
        aie.use_lock(%free, AcquireGreaterEqual, 1)
        scf.for %i = %c0 to %c8 step %c1 {
          %v = memref.load %a[%i] : memref<8xi32>
          %w = arith.addi %v, %v : i32
          memref.store %w, %b[%i] : memref<8xi32>
        }
        aie.use_lock(%full, Release, 1)
      }
      aie.end
    }
    aie.shim_dma_allocation @send (%shim, MM2S, 0)
    aie.shim_dma_allocation @out (%shim, S2MM, 0)
    aie.shim_dma_allocation @answer (%shim, S2MM, 1)
    aie.runtime_sequence @sequence(%W: memref<WORDSxi32>, %O: memref<8xi32>, %A: memref<4xi32>) {
      SEQUENCE
    }
  }
}
"""
MOVE = (
    "aiex.npu.dma_memcpy_nd(%{0}[0,0,0,{1}][1,1,1,{2}][0,0,0,1]{5}) {{id = {3} : i64, metadata = @{4}, "
    "issue_token = true}} : memref<{6}xi32>\n"
)
OUT = MOVE.format("O", 0, 8, 1, "out", "", 8)
ANSWER = MOVE.format("A", 0, 4, 2, "answer", "", 4)
WAIT = "aiex.npu.dma_wait {symbol = @%s}\n"
PACKET = ", packet = <pkt_id = 1, pkt_type = 0>"


def word(address: int, *, beats: int = 1, operation: int = 0, answer: int = 0) -> int:
    value = answer << 24 | operation << 22 | (beats - 1) << 20 | address
    return value | (value.bit_count() % 2 == 0) << 31


def sequence(lengths: list[int], before: str = OUT, after: str = "") -> str:
    text, start = before, 0
    for length in lengths:
        text += MOVE.format("W", start, length, 0, "send", PACKET, "WORDS") + WAIT % "send"
        start += length
    return text + WAIT % "out" + after


def run(packets: list[list[int]], text: str | None = None, **options: Any) -> tuple[Any, Any, Any]:
    lengths = [len(packet) for packet in packets]
    written = DESIGN.replace("SEQUENCE", sequence(lengths) if text is None else text)
    words = np.array([one for packet in packets for one in packet], np.uint32).view(np.int32)
    design = load_design(written.replace("WORDS", str(len(words))), file="design.mlir")
    out, answer = np.zeros(8, np.int32), np.zeros(4, np.int32)
    result = Simulator(design, **options).run([words, out, answer])
    return out, answer, result


FILL = [
    [word(1024, beats=4), 10, 11, 12, 13],
    [word(1040, beats=3), 14, 15, 16, word(1052), 17],
]
GO = [word(0x1F000 + 3 * 16), 1]


@BOTH
def test_packets_write_memory_and_a_lock(timed: bool) -> None:
    out, _, result = run([*FILL, GO], timed=timed)
    assert (out == 2 * np.arange(10, 18)).all()
    assert result.warnings == ()


@BOTH
def test_packets_read_memory_and_locks_and_answer_with_a_packet(timed: bool) -> None:
    reads = [
        [word(2048 + 4, beats=3, operation=1, answer=2)],
        [word(0x1F000 + 4 * 16, operation=1, answer=2)],
    ]
    text = sequence([len(p) for p in [*FILL, GO]], OUT + ANSWER)
    for place in (13, 14):
        text += MOVE.format("W", place, 1, 0, "send", PACKET, "WORDS") + WAIT % "send"
    out, answer, _ = run([*FILL, GO, *reads], text + WAIT % "answer", timed=timed)
    assert (out == 2 * np.arange(10, 18)).all()
    assert answer.tolist() == [22, 24, 26, 0]


def test_operations_write_the_same_registers() -> None:
    text = (
        "aiex.control_packet {address = 2098176 : ui32, data = array<i32: 1, 2, 3, 4>, opcode = 0 : i32, "
        "stream_id = 0 : i32}\n"
        "aiex.control_packet {address = 2098192 : ui32, data = array<i32: 5, 6, 7, -8>, opcode = 0 : i32, "
        "stream_id = 0 : i32}\n"
        "aiex.control_packet {address = 2224176 : ui32, data = array<i32: 1>, opcode = 0 : i32, "
        "stream_id = 0 : i32}\n"
    )
    out, _, _ = run([[0]], OUT + text + WAIT % "out")
    assert out.tolist() == [2, 4, 6, 8, 10, 12, 14, -16]


@pytest.mark.parametrize(
    ("packet", "told"),
    [
        ([word(1024) ^ 1 << 31, 1], "has the wrong parity"),
        ([word(1024, operation=2), 1], "has operation 2"),
        ([word(1024, beats=4), 1, 2], "a control packet for (0,2) is cut"),
        ([word(0x32000), 1], "does not support a write to register 0x32000 of core tile (0,2)"),
        ([word(5000), 1], "data memory 0x01388 of (0,2) is written, and no buffer lies there"),
        ([word(0x32000, operation=1, answer=2)], "does not support a read of register 0x32000"),
        ([word(3072, operation=1, answer=2)], "rest[byte 0] of (0,2) is read, which was never written"),
        ([word(0x1F000 + 48, operation=1, answer=7)], "answers with packet id 7, and no stream leaves it"),
        ([word(0x1F000 + 48), 64], "lock go of (0,2) cannot be set to 64"),
    ],
)
def test_a_packet_that_the_array_cannot_follow(packet: list[int], told: str) -> None:
    with pytest.raises(SimulationFault) as caught:
        run([packet])
    assert told in caught.value.what
    assert "design.mlir:" in str(caught.value.where)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ("address = 2098176 : ui32, length = 1 : i32, opcode = 1 : i32, stream_id = 2 : i32", "opcode 1"),
        ("address = 2098176 : ui32, opcode = 0 : i32, stream_id = 2 : i32", "without data"),
    ],
)
def test_an_operation_that_is_no_write_is_refused(attributes: str, told: str) -> None:
    with pytest.raises(DesignError, match=rf"aiex\.control_packet .*{told}"):
        run([[0]], f"aiex.control_packet {{{attributes}}}")
