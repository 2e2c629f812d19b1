"""Numbers at the edges: shifts up, denormals element by element, tags that only ask for a width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.hostapi.tools import Load

KERNEL = """
#include <aie_api/aie.hpp>
template <class Tag, class Out> void up(const int32 *in, Out *out, int shift, int saturation) {
    aie::set_saturation(aie::saturation_mode(saturation));
    aie::store_v(out, aie::accum<Tag, 16>(aie::load_v<16>(in)).template to_vector<Out>(shift));
}
extern "C" void up_32_16(int32 *in, int16 *out, int shift, int mode) { up<acc32>(in, out, shift, mode); }
extern "C" void up_32_32(int32 *in, int32 *out, int shift, int mode) { up<acc32>(in, out, shift, mode); }
extern "C" void up_64_32(int32 *in, int32 *out, int shift, int mode) { up<acc64>(in, out, shift, mode); }

extern "C" void floats(float *a, float *b, float *out) {
    const auto x = aie::load_v<16>(a), y = aie::load_v<16>(b);
    const aie::accum<accfloat, 16> zero = aie::zeros<accfloat, 16>();
    aie::store_v(out, aie::add(x, y));
    aie::store_v(out + 16, aie::sub(x, y));
    aie::store_v(out + 32, aie::mul(x, y).to_vector<float>());
    aie::store_v(out + 48, aie::add(zero, x).to_vector<float>());
}
extern "C" void bfloats(bfloat16 *a, bfloat16 *b, float *out) {
    const auto x = aie::load_v<16>(a), y = aie::load_v<16>(b);
    aie::store_v(out, aie::mul(x, y).to_vector<float>());
    aie::store_v(out + 16, aie::mac(aie::zeros<accfloat, 16>(), x, y).to_vector<float>());
    aie::store_v(out + 32, aie::accum<accfloat, 16>(aie::add(x, y)).to_vector<float>());
}

template <class M> void product(const int8 *a, const int8 *b, int32 *out) {
    M m;
    m.mul(aie::load_v<32>(a), aie::load_v<64>(b));
    m.mac(aie::load_v<32>(a), aie::load_v<64>(b));
    aie::store_v(out, m.template to_vector<int32>());
}
extern "C" void tag_auto(int8 *a, int8 *b, int32 *out) { product<aie::mmul<4, 8, 8, int8, int8>>(a, b, out); }
extern "C" void tag_acc32(int8 *a, int8 *b, int32 *out) {
    product<aie::mmul<4, 8, 8, int8, int8, acc32>>(a, b, out);
}
extern "C" void tag_accfloat(int8 *a, int8 *b, int32 *out) {
    product<aie::mmul<4, 8, 8, int8, int8, accfloat>>(a, b, out);  // only its 32 bits count
}
extern "C" void tag_acc24(int8 *a, int8 *b, int32 *out) {
    product<aie::mmul<4, 8, 8, int8, int8, acc24>>(a, b, out);
}
template <class Tag> void wide(const int16 *a, const int16 *b, int32 *out) {
    aie::mmul<4, 4, 4, int16, int16, Tag> m;
    m.mul(aie::load_v<16>(a), aie::load_v<16>(b));
    aie::store_v(out, m.template to_vector<int32>(4));  // sums of 33 bits: 64-bit lanes whatever the tag
}
extern "C" void wide_acc32(int16 *a, int16 *b, int32 *out) { wide<acc32>(a, b, out); }
extern "C" void wide_acc64(int16 *a, int16 *b, int32 *out) { wide<acc64>(a, b, out); }
extern "C" void wide_auto(int16 *a, int16 *b, int32 *out) { wide<accauto>(a, b, out); }

