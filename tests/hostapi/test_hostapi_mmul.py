"""Matrix products: every shape an architecture has gives the exact result, and no other shape compiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import pytest

from tests.hostapi.models import blocks_to_values, to_blocks

if TYPE_CHECKING:
    from tests.hostapi.tools import Check, Load

DTYPES: dict[str, np.dtype] = {
    "int8": np.dtype(np.int8), "uint8": np.dtype(np.uint8), "int16": np.dtype(np.int16),
    "uint16": np.dtype(np.uint16), "int32": np.dtype(np.int32), "uint32": np.dtype(np.uint32),
    "int4": np.dtype(np.int8), "bfloat16": np.dtype(ml_dtypes.bfloat16), "float": np.dtype(np.float32),
}  # fmt: skip


@dataclass(frozen=True)
class Product:
    m: int
    k: int
    n: int
    a: str
    b: str
    tag: str

    @property
    def cpp(self) -> str:
        return f"aie::mmul<{self.m}, {self.k}, {self.n}, {self.a}, {self.b}, {self.tag}>"


def products(text: str) -> list[Product]:
    """Lines of `a b tag: mxkxn ...`."""
    result = []
    for line in text.strip().splitlines():
        head, _, shapes = line.partition(":")
        a, b, tag = head.split()
        for shape in shapes.split():
            m, k, n = (int(part) for part in shape.split("x"))
            result.append(Product(m, k, n, a, b, tag))
    return result


# Shapes that instantiate with dense operands in AMD's headers; bold ones there are single instructions.
AIE2 = products("""
bfloat16 bfloat16 accfloat: 4x8x4 8x8x4 4x8x8 8x8x8 8x1x8
float float accfloat: 4x8x4 4x1x4 4x1x8
int8 int8 acc32: 4x8x8 2x8x8 8x8x8 4x8x4 4x16x4 8x8x4 1x16x8 2x16x8 4x16x8
uint8 int8 acc32: 4x8x8 8x8x8
int8 uint8 acc32: 4x8x8
int16 int8 acc32: 4x4x8 4x8x4 2x8x8 4x4x4 8x4x4 8x4x8
int16 int16 acc64: 4x4x4 2x4x8 4x4x8
int16 int16 acc32: 4x2x8 8x2x8 8x1x8 4x4x4
int16 int16 accauto: 4x4x4
uint16 int16 acc64: 4x4x4
int32 int16 acc64: 4x2x4 4x4x4 2x4x8 4x4x8 4x1x8
int32 int32 acc64: 4x2x4 4x4x4 8x2x4 4x1x8
int8 int4 acc32: 4x16x8 8x16x8 4x32x8
""")
AIE2P = products("""
bfloat16 bfloat16 accfloat: 4x8x8 8x8x8 8x8x4 4x8x4 8x1x8
float float accfloat: 4x8x4
int8 int8 acc32: 8x8x8 4x8x8 2x8x8
int16 int8 acc32: 8x4x8 4x4x8 4x8x8
int16 int16 acc64: 4x4x8 2x4x8
int16 int16 acc32: 4x2x8 8x2x8 8x1x8
int8 int16 acc32: 8x2x8 4x4x8
int32 int16 acc64: 4x4x8 2x4x8
""")
SHAPES = {"aie2": AIE2, "aie2p": AIE2P}


def source(shapes: list[Product]) -> str:
    """One function per product: twice a x b on top of c, as 32-bit lanes (modulo 2^32)."""
    functions = []
    for index, p in enumerate(shapes):
        out = "float" if p.a in ("float", "bfloat16") else "int32"
        functions.append(f"""
