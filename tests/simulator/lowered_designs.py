"""Designs that are lowered already: buffers, locks and DMA programs written out."""

from __future__ import annotations

LOWERED = """module { aie.device(npu1_1col) {
  %shim = aie.tile(0, 0)
  %core = aie.tile(0, 2)
  %x0 = aie.buffer(%core) {sym_name = "x0"ADDRESS} : memref<64xi32>
  %x1 = aie.buffer(%core) {sym_name = "x1"} : memref<64xi32>
  %y0 = aie.buffer(%core) {sym_name = "y0"} : memref<64xi32>
  %xp = aie.lock(%core, 0) {init = 2 : i32, sym_name = "xp"}
  %xc = aie.lock(%core, 1) {init = 0 : i32, sym_name = "xc"}
  %yp = aie.lock(%core, 2) {init = 1 : i32, sym_name = "yp"}
  %yc = aie.lock(%core, 3) {init = 0 : i32, sym_name = "yc"}
  FLOWS
  aie.shim_dma_allocation @x (%shim, MM2S, 0)
  aie.shim_dma_allocation @y (%shim, S2MM, 0)
  %c = aie.core(%core) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %n = arith.constant 64 : index
    %forever = arith.constant 2147483640 : index
    scf.for %it = %c0 to %forever step %c1 {
      TURN0
      TURN1
    }
    aie.end
  }
  %m = aie.mem(%core) {
    %0 = aie.dma_start(S2MM, 0, ^in0, ^send)
  ^in0:
    aie.use_lock(%xp, AcquireGreaterEqual, 1)
    aie.dma_bd(%x0 : memref<64xi32>, 0, 64)
    aie.use_lock(%xc, Release, 1)
    aie.next_bd ^in1
  ^in1:
    aie.use_lock(%xp, AcquireGreaterEqual, 1)
    aie.dma_bd(%x1 : memref<64xi32>, 0, 64)
    aie.use_lock(%xc, Release, 1)
    aie.next_bd ^in0
  ^send:
    %1 = aie.dma_start(MM2S, 0, ^out0, ^end)
  ^out0:
    aie.use_lock(%yc, AcquireGreaterEqual, 1)
    aie.dma_bd(%y0 : memref<64xi32>, 0, 64, [<size = 8, stride = 1>, <size = 8, stride = 8>]) PACKET
    aie.use_lock(%yp, Release, 1)
    aie.next_bd ^out0
  ^end:
    aie.end
  }
  aie.runtime_sequence @sequence(%X: memref<256xi32>, %Y: memref<256xi32>) {
    aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,256][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
    aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,256][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<256xi32>
    aiex.npu.dma_wait {symbol = @y}
  }
} }
"""
TURN = """aie.use_lock(%xc, AcquireGreaterEqual, 1)
      aie.use_lock(%yp, AcquireGreaterEqual, 1)
      scf.for %i = %c0 to %n step %c1 {
        %v = memref.load %BUFFER[%i] : memref<64xi32>
        memref.store %v, %y0[%i] : memref<64xi32>
      }
      aie.use_lock(%xp, Release, 1)
      aie.use_lock(%yc, Release, 1)"""
CIRCUIT = "aie.flow(%shim, DMA : 0, %core, DMA : 0)\n  aie.flow(%core, DMA : 0, %shim, DMA : 0)"
PACKETS = """aie.flow(%shim, DMA : 0, %core, DMA : 0)
  aie.packet_flow(3) { aie.packet_source<%core, DMA : 0> aie.packet_dest<%shim, DMA : 0> }"""


def lowered(turn: str = TURN, flows: str = CIRCUIT, packet: str = "", address: str = "") -> str:
    text = LOWERED.replace("TURN0", turn.replace("BUFFER", "x0")).replace("TURN1", turn.replace("BUFFER", "x1").replace("%i", "%i2").replace("%v", "%v2"))  # fmt: skip  # noqa: E501
    return text.replace("FLOWS", flows).replace("PACKET", packet).replace("ADDRESS", address)


