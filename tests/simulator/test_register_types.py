"""Kernels in the compiler's own register types: no header needed, and cascades of 1024 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from npukbuild.errors import CompileError
from tests.simulator.combined import call, core, device, fifo, move, wait

if TYPE_CHECKING:
    from collections.abc import Callable

KERNELS = """
#include <stdint.h>
extern "C" void give(int32_t *x) {
  v32int32 wide = undef_v32int32();
  for (int i = 0; i < 32; i++) wide = upd_elem(wide, i, x[i]);
  put_mcd(wide);
}
extern "C" void take(int32_t *y) {
  v16int32 low = get_scd_v16int32(), high = get_scd_v16int32();
  for (int i = 0; i < 16; i++) y[i] = ext_elem(low, i) + 1000;
  for (int i = 0; i < 16; i++) y[16 + i] = ext_elem(high, i) + 2000;
}
extern "C" void take_wide(int32_t *y) {
  v32int32 wide = get_scd_v32int32();
  for (int i = 0; i < 32; i++) y[i] = ext_elem(wide, i) - 5;
}
"""


def _design(function: str) -> str:
    kind = "(memref<32xi32>) -> ()"
    parts = [
        f"func.func private @give{kind}",
        f"func.func private @{function}{kind}",
        "aie.cascade_flow(%c0_3, %c0_2)",
        fifo("x", "s0", "%c0_3", "2 : i32", 32),
        fifo("y", "c0_2", "%s0", "2 : i32", 32),
        core("c0_3", [("x", 32)], [], f"func.call @give(%x) : {kind}"),
        core("c0_2", [], [("y", 32)], f"func.call @{function}(%y) : {kind}"),
    ]
    return device(parts, [move("X", "x", 64, 0), move("Y", "y", 64, 1), wait("y")], {"X": 64, "Y": 64})


def test_a_wide_register_goes_down_the_cascade_lower_half_first(compile_cc: Callable[[str], Any]) -> None:
    kernels = compile_cc(KERNELS)
    x, y = np.arange(64, dtype=np.int32) * 3 - 50, np.zeros(64, np.int32)
    call(_design("take"), x, y, kernels=kernels)
    assert (y == x + np.tile(np.repeat([1000, 2000], 16), 2)).all()
    call(_design("take_wide"), x, y, kernels=kernels)
    assert (y == x - 5).all()


def test_the_api_still_needs_its_header(compile_cc: Callable[[str], Any]) -> None:
    with pytest.raises(CompileError, match="does not compile"):
        compile_cc('extern "C" void f(int *x) { v16int32 v = aie::load_v<16>(x); put_mcd(v); }\n')
