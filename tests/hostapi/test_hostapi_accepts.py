# ruff: noqa: E501 - one kernel body a line
"""Whether the host's API takes and refuses the same kernels as AMD's headers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import CompilerMissingError
from npukbuild.simulator.host_compiler import find_compiler
from npukbuild.simulator.hostcc import command_line

if TYPE_CHECKING:
    from tests.hostapi.tools import Check

GOLDEN = Path(__file__).parents[1] / "golden" / "aie_api"
ACCEPTED = sorted(GOLDEN.glob("accepted/*.cc"))
REJECTED = sorted(GOLDEN.glob("rejected/*.cc"))


def test_golden_kernels_that_the_real_headers_accept(check: Check) -> None:
    text = "".join(f'#define k k_{file.stem}\n#include "{file}"\n#undef k\n' for file in ACCEPTED)
    assert len(ACCEPTED) > 15
    assert check(text) == ""


@pytest.mark.parametrize("file", REJECTED, ids=lambda file: file.stem)
def test_golden_kernels_that_the_real_headers_reject(check: Check, file: Path) -> None:
    assert "error" in check(file.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clang++", "g++"])
def test_golden_kernels_with_each_compiler(name: str, tmp_path: Path) -> None:
    try:
        compiler = find_compiler({"NPUKBUILD_CXX": name, "PATH": "/usr/bin:/usr/local/bin"})
    except CompilerMissingError:
        pytest.skip(f"{name} is not here")
    for file in [*ACCEPTED, *REJECTED]:
        command = [*command_line(compiler, arch="aie2"), "-c", str(file), "-o", str(tmp_path / "k.o")]
        code = subprocess.run(command, capture_output=True).returncode
        assert (code == 0) == (file.parent.name == "accepted"), file.stem


# Bodies of `void k(bfloat16 *a, bfloat16 *b, bfloat16 *c, float *f, int8 *i8, int16 *i16, int32 *i32)`.
GOOD = """
aie::vector<bfloat16, 16> v = aie::mul(aie::load_v<16>(a), aie::load_v<16>(b)); aie::store_v(c, v);
aie::vector<float, 16> v = aie::mul(aie::load_v<16>(a), (bfloat16)2.0f); aie::store_v(f, v);
aie::accum<accfloat, 16> acc = aie::zeros<accfloat, 16>(); acc = aie::mac(acc, aie::load_v<16>(a), aie::load_v<16>(b));
aie::accum<acc64, 16> acc = aie::mul<acc64>(aie::load_v<16>(i16), aie::load_v<16>(i16));
aie::accum<acc48, 16> acc = aie::mul(aie::load_v<16>(i32), aie::load_v<16>(i16));
auto acc = aie::mul(aie::load_v<32>(i8), (int8)3); aie::store_v(i16, acc.to_vector<int16>(2));
auto it = aie::begin_restrict_vector<16>(a); auto out = aie::begin_restrict_vector<16>(c); *out++ = aie::add(*it++, *it);
auto it = aie::cbegin_vector<16>(a); aie::vector<bfloat16, 16> v = *it; aie::store_v(c, v);
aie::vector<int32, 16> v = aie::reduce_add_v(aie::load_v<16>(i32), aie::load_v<16>(i32)); aie::store_v(i32, v);
f[0] = (float)aie::reduce_max(aie::load_v<32>(a)); f[1] = aie::reduce_add(aie::load_v<16>(f));
bfloat16 x = aie::load_v<16>(a)[3]; float y = aie::load_v<16>(f)[0]; f[0] = x + y;
aie::vector<bfloat16, 16> v; v[0] = (bfloat16)1.0f; v.set(a[0], 1); aie::store_v(c, v);
auto [lo, hi] = aie::interleave_unzip(aie::load_v<32>(i8), aie::load_v<32>(i8), 1); aie::store_v(i8, lo);
aie::mask<16> m = aie::ge(aie::load_v<16>(f), 0.0f); f[0] = (m & ~m).count();
aie::store_v(f, aie::accum<accfloat, 16>(aie::load_v<16>(a)).to_vector<float>());
aie::mmul<4, 8, 4, bfloat16, bfloat16> m; m.mac(aie::load_v<32>(a), aie::load_v<32>(b)); aie::store_v(c, m.to_vector<bfloat16>());
using M = aie::mmul<4, 8, 8, int8, int8>; M m(aie::load_v<M::size_C>(i32)); m.mac(aie::load_v<32>(i8), aie::load_v<64>(i8));
aie::vector<uint8, 32> u = aie::load_v<32>(i8).cast_to<uint8>(); aie::store_v((uint8 *)i8, u);
aie::store_unaligned_v(c, aie::load_unaligned_v<16>(a + 1), 1);
aie::vector<float, 64> v = aie::load_v<64>(f); aie::mmul<8, 8, 8, bfloat16, bfloat16, accfloat> m(v); aie::store_v(f, m.to_vector<float>());
aie::vector<int16, 32> v = v32int16(bfloat16_to_int(aie::load_v<16>(a), 8)); aie::store_v(i16, aie::filter_even(v));
bfloat16 x = (bfloat16)aie::load_v<16>(f)[2]; c[0] = x; assert(x > 0.0f);
auto v = aie::div(aie::load_v<16>(a), aie::load_v<16>(b)).to_vector<bfloat16>(); aie::store_v(c, v);
auto v = aie::saturating_add(aie::load_v<16>(i16), aie::load_v<16>(i16)); aie::store_v(i16, aie::clamp(v, (int16)-5, (int16)5));
bfloat16 s = 1.5f; s = s * s + (bfloat16)0.5f; c[0] = s; f[0] = s; if (s > 1.0f) c[1] = -s;
aie::tile t = aie::tile::current(); t.set_rounding(aie::rounding_mode::conv_even); t.set_saturation(aie::saturation_mode::saturate);
for (int i = 0; i < 4; i++) chess_prepare_for_pipelining chess_loop_range(4, ) { c[i] = a[i]; }
alignas(aie::vector_decl_align) static bfloat16 buffer[32]; aie::store_v(buffer, aie::load_v<32>(a));
aie::store_v(f, aie::to_float(aie::load_v<16>(i32))); aie::store_v(i32, aie::to_fixed(aie::load_v<16>(f)));
""".strip().splitlines()

BAD = """
auto v = aie::add(aie::load_v<16>(a), 3); aie::store_v(c, v);
auto v = aie::add(aie::load_v<16>(a), 1.0f); aie::store_v(c, v);
auto v = aie::add(aie::load_v<16>(a), aie::load_v<32>(b)); aie::store_v(c, v);
auto acc = aie::mul(aie::load_v<16>(a), 2.0f); aie::store_v(f, acc.to_vector<float>());
auto acc = aie::mac(aie::zeros<accfloat, 16>(), aie::load_v<32>(a), aie::load_v<32>(b));
auto acc = aie::mac(aie::zeros<acc32, 16>(), aie::load_v<16>(a), aie::load_v<16>(b));
auto acc = aie::mul(aie::load_v<16>(a), aie::load_v<16>(i16));
f[0] = aie::reduce_add(aie::mul(aie::load_v<16>(a), aie::load_v<16>(b)));
auto v = aie::bit_and(aie::load_v<16>(a), aie::load_v<16>(b));
auto v = aie::exp(aie::load_v<16>(a));
auto v = aie::tanh(aie::load_v<16>(f));
aie::vector<float, 48> v;
auto v = aie::load_unaligned_v<64>(f, 1);
aie::vector<bfloat16, 4> v;
aie::vector<double, 4> v;
aie::accum<acc32, 16> v = aie::zeros<acc64, 16>();
aie::accum<accfloat, 12> v;
aie::store_v(c, aie::mul(aie::load_v<16>(a), aie::load_v<16>(b)));
aie::store_v(c, aie::load_v<16>(f));
auto v = aie::load_v<15>(a);
aie::vector<bfloat16, 16> v = aie::load_v<16>(f);
aie::vector<bfloat16, 16> v = 1.0f;
auto v = aie::select(aie::load_v<16>(a), aie::load_v<16>(f), aie::mask<16>());
auto m = aie::lt(aie::load_v<16>(a), aie::load_v<16>(i16));
using namespace aie::operators; auto v = aie::load_v<16>(a) + aie::load_v<32>(b);
using namespace aie::operators; auto v = aie::load_v<16>(a) * aie::load_v<16>(b);
auto v = aie::concat(aie::load_v<16>(a), aie::load_v<32>(b));
auto v = aie::unpack(aie::load_v<16>(a));
aie::set_rounding(aie::rounding_mode::nearest);
aie::set_rounding(12);
aie::mmul<4, 8, 4, bfloat16, bfloat16, accfloat> m; m.mac(aie::load_v<32>(a), aie::load_v<32>(f));
aie::mmul<4, 8, 8, int8, int8, acc32> m; m.mac(aie::load_v<32>(a), aie::load_v<64>(i8));
aie::mmul<4, 8, 8, int8, int8, acc32> m; m.to_vector(2);
int *restrict = 0;
try { c[0] = a[0]; } catch (...) { }
const auto it = aie::cbegin_vector<16>(a); *it = aie::load_v<16>(b);
std::vector<int> v;
auto v = aie::load_v<16>(a).extract<32>(0);
""".strip().splitlines()

SIGNATURE = "(bfloat16 *a, bfloat16 *b, bfloat16 *c, float *f, int8 *i8, int16 *i16, int32 *i32)"


def test_calls_that_the_real_headers_accept(check: Check) -> None:
    text = "#include <aie_api/aie.hpp>\n"
    text += "".join(
        f'#line {i + 1} "good"\nvoid k{i}{SIGNATURE} {{ {body} }}\n' for i, body in enumerate(GOOD)
    )
    assert check(text) == ""


def test_calls_that_the_real_headers_reject(check: Check) -> None:
    text = "#include <aie_api/aie.hpp>\n"
    text += "".join(f'#line {i + 1} "bad"\nvoid k{i}{SIGNATURE} {{ {body} }}\n' for i, body in enumerate(BAD))
    complaints = check(text)
    accepted = [body for i, body in enumerate(BAD) if f"bad:{i + 1}:" not in complaints]
    assert accepted == []


def test_exp2_and_tanh_exist_on_aie2p_only(check: Check) -> None:
    text = """#include <aie_api/aie.hpp>
aie::vector<bfloat16, 16> e(const float *f) { return aie::exp2<bfloat16>(aie::load_v<16>(f)); }
aie::vector<bfloat16, 16> t(const float *f) { return aie::tanh<bfloat16>(aie::load_v<16>(f)); }
"""
    assert check(text, "aie2p") == ""
    complaints = check(text, "aie2")
    assert "exp2" in complaints
    assert "tanh" in complaints
    wrong = "#include <aie_api/aie.hpp>\nauto e(const bfloat16 *f) { return aie::exp2<bfloat16>(aie::load_v<16>(f)); }"
    assert check(wrong, "aie2p"), "the argument is float"


@pytest.mark.parametrize("header", ["iostream", "thread", "mutex"])
def test_headers_that_no_core_has(check: Check, header: str) -> None:
    assert "does not exist for AIE cores" in check(f"#include <{header}>")
