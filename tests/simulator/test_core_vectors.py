"""Core bodies with vectors: loads, stores, element-wise arithmetic, shapes, sums, products of matrices."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from npukbuild.errors import DesignError, SimulationFault
from npukbuild.simulator import Simulator
from tests.simulator.combined import core, device, fifo, move, wait
from tests.simulator.designs import BOTH, load

RNG = np.random.default_rng(3)
DTYPES = {"i32": np.int32, "f32": np.float32, "bf16": ml_dtypes.bfloat16, "i8": np.int8, "i16": np.int16}


def run(body: str, x: Any, size: int, kind: str, out: int | None = None, **options: Any) -> Any:
    """Run a core over blocks of ``size`` of %x, with %y of ``out``; the body sees %c0, %c1 and both sizes."""
    out = out or size
    blocks = x.size // size
    text = device(
        [
            fifo("x", "s0", "%c0_2", "2", size, kind=kind),
            fifo("y", "c0_2", "%s0", "2", out, kind=kind),
            core("c0_2", [("x", size)], [("y", out)], body, kind),
        ],
        [move("X", "x", x.size, 0, kind=kind), move("Y", "y", out * blocks, 1, kind=kind), wait("y")],
        {"X": x.size, "Y": out * blocks},
        kind,
    )
    y = np.zeros(out * blocks, DTYPES[kind])
    result = Simulator(load(text), **options).run([x.copy(), y])
    assert result.warnings == ()
    return y.reshape(blocks, out)


def each(code: str, kind: str = "i32", lanes: int = 16, extra: str = "") -> str:
    """Compute %r of %v, vector by vector."""
    vec = f"vector<{lanes}x{kind}>"
    return f"""{extra}
      %lanes = arith.constant {lanes} : index
      scf.for %i = %c0 to %c64 step %lanes {{
        %v = vector.load %x[%i] : memref<64x{kind}>, {vec}
        {code.replace("VEC", vec)}
        vector.store %r, %y[%i] : memref<64x{kind}>, {vec}
      }}"""


I32 = RNG.integers(-(2**31), 2**31, 256).astype(np.int32)
K = "%k = arith.constant dense<7> : VEC\n"


@pytest.mark.parametrize(
    ("code", "model"),
    [
        ("%r = arith.addi %v, %k : VEC", lambda v: v + np.int32(7)),
        ("%r = arith.muli %v, %v : VEC", lambda v: v * v),
        ("%r = arith.divsi %v, %k : VEC", lambda v: np.trunc(v / 7)),
        ("%r = arith.remsi %v, %k : VEC", lambda v: np.fmod(v, 7)),
        ("%r = arith.floordivsi %v, %k : VEC", lambda v: v // 7),
        ("%r = arith.divui %v, %k : VEC", lambda v: v.view(np.uint32) // 7),
        ("%r = arith.shrsi %v, %k : VEC", lambda v: v >> 7),
        ("%r = arith.shrui %v, %k : VEC", lambda v: v.view(np.uint32) >> 7),
        ("%r = arith.shli %v, %k : VEC", lambda v: v << 7),
        ("%r = arith.minsi %v, %k : VEC", lambda v: np.minimum(v, 7)),
        ("%r = arith.maxui %v, %k : VEC", lambda v: np.maximum(v.view(np.uint32), 7)),
        (
            "%c = arith.cmpi slt, %v, %k : VEC\n%r = arith.select %c, %k, %v : vector<16xi1>, VEC",
            lambda v: np.maximum(v, 7),
        ),
        (
            "%c = arith.cmpi ult, %v, %k : VEC\n%r = arith.extui %c : vector<16xi1> to VEC",
            lambda v: v.view(np.uint32) < 7,
        ),
        (
            "%s = arith.trunci %v : VEC to vector<16xi8>\n%r = arith.extsi %s : vector<16xi8> to VEC",
            lambda v: v.astype(np.int8),
        ),
        (
            "%b = vector.bitcast %v : VEC to vector<64xi8>\n%r = vector.bitcast %b : vector<64xi8> to VEC",
            lambda v: v,
        ),
        (
            (
                "%s = vector.extract %v[3] : i32 from VEC\n%b = vector.broadcast %s : i32 to VEC\n"
                "%t = arith.addi %b, %k : VEC\n%r = vector.insert %s, %t [0] : i32 into VEC"
            ),
            lambda v: (
                np.where(np.arange(64) % 16 == 0, 0, np.int32(7)).reshape(1, 64)
                + v.reshape(-1, 4, 16)[:, :, 3].repeat(16, 1)
            ),
        ),
        (
            "%r = vector.shuffle %v, %k [1, 0, 3, 2, 16, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14] : VEC, VEC",
            lambda v: np.concatenate([v.reshape(-1, 4, 16), np.full((v.size // 64, 4, 16), 7, np.int32)], 2)[
                :, :, [1, 0, 3, 2, 16, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
            ],
        ),
    ],
)
def test_integers_element_by_element(code: str, model: Any) -> None:
    got = run(each(K + code), I32, 64, "i32")
    with np.errstate(over="ignore"):
        expected = np.asarray(model(I32.reshape(-1, 64))).reshape(-1, 64)
    assert (got == expected.astype(np.int64).astype(np.uint32).astype(np.int32)).all()


F32 = RNG.standard_normal(256).astype(np.float32)


@pytest.mark.parametrize("kind", ["f32", "bf16"])
@pytest.mark.parametrize(
    ("code", "model"),
    [
        ("%r = arith.mulf %v, %v : VEC", lambda v: v * v),
        (
            "%s = arith.addf %v, %k : VEC\n%r = arith.divf %s, %k : VEC",
            lambda v: (v + v.dtype.type(3)) / v.dtype.type(3),
        ),
        ("%s = arith.negf %v : VEC\n%r = arith.maximumf %s, %v : VEC", abs),
        ("%r = math.exp %v : VEC", lambda v: np.exp(v.astype(np.float64)).astype(v.dtype)),
        ("%r = vector.fma %v, %k, %v : VEC", lambda v: (v.astype(np.float64) * 3 + v).astype(v.dtype)),
        (
            ("%c = arith.cmpf olt, %v, %k : VEC\n%z = arith.subf %k, %k : VEC\n"
            "%r = arith.select %c, %z, %v : vector<16xi1>, VEC"),
            lambda v: np.where(v < 3, 0, v),
        ),
        (
            "%c = arith.fptosi %v : VEC to vector<16xi16>\n%r = arith.sitofp %c : vector<16xi16> to VEC",
            lambda v: np.trunc(v.astype(np.float32)),
        ),
        (
            "%s = vector.reduction <add>, %v : VEC into KIND\n%r = vector.broadcast %s : KIND to VEC",
            lambda v: np.add.accumulate(v.reshape(-1, 4, 16), 2, dtype=v.dtype)[:, :, -1:].repeat(16, 2),
        ),
    ],
)  # fmt: skip
def test_floats_are_rounded_after_every_operation(kind: str, code: str, model: Any) -> None:
    x = (F32 * 4).astype(DTYPES[kind])
    body = each(f"%k = arith.constant dense<3.0> : VEC\n{code}".replace("KIND", kind), kind)
    got = run(body, x, 64, kind)
    assert (got == np.asarray(model(x.reshape(-1, 64))).reshape(-1, 64).astype(x.dtype)).all()


@BOTH
def test_transfers_with_padding_permutation_and_a_repeated_dimension(timed: bool) -> None:
    body = """%m = memref.reinterpret_cast %x to offset: [0], sizes: [4, 16], strides: [16, 1] : memref<64xi32> to memref<4x16xi32>
      %o = memref.reinterpret_cast %y to offset: [0], sizes: [8, 8], strides: [8, 1] : memref<64xi32> to memref<8x8xi32>
      %p = arith.constant -5 : i32
      %c2 = arith.constant 2 : index
      %c4 = arith.constant 4 : index
      %c6 = arith.constant 6 : index
      %c10 = arith.constant 10 : index
      %t = vector.transfer_read %m[%c1, %c10], %p {permutation_map = affine_map<(d0, d1) -> (d1, d0)>} : memref<4x16xi32>, vector<8x4xi32>
      vector.transfer_write %t, %o[%c0, %c0] {in_bounds = [true, true]} : vector<8x4xi32>, memref<8x8xi32>
      %b = vector.transfer_read %m[%c2, %c6], %p {permutation_map = affine_map<(d0, d1) -> (0, d1)>, in_bounds = [true, true]} : memref<4x16xi32>, vector<8x8xi32>
      vector.transfer_write %b, %o[%c0, %c4] : vector<8x8xi32>, memref<8x8xi32>"""  # noqa: E501
    x = np.arange(128, dtype=np.int32)
    got = run(body, x, 64, "i32", timed=timed).reshape(2, 8, 8)
    m = x.reshape(2, 4, 16)
    expected = np.full((2, 8, 8), -5)
    expected[:, :6, :3] = m[:, 1:4, 10:16].transpose(0, 2, 1)
    expected[:, :, 4:] = m[:, 2:3, 6:10]
    assert (got == expected).all()


@pytest.mark.parametrize("kind", ["i32", "f32", "bf16", "i8"])
def test_a_product_of_matrices(kind: str) -> None:
    acc = {"bf16": "f32", "i8": "i32"}.get(kind, kind)
    narrow = {"bf16": "arith.truncf", "i8": "arith.trunci"}.get(kind)
    zero = "0.0" if acc == "f32" else "0"
    cast = f"%n = {narrow} %s : vector<4x4x{acc}> to vector<4x4x{kind}>" if narrow else ""
    body = f"""%a = vector.load %x[%c0] : memref<64x{kind}>, vector<32x{kind}>
      %at = vector.shape_cast %a : vector<32x{kind}> to vector<4x8x{kind}>
      %c32 = arith.constant 32 : index
      %b = vector.load %x[%c32] : memref<64x{kind}>, vector<32x{kind}>
      %bt = vector.shape_cast %b : vector<32x{kind}> to vector<4x8x{kind}>
      %bu = vector.transpose %bt, [1, 0] : vector<4x8x{kind}> to vector<8x4x{kind}>
      %z = arith.constant dense<{zero}> : vector<4x4x{acc}>
      %s = vector.contract {{indexing_maps = [affine_map<(i, j, k) -> (i, k)>,
        affine_map<(i, j, k) -> (k, j)>, affine_map<(i, j, k) -> (i, j)>],
        iterator_types = ["parallel", "parallel", "reduction"],
        kind = #vector.kind<add>}} %at, %bu, %z : vector<4x8x{kind}>, vector<8x4x{kind}>
        into vector<4x4x{acc}>
      {cast}
      %f = vector.shape_cast %{"n" if narrow else "s"} : vector<4x4x{kind}> to vector<16x{kind}>
      vector.store %f, %y[%c0] : memref<16x{kind}>, vector<16x{kind}>"""
    x = RNG.integers(-3, 4, 192).astype(DTYPES[kind])
    got = run(body, x, 64, kind, 16)
    a, b = x.reshape(3, 2, 4, 8).astype(np.float64).transpose(1, 0, 2, 3)
    assert (got.reshape(3, 4, 4).astype(np.float64) == a @ b.transpose(0, 2, 1)).all()


def test_vectors_take_fewer_cycles_than_numbers() -> None:
    def cycles(body: str) -> float:
        text = device(
            [fifo("x", "s0", "%c0_2", "2", 64), fifo("y", "c0_2", "%s0", "2", 64),
             core("c0_2", [("x", 64)], [("y", 64)], body)],
            [move("X", "x", 256, 0), move("Y", "y", 256, 1), wait("y")], {"X": 256, "Y": 256},
        )  # fmt: skip
        found = Simulator(load(text)).run([I32.copy(), np.zeros(256, np.int32)])
        return found.cores["core (0,2)"] * found.cycles

    single = (
        "scf.for %i = %c0 to %c64 step %c1 {\n%v = memref.load %x[%i] : memref<64xi32>\n"
        "%r = arith.addi %v, %v : i32\nmemref.store %r, %y[%i] : memref<64xi32>\n}"
    )
    assert cycles(each("%r = arith.addi %v, %v : VEC")) * 8 < cycles(single)


def test_a_vector_that_reaches_outside_is_found() -> None:
    body = "%c56 = arith.constant 56 : index\n%v = vector.load %x[%c56] : memref<64xi32>, vector<16xi32>\n"
    with pytest.raises(SimulationFault, match="outside its bounds") as caught:
        run(body + "vector.store %v, %y[%c0] : memref<64xi32>, vector<16xi32>", I32, 64, "i32")
    assert "a vector of 16 at [56] of a block of 64" in str(caught.value.why)


def test_a_vector_with_a_word_that_nobody_wrote_is_found() -> None:
    body = (
        "%s = memref.alloca() : memref<16xi32>\nmemref.store %k, %s[%c0] : memref<16xi32>\n"
        "%v = vector.load %s[%c0] : memref<16xi32>, vector<16xi32>\n"
        "vector.store %v, %y[%c0] : memref<64xi32>, vector<16xi32>"
    )
    with pytest.raises(SimulationFault, match=r"\[1\] of \(0,2\), which was never written"):
        run("%k = arith.constant 4 : i32\n" + body, I32, 64, "i32")


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("%m = vector.create_mask %c1 : vector<16xi1>", "vector.create_mask"),
        (
            "%f = arith.sitofp %v : vector<16xi32> to vector<16xf32>\n%g = math.atan %f : vector<16xf32>",
            "math.atan",
        ),
    ],
)
def test_what_is_not_known_is_refused_by_name_with_its_line(code: str, named: str) -> None:
    with pytest.raises(DesignError, match=rf"does not support {named} in a core") as caught:
        run(each(code + "\n%r = arith.addi %v, %v : VEC"), I32, 64, "i32")
    assert "design.mlir:4" in str(caught.value.where)


@pytest.mark.parametrize(
    "code",
    [
        "%w = vector.shape_cast %v : vector<16xi32> to vector<3x5xi32>",
        "%w = vector.bitcast %v : vector<16xi32> to vector<8xi32>",
        "%w = vector.transpose %v, [0, 1] : vector<16xi32> to vector<16xi32>",
        (
            "%w = vector.contract {kind = #vector.kind<add>} %v, %v, %v : "
            "vector<16xi32>, vector<16xi32> into vector<16xi32>"
        ),
        (
            "%w = vector.contract {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, "
            "affine_map<(i) -> ()>], kind = #vector.kind<add>} %v, %v, %v : "
            "vector<16xi32>, vector<16xi32> into vector<16xi32>"
        ),
        "%w = vector.load %x[%c0] : memref<64xi32>, vector<4x4xi32>",
        "%w = vector.load %x[%c0] : memref<64xi32>, vector<16xf32>",
        "%w = vector.shuffle %v, %v [0, 99] : vector<16xi32>, vector<16xi32>",
        "%w = vector.broadcast %v : vector<16xi32> to vector<16x2xi32>",
    ],
)
def test_types_that_do_not_fit_are_refused_with_the_line(code: str) -> None:
    with pytest.raises(DesignError) as caught:
        run(each(code + "\n%r = arith.addi %v, %v : VEC"), I32, 64, "i32")
    assert "design.mlir:4" in str(caught.value.where)
