"""What a kernel gets with aie_api/utils.hpp: printing, and loops that it unrolls or pipelines itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pytest

    from tests.hostapi.tools import Check, Load

KERNEL = """
#include <aie_api/aie.hpp>
#include <aie_api/utils.hpp>
extern "C" void say(int16 *p, float *f) {
    const auto v = aie::load_v<8>(p);
    aie::print(v, true, "v: ");
    aie::print(aie::load_v<4>(f), true);
    aie::print_fixed(v, -1, true);
    aie::print_matrix(v, 4, "m: ");
    aie::print(aie::gt(v, (int16)0), true, "mask ");
    aie::print(aie::accum<acc32, 8>(v), true);
    aie::print(aie::accum<acc48, 8>(v), true);
    aie::print(aie::accum<accfloat, 4>(aie::load_v<4>(f)), true);
    aie::print(aie::vector_cast<uint16>(v), true);
}
extern "C" void loops(int32 *out) {
    aie::unroll_for<int, 3, -1, -1>([&](auto i) {
        constexpr int at = i;
        *out++ = at * 100 + i.max() + i.min();
    });
    aie::unroll_times<2>([&] { *out++ = -1; });
    aie::unroll_for<unsigned, 0, 5, 2>([&](unsigned i) { *out++ = i; });
    aie::unroll_times_2d<2, 3>([&](auto y, auto x) { *out++ = 10 * y + x; });
    constexpr aie::LoopOptions both{.peel_front = 1, .peel_back = 1};
    aie::pipelined_loop<4, both>(4u, [&](unsigned i) { *out++ = i; });
    constexpr aie::LoopOptions early{.peel_front = 2, .peel_back = 1}, late{.peel_front = 1, .peel_back = 2};
    aie::pipelined_loops<5, early, late>(5u, [&](auto i) { *out++ = i; }, [&](auto i) { *out++ = 10 + i; });
}
"""


def test_registers_are_printed_to_standard_error(load: Load, capfd: pytest.CaptureFixture[str]) -> None:
    numbers = np.array([1, -2, 3, -4, 5, -6, 7, -8], np.int16)
    load(KERNEL).call("say", numbers, np.array([0.5, -1.25, 3, 1e6], np.float32))
    out, text = capfd.readouterr()
    assert out == ""
    assert [line.rstrip() for line in text.splitlines()] == [
        "v: 1 -2 3 -4 5 -6 7 -8",
        "0.500000 -1.250000 3.000000 1000000.000000",
        "0.500000 -1.000000 1.500000 -2.000000 2.500000 -3.000000 3.500000 -4.000000",
        "m: 1 -2 3 -4",
        "   5 -6 7 -8",
        "mask 1 0 1 0 1 0 1 0",
        "0x00000001 0xfffffffe 0x00000003 0xfffffffc 0x00000005 0xfffffffa 0x00000007 0xfffffff8",
        " ".join(f"0x{int(n) % 2**48:012x}" for n in numbers),
        "0.500000 -1.250000 3.000000 1000000.000000",
        "1 65534 3 65532 5 65530 7 65528",
    ]


def test_loops_do_each_step_in_order(load: Load) -> None:
    out = np.zeros(29, np.int32)
    load(KERNEL).call("loops", out)
    assert out[:4].tolist() == [302, 202, 102, 2]
    assert out[4:9].tolist() == [-1, -1, 0, 2, 4]
    assert out[9:15].tolist() == [0, 1, 2, 10, 11, 12]
    assert out[15:19].tolist() == [0, 1, 2, 3]
    assert out[19:].tolist() == [0, 1, 10, 2, 11, 3, 12, 4, 13, 14]


BAD = """
aie::print(3);
aie::print_fixed(aie::zeros<float, 8>(), 2);
aie::print_matrix(aie::mask<16>(), 4);
aie::unroll_for<int, 0, 4, 0>([](auto i) {});
aie::pipelined_loop<2, aie::LoopOptions{.peel_front = 1}>(8u, [](auto i) {});
aie::pipelined_loops<8, aie::LoopOptions{.peel_front = 1}>(8u, [](auto i) {}, [](auto i) {});
""".strip().splitlines()


def test_what_does_not_compile(check: Check) -> None:
    text = "#include <aie_api/utils.hpp>\n"
    text += "".join(f'#line {i + 1} "bad"\nvoid k{i}() {{ {body} }}\n' for i, body in enumerate(BAD))
    complaints = check(text)
    assert [body for i, body in enumerate(BAD) if f"bad:{i + 1}:" not in complaints] == []


def test_only_who_includes_it_can_print(check: Check) -> None:
    text = "#include <aie_api/aie.hpp>\nvoid k() { aie::print(aie::zeros<int8, 32>()); }\n"
    assert "print" in check(text)
    assert check("#include <aie_api/utils.hpp>\n" + text) == ""


RECIPROCALS = """
#include <aie_api/aie.hpp>
extern "C" void inverse(int8 *s, uint8 *u) {
    aie::store_v(s + 16, aie::inv(aie::load_v<16>(s)));
    aie::store_v(u + 16, aie::inv(aie::load_v<16>(u)));
    for (int i = 0; i < 16; i++) s[i] = aie::inv(s[i]);
}
"""


def test_reciprocals_of_integers_drop_what_follows_the_point(load: Load) -> None:
    signed = np.array([1, -1, 0, 2, -3, 127, -128, 1, *[0] * 24], np.int8)
    unsigned = signed.astype(np.uint8)
    load(RECIPROCALS).call("inverse", signed, unsigned)
    assert signed[:8].tolist() == [1, -1, 0, 0, 0, 0, 0, 1]
    # In a vector elements are read as unsigned: -1 is a large number.
    assert signed[16:24].tolist() == unsigned[16:24].tolist() == [1, 0, 0, 0, 0, 0, 0, 1]
