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
extern "C" void members(int16 *p) {
    auto it = aie::begin_vector<16>(p);
    it->set(99, 2);
    p[16] = it->get(2) + (it + 1)->get(1);
}
extern "C" void steps(int16 *p, int16 *out) {
    auto ring = aie::begin_random_circular<64>(p);
    auto vectors = aie::begin_vector_random_circular<16, 64>(p);
    *out++ = ring[-1];
    *out++ = *(ring - 2);
    ring -= 3;
    *out++ = *ring--;
    *out++ = *ring;
    *out++ = (vectors - 1)->get(0);
    *out++ = (++vectors == vectors) + (vectors - 1 != vectors) * 2;
    auto pattern = aie::begin_pattern<3>(p, 1, 10, -4);
    for (int i = 0; i < 7; i++) *out++ = *pattern++;
    int total = 0;
    for (auto at = aie::begin(p, 4); at != aie::end(p, 4); ++at) total += *at;
    for (auto at = aie::cbegin(p, 4); at != aie::cend(p, 4); ++at) total += *at;
    *out++ = total;
    auto restricted = aie::begin_restrict_vector<16>(p) + 2;
    restricted--;
    *out = restricted[-1].get(3) + restricted->get(0);
}
extern "C" void anywhere(int16 *p, int16 *out) {
    auto from = aie::begin_unaligned_vector<16>(p + 1);
    auto to = aie::begin_unaligned_vector<16>(out + 3);
    aie::vector<int16, 16> v = *from++;
    *to++ = v;
    *to = aie::add(v, aie::vector<int16, 16>(*from));
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


def test_a_member_called_through_the_arrow_reaches_memory(load: Load) -> None:
    data = np.arange(64, dtype=np.int16)
    load(KERNEL).call("members", data)
    assert data[:4].tolist() == [0, 1, 99, 3]
    assert data[16] == 99 + 17


def test_steps_in_rings_patterns_and_arrays(load: Load) -> None:
    data, out = np.arange(64, dtype=np.int16), np.zeros(15, np.int16)
    load(KERNEL).call("steps", data, out)
    assert out[:6].tolist() == [63, 62, 61, 60, 48, 3]
    assert out[6:13].tolist() == [0, 1, 11, 7, 8, 18, 14]
    assert out[13:].tolist() == [12, 3 + 16]


def test_unaligned_iterators_go_forward_at_any_address(load: Load) -> None:
    data, out = np.arange(64, dtype=np.int16), np.zeros(64, np.int16)
    load(KERNEL).call("anywhere", data, out)
    assert out[3:19].tolist() == list(range(1, 17))
    assert out[19:35].tolist() == [2 * i + 18 for i in range(16)]
    assert not out[:3].any()


BAD = """
aie::accum<acc32, 16> a; a = aie::zeros<int32, 16>();
aie::accum<accfloat, 16> a; a = aie::zeros<bfloat16, 16>();
const int8 *p = 0; auto it = aie::begin_vector<32>(p); it->set(3, 3);
const int8 *p = 0; auto it = aie::begin_vector<32>(p); *it = aie::zeros<int8, 32>();
int8 *p = 0; const auto it = aie::begin_vector<32>(p); aie::vector<int8, 32> v = *it;
int8 *p = 0; auto it = aie::begin_vector<32>(p), to = it; auto n = to - it;
int8 *p = 0; auto it = aie::begin_vector<32>(p), to = it; bool b = it < to;
int8 *p = 0; auto it = aie::begin_vector<32>(p); it = --it;
int8 *p = 0; auto it = aie::begin_vector<32>(p); auto &out = (it += 1);
int8 *p = 0; auto it = aie::begin_restrict_vector<32>(p); --it;
int8 *p = 0; auto it = aie::begin_unaligned_vector<32>(p); --it;
int8 *p = 0; auto it = aie::begin_unaligned_vector<32>(p); it--;
int8 *p = 0; auto it = aie::begin_unaligned_vector<32>(p); it += 1;
int8 *p = 0; auto it = aie::begin_unaligned_vector<32>(p); it -= 1;
int8 *p = 0; auto it = aie::begin_unaligned_vector<32>(p); auto v = it[1];
int8 *p = 0; auto it = aie::begin_unaligned_vector<32>(p); auto n = it->size();
int8 *p = 0; auto it = aie::begin_unaligned_vector<32>(p); auto v = aie::add(*it, *it);
int8 *p = 0; auto it = aie::begin_unaligned_vector<32>(p); aie::store_v(p, *it);
int8 *p = 0; auto it = aie::begin_circular<64>(p); it += 1;
int8 *p = 0; auto it = aie::begin_circular<64>(p); auto at = it + 1;
int8 *p = 0; auto it = aie::begin_circular<64>(p); --it;
int8 *p = 0; auto it = aie::begin_vector_circular<32, 64>(p); it += 1;
int8 *p = 0; auto it = aie::begin_vector_circular<32>(p, 64); --it;
int8 *p = 0; auto it = aie::begin_vector_random_circular<32, 64>(p); auto v = it[1];
int8 *p = 0; auto it = aie::begin_circular(p);
int8 *p = 0; auto it = aie::begin_pattern<2>(p, 1);
auto m = aie::negmul(aie::op_sign(aie::zeros<int8, 32>(), true), aie::zeros<int8, 32>());
auto v = aie::inv(aie::zeros<int4, 64>());
""".strip().splitlines()


def test_what_does_not_compile(check: Check) -> None:
    text = "#include <aie_api/aie.hpp>\n"
    text += "".join(f'#line {i + 1} "bad"\nvoid k{i}() {{ {body} }}\n' for i, body in enumerate(BAD))
    complaints = check(text)
    assert [body for i, body in enumerate(BAD) if f"bad:{i + 1}:" not in complaints] == []
