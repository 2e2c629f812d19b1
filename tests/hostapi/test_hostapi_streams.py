"""Streams of vectors in memory, registers as intrinsics take them, and what AIE2 says of AIE2P functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import pytest

from npukbuild.errors import CompileError
from npukbuild.simulator.hostcc import compile_kernels
from tests.hostapi.models import to_blocks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hostapi.tools import Check, Load

INCLUDE = "#include <aie_api/aie.hpp>\n"

UNALIGNED = """extern "C" void move(const int8 *in, int8 *out, int n) {
  auto from = aie::make_unaligned_vector_input_buffer_stream<32>(in + 1);
  auto to = aie::make_unaligned_vector_output_buffer_stream<32>(out + 3);
  for (int i = 0; i < n; i++) {
    aie::vector<int8, 32> v, w;
    from >> v;
    w = from.pop();
    to << aie::add(v, w);
    to.push(w);
  }
}"""


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_unaligned_streams_move_vectors_at_any_address(load: Load, arch: str) -> None:
    source = np.arange(-100, 92, dtype=np.int8)
    out = np.zeros(192, np.int8)
    load(INCLUDE + UNALIGNED, arch).call("move", source, out, 2)
    pairs = source[1:129].reshape(2, 2, 32)
    wanted = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 1]], axis=1).ravel()
    np.testing.assert_array_equal(out[3:131], wanted)
    assert not out[:3].any()
    assert not out[131:].any()


def test_only_aie2p_streams_more_than_1024_bits_unaligned(check: Check) -> None:
    body = "void f(const int16 *p) { auto v = aie::make_unaligned_vector_input_buffer_stream<128>(p).pop(); }"
    assert check(INCLUDE + body, "aie2p") == ""
    assert "at most 1024 bits" in check(INCLUDE + body)


PUSHED = """extern "C" void spread(const bfloat16 *in, bfp16ebs8 *out) {
  aie::block_vector_restrict_output_buffer_stream<bfp16ebs8, 64> to(out);
  auto blocks = [&](int i) {
    return aie::accum<accfloat, 64>(aie::load_v<64>(in + 64 * i)).to_vector<bfp16ebs8>();
  };
  to.push_seek(blocks(0), 1);
  to.push_seek_byte(blocks(1), 9);
  to << blocks(2);
}"""


def test_pushes_of_blocks_step_on_by_vectors_or_bytes(load: Load) -> None:
    values = np.random.default_rng(4).normal(size=(3, 8, 8)).astype(ml_dtypes.bfloat16)
    out = np.zeros(72 * 4 + 9, np.uint8)
    load(INCLUDE + PUSHED, "aie2p").call("spread", values, out)
    exponent, mantissa = to_blocks(values.astype(np.float64), "floor")
    packed = np.concatenate(
        [exponent.astype(np.uint8)[..., None], mantissa.astype(np.int8).view(np.uint8)], -1
    )
    for vector, at in ((0, 0), (1, 144), (2, 225)):
        np.testing.assert_array_equal(out[at : at + 72], packed[vector].ravel())
    assert not out[72:144].any()
    assert not out[216:225].any()


@pytest.mark.parametrize(
    ("tag", "lanes", "on"),
    [
        ("acc32", 32, {"aie2", "aie2p"}),
        ("acc32", 64, {"aie2p"}),
        ("acc64", 16, {"aie2", "aie2p"}),
        ("acc64", 32, {"aie2p"}),
        ("accfloat", 64, {"aie2p"}),
        ("accfloat", 128, set()),
    ],
)
def test_a_register_is_given_to_an_intrinsic_if_it_is_one(
    check: Check, tag: str, lanes: int, on: set[str]
) -> None:
    body = f"void f(aie::accum<{tag}, {lanes}> a) {{ aie::accum<{tag}, {lanes}> b(a.to_native()); }}"
    for arch in ("aie2", "aie2p"):
        assert (check(INCLUDE + body, arch) == "") == (arch in on), arch


def test_a_vector_comes_back_from_its_register(check: Check) -> None:
    good = """void f(aie::vector<int8, 64> v, aie::vector<int8, 128> w) {
      auto same = aie::vector(v.to_native());
      v = same;
      w = aie::vector<int8, 128>(w.to_native());
    }"""
    assert check(INCLUDE + good) == ""
    assert "error" in check(INCLUDE + "void f(aie::vector<int8, 256> v) { auto w = v.to_native(); }")


ASSIGNED = """extern "C" void widen(const bfloat16 *in, const int8 *whole, float *out, int32 *sum) {
  aie::accum<accfloat, 16> acc = aie::zeros<accfloat, 16>();
  acc = aie::load_v<16>(in);
  aie::store_v(out, acc.to_vector<float>());
  aie::accum<acc32, 32> total;
  total = aie::load_v<32>(whole);
  aie::store_v(sum, aie::add(total, total).to_vector<int32>());
}"""


def test_an_accumulator_takes_a_vector_by_assignment_on_aie2p_only(load: Load, check: Check) -> None:
    values = np.linspace(-3, 5, 16, dtype=np.float32).astype(ml_dtypes.bfloat16)
    whole = np.arange(-16, 16, dtype=np.int8)
    out, total = np.zeros(16, np.float32), np.zeros(32, np.int32)
    load(INCLUDE + ASSIGNED, "aie2p").call("widen", values, whole, out, total)
    np.testing.assert_array_equal(out, values.astype(np.float32))
    np.testing.assert_array_equal(total, 2 * whole.astype(np.int32))
    assert "no match for" in check(INCLUDE + ASSIGNED) or "no viable overloaded" in check(INCLUDE + ASSIGNED)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("aie::vector<bfloat16, 16> f(const float *p) { return aie::exp2(aie::load_v<16>(p)); }", "AIE2P"),
        ("aie::vector<bfloat16, 16> f(const float *p) { return aie::tanh(aie::load_v<16>(p)); }", "AIE2P"),
        ("void f(bfp16ebs8 *p) {}", "npu2"),
        ("void f(void *p) { aie::mmul<8, 8, 8, bfp16ebs8, bfp16ebs8> m; }", "npu2"),
        ("auto f(aie::accum<accfloat, 64> a) { return to_v64bfp16ebs8(a); }", "npu2"),
    ],
)
def test_aie2_tells_whose_function_it_lacks(tmp_path: Path, body: str, hint: str) -> None:
    source = tmp_path / "kernel.cc"
    source.write_text(INCLUDE + body + "\n")
    compile_kernels([source], arch="aie2p", output=tmp_path / "good.so")
    with pytest.raises(CompileError) as caught:
        compile_kernels([source], arch="aie2", output=tmp_path / "bad.so")
    assert hint in (caught.value.hint or "")
    assert "kernel.cc:2" in str(caught.value.where)
