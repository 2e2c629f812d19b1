"""Designs whose streams are routed through switches already: the same flows, the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from npukbuild.errors import DesignError
from npukbuild.ir import load_design
from npukbuild.ir.design import Port, TileId
from tests.simulator.combined import adds, call, device, move, wait

SHIM = """%sw00 = aie.switchbox(%s0) {
  aie.connect<South : 3, North : 0>
  aie.connect<North : 1, South : 2>
  aie.connect<East : 0, South : 3>
}
%mux = aie.shim_mux(%s0) {
  aie.connect<DMA : 0, North : 3>
  aie.connect<North : 2, DMA : 0>
  aie.connect<North : 3, DMA : 1>
}
%sw01 = aie.switchbox(%m0) {
  aie.connect<South : 0, North : 2>
  aie.connect<North : 0, South : 1>
}
%sw10 = aie.switchbox(%s1) { aie.connect<North : 3, West : 0> }
%sw11 = aie.switchbox(%m1) { aie.connect<North : 2, South : 3> }
aie.wire(%s0 : DMA, %mux : DMA)
aie.wire(%mux : North, %sw00 : South)"""
CORES = """%sw02 = aie.switchbox(%c0_2) {
  aie.connect<South : 2, DMA : 1>
  aie.connect<South : 2, East : 1>
  aie.connect<DMA : 0, South : 0>
}
%sw12 = aie.switchbox(%c1_2) {
  aie.connect<West : 1, DMA : 0>
  aie.connect<DMA : 1, South : 2>
}"""
ALLOCATIONS = """aie.shim_dma_allocation @x (%s0, MM2S, 0)
aie.shim_dma_allocation @y (%s0, S2MM, 0)
aie.shim_dma_allocation @z (%s0, S2MM, 1)"""


def tile(name: str, amount: int, into: int, out: int, packet: str = "") -> str:
    return f"""%in{name} = aie.buffer(%{name}) {{sym_name = "in{name}"}} : memref<8xi32>
