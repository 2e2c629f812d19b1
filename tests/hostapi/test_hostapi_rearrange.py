"""Rearrangements that take modes, the first generation's interleavings, and masks made of words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tests.hostapi.tools import Check, Load

KERNEL = """
#include <aie_api/aie.hpp>
using V = aie::vector<int16, 16>;
static void put(int16 *out, const std::pair<V, V> &both) {
    aie::store_v(out, both.first);
    aie::store_v(out + 16, both.second);
}
extern "C" void butterfly(int16 *in, int16 *out, int chunk) {
    put(out, aie::interleave_butterfly(aie::load_v<16>(in), aie::load_v<16>(in + 16), chunk));
}
extern "C" void half(int16 *in, int16 *out, int chunk) {
    put(out, aie::interleave_butterfly_half(aie::load_v<16>(in), aie::load_v<16>(in + 16), chunk));
}
extern "C" void crossover(int16 *in, int16 *out, int chunk) {
    put(out, aie::interleave_crossover(aie::load_v<16>(in), aie::load_v<16>(in + 16), chunk));
}
extern "C" void chosen(int16 *in, int16 *out) {
    const V a = aie::load_v<16>(in), b = aie::load_v<16>(in + 16);
    put(out, aie::interleave_custom_static<31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16,
                                           15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0>(a, b));
}
extern "C" void modes(int16 *in, int16 *out, int chunk) {
    const V a = aie::load_v<16>(in), b = aie::load_v<16>(in + 16);
    const aie::interleave_zip_mode<int16, 16> zip(chunk);
    const aie::interleave_unzip_mode<int16, 16> unzip(chunk);
    put(out, aie::interleave_zip(a, b, zip));
    put(out + 32, aie::interleave_unzip(a, b, unzip));
    const auto odd = aie::filter(aie::concat(a, b), aie::filter_mode<int16, 32>::odd(chunk));
    const auto even = aie::filter(aie::concat(a, b), aie::filter_mode<int16, 32>::even(chunk));
    put(out + 64, {even, odd});
}
extern "C" void masks(int32 *out) {
    const aie::mask<16> word(5u), all(true);
    out[0] = word.to_uint32();
    out[1] = all.to_uint32();
    out[2] = aie::mask<64>::from_uint64(~0ull >> 16).count();
    out[3] = aie::mask<64>::from_uint32(1, 2).data()[1];
}
"""

# What the API's own scalar code selects, by chunk size: elements of v count from 0, those of w from 16.
BUTTERFLY = {
    16: "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 31 30 29 28 27 26 25 24 23 22 21 20 19 18 17 16",
    8: "0 1 2 3 4 5 6 7 23 22 21 20 19 18 17 16 8 9 10 11 12 13 14 15 31 30 29 28 27 26 25 24",
    4: "0 1 2 3 23 22 21 20 8 9 10 11 31 30 29 28 4 5 6 7 19 18 17 16 12 13 14 15 27 26 25 24",
    2: "0 1 19 18 4 5 23 22 8 9 27 26 12 13 31 30 2 3 17 16 6 7 21 20 10 11 25 24 14 15 29 28",
    1: "0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31 1 16 3 18 5 20 7 22 9 24 11 26 13 28 15 30",
}
CROSSOVER = {
    16: "0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 31 15 30 14 29 13 28 12 27 11 26 10 25 9 24 8",
    8: "0 16 1 17 2 18 3 19 8 24 9 25 10 26 11 27 23 7 22 6 21 5 20 4 31 15 30 14 29 13 28 12",
    4: "0 16 1 17 4 20 5 21 8 24 9 25 12 28 13 29 19 3 18 2 23 7 22 6 27 11 26 10 31 15 30 14",
    2: "0 16 2 18 4 20 6 22 8 24 10 26 12 28 14 30 17 1 19 3 21 5 23 7 25 9 27 11 29 13 31 15",
    1: "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31",
}


def test_butterfly_and_crossover_select_what_the_api_does(load: Load) -> None:
    library = load(KERNEL)
    data = np.arange(32, dtype=np.int16)
    for name, wanted in (("butterfly", BUTTERFLY), ("half", BUTTERFLY), ("crossover", CROSSOVER)):
        for chunk, order in wanted.items():
            out = np.zeros(32, np.int16)
            library.call(name, data, out, chunk)
            assert " ".join(map(str, out)) == order, (name, chunk)
    out = np.zeros(32, np.int16)
    library.call("chosen", data, out)
    assert out.tolist() == list(range(31, -1, -1))


def test_modes_do_what_their_chunk_sizes_do(load: Load) -> None:
    data = np.arange(32, dtype=np.int16)
    for chunk in (1, 2, 4, 8):
        out = np.zeros(96, np.int16)
        load(KERNEL).call("modes", data, out, chunk)
        zipped = data.reshape(2, -1, chunk).transpose(1, 0, 2)
        unzipped = data.reshape(-1, 2, chunk).transpose(1, 0, 2)
        assert out[:32].tolist() == zipped.ravel().tolist()
        assert out[32:64].tolist() == unzipped.ravel().tolist()
        assert out[64:].tolist() == unzipped.ravel().tolist()


def test_masks_from_words(load: Load) -> None:
    out = np.zeros(4, np.int32)
    load(KERNEL).call("masks", out)
    assert out.tolist() == [5, 0xFFFF, 48, 2]


LOW_BITS = """
#include <aie_api/aie.hpp>
extern "C" void k(int32 *a, int16 *b, int32 *c) {
    auto low = aie::mul<acc32>(aie::load_v<8>(a), aie::load_v<8>(b));
    low = aie::msc(low, aie::load_v<8>(b), aie::load_v<8>(a + 8));
    aie::store_v(c, low.to_vector<int32>());
}
"""


def test_products_of_mixed_width_may_keep_their_low_bits(load: Load) -> None:
    a = np.array([2**31 - 1, -(2**31), 123456789, -987654321, 5, 6, 7, 8] * 2, np.int32)
    a[8:] += 1
    b = np.array([3, -7, 32767, -32768, 1, 2, 3, 4], np.int16)
    out = np.zeros(8, np.int32)
    load(LOW_BITS).call("k", a, b, out)
    wide = a.astype(np.int64)[:8] * b - a.astype(np.int64)[8:] * b
    assert np.array_equal(out, wide.astype(np.int32))


BAD = """
aie::vector<int16, 8> v; auto q = aie::interleave_butterfly(v, v, 2);
aie::vector<int16, 32> v; auto q = aie::interleave_crossover(v, v, 2);
aie::vector<int16, 16> v; aie::interleave_custom(v, v, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1, 2, 3, 4, 5);
aie::vector<int16, 16> v; auto q = aie::interleave_zip(v, v, aie::interleave_zip_mode<int16, 32>(2));
aie::mask<16> m; auto q = m ^ m;
aie::mask<16> m; auto q = m.to_uint64(0);
aie::mask<64> m(5u);
aie::accum<accauto, 16> a; auto q = aie::concat(a, a);
aie::accum<accauto, 16> a; auto q = aie::add(a, a);
auto q = aie::zeros<acc16, 16>();
aie::accum<acc32, 4> a;
aie::accum<acc64, 2> a;
aie::vector<int16, 16> v; auto q = v.split<16>();
aie::vector<bfloat16, 16> v; auto q = aie::mul<acc32>(v, v);
aie::vector<int32, 16> v; auto q = aie::mul<acc32>(v, v);
""".strip().splitlines()


def test_what_the_real_headers_refuse(check: Check) -> None:
    text = "#include <aie_api/aie.hpp>\naie::accum<accauto, 16> *declared;\n"
    text += "".join(f'#line {i + 1} "bad"\nvoid k{i}() {{ {body} }}\n' for i, body in enumerate(BAD))
    complaints = check(text)
    assert [body for i, body in enumerate(BAD) if f"bad:{i + 1}:" not in complaints] == []
