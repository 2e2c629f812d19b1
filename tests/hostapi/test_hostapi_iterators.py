"""What dereferenced iterators are: values when kept, memory when written through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tests.hostapi.tools import Check, Load

KERNEL = """
#include <aie_api/aie.hpp>
extern "C" void in_place(int16 *p, int n) {
    auto in = aie::begin_vector<16>(p), out = aie::begin_vector<16>(p);
    for (int i = 0; i < n; i++) {
        auto v = *in++;                     // a value: the store below does not change it
        *out = aie::add(v, (int16)1);
        *out++ = aie::sub(*out, v);         // reads memory again: 1 everywhere
        v = aie::zeros<int16, 16>();        // nor does this reach memory
    }
}
extern "C" void elements(int16 *p) {
    auto it = aie::begin_restrict_vector<16>(p);
    (*it)[3] = 30;
    (*it).set(40, 4);
    (*it).insert(1, aie::broadcast<int16, 8>(7));
    auto kept = *it;
    kept[5] = 50;
    kept.set(60, 6);
    p[16] = (*it)[3] + it->get(4) + kept[5] + it->extract<8>(1)[0];
}
extern "C" void copies(int16 *p) {
    auto from = aie::cbegin_vector<16>(p);
    auto to = aie::begin_vector<16>(p + 32);
    *to++ = *from++;
    *to = *from;
    *to++ = *aie::begin_vector<16>(p);
}
"""


def test_a_variable_is_a_value(load: Load) -> None:
    data = np.arange(64, dtype=np.int16)
    load(KERNEL).call("in_place", data, 4)
    assert data.tolist() == [1] * 64


def test_writes_through_the_result_of_star_reach_memory(load: Load) -> None:
    data = np.arange(17, dtype=np.int16)
    load(KERNEL).call("elements", data)
    assert data.tolist() == [0, 1, 2, 30, 40, 5, 6, 7, *[7] * 8, 30 + 40 + 50 + 7]


def test_vectors_are_copied_from_memory_to_memory(load: Load) -> None:
    data = np.arange(64, dtype=np.int16)
    load(KERNEL).call("copies", data)
    assert data[32:].tolist() == [*range(16), *range(16)]


BAD = """
aie::accum<acc32, 16> a; a = aie::zeros<int32, 16>();
aie::accum<accfloat, 16> a; a = aie::zeros<bfloat16, 16>();
int8 *p = 0; auto it = aie::begin_vector<32>(p); it->set(3, 3);
""".strip().splitlines()


def test_what_does_not_compile(check: Check) -> None:
    text = "#include <aie_api/aie.hpp>\n"
    text += "".join(f'#line {i + 1} "bad"\nvoid k{i}() {{ {body} }}\n' for i, body in enumerate(BAD))
    complaints = check(text)
    assert [body for i, body in enumerate(BAD) if f"bad:{i + 1}:" not in complaints] == []
