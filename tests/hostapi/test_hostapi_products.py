"""Which products go to which accumulator, on each architecture, and what AIE2P's own functions give."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.hostapi.tools import Check, Load

INCLUDE = "#include <aie_api/aie.hpp>\n"
BITS = {"int4": 4, "int8": 8, "uint8": 8, "int16": 16, "int32": 32, "uint32": 32, "bfloat16": 16, "float": 32}
FLOATING = {"bfloat16", "float"}
# Widths of the two factors of element-wise products, by the bits of the accumulator.
NARROW = {(8, 4), (8, 8), (8, 16), (16, 8), (16, 16)}
NARROW_AIE2 = {(16, 32), (32, 16)}
WIDE = {(8, 16), (16, 8), (16, 16), (16, 32), (32, 16), (32, 32)}
# Widths of coefficient and data of weighted sums; those of 32 bits are signed.
SUM_NARROW = NARROW | {(4, 8)}
SUM_WIDE = WIDE - {(8, 16), (16, 8)}


def is_product(arch: str, a: str, b: str, tag: str) -> bool:
    if a in FLOATING or b in FLOATING:
        return a == b and tag == "accfloat"
    widths = (BITS[a], BITS[b])
    if tag == "acc32":
        return widths in NARROW or (arch == "aie2" and widths in NARROW_AIE2)
    return tag == "acc64" and widths in WIDE


def is_weighted_sum(a: str, b: str, tag: str) -> bool:
    if a in FLOATING or b in FLOATING:
        return a == b == "bfloat16" and tag == "accfloat"
    widths = (BITS[a], BITS[b])
    if tag == "accfloat" or "uint32" in (a, b):
        return False
    return widths in (SUM_NARROW if tag == "acc32" else SUM_WIDE)


def ask(check: Check, arch: str, cases: list[tuple[bool, str, str]]) -> tuple[list[str], list[str]]:
    """Those of the bodies (with their parameters) that are refused or taken against expectation."""
    text = INCLUDE + "".join(
        f'#line {i + 1} "case"\nvoid k{i}({parameters}) {{ {body} }}\n'
        for i, (_, parameters, body) in enumerate(cases)
    )
    complaints = check(text, arch)
    refused = {i for i in range(len(cases)) if f"case:{i + 1}:" in complaints}
    wrongly_refused = [f"{c[1]}: {c[2]}" for i, c in enumerate(cases) if c[0] and i in refused]
    wrongly_taken = [f"{c[1]}: {c[2]}" for i, c in enumerate(cases) if not c[0] and i not in refused]
    return wrongly_refused, wrongly_taken


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_an_accumulator_takes_the_products_that_it_has(check: Check, arch: str) -> None:
    good: list[tuple[bool, str, str]] = []
    bad: list[tuple[bool, str, str]] = []
    for a, b, tag in itertools.product(BITS, BITS, ("acc32", "acc64", "accfloat")):
        legal = is_product(arch, a, b, tag)
        vectors = f"aie::accum<{tag}, 32> c, aie::vector<{a}, 32> x, aie::vector<{b}, 32> y"
        # The wide product of an 8-bit vector and a 16-bit element is missing.
        by_element = legal and not (tag == "acc64" and (BITS[a], BITS[b]) == (8, 16))
        element = f"aie::accum<{tag}, 32> c, aie::vector<{a}, 32> x, {b} y"
        for holds, parameters in ((legal, vectors), (by_element, element)):
            (good if holds else bad).append((holds, parameters, "auto r = aie::mac(c, x, y);"))
        weighted = is_weighted_sum(a, b, tag)
        case = (weighted, vectors, "auto r = aie::accumulate<32>(c, x, 0, y);")
        (good if weighted else bad).append(case)
    assert ask(check, arch, good) == ([], [])
    assert ask(check, arch, bad) == ([], [])
    assert min(len(good), len(bad)) > 60


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_no_product_asks_for_the_default_accumulator_by_its_name(check: Check, arch: str) -> None:
    vectors = "aie::vector<int8, 32> x"
    cases = [
        (False, vectors, "auto r = aie::mul<accauto>(x, x);"),
        (True, vectors, "aie::accum<acc16, 32> r = aie::mul<acc16>(x, x);"),
        (True, "aie::vector<int16, 32> x", "aie::accum<acc48, 32> r = aie::mul<acc40>(x, x);"),
    ]
    assert ask(check, arch, cases) == ([], [])


RECIPROCALS = """extern "C" void reciprocals(const float *in, float *inverse, float *root) {
  aie::store_v(inverse, aie::inv(aie::load_v<16>(in)));
  aie::store_v(root, aie::invsqrt(aie::load_v<16>(in)));
}"""


def test_float_roots_are_estimates_on_aie2_and_a_units_results_on_aie2p(load: Load) -> None:
    x = np.linspace(0.3, 900, 16, dtype=np.float32)
    exact = [1 / x, 1 / np.sqrt(x)]
    results = {}
    for arch in ("aie2", "aie2p"):
        out = [np.zeros(16, np.float32), np.zeros(16, np.float32)]
        load(INCLUDE + RECIPROCALS, arch).call("reciprocals", x, *out)
        results[arch] = [float(np.max(np.abs(got / want - 1))) for got, want in zip(out, exact, strict=True)]
    assert max(results["aie2p"]) < 2.0**-22
    assert 1e-5 < results["aie2"][1] < 2e-3


def test_more_floats_become_integers_at_once_on_aie2p(load: Load) -> None:
    source = """extern "C" void convert(const float *in, int32 *out) {
      aie::store_v(out, aie::to_fixed(aie::load_v<64>(in), 2));
    }"""
    x = np.linspace(-9, 9, 64, dtype=np.float32)
    out = np.zeros(64, np.int32)
    load(INCLUDE + source, "aie2p").call("convert", x, out)
    np.testing.assert_array_equal(out, np.rint(x.astype(np.float64) * 4).astype(np.int32))


def test_bfloat16_denormals_go_down_to_minus_one(load: Load) -> None:
    source = """extern "C" void convert(const bfloat16 *in, int32 *out, int16 *narrow) {
      aie::store_v(out, aie::vector<int32, 16>(bfloat16_to_int(aie::load_v<16>(in), 3)));
      aie::store_v(narrow, aie::to_fixed<int16>(aie::load_v<16>(in)));
    }"""
    bits = [0x0000, 0x8000, 0x0001, 0x007F, 0x8001, 0x8040, 0x807F, 0x8080, 0x0080, 0xBF80, 0x3FA0, 0xBFA0]
    x = np.array([*bits, 0, 0, 0, 0], np.uint16)
    out, narrow = np.zeros(16, np.int32), np.zeros(16, np.int16)
    load(INCLUDE + source).call("convert", x, out, narrow)
    assert out.tolist()[:12] == [0, 0, 0, 0, -1, -1, -1, -1, 0, -8, 10, -10]
    assert narrow.tolist()[:12] == [0, 0, 0, 0, -1, -1, -1, -1, 0, -1, 1, -2]


def test_weighted_sums_of_4_bit_coefficients(load: Load) -> None:
    source = """extern "C" void weigh(const int8 *c, const int8 *x, const int8 *y, int32 *out) {
      auto coefficients = aie::load_v<32>(c).pack<int4>();
      auto sum = aie::accumulate<32>(coefficients, 3, aie::load_v<32>(x), aie::load_v<32>(y));
      aie::store_v(out, sum.to_vector<int32>(0));
    }"""
    generator = np.random.default_rng(3)
    c = generator.integers(-8, 8, 32).astype(np.int8)
    x, y = generator.integers(-128, 128, (2, 32)).astype(np.int8)
    out = np.zeros(32, np.int32)
    load(INCLUDE + source, "aie2p").call("weigh", c, x, y, out)
    np.testing.assert_array_equal(out, int(c[3]) * x.astype(np.int32) + int(c[4]) * y.astype(np.int32))