extern "C" void product{index}(const {p.a} *a, const {p.b} *b, {out} *c) {{
  using M = {p.cpp};
  static_assert(M::size_A == {p.m * p.k} && M::size_B == {p.k * p.n} && M::size_C == {p.m * p.n});
  aie::vector<{p.a}, M::size_A> x;
  aie::vector<{p.b}, M::size_B> y;
  for (unsigned i = 0; i < M::size_A; i++) x[i] = a[i];
  for (unsigned i = 0; i < M::size_B; i++) y[i] = b[i];
  M first;
  first.mul(x, y);
  first.mac(x, y);
  M second;  // a fresh object starts at zero
  second.mac(x, y);
  auto sum = aie::add(first.to_accum(), second.to_accum());
  alignas(64) {out} result[M::size_C];
  constexpr unsigned part = M::size_C < 16 ? M::size_C : 16;
  for (unsigned i = 0; i < M::size_C / part; i++)
    aie::store_v(result + i * part, sum.template extract<part>(i).template to_vector<{out}>());
  for (unsigned i = 0; i < M::size_C; i++) c[i] += result[i];
}}""")
    return "#include <aie_api/aie.hpp>\n" + "\n".join(functions)


def operand(
    generator: np.random.Generator, dtype: np.dtype, shape: tuple[int, int], *, extreme: bool
) -> np.ndarray:
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if extreme:
            return generator.choice(np.array([info.min, info.max], dtype), shape)
        return generator.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return generator.integers(-128, 128, shape).astype(np.float32).astype(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_every_legal_shape_is_exact(load: Load, arch: str) -> None:
    compare_with_numpy(load, arch, SHAPES[arch])


def test_the_single_instructions_are_exact(load: Load) -> None:
    natives = products("""
bfloat16 bfloat16 accfloat: 4x8x4
int8 int8 acc32: 4x8x8 4x16x4
int16 int8 acc32: 4x4x8
int16 int16 acc64: 4x4x4
int32 int16 acc64: 4x2x4
""")
    compare_with_numpy(load, "aie2", natives)


def compare_with_numpy(load: Load, arch: str, shapes: list[Product]) -> None:
    library = load(source(shapes), arch)
    generator = np.random.default_rng(3)
    for index, p in enumerate(shapes):
        for extreme in (False, True):
            a = operand(generator, DTYPES[p.a], (p.m, p.k), extreme=extreme)
            b = operand(generator, DTYPES[p.b], (p.k, p.n), extreme=extreme)
            if p.b == "int4":
                b >>= 4
            c: np.ndarray
            expected: np.ndarray
            if p.a in ("bfloat16", "float"):
                c = np.ones((p.m, p.n), np.float32)
                expected = 3 * (a.astype(np.float64) @ b.astype(np.float64)) + 1
            else:
                c = np.ones((p.m, p.n), np.int32)
                exact = 3 * (a.astype(object) @ b.astype(object)) + 1
                expected = np.array(exact % 2**32, np.uint32).view(np.int32).reshape(p.m, p.n)
            library.call(f"product{index}", a, b, c)
            np.testing.assert_array_equal(c, expected, err_msg=p.cpp)


WIDE = """#include <aie_api/aie.hpp>
extern "C" void wide(const int16 *a, const int16 *b, int32 *high, int32 *low) {
  aie::mmul<4, 4, 4, int16, int16, acc64> m;
  m.mul(aie::load_v<16>(a), aie::load_v<16>(b));
  m.mac(aie::load_v<16>(a), aie::load_v<16>(b));
  aie::store_v(low, m.to_vector<int32>());
  aie::store_v(high, m.to_vector<int32>(16));
}
extern "C" void block(const bfloat16 *a, const bfloat16 *b, float *c) {
  using M = aie::mmul<4, 8, 4, bfloat16, bfloat16, accfloat>;
  M m(aie::load_v<16>(c));
  for (int k = 0; k < 16; k++) m.mac(aie::load_v<32>(a + k * 32), aie::load_v<32>(b + k * 32));
  aie::store_v(c, m.to_vector<float>());
}
"""


def test_64_bit_sums_have_all_their_bits(load: Load) -> None:
    a = np.full((4, 4), -32768, np.int16)
    high, low = np.zeros((4, 4), np.int32), np.zeros((4, 4), np.int32)
    load(WIDE).call("wide", a, a, high, low)
    exact = 2 * 4 * 32768**2  # 2^33
    assert set(high.flat) == {exact >> 16}
    assert set(low.flat) == {0}


def test_bfloat16_sums_are_float_sums_in_the_order_of_k(load: Load) -> None:
    generator = np.random.default_rng(11)
    a = generator.normal(size=(16, 4, 8)).astype(ml_dtypes.bfloat16)
    b = generator.normal(size=(16, 8, 4)).astype(ml_dtypes.bfloat16)
    start = generator.normal(size=(4, 4)).astype(np.float32)
    c = start.copy()
    load(WIDE).call("block", a, b, c)
    sums = start.copy()
    for step in range(16):
        for k in range(8):
            # The product is exact in float64 and so is this sum for operands of like size.
            product = a[step, :, k : k + 1].astype(np.float64) * b[step, k : k + 1, :].astype(np.float64)
            sums = (sums.astype(np.float64) + product).astype(np.float32)
    np.testing.assert_array_equal(c, sums)


def test_denormals_are_zero_in_the_float_path(load: Load) -> None:
    tiny = np.float32(2.0**-130).astype(ml_dtypes.bfloat16)
    assert tiny != 0
    a, b = np.full((16, 4, 8), tiny), np.full((16, 8, 4), ml_dtypes.bfloat16(4))
    c = np.zeros((4, 4), np.float32)
    load(WIDE).call("block", a, b, c)
    assert not c.any()


EMULATED = """#include <aie_api/aie.hpp>
extern "C" void block(const bfloat16 *a, const bfloat16 *b, float *c) {
  BODY
  aie::mmul<8, 8, 8, bfloat16, bfloat16, accfloat> m;
  m.mul(aie::load_v<64>(a), aie::load_v<64>(b));
  aie::store_v(c, m.to_accum().extract<32>(0).to_vector<float>());
  aie::store_v(c + 32, m.to_accum().extract<32>(1).to_vector<float>());
}
"""


@pytest.mark.parametrize("mode", ["floor", "conv_even"])
def test_block_floating_emulation_on_aie2p(load: Load, mode: str) -> None:
    generator = np.random.default_rng(2)
    a = generator.normal(size=(8, 8)).astype(ml_dtypes.bfloat16)
    b = generator.normal(size=(8, 8)).astype(ml_dtypes.bfloat16)
    plain, emulated = np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32)
    source = EMULATED.replace(
        "BODY", f"aie::set_rounding(aie::rounding_mode::{mode});" if mode != "floor" else ""
    )
    load(source, "aie2p").call("block", a, b, plain)
    load(source, "aie2p", ["AIE_API_EMULATE_BFLOAT16_MMUL_WITH_BFP16"]).call("block", a, b, emulated)
    x, y = a.astype(np.float64), b.astype(np.float64)
    np.testing.assert_allclose(plain, x @ y, rtol=1e-5, atol=1e-6)
    expected = blocks_to_values(*to_blocks(x, mode)) @ blocks_to_values(*to_blocks(y.T, mode)).T
    np.testing.assert_allclose(emulated, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(emulated - x @ y).max() > 1e-3, "the mantissas have lost bits"


REFUSED = {
    "aie2": products("""
