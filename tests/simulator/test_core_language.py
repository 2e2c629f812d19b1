"""What a core's body may say: each construct runs and gives what MLIR says it gives."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from npukbuild.errors import DesignError
from npukbuild.simulator import Simulator
from tests.simulator.designs import PASS, SEQUENCE, call, load, one_core

X = np.arange(-100, 156, dtype=np.int32)


def run(text: str, **options: Any) -> Any:
    return call(text, None, X.copy(), np.zeros(256, np.int32), **options)


def each(code: str) -> str:
    """A body that computes %r from %v for every element."""
    return f"""scf.for %i = %c0 to %n step %c1 {{
        %v = memref.load %x[%i] : memref<64xi32>
        {code}
        memref.store %r, %y[%i] : memref<64xi32>
      }}"""


def wrap(value: Any) -> Any:
    return np.asarray(value, np.int64).astype(np.uint32).astype(np.int32)


@pytest.mark.parametrize(
    ("op", "reference"),
    [
        ("%k = arith.constant 7 : i32\n%r = arith.addi %v, %k : i32", lambda v: v + 7),
        ("%k = arith.constant 100000007 : i32\n%r = arith.muli %v, %k : i32", lambda v: wrap(v * 100000007)),
        ("%k = arith.constant 7 : i32\n%r = arith.divsi %v, %k : i32", lambda v: np.trunc(v / 7)),
        ("%k = arith.constant 7 : i32\n%r = arith.remsi %v, %k : i32", lambda v: np.fmod(v, 7)),
        ("%k = arith.constant 7 : i32\n%r = arith.floordivsi %v, %k : i32", lambda v: v // 7),
        ("%k = arith.constant 7 : i32\n%r = arith.divui %v, %k : i32", lambda v: (v % 2**32) // 7),
        ("%k = arith.constant 3 : i32\n%r = arith.shrsi %v, %k : i32", lambda v: v >> 3),
        ("%k = arith.constant 3 : i32\n%r = arith.shrui %v, %k : i32", lambda v: (v % 2**32) >> 3),
        ("%k = arith.constant 29 : i32\n%r = arith.shli %v, %k : i32", lambda v: wrap(v << 29)),
        ("%k = arith.constant 12 : i32\n%r = arith.xori %v, %k : i32", lambda v: v ^ 12),
        ("%k = arith.constant 12 : i32\n%r = arith.maxsi %v, %k : i32", lambda v: np.maximum(v, 12)),
        ("%k = arith.constant 12 : i32\n%r = arith.minui %v, %k : i32", lambda v: np.minimum(v % 2**32, 12)),
        (
            (
                "%k = arith.constant 0 : i32\n%b = arith.cmpi slt, %v, %k : i32\n"
                "%r = arith.select %b, %k, %v : i32"
            ),
            lambda v: np.maximum(v, 0),
        ),
        (
            "%k = arith.constant 5 : i32\n%b = arith.cmpi ult, %v, %k : i32\n%r = arith.extui %b : i1 to i32",
            lambda v: ((v >= 0) & (v < 5)).astype(int),
        ),
        (
            "%s = arith.trunci %v : i32 to i8\n%r = arith.extsi %s : i8 to i32",
            lambda v: v.astype(np.int8).astype(int),
        ),
        (
            (
                "%f = arith.sitofp %v : i32 to f32\n%k = arith.constant 0.1 : f32\n"
                "%g = arith.mulf %f, %k : f32\n"
                "%r = arith.fptosi %g : f32 to i32"
            ),
            lambda v: np.trunc(v.astype(np.float32) * np.float32(0.1)),
        ),
        (
            (
                "%f = arith.sitofp %v : i32 to f32\n%k = arith.constant 3.0 : f32\n"
                "%g = arith.divf %f, %k : f32\n"
                "%h = arith.truncf %g : f32 to bf16\n%w = arith.extf %h : bf16 to f32\n%r = arith.bitcast %w "
                ": f32 to i32"
            ),
            lambda v: (
                (v.astype(np.float32) / np.float32(3))
                .astype(ml_dtypes.bfloat16)
                .astype(np.float32)
                .view(np.int32)
            ),
        ),
        (
            (
                "%j = arith.index_cast %v : i32 to index\n%q = arith.muli %j, %j : index\n"
                "%r = arith.index_cast %q : index to i32"
            ),
            lambda v: v * v,
        ),
    ],
)
def test_arithmetic(op: str, reference: Any) -> None:
    assert (run(one_core(each(op))) == wrap(reference(X.astype(np.int64)))).all()


@pytest.mark.parametrize("bound", ["4294967295", "9223372036854775807"])
def test_index_is_64_bits_wide_so_the_usual_spellings_of_forever_do_not_wrap_to_minus_one(bound: str) -> None:
    text = one_core(
        core=PASS.replace("2147483640", bound).replace("BODY", each("%r = arith.addi %v, %v : i32"))
    )
    assert (run(text) == 2 * X).all()
    code = f"""%b = arith.constant {bound} : index
        %j = arith.index_cast %v : i32 to index
        %t = arith.cmpi slt, %j, %b : index
        %r = arith.extui %t : i1 to i32"""
    assert (run(one_core(each(code))) == 1).all()


@pytest.mark.parametrize(
    ("code", "reference"),
    [
        (
            """%zero = arith.constant 0 : i32
        %b = arith.cmpi sge, %v, %zero : i32
        %r = scf.if %b -> (i32) { scf.yield %v : i32 } else {
          %m = arith.subi %zero, %v : i32
          scf.yield %m : i32 }""",
            np.abs,
        ),
        (
            """%two = arith.constant 2 : i32
        %c5 = arith.constant 5 : index
        %r = scf.for %j = %c0 to %c5 step %c1 iter_args(%a = %v) -> (i32) {
          %d = arith.addi %a, %two : i32
          scf.yield %d : i32 }""",
            lambda v: v + 10,
        ),
        (
            """%zero = arith.constant 0 : i32
        %three = arith.constant 3 : i32
        %r = scf.while (%a = %v) : (i32) -> (i32) {
          %b = arith.cmpi sgt, %a, %zero : i32
          scf.condition(%b) %a : i32
        } do {
        ^bb0(%a: i32):
          %d = arith.subi %a, %three : i32
          scf.yield %d : i32 }""",
            lambda v: np.where(v > 0, v - 3 * -(-v // 3), v),
        ),
        (
            """%zero = arith.constant 0 : i32
        %three = arith.constant 3 : i32
        memref.store %v, %y[%i] : memref<64xi32>
        scf.while : () -> () {
          %a = memref.load %y[%i] : memref<64xi32>
          %b = arith.cmpi sgt, %a, %zero : i32
          scf.condition(%b)
        } do {
          %a = memref.load %y[%i] : memref<64xi32>
          %d = arith.subi %a, %three : i32
          memref.store %d, %y[%i] : memref<64xi32>
          scf.yield
        }
        %r = memref.load %y[%i] : memref<64xi32>""",
            lambda v: np.where(v > 0, v - 3 * -(-v // 3), v),
        ),
        (
            """%zero = arith.constant 0 : i32
        %r = scf.while : () -> (i32) {
          %b = arith.cmpi sgt, %zero, %zero : i32
          scf.condition(%b) %v : i32
        } do {
        ^bb0(%a: i32):
          scf.yield
        }""",
            lambda v: v,
        ),
        (
            """%four = arith.constant 4 : i32
        %m = arith.remui %v, %four : i32
        %j = arith.index_cast %m : i32 to index
        %r = scf.index_switch %j -> i32
        case 0 { %k = arith.constant 10 : i32
          scf.yield %k : i32 }
        case 2 { scf.yield %v : i32 }
        default { %k = arith.constant -1 : i32
          scf.yield %k : i32 }""",
            lambda v: np.where(v % 4 == 0, 10, np.where(v % 4 == 2, v, -1)),
        ),
    ],
)
def test_control_flow(code: str, reference: Any) -> None:
    assert (run(one_core(each(code))) == reference(X)).all()


def test_subview_and_casts_share_the_memory() -> None:
    body = """%c8 = arith.constant 8 : index
      %m = memref.reinterpret_cast %y to offset: [0], sizes: [8, 8], strides: [8, 1]
        : memref<64xi32> to memref<8x8xi32>
      scf.for %i = %c0 to %c8 step %c1 {
        %row = memref.subview %m[%i, 0] [1, 8] [1, 1]
          : memref<8x8xi32> to memref<8xi32, strided<[1], offset: ?>>
        scf.for %j = %c0 to %c8 step %c1 {
          %p = arith.muli %j, %c8 : index
          %q = arith.addi %p, %i : index
          %v = memref.load %x[%q] : memref<64xi32>
          memref.store %v, %row[%j] : memref<8xi32, strided<[1], offset: ?>>
        }
      }"""
    expected = X.reshape(4, 8, 8).transpose(0, 2, 1).reshape(-1)
    assert (run(one_core(body)) == expected).all()


def test_a_function_of_the_design_is_called() -> None:
    text = one_core(
        each("%r = func.call @twice(%v) : (i32) -> i32"),
        extra="""func.func @twice(%a: i32) -> i32 {
      %b = arith.addi %a, %a : i32
      return %b : i32
    }""",
    )
    assert (run(text) == 2 * X).all()


def test_a_function_of_the_design_works_on_blocks() -> None:
    text = one_core(
        "func.call @copy(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()",
        extra="""func.func @copy(%a: memref<64xi32>, %b: memref<64xi32>) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %n = arith.constant 64 : index
      scf.for %i = %c0 to %n step %c1 {
        %v = memref.load %a[%i] : memref<64xi32>
        memref.store %v, %b[%i] : memref<64xi32>
      }
      return
    }""",
    )
    assert (run(text) == X).all()


def test_globals_and_initial_values_are_read() -> None:
    text = one_core(
        each("""%g = memref.get_global @table : memref<2xi32>
        %a = memref.load %g[%c1] : memref<2xi32>
        %b = memref.load %bias[%c0] : memref<2xi32>
        %s = arith.addi %v, %a : i32
        %r = arith.addi %s, %b : i32"""),
        extra="""memref.global "private" constant @table : memref<2xi32> = dense<[10, 20]>
    %bias = aie.buffer(%core) {sym_name = "bias"} : memref<2xi32> = dense<[300, 400]>""",
    )
    assert (run(text) == X + 320).all()


def test_a_runtime_parameter_and_a_lock_from_the_host() -> None:
    text = one_core(
        core="""aie.use_lock(%go, AcquireGreaterEqual, 1)\n"""
        + PASS.replace(
            "BODY",
            each("%k = memref.load %rtp[%c1] : memref<2xi32>\n%r = arith.addi %v, %k : i32"),
        ),
        extra="""%rtp = aie.buffer(%core) {sym_name = "rtp"} : memref<2xi32>
    %go = aie.lock(%core, 15) {init = 0 : i32, sym_name = "go"}""",
        sequence="""
      aiex.npu.rtp_write(@rtp, 1, 1000)
      aiex.set_lock(%go, 1)"""
        + SEQUENCE,
    )
    assert (run(text) == X + 1000).all()


def test_write32_to_a_lock_works_and_to_an_unknown_register_is_refused_by_name() -> None:
    text = one_core(
        core="aie.use_lock(%go, AcquireGreaterEqual, 1)\n"
        + PASS.replace("BODY", each("%k = arith.constant 0 : i32\n%r = arith.addi %v, %k : i32")),
        extra='%go = aie.lock(%core, 15) {init = 0 : i32, sym_name = "go"}',
        sequence="\n      aiex.npu.write32 {address = 0x1F0F0 : ui32, column = 0 : i32, row = 2 : i32, "
        "value = 1 : ui32}" + SEQUENCE,
    )
    assert (run(text) == X).all()
    with pytest.raises(DesignError, match="does not support a write to register 0x32000 of core tile"):
        run(text.replace("0x1F0F0", "0x32000"))


def test_several_blocks_with_branches() -> None:
    core = """
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %n = arith.constant 64 : index
      cf.br ^loop
    ^loop:
      %sx = aie.objectfifo.acquire @x(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
      %x = aie.objectfifo.subview.access %sx[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
      %sy = aie.objectfifo.acquire @y(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>
      %y = aie.objectfifo.subview.access %sy[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
      cf.br ^inner(%c0 : index)
    ^inner(%i: index):
      %v = memref.load %x[%i] : memref<64xi32>
      memref.store %v, %y[%i] : memref<64xi32>
      %j = arith.addi %i, %c1 : index
      %b = arith.cmpi slt, %j, %n : index
      cf.cond_br %b, ^inner(%j : index), ^done
    ^done:
      aie.objectfifo.release @x(Consume, 1)
      aie.objectfifo.release @y(Produce, 1)
      cf.br ^loop
    ^never:"""
    assert (run(one_core(core=core)) == X).all()


def test_what_is_not_supported_is_refused_by_name_and_line() -> None:
    text = one_core("%q = vector.create_mask %c1 : vector<16xi1>")
    with pytest.raises(DesignError) as caught:
        Simulator(load(text))
    assert "vector.create_mask" in caught.value.what
    number = next(place for place, line in enumerate(text.splitlines(), 1) if "vector.create_mask" in line)
    assert caught.value.where is not None
    assert caught.value.where.startswith(f"design.mlir:{number}")


def test_a_sliding_window_keeps_what_it_holds() -> None:
    """The core adds each object to the one before: acquire two, release one."""
    core = """
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %n = arith.constant 64 : index
      %times = arith.constant 2 : index
      scf.for %t = %c0 to %times step %c1 {
        %s = aie.objectfifo.acquire @x(Consume, 2) : !aie.objectfifosubview<memref<64xi32>>
        %a = aie.objectfifo.subview.access %s[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
        %b = aie.objectfifo.subview.access %s[1] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
        ADD
        aie.objectfifo.release @x(Consume, 1)
        %s2 = aie.objectfifo.acquire @x(Consume, 2) : !aie.objectfifosubview<memref<64xi32>>
        %a2 = aie.objectfifo.subview.access %s2[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
        %b2 = aie.objectfifo.subview.access %s2[1] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
        ADD2
        aie.objectfifo.release @x(Consume, 2)
      }"""
    add = """%sy{0} = aie.objectfifo.acquire @y(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>
        %y{0} = aie.objectfifo.subview.access %sy{0}[0]
          : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
        scf.for %i = %c0 to %n step %c1 {{
          %p = memref.load %a{0}[%i] : memref<64xi32>
          %q = memref.load %b{0}[%i] : memref<64xi32>
          %r = arith.addi %p, %q : i32
          memref.store %r, %y{0}[%i] : memref<64xi32>
        }}
        aie.objectfifo.release @y(Produce, 1)"""
    sequence = """
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,192][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,128][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_wait {symbol = @y}
"""
    text = one_core(
        core=core.replace("ADD2", add.format(2)).replace("ADD", add.format("")), sequence=sequence
    )
    got = run(text)
    blocks = X.reshape(4, 64)
    assert (got[:128].reshape(2, 64) == blocks[:2] + blocks[1:3]).all()


def test_a_loop_that_releases_less_than_it_acquires_takes_anew_as_the_compiler_counts() -> None:
    """Held objects are counted along the program text, so the next iteration takes two more: that hangs."""
    from npukbuild.errors import SimulationFault

    core = PASS.replace("@x(Consume, 1) : ", "@x(Consume, 2) : ").replace("BODY", "")
    with pytest.raises(SimulationFault, match="hangs"):
        run(one_core(core=core, fifos=None))
