"""Compiled kernels on simulated cores: cascades, statics, results, sticky registers, alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from npukbuild.errors import SimulationFault
from npukbuild.simulator import Simulator
from tests.simulator.designs import PASS, call, load, one_core

if TYPE_CHECKING:
    from collections.abc import Callable

X = np.arange(256, dtype=np.int32) - 31
TWO = "(memref<64xi32>, memref<64xi32>) -> ()"
COUNT = """
extern "C" void count(const int *x, int *y) {
  static int calls[16];
  calls[3]++;
  for (int i = 0; i < 64; i++) y[i] = x[i] + 1000 * calls[3];
}
"""


def chain(first: str, second: str, extra: str) -> str:
    """Two cores one after the other, each with its own call."""
    return one_core(
        core=PASS.replace("@y", "@h").replace("BODY", f"func.call @{first}(%x, %y) : {TWO}"),
        fifos="""%two = aie.tile(0, 3)
    aie.objectfifo @x(%shim, {%core}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @h(%core, {%two}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @y(%two, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>""",
        extra=extra
        + "%c2 = aie.core(%two) {"
        + PASS.replace("@x", "@h").replace("BODY", f"func.call @{second}(%x, %y) : {TWO}")
        + " aie.end }",
    )


def test_each_core_has_its_own_static_variables_and_each_call_counts_once(
    compile_cc: Callable[[str], Any],
) -> None:
    text = chain("count", "count", "func.func private @count(memref<64xi32>, memref<64xi32>)\n")
    got = call(text, compile_cc(COUNT), X.copy(), np.zeros(256, np.int32))
    expected = X.reshape(4, 64) + 2000 * np.arange(1, 5).reshape(4, 1)
    assert (got.reshape(4, 64) == expected).all()


def test_a_function_that_returns_a_value(compile_cc: Callable[[str], Any]) -> None:
    kernels = compile_cc(
        'extern "C" int total(const int *x) { int s = 0; for (int i = 0; i < 64; i++) s += x[i]; return s; }'
    )
    text = one_core(
        """%s = func.call @total(%x) : (memref<64xi32>) -> i32
      scf.for %i = %c0 to %n step %c1 { memref.store %s, %y[%i] : memref<64xi32> }""",
        extra="func.func private @total(memref<64xi32>) -> i32",
    )
    for timed in (False, True):
        got = call(text, kernels, X.copy(), np.zeros(256, np.int32), timed=timed)
        assert (got.reshape(4, 64) == X.reshape(4, 64).sum(1, keepdims=True)).all()


CASCADE = """
#include <aie_api/aie.hpp>
extern "C" void send(const int *x, int *y) {
  for (int i = 0; i < 64; i += 16) put_mcd(aie::load_v<16>(x + i));
  for (int i = 0; i < 64; i++) y[i] = 0;
}
extern "C" void receive(const int *x, int *y) {
  for (int i = 0; i < 64; i += 16) {
    aie::vector<int, 16> v = get_scd_v16int32();
    aie::store_v(y + i, aie::add(v, aie::load_v<16>(x + i)));
  }
}
"""


@pytest.mark.parametrize("timed", [False, True])
def test_kernels_that_talk_over_the_cascade_wait_for_each_other(
    compile_cc: Callable[[str], Any], timed: bool
) -> None:
    declared = """func.func private @send(memref<64xi32>, memref<64xi32>)
    func.func private @receive(memref<64xi32>, memref<64xi32>)
    aie.cascade_flow(%two, %core)
"""
    second = PASS.replace("@x", "@z").replace("@y", "@w").replace("BODY", f"func.call @send(%x, %y) : {TWO}")
    text = one_core(
        f"func.call @receive(%x, %y) : {TWO}",
        fifos="""%two = aie.tile(0, 3)
    aie.objectfifo @x(%shim, {%core}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @y(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @z(%shim, {%two}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @w(%two, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>""",
        extra=declared + f"%c2 = aie.core(%two) {{{second} aie.end }}",
        sequence="""
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,128][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%X[0,0,0,128][1,1,1,128][0,0,0,1])
        {id = 1 : i64, metadata = @z} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,128][0,0,0,1]) {id = 2 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,128][1,1,1,128][0,0,0,1])
        {id = 3 : i64, metadata = @w} : memref<256xi32>
      aiex.npu.dma_wait {symbol = @y}
      aiex.npu.dma_wait {symbol = @w}
""",
    )
    kernels = compile_cc(CASCADE)
    got = call(text, kernels, X.copy(), np.full(256, -1, np.int32), timed=timed)
    assert (got[:128] == X[:128] + X[128:]).all()
    lonely = text.replace("func.call @send(%x, %y) : " + TWO, "")
    with pytest.raises(SimulationFault, match="hangs") as caught:
        call(lonely, kernels, X.copy(), np.zeros(256, np.int32), timed=timed)
    assert any("a value in the cascade from (0,3) to (0,2)" in line for line in caught.value.details)


def test_registers_of_a_core_stick_from_call_to_call(compile_cc: Callable[[str], Any]) -> None:
    kernels = compile_cc("""
#include <aie_api/aie.hpp>
extern "C" void shift(const int *x, int *y) {
  for (int i = 0; i < 64; i += 16) {
    aie::accum<acc32, 16> a;
    a.from_vector(aie::load_v<16>(x + i));
    aie::vector<int16, 16> v = a.to_vector<int16>(1);
    for (int j = 0; j < 16; j++) y[i + j] = v[j];
  }
  aie::set_rounding(aie::rounding_mode::conv_even);
}
""")
    text = one_core(
        f"func.call @shift(%x, %y) : {TWO}", extra="func.func private @shift(memref<64xi32>, memref<64xi32>)"
    )
    got = Simulator(load(text), kernels, differential=False)
    args = [X.copy(), np.zeros(256, np.int32)]
    got.run(args)
    assert (args[1][:64] == X[:64] >> 1).all()  # floor, the mode after reset
    assert (args[1][64:] == np.rint(X[64:] / 2)).all()


def test_a_misaligned_vector_access_is_found(tmp_path: Any) -> None:
    from npukbuild.simulator.hostcc import compile_kernels
    from npukbuild.simulator.kernel_library import KernelLibrary

    source = tmp_path / "k.cc"
    source.write_text("""
#include <aie_api/aie.hpp>
extern "C" void copy(const int *x, int *y) {
  for (int i = 0; i < 48; i += 16) aie::store_v(y + i, aie::load_v<16>(x + i + 1));
  for (int i = 48; i < 64; i++) y[i] = 0;
}
""")
    library = compile_kernels(
        [source], arch="aie2", output=tmp_path / "k.so", defines=("NPUK_CHECK_ALIGNMENT",)
    )
    text = one_core(
        f"func.call @copy(%x, %y) : {TWO}", extra="func.func private @copy(memref<64xi32>, memref<64xi32>)"
    )
    with pytest.raises(SimulationFault, match="misaligned address"):
        call(text, KernelLibrary(library), X.copy(), np.zeros(256, np.int32))
