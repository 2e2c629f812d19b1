"""Block floating-point vectors of AIE2P against a plain model of the format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import pytest

from tests.hostapi.models import blocks_to_values, to_blocks

if TYPE_CHECKING:
    from tests.hostapi.tools import Check, Load

INCLUDE = "#include <aie_api/aie.hpp>\n"
CONVERT = (
    INCLUDE
    + """extern "C" void convert(const bfloat16 *in, bfp16ebs8 *out, int blocks, int mode) {
  set_rnd(mode);
  aie::block_vector_output_buffer_stream<bfp16ebs8, 64> stream(out);
  for (int i = 0; i < blocks / 8; i++) {
    aie::accum<accfloat, 64> acc(aie::load_v<64>(in + 64 * i));
    stream << acc.to_vector<bfp16ebs8>();
  }
}
extern "C" void widen(const bfp16ebs8 *in, float *out, int shift) {
  aie::block_vector_input_buffer_stream<bfp16ebs8, 64> stream(in);
  aie::accum<accfloat, 64> acc(stream.pop(), shift);
  for (int i = 0; i < 4; i++) aie::store_v(out + 16 * i, acc.extract<16>(i).to_vector<float>());
}
extern "C" void large(const bfloat16 *in, bfp16ebs16 *out) {
  aie::accum<accfloat, 64> acc(aie::load_v<64>(in));
  aie::block_vector_output_buffer_stream<bfp16ebs16, 64>(out).push(to_v64bfp16ebs16(acc));
}
"""
)
PRODUCTS = (
    INCLUDE
    + """using blocks = aie::block_vector_input_buffer_stream<bfp16ebs8, 64>;
