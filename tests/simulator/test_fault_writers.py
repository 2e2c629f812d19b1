"""Two who write the same words, on the array or in the host's buffers, are found."""

from __future__ import annotations

import numpy as np
import pytest

from npukbuild.errors import SimulationFault
from npukbuild.ir import take_account
from npukbuild.ir.lowering.bd_words import encode
from npukbuild.simulator import Simulator
from npukbuild.targets.dma_registers import dma_registers
from tests.simulator.designs import call, load, one_core
from tests.simulator.faulty import TWO_CHANNELS, fault_of, line_of


def test_two_dma_channels_that_write_one_buffer() -> None:
    text = TWO_CHANNELS.replace("OFFSET", "32")
    fault = fault_of(text)
    assert fault.what == "two writers use buffer b at the same time"
    first, second = (line_of(text, f"dma_bd(%b : memref<64xi32>, {start}") for start in (0, 32))
    said = (fault.why or "").replace(":5)", ")")
    assert said == (
        f"(0,2) S2MM 1 (design.mlir:{second}) begins to write elements 32..63 of b (bytes 128..255) while "
        f"(0,2) S2MM 0 (design.mlir:{first}) has not finished to write them (0 of its 256 bytes are done)"
    )
    assert "take turns by a pair of locks" in (fault.hint or "")


def test_two_dma_channels_that_write_parts_of_one_buffer_are_no_two_writers() -> None:
    text = TWO_CHANNELS.replace("OFFSET", "32").replace("memref<64xi32>, 0, 64)", "memref<64xi32>, 0, 32)")
    text = text.replace("aie.next_bd ^end\n  ^second", "aie.next_bd ^first\n  ^second")
    Simulator(load(text)).run([np.ones(64, np.int32)])


def test_two_tasks_that_write_the_same_host_words() -> None:
    text = one_core(
        sequence="""
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,256][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,128][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,64][1,1,1,128][0,0,0,1]) {id = 2 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_wait {symbol = @y}
      aiex.npu.dma_wait {symbol = @y}
"""
    )
    fault = fault_of(text)
    assert fault.what == "two tasks write the same part of host argument Y"
    one, two = (f"task y (design.mlir:{line_of(text, f'%Y[0,0,0,{start}]')})" for start in (0, 64))
    assert (fault.why or "").replace(":7)", ")") == (
        f"{one} and {two} both write elements 64..127 of Y (bytes 256..511), and nothing was waited for "
        "between them"
    )
    apart = text.replace("%Y[0,0,0,64]", "%Y[0,0,0,128]")
    assert (call(apart) == np.arange(256)).all()


def test_tasks_that_interleave_in_the_host_buffer_are_no_two_writers() -> None:
    text = one_core(
        sequence="""
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,256][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,8,16][0,0,32,1]) {id = 1 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,16][1,1,8,16][0,0,32,1]) {id = 2 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_wait {symbol = @y}
      aiex.npu.dma_wait {symbol = @y}
"""
    )
    expected = np.zeros((8, 32), np.int32)
    expected[:, :16] = np.arange(128).reshape(8, 16)
    expected[:, 16:] = np.arange(128, 256).reshape(8, 16)
    assert (call(text).reshape(8, 32) == expected).all()
    fault = fault_of(text.replace("%Y[0,0,0,16]", "%Y[0,0,0,12]"))
    assert fault.what.startswith("two tasks write the same part")
    assert "both write 32 of the elements 12..239 of Y (bytes 48..959)" in (fault.why or "")


OVERLAPPING = (
    TWO_CHANNELS.replace("OFFSET", "0")
    .replace("%b : memref<64xi32>, 0, 32", "%c : memref<64xi32>, START, 32")
    .replace('{sym_name = "b"}', '{address = 8192 : i32, sym_name = "b"}')
    .replace(
        "%l = aie.lock",
        '%c = aie.buffer(%core) {address = 8320 : i32, sym_name = "c"} : memref<64xi32>\n  %l = aie.lock',
    )
)


def test_two_writers_of_buffers_that_overlap_are_found() -> None:
    fault = fault_of(OVERLAPPING.replace("START", "0"))
    assert fault.what == "two writers use buffer c and b, which overlap, at the same time"
    assert "begins to write elements 0..31 of c (bytes 0..127) while (0,2) S2MM 0" in (fault.why or "")
    Simulator(load(OVERLAPPING.replace("START", "32"))).run([np.ones(64, np.int32)])


def written(address: int, words: int, *, slot: int = 2) -> str:
    """A descriptor of core (0,2) that the sequence writes: it fills ``words`` words from ``address`` on."""
    registers = dma_registers("core")
    values = encode("core", {"valid_bd": 1, "buffer_length": words, "buffer_offset": address // 4})
    writes = [(registers.bds + slot * registers.bd_step + 4 * n, value) for n, value in enumerate(values)]
    return "".join(
        f"aiex.npu.write32 {{address = {place} : ui32, column = 0 : i32, row = 2 : i32, "
        f"value = {value} : ui32}}\n"
        for place, value in [*writes, (registers.queue_s2mm + 8, slot)]
    )


BY_ADDRESS = OVERLAPPING.replace("%c : memref<64xi32>, START, 32", "%c : memref<64xi32>, 0, 64").replace(
    "aie.dma_start(S2MM, 1, ^other, ^end)", "aie.dma_start(MM2S, 1, ^other, ^end)"
).replace("address = 8320", "address = 16384").replace(
    "aiex.npu.dma_memcpy_nd", "WRITTEN\n    aiex.npu.dma_memcpy_nd"
).replace("aie.flow(%shim, DMA : 1", "aie.flow(%core, DMA : 1, %core, DMA : 1)\n  //")  # fmt: skip


@pytest.mark.parametrize(("address", "words", "shared"), [(8064, 48, "elements 32..47"), (8064, 32, "")])
def test_two_writers_are_found_where_one_has_only_an_address(address: int, words: int, shared: str) -> None:
    text = BY_ADDRESS.replace("WRITTEN", written(address, words))
    text = text.replace("%c : memref<64xi32>, 0, 64", f"%c : memref<64xi32>, 0, {words}")
    sender = 'sym_name = "c"} : memref<64xi32>'
    design = load(text.replace(sender, f"{sender} = dense<1>"))
    take_account(design).check()
    assert design.buffers["memory_0_2_1f80"].unnamed
    simulator = Simulator(design)
    if not shared:
        simulator.run([np.ones(64, np.int32)])
        return
    with pytest.raises(SimulationFault) as caught:
        simulator.run([np.ones(64, np.int32)])
    assert "two writers use buffer memory_0_2_1f80 and b, which overlap," in caught.value.what
    assert f"begins to write {shared} of memory_0_2_1f80 (bytes 128..191)" in (caught.value.why or "")


def test_parts_of_unnamed_memory_and_then_all_of_it() -> None:
    writes = written(8448, 16) + written(8512, 16, slot=3) + written(8448, 32, slot=4)
    design = load(BY_ADDRESS.replace("WRITTEN", writes))
    assert design.buffers["memory_0_2_2100"].type.elements == 32
