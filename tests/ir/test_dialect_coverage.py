"""What of the dialect is not modelled is refused by name with its line: operations and attributes."""

from __future__ import annotations

from typing import Any

import pytest
from xdsl.dialects.builtin import UnitAttr

from npukbuild.errors import DesignError
from npukbuild.ir import load_design, read_design
from npukbuild.ir.dialects.base import DesignOp
from npukbuild.ir.lowering.attributes import check_attributes
from npukbuild.ir.lowering.collect import find_device
from npukbuild.ir.lowering.state import State
from npukbuild.ir.problems import Problems
from npukbuild.ir.reader import _dialects
from npukbuild.targets import load_target

LOCK_USE = """aie.device(npu1_1col) {
  %t = aie.tile(0, 2)
  %l = aie.lock(%t, 0) {init = 1 : i32}
  %c = aie.core(%t) {
    aie.use_lock(SPELLING
    aie.end
  }
}
"""


@pytest.mark.parametrize(
    ("spelling", "named"),
    [
        ("%l, AcquireGreaterEqual, 1) {acq_en = false}", "acq_en"),
        ("%l, AcquireGreaterEqual, 1, NonBlocking)", "NonBlocking"),
    ],
)
def test_lock_use_that_does_not_wait_is_refused_with_its_line(spelling: str, named: str) -> None:
    with pytest.raises(DesignError) as caught:
        load_design(LOCK_USE.replace("SPELLING", spelling))
    assert named in str(caught.value)
    assert ":5" in str(caught.value.where)


@pytest.mark.parametrize(
    "spelling", ["%l, AcquireGreaterEqual, 1)", "%l, AcquireGreaterEqual, 1, Blocking) {acq_en = true}"]
)
def test_lock_use_that_waits_is_read(spelling: str) -> None:
    load_design(LOCK_USE.replace("SPELLING", spelling))


DEVICE = """module {
  aie.device(npu1_1col) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %core = aie.tile(0, 2)
    %b = aie.buffer(%core) {sym_name = "b"} : memref<64xi32>
    %l = aie.lock(%core, 0) {init = 1 : i32}
    aie.shim_dma_allocation @x (%shim, MM2S, 0)
    IN_DEVICE
    %c = aie.core(%core) {
      IN_CORE
      aie.end
    }
    %m = aie.mem(%core) {
      %0 = aie.dma_start(S2MM, 0, ^one, ^end)
    ^one:
      aie.use_lock(%l, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<64xi32>, 0, 64) BD_ATTRIBUTES
      aie.use_lock(%l, Release, 1)
      aie.next_bd ^one
    ^end:
      aie.end
    }
    aie.runtime_sequence @sequence(%X: memref<256xi32>) {
      IN_SEQUENCE
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,64][0,0,0,1]) {id = 0 : i64, metadata = @x MEMCPY} : memref<256xi32>
    }
  }
}
"""  # noqa: E501


def device(**parts: str) -> tuple[str, int]:
    """The device with parts filled in, and the line of the filled one."""
    text, line = DEVICE, 0
    for name in ("IN_DEVICE", "IN_CORE", "BD_ATTRIBUTES", "IN_SEQUENCE", "MEMCPY"):
        if name in parts:
            line = text[: text.index(name)].count("\n") + 1
        text = text.replace(name, parts.get(name, ""))
    return text, line


def test_the_device_of_these_tests_is_read() -> None:
    load_design(device()[0])


