"""Data through memtile buffers that lie on a neighbour, and two sources whose packets meet in one channel."""

from __future__ import annotations

import numpy as np
import pytest

from npukbuild.simulator import Simulator
from tests.simulator.designs import load

SPILLED = """module { aie.device(npu1) {
  %s = aie.tile(1, 0)
  %m = aie.tile(1, 1)
  aie.objectfifo @x(%s, {%m}, 5 : i32) : !aie.objectfifo<memref<32768xi32>>
  aie.objectfifo @y(%m, {%s}, 5 : i32) : !aie.objectfifo<memref<32768xi32>>
  aie.objectfifo.link [@x] -> [@y]([] [0])
  aie.runtime_sequence @sequence(%X: memref<229376xi32>, %Y: memref<229376xi32>) {
    aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,229376][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<229376xi32>
    aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,229376][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<229376xi32>
    aiex.npu.dma_wait {symbol = @y}
  }
} }
"""  # noqa: E501


@pytest.mark.parametrize("timed", [False, True])
def test_a_fifo_that_spills_to_the_next_memtile_keeps_its_order(timed: bool) -> None:
    design = load(SPILLED)
    homes = {buffer.tile for buffer in design.buffers.values()}
    assert len(homes) == 2, "five objects of 128 KiB do not fit one memtile of 512 KiB"
    simulator = Simulator(design, timed=timed)
    for number in range(2):
        sent = np.arange(229376, dtype=np.int32) + number
        received = np.zeros_like(sent)
        assert simulator.run([sent, received]).warnings == ()
        assert (received == sent).all()


MEMORY = """
  %aA = aie.buffer(%cA) {sym_name = "aA"} : memref<64xi32>
  %pA = aie.lock(%cA, 0) {init = 1 : i32, sym_name = "pA"}
  %fA = aie.lock(%cA, 1) {init = 0 : i32, sym_name = "fA"}
  %coreA = aie.core(%cA) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %n = arith.constant 64 : index
    %k = arith.constant VALUE : i32
    %forever = arith.constant 2147483640 : index
    scf.for %it = %c0 to %forever step %c1 {
      aie.use_lock(%pA, AcquireGreaterEqual, 1)
      scf.for %i = %c0 to %n step %c1 {
        %j = arith.index_cast %i : index to i32
        %v = arith.addi %j, %k : i32
        memref.store %v, %aA[%i] : memref<64xi32>
      }
      aie.use_lock(%fA, Release, 1)
    }
    aie.end
  }
  %memA = aie.mem(%cA) {
    %0 = aie.dma_start(MM2S, 0, ^send, ^end)
  ^send:
    aie.use_lock(%fA, AcquireGreaterEqual, 1)
    aie.dma_bd(%aA : memref<64xi32>, 0, 64) {packet = #aie.packet_info<pkt_type = 0, pkt_id = IDENT>}
    aie.use_lock(%pA, Release, 1)
    aie.next_bd ^send
  ^end:
    aie.end
  }
  aie.packet_flow(IDENT) { aie.packet_source<%cA, DMA : 0> aie.packet_dest<%s, DMA : 0> }
"""


def test_packets_of_two_sources_take_turns_at_one_channel() -> None:
    parts = []
    for tag, value, ident in (("P", "1000", "1"), ("Q", "2000", "2")):
        text = MEMORY.replace("VALUE", value).replace("IDENT", ident)
        for name in ("aA", "pA", "fA", "cA", "coreA", "memA"):
            text = text.replace(f"%{name}", f"%{name[:-1]}{tag}").replace(f'"{name}"', f'"{name[:-1]}{tag}"')
        parts.append(text)
    design = load(
        "module { aie.device(npu1_1col) { %s = aie.tile(0, 0)\n %cP = aie.tile(0, 2)\n %cQ = aie.tile(0, 3)\n"
        + "".join(parts)
        + "aie.shim_dma_allocation @y (%s, S2MM, 0)\n"
        "aie.runtime_sequence @sequence(%Y: memref<512xi32>) {\n"
        "aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,512][0,0,0,1]) {id = 1 : i64, metadata = @y}"
        " : memref<512xi32>\n aiex.npu.dma_wait {symbol = @y} } } }"
    )
    received = np.zeros(512, np.int32)
    Simulator(design).run([received])
    packets = received.reshape(8, 64)
    sources = packets[:, 0].tolist()
    # Words of two packets never mix, and a waiting source comes before the other's next packet.
    assert (packets == np.array(sources)[:, None] + np.arange(64)).all()
    assert sorted(sources) == [1000] * 4 + [2000] * 4


ALWAYS_READY = """
  %cNUM = aie.tile(0, ROW)
  %bNUM = aie.buffer(%cNUM) {sym_name = "bNUM"} : memref<64xi32> = dense<NUM>
  %mNUM = aie.mem(%cNUM) {
    %0 = aie.dma_start(MM2S, 0, ^send, ^end)
  ^send:
    aie.dma_bd(%bNUM : memref<64xi32>, 0, 64) {packet = #aie.packet_info<pkt_type = 0, pkt_id = NUM>}
    aie.next_bd ^send
  ^end:
    aie.end
  }
  aie.packet_flow(NUM) { aie.packet_source<%cNUM, DMA : 0> aie.packet_dest<%s, DMA : 0> }
"""


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("sources", [2, 3])
def test_sources_that_always_have_a_packet_come_one_after_the_other(sources: int, timed: bool) -> None:
    numbers = range(1, sources + 1)
    words = 64 * sources * 4
    parts = [ALWAYS_READY.replace("NUM", str(n)).replace("ROW", str(n + 1)) for n in numbers]
    design = load(
        "module { aie.device(npu1_1col) { %s = aie.tile(0, 0)\n"
        + "".join(parts)
        + "aie.shim_dma_allocation @y (%s, S2MM, 0)\n"
        + f"aie.runtime_sequence @sequence(%Y: memref<{words}xi32>) {{\n"
        + f"aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,{words}][0,0,0,1])"
        + f" {{id = 1 : i64, metadata = @y}} : memref<{words}xi32>\n"
        + "aiex.npu.dma_wait {symbol = @y} } } }"
    )
    received = np.zeros(words, np.int32)
    Simulator(design, timed=timed).run([received])
    packets = received.reshape(-1, 64)
    assert (packets == packets[:, :1]).all(), "words of two packets never mix"
    assert packets[:, 0].tolist() == [*numbers] * 4