extern "C" void functions(int8 *a, int8 *b, int32 *out) {
    auto m = aie::mmul_fn<4, 8, 8>(aie::load_v<32>(a), aie::load_v<64>(b));
    auto n = aie::mmac_fn<4, 8, 8>(m.to_accum(), aie::load_v<32>(a), aie::load_v<64>(b));
    aie::store_v(out, n.to_vector<int32>());
}
extern "C" void rings(int8 *ring, int8 *out) {
    int8 (&whole)[128] = *reinterpret_cast<int8 (*)[128]>(ring);
    auto it = aie::begin_vector_random_circular<32>(whole);
    it += 3;
    aie::store_v(out, aie::vector<int8, 32>(*it++));
    aie::store_v(out + 32, aie::vector<int8, 32>(*it));
    auto each = aie::cbegin_circular(whole);
    out[64] = *each++ + *each;
}
"""


@pytest.mark.parametrize(
    ("name", "dtype"), [("up_32_16", np.int16), ("up_32_32", np.int32), ("up_64_32", np.int32)]
)
def test_a_negative_shift_goes_up_and_saturates(load: Load, name: str, dtype: type) -> None:
    data = np.array(
        [0, 1, -1, 5, 2047, 2048, -2048, -2049, 2**26, 2**27, 2**30, -(2**30), 2**31 - 1, -(2**31), 9, -9]
    )
    info = np.iinfo(dtype)
    for mode, low in ((0, None), (1, info.min), (3, -info.max)):
        for shift in (-1, -2, -4):
            out: NDArray[Any] = np.zeros(16, dtype)
            load(KERNEL).call(name, data.astype(np.int32), out, shift, mode)
            exact = data.astype(np.int64) << -shift
            wanted = exact if low is None else np.clip(exact, low, info.max)
            assert np.array_equal(out, wanted.astype(dtype)), (mode, shift)


SMALL = np.float32(2.0**-126)  # the least normal number


def test_denormals_are_zero_element_by_element(load: Load) -> None:
    a = np.array([SMALL / 2, SMALL / 2, SMALL, SMALL * 1.5, 1.0, SMALL] + [0.0] * 10, np.float32)
    b = np.array([SMALL / 4, 1.0, SMALL / 2, SMALL, SMALL / 2, 0.5] + [0.0] * 10, np.float32)
    out = np.zeros(64, np.float32)
    load(KERNEL).call("floats", a, b, out)
    added, subtracted, multiplied, taken = out.reshape(4, 16)[:, :6].tolist()
    small = float(SMALL)
    assert added == [0, 1, small, 2.5 * small, 1, 0.5]
    assert subtracted == [0, -1, small, 0, 1, -0.5]
    assert multiplied == [0, 0, 0, 0, 0, 0]
    assert taken == [0, 0, small, 1.5 * small, 1, small]


def bits(values: list[float]) -> NDArray[np.uint16]:
    padded = np.array(values + [0.0] * (16 - len(values)), np.float32)
    return (padded.view(np.uint32) >> 16).astype(np.uint16)


def test_denormal_bfloat16_are_zero(load: Load) -> None:
    small = float(SMALL)
    out = np.zeros(48, np.float32)
    load(KERNEL).call(
        "bfloats", bits([small / 2, small, 1.0, small]), bits([1.0, 0.5, small / 4, small]), out
    )
    multiplied, accumulated, added = out.reshape(3, 16)[:, :4].tolist()
    assert multiplied == accumulated == [0, 0, 0, 0]
    assert added == [1, 0.5, 1, 2 * small]


@pytest.mark.parametrize("name", ["tag_auto", "tag_acc32", "tag_accfloat", "tag_acc24", "functions"])
def test_a_product_s_tag_asks_for_a_width(load: Load, name: str) -> None:
    rng = np.random.default_rng(3)
    a, b = (rng.integers(-128, 128, n).astype(np.int8) for n in (32, 64))
    out = np.zeros(32, np.int32)
    load(KERNEL).call(name, a, b, out)
    wanted = 2 * (a.reshape(4, 8).astype(np.int32) @ b.reshape(8, 8).astype(np.int32))
    assert np.array_equal(out, wanted.ravel())


@pytest.mark.parametrize("name", ["wide_acc32", "wide_acc64", "wide_auto"])
def test_products_of_16_bits_have_64_bit_sums(load: Load, name: str) -> None:
    a = np.full(16, -(2**15), np.int16)
    out = np.zeros(16, np.int32)
    load(KERNEL).call(name, a, a, out)
    assert set(out) == {2**32 >> 4}


def test_rings_of_arrays(load: Load) -> None:
    ring, out = np.arange(128, dtype=np.int8), np.zeros(96, np.int8)
    load(KERNEL).call("rings", ring, out)
    assert out[:65].tolist() == [*range(96, 128), *range(32), 1]
