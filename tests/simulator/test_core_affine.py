"""Core bodies with ``affine`` loops and accesses, and copies of whole blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npukbuild.errors import DesignError, SimulationFault
from tests.simulator.designs import BOTH, call, one_core

X = np.arange(-100, 156, dtype=np.int32)
BLOCKS = X.reshape(4, 64)


def run(body: str, extra: str = "", **options: Any) -> Any:
    text = one_core(body, extra=extra)
    return call(text, None, X.copy(), np.zeros(256, np.int32), **options).reshape(4, 64)


@BOTH
def test_nested_loops_with_bounds_that_depend_on_each_other(timed: bool) -> None:
    out = run(
        """memref.copy %x, %y : memref<64xi32> to memref<64xi32>
      affine.for %i = 0 to 8 {
        affine.for %j = affine_map<(d0) -> (d0 * 8)>(%i) to min affine_map<(d0) -> (d0 * 8 + 6, 60)>(%i)
          step 2 {
          %v = affine.load %x[%j] : memref<64xi32>
          affine.store %v, %y[%j + 1] : memref<64xi32>
        }
      }""",
        timed=timed,
    )
    expected = BLOCKS.copy()
    for block, row in enumerate(BLOCKS):
        for i in range(8):
            for j in range(i * 8, min(i * 8 + 6, 60), 2):
                expected[block, j + 1] = row[j]
    assert (out == expected).all()


def test_maps_with_mod_and_divisions() -> None:
    out = run(
        """%n8 = arith.constant 8 : index
      affine.for %i = 0 to 64 {
        %p = affine.apply affine_map<(d0)[s0] ->
          (d0 mod 8 + (d0 floordiv 8) * 8 - (d0 ceildiv 64) + s0)>(%i)[%n8]
        %q = affine.min affine_map<(d0) -> (d0, 40)>(%p)
        %v = affine.load %x[63 - %i] : memref<64xi32>
        %k = arith.index_cast %q : index to i32
        %r = arith.addi %v, %k : i32
        affine.store %r, %y[%i] : memref<64xi32>
      }"""
    )
    i = np.arange(64)
    expected = BLOCKS[:, ::-1] + np.minimum(i - -(-i // 64) + 8, 40)
    assert (out == expected).all()


def test_a_loop_that_carries_a_sum() -> None:
    out = run(
        """%z = arith.constant 0 : i32
      %s = affine.for %i = 0 to 64 iter_args(%a = %z) -> (i32) {
        %v = affine.load %x[%i] : memref<64xi32>
        %b = arith.addi %a, %v : i32
        affine.yield %b : i32
      }
      affine.for %i = 0 to 64 { affine.store %s, %y[%i] : memref<64xi32> }"""
    )
    assert (out == BLOCKS.sum(1, keepdims=True)).all()


def test_an_index_outside_is_found_with_its_line() -> None:
    body = "affine.for %i = 0 to 64 {\n%v = affine.load %x[%i + 1] : memref<64xi32>\n"
    with pytest.raises(SimulationFault, match="outside its bounds") as caught:
        run(body + "affine.store %v, %y[%i] : memref<64xi32> }")
    assert "index [64]" in str(caught.value.why)
    assert "design.mlir:20" in str(caught.value.where)


def test_affine_parallel_is_refused_by_name() -> None:
    loop = """"affine.parallel"() <{lowerBoundsMap = affine_map<() -> (0)>,
      upperBoundsMap = affine_map<() -> (4)>,
      lowerBoundsGroups = dense<1> : vector<1xi32>,
      upperBoundsGroups = dense<1> : vector<1xi32>,
      steps = [1 : i64], reductions = []}> ({
      ^bb0(%i: index): "affine.yield"() : () -> ()
      }) : () -> ()"""
    with pytest.raises(DesignError, match=r"does not support affine\.parallel in a core"):
        run(loop)


@BOTH
def test_copies_of_blocks_and_of_parts_with_strides(timed: bool) -> None:
    out = run(
        """memref.copy %x, %y : memref<64xi32> to memref<64xi32>
      %a = memref.subview %x[1] [16] [3] : memref<64xi32> to memref<16xi32, strided<[3], offset: 1>>
      %b = memref.subview %y[0] [16] [2] : memref<64xi32> to memref<16xi32, strided<[2]>>
      memref.copy %a, %b : memref<16xi32, strided<[3], offset: 1>> to memref<16xi32, strided<[2]>>""",
        timed=timed,
    )
    expected = BLOCKS.copy()
    expected[:, :32:2] = BLOCKS[:, 1:49:3]
    assert (out == expected).all()


def test_a_copy_of_words_that_nobody_wrote_is_found() -> None:
    extra = '%b = aie.buffer(%core) {sym_name = "b"} : memref<64xi32>'
    store = "%k = arith.constant 5 : i32\nmemref.store %k, %b[%c0] : memref<64xi32>\n"
    with pytest.raises(SimulationFault, match=r"a core reads b\[1\] of \(0,2\), which was never written"):
        run(store + "memref.copy %b, %y : memref<64xi32> to memref<64xi32>", extra)
    part = (
        "%s = memref.subview %b[0] [1] [1] : memref<64xi32> to memref<1xi32, strided<[1]>>\n"
        "%t = memref.subview %y[0] [1] [1] : memref<64xi32> to memref<1xi32, strided<[1]>>\n"
        "memref.copy %s, %t : memref<1xi32, strided<[1]>> to memref<1xi32, strided<[1]>>"
    )
    out = run("memref.copy %x, %y : memref<64xi32> to memref<64xi32>\n" + store + part, extra)
    assert (out[:, 0] == 5).all()
    assert (out[:, 1:] == BLOCKS[:, 1:]).all()


def test_a_copy_into_a_block_that_is_not_held_is_found() -> None:
    body = (
        "aie.objectfifo.release @y(Produce, 1)\nmemref.copy %x, %y : memref<64xi32> to memref<64xi32>\n"
        "%sz = aie.objectfifo.acquire @y(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>"
    )
    with pytest.raises(SimulationFault, match="without holding its lock"):
        run(body)