@pytest.mark.parametrize(
    ("where", "text", "named"),
    [
        ("IN_DEVICE", "aie.connect<DMA : 0, North : 0>", "aie.connect"),
        ("IN_DEVICE", "%a = aie.amsel<0> (0)", "aie.amsel"),
        ("IN_DEVICE", "%a = aie.masterset(DMA : 0, %l)", "aie.masterset"),
        ("IN_DEVICE", "aie.packet_rules(DMA : 0) { }", "aie.packet_rules"),
        ("IN_DEVICE", "aie.control_packet_flow(0) { }", "aie.control_packet_flow"),
        ("IN_DEVICE", "%p = aie.plio(0)", "aie.plio"),
        ("IN_DEVICE", "aie.event(0)", "aie.event"),
        ("IN_DEVICE", "aie.put_cascade(%b : memref<64xi32>)", "aie.put_cascade"),
        ("IN_DEVICE", "aiex.herd[1][1]", "aiex.herd"),
        ("IN_DEVICE", "somewhere.else", "somewhere.else"),
        ("IN_CORE", "aie.debug(%b : memref<64xi32>)", "aie.debug"),
        ("IN_CORE", "aievec.upd %b", "aievec.upd"),
        ("IN_CORE", "llvm.unreachable", "llvm.unreachable"),
        ("IN_SEQUENCE", "aiex.configure @other { }", "aiex.configure"),
        ("IN_SEQUENCE", "aiex.run @other(%X) : (memref<256xi32>)", "aiex.run"),
        ("IN_SEQUENCE", "aiex.npu.load_pdi {id = 1 : i32}", "aiex.npu.load_pdi"),
        ("IN_SEQUENCE", "aiex.npu.memcpy {a = 1 : i32}", "aiex.npu.memcpy"),
        ("IN_SEQUENCE", "aiex.npu.read32 {a = 1 : i32}", "aiex.npu.read32"),
        ("IN_SEQUENCE", "aiex.npu.control_packet {a = 1 : i32}", "aiex.npu.control_packet"),
        ("IN_SEQUENCE", "aie.trace.start_config @t", "aie.trace.start_config"),
        ("IN_SEQUENCE", "aie.use_lock(%l, Release, 1)", "aie.use_lock"),
        ("IN_SEQUENCE", "%n = arith.index_cast %l : index to i32", "arith.index_cast"),
    ],
)
def test_an_operation_that_is_not_modelled_is_refused_by_name_with_its_line(
    where: str, text: str, named: str
) -> None:
    written, line = device(**{where: text})
    with pytest.raises(DesignError) as caught:
        load_design(written)
    assert named in str(caught.value).split("\n")[0]
    assert f":{line}:" in str(caught.value.where)


