"""Data that nobody wrote, and accesses outside a block or without its lock, are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.simulator.designs import COPY, PASS, call, one_core
from tests.simulator.faulty import fault_of, line_of

if TYPE_CHECKING:
    from collections.abc import Callable


def test_data_that_were_never_written_are_poison() -> None:
    half = COPY.replace("%c0 to %n step %c1", "%c0 to %half step %c1")
    text = one_core("%half = arith.constant 60 : index\n" + half)
    fault = fault_of(text)
    assert "y_buff_0 that were never written" in fault.what
    assert "4 of 64 elements, the first at stream element 60" in (fault.why or "")


def test_a_core_that_loads_a_buffer_nobody_wrote() -> None:
    fault = fault_of(
        one_core(
            "%v = memref.load %b[%c0] : memref<8xi32>\n memref.store %v, %y[%c0] : memref<64xi32>",
            extra='%b = aie.buffer(%core) {sym_name = "b"} : memref<8xi32>',
        )
    )
    assert fault.what == "a core reads b[0] of (0,2), which was never written"


ACCUMULATE = """
#include <cstdint>
extern "C" void add(const int32_t *x, int32_t *acc, int32_t *y) {
  for (int i = 0; i < 64; i++) y[i] = acc[i] += x[i];
}
extern "C" void clear(int32_t *acc) { for (int i = 0; i < 64; i++) acc[i] = 0; }
"""
ADD = "func.call @add(%x, %acc, %y) : (memref<64xi32>, memref<64xi32>, memref<64xi32>) -> ()"
ACCUMULATOR = """func.func private @add(memref<64xi32>, memref<64xi32>, memref<64xi32>)
    func.func private @clear(memref<64xi32>)
    %acc = aie.buffer(%core) {sym_name = "acc"} : memref<64xi32>"""


def test_a_function_that_adds_to_an_accumulator_nobody_cleared(compile_cc: Callable[[str], Any]) -> None:
    kernels = compile_cc(ACCUMULATE)
    text = one_core(ADD, extra=ACCUMULATOR)
    fault = fault_of(text, kernels)
    assert fault.what == "core function add on core (0,2) computes with data that were never written"
    assert fault.details == (), "the same is not said twice"
    assert fault.where is not None
    assert fault.where.startswith(f"design.mlir:{line_of(text, 'call @add')}")
    clear = "func.call @clear(%acc) : (memref<64xi32>) -> ()\n"
    assert (call(one_core(clear + ADD, extra=ACCUMULATOR), kernels) == np.arange(256)).all()


@pytest.mark.parametrize("index", [64, -1])
def test_an_access_outside_a_block(index: int) -> None:
    body = f"%far = arith.constant {index} : index\n%v = memref.load %x[%far] : memref<64xi32>"
    fault = fault_of(one_core(body))
    assert fault.what == "a core accesses x_cons_buff_0 of (0,2) outside its bounds"
    assert f"[{index}] of a block of 64" in (fault.why or "")


def test_use_after_release() -> None:
    text = one_core(
        core=PASS.replace("BODY", "aie.objectfifo.release @x(Consume, 1)\n" + COPY).replace(
            "      aie.objectfifo.release @x(Consume, 1)\n      aie.objectfifo.release @y",
            "aie.objectfifo.release @y",
        )
    )
    fault = fault_of(text)
    assert "object of fifo x" in fault.what
    assert "without holding its lock" in fault.what
    assert fault.where is not None
    assert fault.where.startswith(f"design.mlir:{line_of(text, 'memref.load')}")


WILD = """
#include <cstdint>
extern "C" void wild(const int32_t *x, int32_t *y) { for (int i = 0; i < N; i++) y[i] = x[i % 64]; }
extern "C" void before(const int32_t *x, int32_t *y) { for (int i = -1; i < 64; i++) y[i] = 7; }
"""


@pytest.mark.parametrize(
    ("name", "count", "word"), [("wild", 65, "past the end"), ("before", 64, "before the start")]
)
def test_a_function_that_writes_beyond_its_block(
    compile_cc: Callable[[str], Any], name: str, count: int, word: str
) -> None:
    kernels = compile_cc(WILD.replace("N;", f"{count};"))
    text = one_core(
        f"func.call @{name}(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()",
        extra=f"func.func private @{name}(memref<64xi32>, memref<64xi32>)",
    )
    fault = fault_of(text, kernels)
    assert fault.what == f"core function {name} writes {word} of its block"
    assert "y_buff_0" in (fault.why or "")
