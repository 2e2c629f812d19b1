"""Designs that set up the hardware's event trace run as without it, and say what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from npukbuild.errors import DesignError
from npukbuild.simulator import Simulator
from tests.simulator.designs import SEQUENCE, load, one_core

FLOW = """aie.packet_flow(1) {
      aie.packet_source<%core, Trace : 0>
      aie.packet_dest<%shim, DMA : 1>
    } {keep_pkt_header = true}"""
REGISTERS = """
      aiex.npu.write32 {address = 213200 : ui32, column = 0 : i32, row = 2 : i32, value = 2038038528 : ui32}
      aiex.npu.write32 {address = 261888 : ui32, column = 0 : i32, row = 2 : i32, value = 289 : ui32}
      aiex.npu.write32 {address = 606416 : ui32, column = 0 : i32, row = 1 : i32, value = 1 : ui32}
      aiex.npu.writebd {bd_id = 15 : i32, buffer_length = 8192 : i32, buffer_offset = 0 : i32,
        column = 0 : i32, row = 0 : i32, enable_packet = 1 : i32, packet_id = 1 : i32,
        valid_bd = 1 : i32, column_num = 1 : i32}
      aiex.npu.address_patch {addr = 119268 : ui32, arg_idx = 4 : i32, arg_plus = 0 : i32}
      aiex.npu.write32 {address = 119308 : ui32, column = 0 : i32, row = 0 : i32, value = 15 : ui32}
      aiex.npu.write32 {address = 213000 : ui32, column = 0 : i32, row = 0 : i32, value = 127 : ui32}
"""
DECLARED = """aie.trace @core_trace(%core) {
      aie.trace.mode "Event-Time"
      aie.trace.packet id=1 type=core
      aie.trace.event<"INSTR_EVENT_0"> label = "{"
      aie.trace.port<0> port=DMA channel=0 direction=S2MM
      aie.trace.start event=<"TRUE">
      aie.trace.stop broadcast=14
    }
    aie.trace.config @lowered(%core) packet_type = core {
      aie.trace.reg register = "Trace_Control0" value = 2038038528 mask = 2139029507 comment = "mode {"
    }"""
START = """
      aie.trace.host_config buffer_size = 8192 arg_idx = -1
      aie.trace.start_config @core_trace
"""
LEFT_OUT = "the hardware's event trace is not simulated"
NO_EFFECT = "writes to registers of events, traces and counters have no effect here"


def outcome(text: str) -> tuple[float, tuple[str, ...]]:
    y = np.zeros(256, np.int32)
    result = Simulator(load(text)).run([np.arange(256, dtype=np.int32), y])
    assert (y == np.arange(256)).all()
    return result.cycles, result.warnings


def test_a_trace_by_registers_changes_no_result() -> None:
    cycles, warnings = outcome(one_core(extra=FLOW, sequence=REGISTERS + SEQUENCE))
    assert len(warnings) == 2
    assert LEFT_OUT in warnings[0]
    assert warnings[0].startswith("design.mlir:8:")
    assert NO_EFFECT in warnings[1]
    assert warnings[1].startswith("design.mlir:")
    plain, none = outcome(one_core())
    assert none == ()
    assert cycles > plain  # the controller still writes the registers


def test_a_declared_trace_changes_no_result() -> None:
    _, warnings = outcome(one_core(extra=DECLARED, sequence=START + SEQUENCE))
    (warning,) = warnings
    assert LEFT_OUT in warning
    assert warning.startswith("design.mlir:8:")


def test_a_wait_for_the_trace_is_refused() -> None:
    wait = (
        "\n      aiex.npu.sync {column = 0 : i32, row = 0 : i32, direction = 0 : i32, channel = 1 : i32, "
        "column_num = 1 : i32, row_num = 1 : i32}\n"
    )
    with pytest.raises(DesignError, match="waits for the event trace on S2MM 1"):
        load(one_core(extra=FLOW, sequence=REGISTERS + wait + SEQUENCE))


def test_a_channel_that_takes_data_too_is_no_trace_channel() -> None:
    both = FLOW + "\naie.packet_flow(2) { aie.packet_source<%mem, DMA : 0> aie.packet_dest<%shim, DMA : 1> }"
    with pytest.raises(DesignError, match=r"descriptor 15 of .* has no host buffer"):
        load(one_core(extra=both, sequence=REGISTERS + SEQUENCE))


def test_a_trace_without_its_end_is_refused_with_its_line() -> None:
    with pytest.raises(DesignError, match="cannot be read") as caught:
        load("module {\n aie.device(npu1) {\n %t = aie.tile(0, 2)\n aie.trace @t(%t) {\n")
    assert caught.value.why == "a trace's block has no end"


@pytest.mark.parametrize(("row", "address"), [(2, 0x32000), (1, 0x94600), (0, 0x34600), (0, 0x35000)])
def test_other_registers_are_still_refused(row: int, address: int) -> None:
    write = (
        f"\n      aiex.npu.write32 {{address = {address} : ui32, column = 0 : i32, row = {row} : i32, "
        "value = 1 : ui32}\n"
    )
    simulator = Simulator(load(one_core(sequence=write + SEQUENCE)))
    with pytest.raises(DesignError, match="does not support a write to register 0x"):
        simulator.run([np.arange(256, dtype=np.int32), np.zeros(256, np.int32)])
