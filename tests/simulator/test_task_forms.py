"""How a runtime sequence spells its transfers and waits."""

from __future__ import annotations

import numpy as np
import pytest

from npukbuild.errors import SimulationFault
from tests.simulator.designs import BOTH, SEQUENCE, X, call, one_core, run

TASKS = """
      %t0 = aiex.dma_configure_task_for @x {
        aie.dma_bd(%X : memref<256xi32>, 0, 64, [<size = 4, stride = 64>,
          <size = 1, stride = 0>, <size = 1, stride = 0>, <size = 64, stride = 1>])
          {bd_id = 0 : i32}
        aie.end
      } {repeat_count = 3 : i32}
      aiex.dma_start_task(%t0)
      %t1 = aiex.dma_configure_task_for @y {
        aie.dma_bd(%Y : memref<256xi32>, 0, 256) {bd_id = 1 : i32}
        aie.end
      } {issue_token = true}
      aiex.dma_start_task(%t1)
      aiex.dma_await_task(%t1)
      aiex.dma_free_task(%t0)
"""


@BOTH
def test_runtime_tasks(timed: bool) -> None:
    assert (run(one_core(sequence=TASKS), timed) == X).all()


def test_npu_sync_instead_of_dma_wait() -> None:
    sync = """aiex.npu.sync {channel = 0 : i32, column = 0 : i32, column_num = 1 : i32, direction = 0 : i32, row = 0 : i32, row_num = 1 : i32}"""  # noqa: E501
    assert (run(one_core(sequence=SEQUENCE.replace("aiex.npu.dma_wait {symbol = @y}", sync))) == X).all()


def test_repeat_and_iteration_of_a_shim_transfer() -> None:
    sequence = SEQUENCE.replace(
        "%X[0,0,0,0][1,1,1,256][0,0,0,1]", "%X[0,0,0,0][2,2,8,8][0,8,16,1]"
    )  # two times: the left and the right half of a 8 x 16 matrix
    halves = X[:128].reshape(8, 2, 8).transpose(1, 0, 2).reshape(-1)
    assert (run(one_core(sequence=sequence)).reshape(2, 128) == halves).all()
    sequence = SEQUENCE.replace("%X[0,0,0,0][1,1,1,256][0,0,0,1]", "%X[0,0,0,0][4,1,8,8][64,0,8,1]")
    assert (run(one_core(sequence=sequence)) == X).all()


def test_a_finished_transfer_may_rest_in_the_switches_and_a_longer_one_may_not() -> None:
    """16 words fit into the stream's own FIFOs, so waiting for their token ends; 256 words do not."""
    idle = """
      %c0 = arith.constant 0 : index
      %s = aie.objectfifo.acquire @x(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
    """
    sequence = """
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,LENGTH][0,0,0,1]) {id = 0 : i64, metadata = @x, issue_token = true} : memref<256xi32>
      aiex.npu.dma_wait {symbol = @x}
"""  # noqa: E501
    fits, long = (one_core(core=idle, sequence=sequence.replace("LENGTH", str(n))) for n in (64 + 64, 256))
    call(fits, None, X.copy(), np.zeros(256, np.int32))
    with pytest.raises(SimulationFault, match="hangs"):
        call(long, None, X.copy(), np.zeros(256, np.int32))
