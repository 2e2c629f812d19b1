"""Small designs for tests: one column, written out where a test needs a part of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from npukbuild.ir import load_design

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.ir.design import Design

X = np.arange(256, dtype=np.int32) - 31
BOTH = pytest.mark.parametrize("timed", [False, True])

PASS = """
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %n = arith.constant 64 : index
    %forever = arith.constant 2147483640 : index
    scf.for %it = %c0 to %forever step %c1 {
      %sx = aie.objectfifo.acquire @x(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
      %x = aie.objectfifo.subview.access %sx[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
      %sy = aie.objectfifo.acquire @y(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>
      %y = aie.objectfifo.subview.access %sy[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
      BODY
      aie.objectfifo.release @x(Consume, 1)
      aie.objectfifo.release @y(Produce, 1)
    }
"""

COPY = """scf.for %i = %c0 to %n step %c1 {
        %v = memref.load %x[%i] : memref<64xi32>
        memref.store %v, %y[%i] : memref<64xi32>
      }"""

SEQUENCE = """
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,256][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,256][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_wait {symbol = @y}
"""


def one_core(
    body: str = COPY,
    *,
    core: str = PASS,
    sequence: str = SEQUENCE,
    extra: str = "",
    device: str = "npu1_1col",
    fifos: str | None = None,
) -> str:
    """A core between two fifos of 64 i32; ``body`` works on %x and %y."""
    if fifos is None:
        fifos = """aie.objectfifo @x(%shim, {%core}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @y(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>"""
    return f"""module {{
  aie.device({device}) {{
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %core = aie.tile(0, 2)
    {fifos}
    {extra}
    %c = aie.core(%core) {{{core.replace("BODY", body)}
      aie.end
    }}
    aie.runtime_sequence @sequence(%X: memref<256xi32>, %Y: memref<256xi32>) {{{sequence}}}
  }}
}}
"""


def load(text: str) -> Design:
    return load_design(text, file="design.mlir")


def call(design: Design | str, kernels: Any = None, *args: Any, **options: Any) -> Any:
    """Run a design of one input and one output once and return the output."""
    from npukbuild.simulator import Simulator

    if isinstance(design, str):
        design = load(design)
    arrays = list(args) or [np.arange(256, dtype=np.int32), np.zeros(256, np.int32)]
    Simulator(design, kernels, **options).run(arrays)
    return arrays[-1]


def change_sequence(design: Design, change: Callable[[tuple[Any, ...]], Any]) -> Design:
    """Replace the operations of the runtime sequence, past the checks of the reader."""
    sequence = design.sequence
    changed = replace(sequence, operations=tuple(change(sequence.operations)))
    return replace(design, sequences={sequence.name: changed})


def run(text: str, timed: bool = True, calls: int = 2) -> Any:
    """Run twice with other data; return the first output after checking that the second follows suit."""
    from npukbuild.simulator import Simulator

    simulator = Simulator(load(text), None, timed=timed)
    outputs = []
    for number in range(calls):
        args = [X + 1000 * number, np.full(256, -1, np.int32)]
        result = simulator.run(args)
        assert result.warnings == ()
        outputs.append(args[1])
    if calls == 2:
        changed = outputs[0] != -1
        assert (outputs[1][changed] == outputs[0][changed] + 1000).all()
    return outputs[0]