%out{name} = aie.buffer(%{name}) {{sym_name = "out{name}"}} : memref<8xi32>
%if{name} = aie.lock(%{name}, 0) {{init = 1 : i32}}
%iu{name} = aie.lock(%{name}, 1) {{init = 0 : i32}}
%of{name} = aie.lock(%{name}, 2) {{init = 1 : i32}}
%ou{name} = aie.lock(%{name}, 3) {{init = 0 : i32}}
aie.mem(%{name}) {{
  %0 = aie.dma(S2MM, {into}) [{{
    aie.use_lock(%if{name}, AcquireGreaterEqual, 1)
    aie.dma_bd(%in{name} : memref<8xi32>)
    aie.use_lock(%iu{name}, Release, 1)
  }}]
  %1 = aie.dma(MM2S, {out}) [{{
    aie.use_lock(%ou{name}, AcquireGreaterEqual, 1)
    aie.dma_bd(%out{name} : memref<8xi32>){packet}
    aie.use_lock(%of{name}, Release, 1)
  }}]
  aie.end
}}
aie.core(%{name}) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %many = arith.constant 1000000 : index
  scf.for %n = %c0 to %many step %c1 {{
    aie.use_lock(%iu{name}, AcquireGreaterEqual, 1)
    aie.use_lock(%of{name}, AcquireGreaterEqual, 1)
    {adds(f"in{name}", f"out{name}", 8, amount)}
    aie.use_lock(%if{name}, Release, 1)
    aie.use_lock(%ou{name}, Release, 1)
  }}
  aie.end
}}"""


MOVES = [move("X", "x", 24, 0), move("Y", "y", 24, 1), move("Z", "z", 24, 2), wait("y", "z")]
SIZES = {"X": 24, "Y": 24, "Z": 24}


def test_circuits_through_switches_a_broadcast_among_them() -> None:
    parts = [SHIM, CORES, ALLOCATIONS, tile("c0_2", 5, 1, 0), tile("c1_2", 70, 0, 1)]
    text = device(parts, MOVES, SIZES)
    x = np.arange(24, dtype=np.int32)
    y, z = np.zeros(24, np.int32), np.zeros(24, np.int32)
    call(text, x, y, z)
    assert (y == x + 5).all()
    assert (z == x + 70).all()
    flows = {flow.source: set(flow.destinations) for flow in load_design(text).flows}
    shim, left, right = TileId(0, 0), TileId(0, 2), TileId(1, 2)
    assert flows == {
        Port(shim, "DMA", 0): {Port(left, "DMA", 1), Port(right, "DMA", 0)},
        Port(left, "DMA", 0): {Port(shim, "DMA", 0)},
        Port(right, "DMA", 1): {Port(shim, "DMA", 1)},
    }


PACKETS = """%sw00 = aie.switchbox(%s0) {
  aie.connect<South : 3, North : 0>
  %a0 = aie.amsel<0> (0)
  %a1 = aie.amsel<0> (1)
  %m0_ = aie.masterset(South : 2, %a0) {keep_pkt_header = true}
  %m1_ = aie.masterset(South : 3, %a1)
  aie.packet_rules(North : 1) {
    aie.rule(31, 4, %a0)
    aie.rule(28, 8, %a1)
  }
}
%mux = aie.shim_mux(%s0) {
  aie.connect<DMA : 0, North : 3>
  aie.connect<North : 2, DMA : 0>
  aie.connect<North : 3, DMA : 1>
}
%sw01 = aie.switchbox(%m0) {
  aie.connect<South : 0, North : 2>
  %a = aie.amsel<1> (2)
  %m = aie.masterset(South : 1, %a)
  aie.packet_rules(North : 0) { aie.rule(0, 0, %a) }
}
%sw02 = aie.switchbox(%c0_2) {
  aie.connect<South : 2, DMA : 1>
  aie.connect<South : 2, North : 1>
  %b = aie.amsel<0> (0)
  %n = aie.masterset(South : 0, %b)
  aie.packet_rules(DMA : 0) { aie.rule(31, 4, %b) }
  aie.packet_rules(North : 0) { aie.rule(28, 8, %b) }
}
%sw03 = aie.switchbox(%c0_3) {
  aie.connect<South : 1, DMA : 0>
  %b = aie.amsel<0> (0)
  %n = aie.masterset(South : 0, %b)
  aie.packet_rules(DMA : 1) { aie.rule(31, 9, %b) }
}"""


def test_packets_by_id_with_masks_and_a_header_that_is_kept() -> None:
    packet = " {{packet = #aie.packet_info<pkt_type = 0, pkt_id = {}>}}"
    parts = [
        PACKETS,
        ALLOCATIONS,
        tile("c0_2", 5, 1, 0, packet.format(4)),
        tile("c0_3", 70, 0, 1, packet.format(9)),
    ]
    moves = [move("X", "x", 24, 0), move("Y", "y", 27, 1), move("Z", "z", 24, 2), wait("y", "z")]
    text = device(parts, moves, {"X": 24, "Y": 27, "Z": 24})
    x = np.arange(24, dtype=np.int32)
    y, z = np.zeros(27, np.int32), np.zeros(24, np.int32)
    call(text, x, y, z)
    assert (y.reshape(3, 9)[:, 1:].reshape(-1) == x + 5).all()
    assert (y.reshape(3, 9)[:, 0] & 31 == 4).all()
    assert (z == x + 70).all()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("aie.connect<South : 2, DMA : 1>\n", "aie.connect<South : 2, North : 5>\n", "ends at (0,3)"),
        ("aie.connect<West : 1, DMA : 0>", "aie.connect<West : 1, West : 0>", "ends at (0,2)"),
        ("%mux = aie.shim_mux(%s0)", "%mux = aie.shim_mux(%m3)", "aie.shim_mux on mem tile (3,1)"),
        ("aie.connect<North : 1, South : 2>", "aie.event(0)", "aie.event is not supported in aie.switchbox"),
    ],
)
def test_switches_that_lead_nowhere_are_told_with_their_line(old: str, new: str, told: str) -> None:
    parts = [SHIM, CORES, ALLOCATIONS, tile("c0_2", 5, 1, 0), tile("c1_2", 70, 0, 1)]
    text = device(parts, MOVES, SIZES)
    assert old in text
    with pytest.raises(DesignError) as caught:
        load_design(text.replace(old, new), file="design.mlir")
    assert told in str(caught.value)
    assert "design.mlir:" in str(caught.value.where)


def test_streams_in_a_circle_are_told() -> None:
    circle = """%sw02 = aie.switchbox(%c0_2) {
  aie.connect<DMA : 0, North : 0>
  aie.connect<North : 1, North : 0>
}
%sw03 = aie.switchbox(%c0_3) { aie.connect<South : 0, South : 1> }"""
    with pytest.raises(DesignError, match="a stream goes round in a circle"):
        load_design(device([circle], [], {"X": 8}))