@pytest.mark.parametrize(
    ("where", "text", "named"),
    [
        ("BD_ATTRIBUTES", "{compression = true}", "compression of aie.dma_bd"),
        ("BD_ATTRIBUTES", "{bd_id = 0 : i32, next_bd_id = 1 : i32}", "next_bd_id = 1 of aie.dma_bd"),
        ("BD_ATTRIBUTES", "{next_bd_id = 1 : i32}", "next_bd_id = 1 of aie.dma_bd"),
        ("MEMCPY", ", reversed", "reversed of aiex.npu.dma_memcpy_nd"),
        ("IN_DEVICE", "%z = aie.buffer(%core) {addr = 64 : i32} : memref<8xi32>", "addr of aie.buffer"),
        ("IN_DEVICE", '%z = aie.tile(0, 3) {allocation_scheme = "basic"}', "allocation_scheme of aie.tile"),
        ("IN_DEVICE", "%z = aie.lock(%core, 5) {value = 1 : i32}", "value of aie.lock"),
        ("IN_DEVICE", "aie.flow(%shim, DMA : 0, %core, DMA : 0) {vc = 1 : i32}", "vc of aie.flow"),
        ("IN_CORE", "aie.use_lock(%l, Release, 1) {now = true}", "now of aie.use_lock"),
        ("IN_CORE", "aie.event(0) {vc = 1 : i32}", "vc of aie.event"),
        (
            "IN_SEQUENCE",
            "aiex.npu.write32 {address = 4 : ui32, value = 1 : ui32, mask = 1 : ui32}",
            "mask of aiex.npu.write32",
        ),
        (
            "IN_SEQUENCE",
            (
                "aiex.npu.sync {column = 0 : i32, row = 0 : i32, direction = 0 : i32, "
                "channel = 0 : i32, timeout = 1 : i32}"
            ),
            "timeout of aiex.npu.sync",
        ),
        ("IN_SEQUENCE", "aiex.npu.rtp_write(@b, 0, 1) {when = 1 : i32}", "when of aiex.npu.rtp_write"),
        ("IN_SEQUENCE", "aiex.npu.preempt {level = 1 : i32, now}", "now of aiex.npu.preempt"),
        (
            "IN_SEQUENCE",
            (
                "aiex.npu.writebd {bd_id = 0 : i32, column = 0 : i32, row = 0 : i32, "
                "buffer_length = 8 : i32, d3_wrap = 2 : i32}"
            ),
            "d3_wrap of aiex.npu.writebd",
        ),
        (
            "IN_SEQUENCE",
            (
                "aiex.npu.writebd {bd_id = 0 : i32, column = 0 : i32, row = 0 : i32, "
                "buffer_length = 8 : i32, column_num = 2 : i32}"
            ),
            "column_num = 2 of aiex.npu.writebd",
        ),
        (
            "IN_SEQUENCE",
            (
                "aiex.npu.writebd {bd_id = 0 : i32, column = 0 : i32, row = 0 : i32, "
                "buffer_length = 8 : i32, d0_wrap = 2 : i32}"
            ),
            "npu.writebd of descriptor 0",
        ),
        (
            "IN_DEVICE",
            "aie.objectfifo @f(%shim, {%core}, 2 : i32) {fast = true} : !aie.objectfifo<memref<64xi32>>",
            "fast of an objectfifo",
        ),
    ],
)
def test_an_attribute_that_is_not_modelled_is_refused_by_name_with_its_line(
    where: str, text: str, named: str
) -> None:
    written, line = device(**{where: text})
    with pytest.raises(DesignError) as caught:
        load_design(written)
    assert named in str(caught.value)
    assert f":{line}:" in str(caught.value.where)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("BD_ATTRIBUTES", "{bd_id = 3 : i32, next_bd_id = 3 : i32}"),
        ("BD_ATTRIBUTES", "{burst_length = 64 : i32, axcache = 2 : i32, axqos = 1 : i32}"),
        ("MEMCPY", ", burst_length = 128 : i64"),
        ("IN_DEVICE", "%z = aie.tile(0, 3) {controller_id = #aie.packet_info<pkt_type = 0, pkt_id = 4>}"),
    ],
)
def test_attributes_that_change_no_result_are_read(where: str, text: str) -> None:
    load_design(device(**{where: text})[0])


def operations() -> list[Any]:
    """All our operations but the one whose reader checks its attributes."""
    found = [op for _, factory in _dialects() for op in factory().operations if issubclass(op, DesignOp)]
    return [op for op in found if op.name != "aie.objectfifo"]


@pytest.mark.parametrize("kind", operations(), ids=lambda kind: kind.name)
def test_no_operation_reads_over_an_attribute(kind: Any) -> None:
    module = read_design("aie.device(npu1) { }")
    found = find_device(module)
    found.body.blocks[0].add_op(kind.make(attributes={"surprise": UnitAttr()}))
    state = State(found, load_target("npu1"), Problems())
    check_attributes(state)
    assert f"attribute surprise of {kind.name} is not supported" in [p.what for p in state.problems.errors]


def test_several_devices_are_told_by_name_or_line() -> None:
    with pytest.raises(
        DesignError, match=r"2 devices: one without a name \(line 1\), big \(line 4\)"
    ) as caught:
        load_design("aie.device(npu1) {\n  %t = aie.tile(0, 2)\n}\naie.device(npu2) @big { }\n")
    assert "such as big (--device)" in str(caught.value)
    with pytest.raises(DesignError, match="a file of its own, or a name"):
        load_design("aie.device(npu1) { }\naie.device(npu2) { }\n")
