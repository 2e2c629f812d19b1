"""Designs that are lowered already, with circuits, packets and chains of descriptors, run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npukbuild.errors import DesignError, SimulationFault
from tests.simulator.designs import BOTH, X, load, run
from tests.simulator.lowered_designs import FORWARD, FORWARD_CORE, PACKETS, TURN, lowered

TRANSPOSED = X.reshape(4, 8, 8).transpose(0, 2, 1).reshape(-1)


@BOTH
@pytest.mark.parametrize("address", ["", ", address = 8192 : i32"])
def test_an_already_lowered_design(timed: bool, address: str) -> None:
    assert (run(lowered(address=address), timed) == TRANSPOSED).all()


def test_in_a_lowered_design_a_buffer_belongs_to_the_core_only_under_its_lock() -> None:
    early = TURN.replace("aie.use_lock(%xc, AcquireGreaterEqual, 1)\n", "")
    with pytest.raises(SimulationFault, match=r"uses buffer x0 of .* without holding its lock"):
        run(lowered(early))


@BOTH
def test_packet_switched_streams(timed: bool) -> None:
    text = lowered(flows=PACKETS, packet="{packet = #aie.packet_info<pkt_type = 0, pkt_id = 3>}")
    assert (run(text, timed) == TRANSPOSED).all()


def test_a_packet_id_without_a_flow_is_named() -> None:
    text = lowered(flows=PACKETS, packet="{packet = #aie.packet_info<pkt_type = 0, pkt_id = 4>}")
    with pytest.raises(SimulationFault, match="packet id 4, and no stream leaves it"):
        run(text)


@BOTH
def test_a_kept_packet_header_routes_the_data_when_they_are_sent_on(timed: bool) -> None:
    cores = FORWARD_CORE.format(i=1, tile="one") + FORWARD_CORE.format(i=2, tile="two")
    got = run(FORWARD.replace("PASS", cores), timed)
    assert (got[:64] == X[64:128]).all()
    assert (got[64:128] == X[:64]).all()


CHAIN = """module { aie.device(npu1_1col) {
  %s = aie.tile(0, 0)
  %t = aie.tile(0, 1)
  %b = aie.buffer(%t) {sym_name = "b"} : memref<128xi32>
  %free = aie.lock(%t, 0) {init = 1 : i32, sym_name = "free"}
  %full = aie.lock(%t, 1) {init = 0 : i32, sym_name = "full"}
  aie.flow(%s, DMA : 0, %t, DMA : 0)
  aie.flow(%t, DMA : 0, %s, DMA : 0)
  aie.shim_dma_allocation @x (%s, MM2S, 0)
  aie.shim_dma_allocation @y (%s, S2MM, 0)
  aie.bd_chain @halves(%a: memref<256xi32>) {
    aie.dma_bd(%a : memref<256xi32>, 128, 128)
    aie.next_bd ^second
  ^second:
    aie.dma_bd(%a : memref<256xi32>, 0, 128)
    aie.end
  }
  aie.bd_chain @turn(%a: memref<128xi32>, %take: index, %give: index) {
    aie.use_lock(%take, AcquireGreaterEqual, 1)
    aie.dma_bd(%a : memref<128xi32>, 0, 128)
    aie.use_lock(%give, Release, 1)
    aie.end
  }
  aie.runtime_sequence(%x: memref<256xi32>, %y: memref<256xi32>) {
    %0 = aiex.dma_start_bd_chain @turn(%b, %free, %full) : (memref<128xi32>, index, index) on (%t, S2MM, 0) {repeat_count = 1 : i32}
    %1 = aiex.dma_start_bd_chain @turn(%b, %full, %free) : (memref<128xi32>, index, index) on (%t, MM2S, 0) {repeat_count = 1 : i32}
    %2 = aiex.dma_start_bd_chain_for @halves(%x) : (memref<256xi32>) for @x
    %3 = aiex.dma_start_bd_chain_for @halves(%y) : (memref<256xi32>) for @y {issue_token = true}
    aiex.dma_await_task(%3)
  } } }"""  # fmt: skip # noqa: E501


def test_a_chain_is_filled_in_with_buffers_and_locks_where_it_is_started() -> None:
    pushes: list[Any] = list(load(CHAIN).sequence.operations[:4])
    assert [[one.buffer for one in push.descriptors] for push in pushes] == [
        ["b"],
        ["b"],
        ["x"] * 2,
        ["y"] * 2,
    ]
    assert [pushes[n].descriptors[0].acquires[0].lock for n in (0, 1)] == ["free", "full"]
    assert (run(CHAIN) == X).all()
    # y takes the halves the other way round only if both ends do not swap them alike
    straight = CHAIN.replace("@halves(%y) :", "@whole(%y) :").replace(
        "aie.bd_chain @turn", "aie.bd_chain @whole(%a: memref<256xi32>) {\n"
        "    aie.dma_bd(%a : memref<256xi32>, 0, 256)\n    aie.end\n  }\n  aie.bd_chain @turn", 1,
    )  # fmt: skip
    assert (run(straight) == np.roll(X, 128)).all()


def test_a_chain_that_does_not_exist_or_takes_other_arguments_is_named() -> None:
    with pytest.raises(DesignError, match="no bd_chain is named half"):
        load(CHAIN.replace("for @halves(%x)", "for @half(%x)"))
    with pytest.raises(DesignError, match="the arguments of bd_chain turn do not fit"):
        load(CHAIN.replace("_for @halves(%x)", "_for @turn(%x)"))