bfloat16 bfloat16 accfloat: 5x8x4 4x4x4 16x8x4 4x16x8 4x16x4 8x8x16
int8 int8 acc32: 4x4x4 16x8x8 4x8x16 8x16x8 3x8x8
int8 int8 acc64: 4x8x8
int16 int8 acc64: 4x4x8
int16 int16 acc64: 4x2x8 8x8x8
int32 int16 acc32: 4x4x4
int32 int32 acc64: 4x4x8 8x8x8
float float accfloat: 8x8x8 4x8x8
float int8 accfloat: 4x8x4
bfloat16 float accfloat: 4x8x4
bfloat16 int8 acc32: 4x8x4
"""),
    "aie2p": products("""
int8 int8 acc32: 4x16x4 1x16x8
int16 int16 acc64: 4x4x4
int16 int8 acc32: 8x4x4
bfloat16 bfloat16 accfloat: 16x8x8
"""),
}  # fmt: skip


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_other_shapes_do_not_compile(check: Check, arch: str) -> None:
    text = "#include <aie_api/aie.hpp>\n"
    for index, p in enumerate(REFUSED[arch]):
        text += f'#line {1000 + index} "refused.cc"\n'
        operands = f"aie::zeros<{p.a}, {p.m * p.k}>(), aie::zeros<{p.b}, {p.k * p.n}>()"
        text += f"void f{index}() {{ {p.cpp} m; m.mul({operands}); }}\n"
    complaints = check(text, arch)
    accepted = [
        p.cpp for index, p in enumerate(REFUSED[arch]) if f"refused.cc:{1000 + index}:" not in complaints
    ]
    assert not accepted