static void store(float *c, const aie::accum<accfloat, 64> &acc) {
  for (int i = 0; i < 4; i++) aie::store_v(c + 16 * i, acc.extract<16>(i).to_vector<float>());
}
// Two products with every second block vector of B, by the intrinsic, the class and from bfloat16.
extern "C" void intrinsic(const bfp16ebs8 *a, const bfp16ebs8 *b, float *c) {
  blocks first(a), second(b);
  auto acc = mul_8x8_8x8T(first.pop(), second.pop_seek(1));
  store(c, mac_8x8_8x8T(first.pop(), second.pop(), acc));
}
extern "C" void object(const bfp16ebs8 *a, const bfp16ebs8 *b, float *c) {
  blocks first(a), second(b);
  aie::mmul<8, 8, 8, bfp16ebs8, bfp16ebs8> m;
  m.mul(first.pop(), aie::op_transpose(second.pop()));
  second.seek(1);
  m.mac(first.pop(), aie::op_transpose(second.pop()));
  store(c, m);
}
extern "C" void mixed(const bfloat16 *a, const bfp16ebs8 *b, float *c) {
  blocks second(b);
  aie::mmul<8, 8, 8, bfloat16, bfp16ebs8> m;
  m.mul(aie::load_v<64>(a), aie::op_transpose(second.pop_seek_byte(72)));
  m.mac(aie::load_v<64>(a + 64), aie::op_transpose(second.pop()));
  store(c, m);
}
extern "C" void wide(const bfp16ebs8 *a, const bfp16ebs8 *b, float *c) {
  aie::block_vector_input_buffer_stream<bfp16ebs8, 128> second(b);
  aie::mmul<8, 8, 16, bfp16ebs8, bfp16ebs8> m;
  m.mul(blocks(a).pop(), aie::op_transpose(second.pop()));
  for (int i = 0; i < 8; i++) aie::store_v(c + 16 * i, m.to_accum().extract<16>(i).to_vector<float>());
}
"""
)
MODES = {"floor": 0, "ceil": 1, "symmetric_floor": 2, "conv_even": 12}


def pack(exponent: np.ndarray, mantissa: np.ndarray) -> np.ndarray:
    """Blocks as memory holds them: the exponent's byte, then the mantissas' bytes."""
    return np.concatenate(
        [exponent.astype(np.uint8)[..., None], mantissa.astype(np.int8).view(np.uint8)], axis=-1
    )


def spread(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Values of many magnitudes with zeros, and some that round out of eight bits."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=shape) * 2.0 ** generator.integers(-12, 12, shape)
    values[generator.random(shape) < 0.1] = 0
    values[generator.random(shape) < 0.1] = 1.9921875 * 2.0**13
    return values.astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("mode", MODES)
def test_converts_as_the_rounding_register_says(load: Load, mode: str) -> None:
    values = spread((64, 8), 5)
    values[:8] = -values[:8]
    values[8] = 0
    out = np.zeros((64, 9), np.uint8)
    load(CONVERT, "aie2p").call("convert", values, out, 64, MODES[mode])
    np.testing.assert_array_equal(out, pack(*to_blocks(values.astype(np.float64), mode)))


def test_a_value_that_rounds_out_of_eight_bits_moves_its_block_up(load: Load) -> None:
    values = np.zeros((8, 8), ml_dtypes.bfloat16)
    values[:, 0], values[:, 1] = 1.9921875, 1.0
    out = np.zeros((8, 9), np.uint8)
    load(CONVERT, "aie2p").call("convert", values, out, 8, MODES["conv_even"])
    assert out[0, :3].tolist() == [128, 64, 32]
    load(CONVERT, "aie2p").call("convert", values, out, 8, MODES["floor"])
    assert out[0, :3].tolist() == [127, 127, 64]


@pytest.mark.parametrize("shift", [0, 3, -2])
def test_widens_blocks_exactly(load: Load, shift: int) -> None:
    exponent, mantissa = to_blocks(spread((8, 8), 6).astype(np.float64), "floor")
    out = np.zeros((8, 8), np.float32)
    load(CONVERT, "aie2p").call("widen", pack(exponent, mantissa), out, shift)
    np.testing.assert_array_equal(out, blocks_to_values(exponent, mantissa) * 2.0**shift)


def test_sixteen_elements_share_an_exponent_in_the_larger_block(load: Load) -> None:
    values = spread((4, 16), 7)
    out = np.zeros((4, 17), np.uint8)
    load(CONVERT, "aie2p").call("large", values, out)
    np.testing.assert_array_equal(out, pack(*to_blocks(values.astype(np.float64), "floor")))


@pytest.mark.parametrize("function", ["intrinsic", "object", "mixed"])
def test_products_take_the_second_operand_transposed(load: Load, function: str) -> None:
    generator = np.random.default_rng(8)
    a = generator.normal(size=(2, 8, 8)).astype(ml_dtypes.bfloat16)
    blocks_a = to_blocks(a.astype(np.float64), "floor")
    blocks_b = to_blocks(generator.normal(size=(3, 8, 8)), "floor")
    c = np.zeros((8, 8), np.float32)
    load(PRODUCTS, "aie2p").call(function, a if function == "mixed" else pack(*blocks_a), pack(*blocks_b), c)
    x, y = blocks_to_values(*blocks_a), blocks_to_values(*blocks_b)
    np.testing.assert_allclose(c, x[0] @ y[0].T + x[1] @ y[2].T, rtol=1e-6, atol=1e-7)


def test_the_wide_product(load: Load) -> None:
    generator = np.random.default_rng(9)
    blocks_a = to_blocks(generator.normal(size=(8, 8)), "floor")
    blocks_b = to_blocks(generator.normal(size=(16, 8)), "floor")
    c = np.zeros((8, 16), np.float32)
    load(PRODUCTS, "aie2p").call("wide", pack(*blocks_a), pack(*blocks_b), c)
    np.testing.assert_array_equal(c, blocks_to_values(*blocks_a) @ blocks_to_values(*blocks_b).T)


@pytest.mark.parametrize(
    ("arch", "body"),
    [
        ("aie2", "aie::block_vector<bfp16ebs8, 64> v;"),
        ("aie2p", "aie::block_vector<bfp16ebs8, 48> v;"),
        ("aie2p", "aie::block_vector<bfloat16, 64> v;"),
        ("aie2p", "aie::mmul<4, 8, 8, bfp16ebs8, bfp16ebs8> m;"),
        ("aie2p", "aie::mmul<8, 8, 8, bfp16ebs8, bfp16ebs8, acc32> m;"),
        (
            "aie2p",
            "aie::block_vector<bfp16ebs8, 64> v; aie::mmul<8, 8, 8, bfp16ebs8, bfp16ebs8> m; m.mul(v, v);",
        ),
        ("aie2p", "aie::accum<acc32, 64> a; auto v = a.to_vector<bfp16ebs8>();"),
    ],
)
def test_refuses_what_the_format_does_not_have(check: Check, arch: str, body: str) -> None:
    assert "error" in check(INCLUDE + "void f() {" + body + "}", arch)


def test_integer_accumulators_of_32_bits_hold_floats_by_their_bits(load: Load, check: Check) -> None:
    source = """extern "C" void pass(const float *in, const bfloat16 *narrow, float *out, int32 *raw) {
      aie::accum<acc32, 16> acc = aie::zeros<acc32, 16>();
      acc.from_vector(aie::add(aie::load_v<16>(in), aie::load_v<16>(in)));
      aie::store_v(out, acc.to_vector<float>());
      acc.from_vector(aie::load_v<16>(narrow));
      aie::store_v(raw, acc.to_vector<int32>());
    }"""
    values = np.linspace(-3, 5, 16, dtype=np.float32)
    narrow = values.astype(ml_dtypes.bfloat16)
    out, raw = np.zeros(16, np.float32), np.zeros(16, np.int32)
    load(INCLUDE + source).call("pass", values, narrow, out, raw)
    np.testing.assert_array_equal(out, 2 * values)
    np.testing.assert_array_equal(raw.view(np.float32), narrow.astype(np.float32))
    wide = "void f(aie::accum<acc64, 16> a) { auto v = a.to_vector<float>(); }"
    assert "error" in check(INCLUDE + wide)


OURS = Path(__file__).parents[2] / "kernels_src" / "matmul.hpp"


def test_our_accumulating_product_rounds_blocks_to_nearest_after_reset(load: Load) -> None:
    source = f"""#define AIE_API_EMULATE_BFLOAT16_MMUL_WITH_BFP16 1
    #include "{OURS}"
    extern "C" void block(bfloat16 *a, bfloat16 *b, float *c) {{
      npukbuild::multiply_add<npukbuild::block_shape<8, 8, 8, 8, 8, 8, 1, 1, false>>(a, b, c);
    }}"""
    generator = np.random.default_rng(10)
    a, b = (generator.normal(size=(8, 8)).astype(ml_dtypes.bfloat16) for _ in range(2))
    c = np.zeros((8, 8), np.float32)
    load(source, "aie2p").call("block", a, b, c)
    x, y = (blocks_to_values(*to_blocks(v.astype(np.float64), "conv_even")) for v in (a, b.T))
    np.testing.assert_allclose(c, x @ y.T, rtol=1e-5, atol=1e-6)
