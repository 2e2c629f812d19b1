"""Raw shuffles, default vector lengths and sliding products as published kernels spell them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tests.hostapi.tools import Check, Load

SOURCE = """
#include <aie_api/aie.hpp>
extern "C" void k(int8 *in, int8 *low, int8 *high, int8 *square) {
    const auto a = aie::load_v(in), b = aie::load_v(in + 64);
    aie::store_v(low, shuffle(a, b, T8_2x64_lo));
    aie::store_v(high, shuffle(a, b, T16_2x32_hi));
    aie::store_v(square, shuffle(a, a, T8_4x16));
}
"""


def test_a_shuffle_transposes(load: Load) -> None:
    data = np.arange(128, dtype=np.int8)
    low, high, square = (np.zeros(64, np.int8) for _ in range(3))
    load(SOURCE).call("k", data, low, high, square)
    assert np.array_equal(low, data.reshape(2, 64).T.ravel()[:64])
    assert np.array_equal(high.view(np.int16), data.view(np.int16).reshape(2, 32).T.ravel()[32:])
    assert np.array_equal(square, data[:64].reshape(4, 16).T.ravel())


def test_names_of_published_kernels(check: Check) -> None:
    assert not check("""
#include <aie_api/aie.hpp>
using ops = aie::sliding_mul_xy_ops<32, 8, 1, 1, int8, uint8>;
static_assert(aie::vector<bfloat16>::size() == 32 && aie::vector<int32>::size() == 16);
static_assert(aie::vector<int8>::size() == 64);
static_assert(float(std::numeric_limits<bfloat16>::lowest()) < -3.38e38f);
""")