FORWARD = """module { aie.device(npu1_1col) {
  %shim = aie.tile(0, 0)
  %mem = aie.tile(0, 1)
  %one = aie.tile(0, 2)
  %two = aie.tile(0, 3)
  aie.packet_flow(1) {
    aie.packet_source<%shim, DMA : 0>
    aie.packet_dest<%mem, DMA : 0>
  } {keep_pkt_header = true}
  aie.packet_flow(2) {
    aie.packet_source<%shim, DMA : 0>
    aie.packet_dest<%mem, DMA : 0>
  } {keep_pkt_header = true}
  aie.packet_flow(1) { aie.packet_source<%mem, DMA : 0> aie.packet_dest<%one, DMA : 0> }
  aie.packet_flow(2) { aie.packet_source<%mem, DMA : 0> aie.packet_dest<%two, DMA : 0> }
  aie.flow(%one, DMA : 0, %shim, DMA : 0)
  aie.flow(%two, DMA : 0, %shim, DMA : 1)
  aie.shim_dma_allocation @x (%shim, MM2S, 0)
  aie.shim_dma_allocation @y (%shim, S2MM, 0)
  aie.shim_dma_allocation @z (%shim, S2MM, 1)
  %held = aie.buffer(%mem) {sym_name = "held"} : memref<65xi32>
  %hp = aie.lock(%mem, 0) {init = 1 : i32, sym_name = "hp"}
  %hc = aie.lock(%mem, 1) {init = 0 : i32, sym_name = "hc"}
  %md = aie.memtile_dma(%mem) {
    %0 = aie.dma(S2MM, 0) [{
      aie.use_lock(%hp, AcquireGreaterEqual, 1)
      aie.dma_bd(%held : memref<65xi32>)
      aie.use_lock(%hc, Release, 1)
    }]
    %1 = aie.dma(MM2S, 0) [{
      aie.use_lock(%hc, AcquireGreaterEqual, 1)
      aie.dma_bd(%held : memref<65xi32>)
      aie.use_lock(%hp, Release, 1)
    }]
    aie.end
  }
  PASS
  aie.runtime_sequence @sequence(%X: memref<256xi32>, %Y: memref<256xi32>) {
    aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,64][0,0,0,1], packet = <pkt_id = 2, pkt_type = 0>)
      {id = 0 : i64, metadata = @x} : memref<256xi32>
    aiex.npu.dma_memcpy_nd(%X[0,0,0,64][1,1,1,64][0,0,0,1], packet = <pkt_id = 1, pkt_type = 0>)
      {id = 1 : i64, metadata = @x} : memref<256xi32>
    aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,64][0,0,0,1]) {id = 2 : i64, metadata = @y} : memref<256xi32>
    aiex.npu.dma_memcpy_nd(%Y[0,0,0,64][1,1,1,64][0,0,0,1]) {id = 3 : i64, metadata = @z} : memref<256xi32>
    aiex.npu.dma_wait {symbol = @y}
    aiex.npu.dma_wait {symbol = @z}
  }
} }
"""
FORWARD_CORE = """%b{i} = aie.buffer(%{tile}) {{sym_name = "b{i}"}} : memref<64xi32>
  %p{i} = aie.lock(%{tile}, 0) {{init = 1 : i32, sym_name = "p{i}"}}
  %c{i} = aie.lock(%{tile}, 1) {{init = 0 : i32, sym_name = "c{i}"}}
  %m{i} = aie.mem(%{tile}) {{
    %0 = aie.dma(S2MM, 0) [{{
      aie.use_lock(%p{i}, AcquireGreaterEqual, 1)
      aie.dma_bd(%b{i} : memref<64xi32>)
      aie.use_lock(%c{i}, Release, 1)
    }}]
    %1 = aie.dma(MM2S, 0) [{{
      aie.use_lock(%c{i}, AcquireGreaterEqual, 1)
      aie.dma_bd(%b{i} : memref<64xi32>)
      aie.use_lock(%p{i}, Release, 1)
    }}]
    aie.end
  }}
  """
