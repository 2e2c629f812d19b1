"""Designs that hang are explained: who holds and waits for what, and the lines of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from npukbuild.ir.design import Push
from tests.simulator.designs import COPY, PASS, SEQUENCE, call, change_sequence, load, one_core
from tests.simulator.faulty import BROKEN, NothingKernels, broken, fault_of, line_of
from tests.simulator.lowered_designs import FORWARD_CORE


def test_the_sound_design_that_these_faults_are_made_of_runs() -> None:
    assert (call(one_core()) == np.arange(256)).all()


@pytest.mark.parametrize("timed", [False, True])
def test_a_deadlock_is_shown_as_a_cycle_through_both_cores(timed: bool) -> None:
    loop = """
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %n = arith.constant 100 : index
      scf.for %i = %c0 to %n step %c1 {{
        %a = aie.objectfifo.acquire @{take}(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
        %b = aie.objectfifo.acquire @{give}(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>
        {more}
        aie.objectfifo.release @{give}(Produce, 1)
        aie.objectfifo.release @{take}(Consume, 1)
      }}"""
    out = """%y = aie.objectfifo.acquire @y(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>
        aie.objectfifo.release @y(Produce, 1)"""
    text = one_core(
        core=loop.format(take="back", give="forth", more=out),
        fifos="""%other = aie.tile(0, 3)
    aie.objectfifo @y(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @forth(%core, {%other}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @back(%other, {%core}, 2 : i32) : !aie.objectfifo<memref<64xi32>>""",
        extra=f"%c2 = aie.core(%other) {{{loop.format(take='forth', give='back', more='')}\n aie.end }}",
        sequence="".join(line + "\n" for line in SEQUENCE.splitlines() if "@x" not in line),
    )
    fault = fault_of(text, timed=timed)
    said = str(fault)
    assert "hangs" in fault.what
    assert "must give before it takes" in (fault.hint or "")
    assert "core (0,2) -> core (0,3)" in said or "core (0,3) -> core (0,2)" in said
    assert f"design.mlir:{line_of(text, 'acquire @back(Consume')}" in said
    assert f"design.mlir:{line_of(text, 'acquire @forth(Consume')}" in said


def test_a_fifo_whose_counts_never_match_says_how_much_was_sent() -> None:
    fault = fault_of(broken("X9_short_input"), NothingKernels())
    assert "x sends nothing more" in fault.what
    assert any("7168 elements" in line and "design.mlir:24" in line for line in fault.details)
    assert any("7168 of 8192 elements of Y" in line for line in fault.details)


def test_a_missing_release_is_named() -> None:
    fault = fault_of(broken("X9d_missing_release"), NothingKernels())
    assert "x_cons_prod_lock_0 is never released" in fault.what
    assert fault.hint == "release what is acquired of x"
    assert "core (0,2) holds 2 of the 2 objects of x (Consume)" in fault.details
    assert any(">= 1 (it is 0, free objects of x)" in line for line in fault.details)


def test_an_acquire_beyond_the_depth_can_never_be_granted() -> None:
    text = (BROKEN / "X9f_acquire_more_than_array_depth.mlir").read_text().replace("[2, 2]", "[2, 3]")
    design = load(text)
    (tile,) = design.cores
    core = design.cores[tile]
    ends = {key: replace(end, buffers=end.buffers[:2]) for key, end in core.fifo_ends.items()}
    locks = {
        name: replace(lock, init=2) if lock.tile == tile and lock.init == 3 else lock
        for name, lock in design.locks.items()
    }
    channels = []
    for channel in design.channels:
        bds = tuple(bd for bd in channel.descriptors if not bd.buffer.endswith("buff_2"))
        bds = tuple(replace(bd, next=(place + 1) % len(bds)) for place, bd in enumerate(bds))
        channels.append(replace(channel, descriptors=bds))
    shallow = replace(
        design, cores={tile: replace(core, fifo_ends=ends)}, locks=locks, channels=tuple(channels)
    )
    fault = fault_of(shallow)
    assert fault.what == "the design hangs: 3 objects are asked for and the fifo has 2"
    assert any("can never reach 3" in line for line in fault.details)


def test_a_wait_without_a_token_never_ends() -> None:
    def silent(operations: Any) -> Any:
        return [
            replace(op, token=False) if isinstance(op, Push) and op.target.direction == "S2MM" else op
            for op in operations
        ]

    fault = fault_of(change_sequence(load(one_core()), silent))
    assert "waits for a token" in fault.what
    assert fault.hint is not None
    assert "issue_token" in fault.hint


def test_a_wait_for_a_channel_without_a_task_is_explained() -> None:
    design = change_sequence(
        load(one_core()),
        lambda operations: [
            op for op in operations if not (isinstance(op, Push) and op.target.direction == "S2MM")
        ],
    )
    assert "was given no task" in fault_of(design).what


def test_a_core_that_ended_while_the_host_waits() -> None:
    fault = fault_of(one_core(core=PASS.replace("2147483640", "3").replace("BODY", COPY)))
    assert "core (0,2) has ended" in fault.what


def test_an_acquire_of_more_than_a_lock_can_hold() -> None:
    text = one_core(
        core="aie.use_lock(%l, AcquireGreaterEqual, 64)\n" + PASS.replace("BODY", COPY),
        extra='%l = aie.lock(%core, 14) {init = 63 : i32, sym_name = "l"}',
    )
    fault = fault_of(text)
    assert fault.what == "the design hangs: lock l is asked for 64, more than it can hold"
    assert "l can never reach 64: a lock holds at most 63" in fault.details
    assert fault.where is not None
    assert fault.where.startswith(f"design.mlir:{line_of(text, 'AcquireGreaterEqual, 64')}")


PORT = """module {{ aie.device(npu1_1col) {{
  %shim = aie.tile(0, 0)
  %core = aie.tile(0, 2)
  {flow}
  {core}
  aie.shim_dma_allocation @y (%shim, S2MM, 0)
  aie.runtime_sequence @sequence(%Y: memref<64xi32>) {{
    aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,64][0,0,0,1])
      {{id = 0 : i64, metadata = @y, issue_token = true}} : memref<64xi32>
    aiex.npu.dma_wait {{symbol = @y}}
  }}
}} }}
"""
FLOW = "aie.flow(%core, Core : 0, %shim, DMA : 0)"
ONE_WORD = """%c = aie.core(%core) {
    %p = arith.constant 0 : i32
    aie.put_stream(%p : i32, %p : i32)
    aie.end
  }"""


@pytest.mark.parametrize(
    ("flow", "core", "cause", "hint"),
    [
        ("", "", "no flow connects (0,0) S2MM 0", "add an aie.flow"),
        (FLOW, "", "(0,2) core stream out 0 is used by no core", "add the aie.core"),
        (FLOW, ONE_WORD, "core (0,2) has ended before the host's transfers were done", "loop for ever"),
    ],
    ids=["no flow", "no core", "ended core"],
)
def test_an_output_that_nobody_sends(flow: str, core: str, cause: str, hint: str) -> None:
    fault = fault_of(PORT.format(flow=flow, core=core))
    assert fault.what == f"the design hangs: {cause}"
    assert (fault.hint or "").startswith(hint)


def test_a_packet_behind_one_that_an_end_never_takes_is_shown() -> None:
    """The first packet holds (0,2) until (0,3) takes it too, which nothing there does; the second waits."""
    text = f"""module {{ aie.device(npu1_1col) {{
  %shim = aie.tile(0, 0)
  %one = aie.tile(0, 2)
  %two = aie.tile(0, 3)
  aie.packet_flow(2) {{ aie.packet_source<%shim, DMA : 1> aie.packet_dest<%one, DMA : 0> }}
  aie.packet_flow(1) {{
    aie.packet_source<%shim, DMA : 0>
    aie.packet_dest<%one, DMA : 0>
    aie.packet_dest<%two, DMA : 0>
  }}
  aie.flow(%one, DMA : 0, %shim, DMA : 0)
  aie.shim_dma_allocation @x (%shim, MM2S, 0)
  aie.shim_dma_allocation @z (%shim, MM2S, 1)
  aie.shim_dma_allocation @y (%shim, S2MM, 0)
  {FORWARD_CORE.format(i=1, tile="one")}
  aie.runtime_sequence @sequence(%X: memref<256xi32>, %Y: memref<256xi32>) {{
    aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,64][0,0,0,1], packet = <pkt_id = 1, pkt_type = 0>)
      {{id = 0 : i64, metadata = @x}} : memref<256xi32>
    aiex.npu.dma_memcpy_nd(%X[0,0,0,64][1,1,1,64][0,0,0,1], packet = <pkt_id = 2, pkt_type = 0>)
      {{id = 1 : i64, metadata = @z}} : memref<256xi32>
    aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,64][0,0,0,1]) {{id = 2 : i64, metadata = @y}} : memref<256xi32>
    aiex.npu.dma_wait {{symbol = @y}}
  }}
}} }}
"""
    fault = fault_of(text)
    said = [line for line in fault.details if "waits for the packet of" in line]
    assert len(said) == 1, fault
    assert "(0,0) MM2S 1" in said[0]
    assert said[0].endswith("waits for the packet of (0,0) MM2S 0")
    assert any("(0,3) S2MM 0" in line for line in fault.details)
