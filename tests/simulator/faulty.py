"""Parts of the tests of faults: they make a design with a fault and catch what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from npukbuild.errors import SimulationFault
from npukbuild.simulator import Simulator
from tests.simulator.designs import load

if TYPE_CHECKING:
    from npukbuild.ir.design import Design


BROKEN = Path(__file__).parent.parent / "golden" / "broken"
DTYPES = {"bf16": ml_dtypes.bfloat16, "i32": np.int32}


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def fault_of(design: Design | str, kernels: Any = None, **options: Any) -> SimulationFault:
    loaded = load(design) if isinstance(design, str) else design
    args = [np.ones(kind.shape, DTYPES[kind.element]) for _, kind in loaded.sequence.arguments]
    with pytest.raises(SimulationFault) as caught:
        Simulator(loaded, kernels, **options).run(args)
    return caught.value


def broken(name: str) -> Design:
    return load((BROKEN / f"{name}.mlir").read_text())


TWO_CHANNELS = """module { aie.device(npu1_1col) {
  %shim = aie.tile(0, 0)
  %core = aie.tile(0, 2)
  %b = aie.buffer(%core) {sym_name = "b"} : memref<64xi32>
  %l = aie.lock(%core, 0) {init = 0 : i32, sym_name = "full"}
  aie.flow(%shim, DMA : 0, %core, DMA : 0)
  aie.flow(%shim, DMA : 1, %core, DMA : 1)
  aie.shim_dma_allocation @one (%shim, MM2S, 0)
  aie.shim_dma_allocation @two (%shim, MM2S, 1)
  %m = aie.mem(%core) {
    %0 = aie.dma_start(S2MM, 0, ^first, ^second)
  ^first:
    aie.dma_bd(%b : memref<64xi32>, 0, 64)
    aie.use_lock(%l, Release, 1)
    aie.next_bd ^end
  ^second:
    %1 = aie.dma_start(S2MM, 1, ^other, ^end)
  ^other:
    aie.dma_bd(%b : memref<64xi32>, OFFSET, 32)
    aie.next_bd ^end
  ^end:
    aie.end
  }
  aie.runtime_sequence @sequence(%X: memref<64xi32>) {
    aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,64][0,0,0,1])
      {id = 0 : i64, metadata = @one, issue_token = true} : memref<64xi32>
    aiex.npu.dma_wait {symbol = @one}
  }
} }
"""


class NothingKernels:
    """Core functions that do nothing."""

    symbols: tuple[str, ...] = ("kern",)

    def new_core_state(self) -> Any:
        return None

    def bind(self, name: str, argtypes: Any, *, state: Any = None, returns: Any = None) -> Any:
        return lambda *_: None
