"""Two who write the same words, on the array or in the host's buffers, are found."""

from __future__ import annotations

import numpy as np

from tests.simulator.designs import call, one_core
from tests.simulator.faulty import TWO_CHANNELS, fault_of


def test_two_dma_channels_that_write_one_buffer() -> None:
    fault = fault_of(TWO_CHANNELS.replace("OFFSET", "32"))
    assert fault.what == "two writers use buffer b at the same time"
    assert "(0,2) S2MM 0" in (fault.why or "")


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
    assert fault_of(text.replace("%Y[0,0,0,16]", "%Y[0,0,0,12]")).what.startswith(
        "two tasks write the same part"
    )
