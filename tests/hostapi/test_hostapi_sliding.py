"""Sliding multiplications: numbers, and which of them exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.hostapi.tools import Check, Load

KERNEL = """
#include <aie_api/aie.hpp>
extern "C" void plain(int8 *c, int8 *d, int32 *out) {
    auto acc = aie::sliding_mul<32, 8>(aie::load_v<32>(c), 3, aie::load_v<64>(d), 60);
    aie::store_v(out, acc.to_vector<int32>());
}
extern "C" void stepped(int16 *c, int16 *d, int32 *out) {
    using ops = aie::sliding_mul_xy_ops<16, 5, 2, 2, int16, int16, acc32>;
    auto acc = ops::mul(aie::load_v<16>(c), 1, aie::load_v<64>(d), 2);
    aie::store_v(out, ops::mac(acc, aie::load_v<16>(c), 1, aie::load_v<64>(d), 2).to_vector<int32>());
}
extern "C" void far(int16 *c, int16 *d, int32 *out) {
    using ops = aie::sliding_mul_ops<16, 2, 1, 16, 1, int16, int16, acc64>;
    auto acc = ops::mul(aie::load_v<16>(c), 0, aie::load_v<64>(d), 1);
    aie::store_v(out, acc.to_vector<int32>());
}
extern "C" void channels(int8 *c, int8 *d, int32 *out) {
    auto acc = aie::sliding_mul_ch<8, 4, 5>(aie::load_v<64>(c), 1, aie::load_v<64>(d), 2);
    acc = aie::sliding_mac_ch<8, 4, 5, 2, 2>(acc, aie::load_v<64>(c), 0, aie::load_v<64>(d), 1);
    aie::store_v(out, acc.to_vector<int32>());
}
extern "C" void floats(bfloat16 *c, bfloat16 *d, float *out) {
    auto acc = aie::sliding_mul<16, 3>(aie::load_v<16>(c), 0, aie::load_v<32>(d), 0);
    aie::store_v(out, acc.to_vector<float>());
}
"""


def slid(
    c: NDArray[Any],
    d: NDArray[Any],
    lanes: int,
    points: int,
    starts: tuple[int, int],
    steps: tuple[int, int, int],
) -> NDArray[Any]:
    """The documented pattern; both registers wrap."""
    lane, point = np.ogrid[:lanes, :points]
    coefficients = c[(starts[0] + point * steps[0]) % len(c)]
    samples = d[(starts[1] + lane * steps[2] + point * steps[1]) % len(d)]
    return np.asarray((coefficients.astype(np.int64) * samples).sum(axis=1))


def run(load: Load, name: str, *arrays: NDArray[Any], lanes: int) -> NDArray[np.int32]:
    out = np.zeros(lanes, np.int32)
    load(KERNEL).call(name, *arrays, out)
    return out


def test_integers_slide(load: Load) -> None:
    rng = np.random.default_rng(5)
    c8, d8 = (rng.integers(-128, 128, n).astype(np.int8) for n in (32, 64))
    assert np.array_equal(run(load, "plain", c8, d8, lanes=32), slid(c8, d8, 32, 8, (3, 60), (1, 1, 1)))
    c16, d16 = (rng.integers(-900, 900, n).astype(np.int16) for n in (16, 64))
    twice = 2 * slid(c16, d16, 16, 5, (1, 2), (2, 2, 2))
    assert np.array_equal(run(load, "stepped", c16, d16, lanes=16), twice)
    assert np.array_equal(run(load, "far", c16, d16, lanes=16), slid(c16, d16, 16, 2, (0, 1), (1, 16, 1)))


def test_channels_slide_each_with_its_coefficients(load: Load) -> None:
    rng = np.random.default_rng(6)
    c, d = (rng.integers(-128, 128, 64).astype(np.int8) for _ in range(2))
    out = run(load, "channels", c, d, lanes=32).reshape(8, 4)
    for channel in range(4):
        own, samples = c[channel::4], d[channel::4]
        wanted = slid(own, samples, 8, 5, (1, 2), (1, 1, 1)) + slid(own, samples, 8, 5, (0, 1), (2, 2, 2))
        assert out[:, channel].tolist() == wanted.tolist()


def test_floats_slide(load: Load) -> None:
    c = np.array([1, 2, 4, *[0] * 13], np.float32)
    d = np.arange(32, dtype=np.float32)
    bits = [(x.view(np.uint32) >> 16).astype(np.uint16) for x in (c, d)]
    out = np.zeros(16, np.float32)
    load(KERNEL).call("floats", *bits, out)
    assert out.tolist() == [7 * n + 10 for n in range(16)]


def ops(arguments: str) -> str:
    return f"aie::sliding_mul_ops<{arguments}>"


GOOD = """
32, 8, 1, 1, 1, int8, int8
32, 3, 2, 1, 1, uint8, int8, acc32
16, 4, 1, 2, 2, int16, int16, acc64
16, 4, 2, 2, 2, int32, int16
16, 8, 1, 1, 1, int32, int32, acc64
16, 1, 1, 1, 1, bfloat16, bfloat16
16, 2, 1, 1, 1, float, float, accfloat
""".strip().splitlines()
BAD = """
32, 8, 3, 1, 1, int8, int8
32, 8, 1, 2, 1, int8, int8
32, 8, 1, 4, 4, int8, int8
16, 3, 1, 1, 1, int16, int16, acc64
16, 4, 1, 1, 1, int32, int16, acc32
16, 4, 1, 1, 1, int16, int8
32, 8, 1, 1, 1, int8, int8, accfloat
16, 1, 1, 1, 1, bfloat16, bfloat16, acc32
32, 8, 1, 1, 1, int8, int4
""".strip().splitlines()


GOOD_AIE2P = """
32, 8, 1, 1, 1, int8, int8
32, 3, 2, 1, 1, uint8, int8, acc32
16, 4, 1, 2, 2, int16, int16, acc64
16, 3, 1, 1, 1, int32, int16
16, 1, 1, 1, 1, int16, int32
16, 6, 2, 2, 2, int32, int32, acc64
64, 1, 1, 1, 1, bfloat16, bfloat16
32, 2, 1, 1, 1, float, float, accfloat
""".strip().splitlines()
BAD_AIE2P = """
32, 8, 3, 1, 1, int8, int8
32, 8, 1, 2, 1, int8, int8
16, 2, 1, 16, 1, int16, int16, acc64
16, 3, 1, 1, 1, int16, int16, acc64
16, 4, 1, 1, 1, int32, int16, acc32
16, 4, 1, 1, 1, int16, int8
16, 4, 1, 1, 1, int8, int8, acc64
32, 8, 1, 1, 1, int8, int8, accfloat
32, 8, 1, 1, 1, int8, int4
16, 8, 1, 4, 4, bfloat16, bfloat16
64, 8, 1, 1, 1, float, float
""".strip().splitlines()


def test_which_exist_on_aie2p(check: Check) -> None:
    head = "#include <aie_api/aie.hpp>\n"
    good = "".join(f"constexpr auto n{i} = {ops(each)}::lanes;\n" for i, each in enumerate(GOOD_AIE2P))
    assert check(head + good, "aie2p") == ""
    bad = "".join(
        f'#line {i} "bad"\nconstexpr auto n{i} = {ops(each)}::lanes;\n' for i, each in enumerate(BAD_AIE2P, 1)
    )
    complaints = check(head + bad, "aie2p")
    assert [each for i, each in enumerate(BAD_AIE2P, 1) if f"bad:{i}:" not in complaints] == []


CHANNELS = {
    "aie2": {"4, int8, acc32", "8, int8, acc32"},
    "aie2p": {"4, int8, acc32", "8, int8, acc32", "8, int16, acc64"},
}


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_which_channels_exist(check: Check, arch: str) -> None:
    cases = [
        f"{channels}, {kind}"
        for channels in (2, 4, 8, 16)
        for kind in ("int8, acc32", "int16, acc32", "int16, acc64")
    ]
    text = "#include <aie_api/aie.hpp>\n"
    for i, case in enumerate(cases):
        channels, kind, tag = case.split(", ")
        use = f"aie::sliding_mul_ch_ops<4, {channels}, 4, 1, 1, 1, {kind}, {kind}, {tag}>::lanes"
        text += f'#line {i + 1} "case"\nconstexpr auto n{i} = {use};\n'
    complaints = check(text, arch)
    assert {case for i, case in enumerate(cases) if f"case:{i + 1}:" not in complaints} == CHANNELS[arch]


def test_which_exist(check: Check) -> None:
    use = "constexpr auto n{} = {}::lanes;"
    head = "#include <aie_api/aie.hpp>\n"
    assert check(head + "".join(use.format(i, ops(each)) + "\n" for i, each in enumerate(GOOD))) == ""
    bad = head + "".join(f'#line {i + 1} "bad"\n{use.format(i, ops(each))}\n' for i, each in enumerate(BAD))
    bad += '#line 91 "bad"\naie::vector<int8, 32> c, d;\n'
    # The real negmul names an enumerator that is not there.
    bad += f"auto m = {ops(GOOD[0])}::negmul(c, 0, d, 0);\n"
    bad += "auto s = aie::sliding_mul_ch<8, 2, 4>(c, 0, d, 0);\n"
    bad += "aie::vector<int8, 128> w; auto l = aie::sliding_mul<32, 8>(w, 0, d, 0);\n"
    complaints = check(bad)
    lines = [*range(1, len(BAD) + 1), 92, 93, 94]
    assert [line for line in lines if f"bad:{line}:" not in complaints] == []
