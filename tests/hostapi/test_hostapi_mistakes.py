"""The mistakes kernel authors make most: what is told of each, by g++ and by clang."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import CompileError, CompilerMissingError
from npukbuild.simulator.host_compiler import find_compiler
from npukbuild.simulator.hostcc import compile_kernels

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hostapi.tools import Check

API = "#include <aie_api/aie.hpp>\n"
HEAD = 'extern "C" void k(bfloat16 *a, float *f, int16 *s, bfloat16 *c) {\n'

# What is wrong in the third line, words of the reason, words of the hint.
MISTAKES = {
    "a shape that is not there": (
        "aie::mmul<4, 4, 4, bfloat16, bfloat16, accfloat> m;",
        "aie::mmul<4, 4, 4, bfloat16, bfloat16, accfloat>: no such shape: bfloat16 x bfloat16 is 4x8x4",
        "one of these shapes",
    ),
    "vectors of the wrong size": (
        "aie::mmul<4, 8, 4, bfloat16, bfloat16> m; m.mul(aie::load_v<16>(a), aie::load_v<32>(a));",
        "no matching",
        "M::size_A",
    ),
    "exp2 on AIE2": ("auto v = aie::exp2<bfloat16>(aie::load_v<16>(f));", "exp2", "getExpBf16"),
    "a float sum of integers": (
        "auto m = aie::mac(aie::zeros<accfloat, 16>(), aie::load_v<16>(s), aie::load_v<16>(s));",
        "integers sum in acc32 or acc64",
        "let aie::mul choose",
    ),
    "an integer accumulator of floats": (
        "aie::accum<acc32, 16> m = aie::mul(aie::load_v<16>(a), aie::load_v<16>(a));",
        "accum<acc32",
        ".to_vector<T>()",
    ),
    "a length that is not there": (
        "aie::vector<float, 48> v;",
        "aie::vector<float, 48>: a vector has 128",
        "next length",
    ),
    "an unknown raw intrinsic": ("auto m = mul_elem_16_2(s[0], s[0]);", "mul_elem_16_2", "aie:: call"),
    "tables without their header": (
        "auto v = getExpBf16(aie::load_v<16>(a));",
        "getExpBf16",
        "lut_based_ops.h",
    ),
    "libm on a vector": ("auto v = aie::load_v<16>(a); auto w = expf(v);", "", "take numbers"),
    "a product by operator": ("auto v = aie::load_v<16>(a); auto w = v * 2.0f;", "", "aie::mul(a, b)"),
    "a number of another type": ("auto v = aie::add(aie::load_v<16>(a), 1.0f);", "add", "(bfloat16)2.0f"),
    "a stored accumulator": (
        "aie::store_v(c, aie::mul(aie::load_v<16>(a), aie::load_v<16>(a)));",
        "store_v",
        ".to_vector<T>()",
    ),
    "float elements as bfloat16": (
        "aie::vector<bfloat16, 16> v = aie::load_v<16>(f);",
        "vector<",
        "to_vector<bfloat16>",
    ),
    "the default length": ("aie::vector<bfloat16, 16> v = aie::load_v(a);", "16>", "aie::load_v<16>"),
    "streams": ("std::cout << 1;", "cout", "no C++ streams"),
}  # fmt: skip


def told(folder: Path, compiler_name: str, text: str) -> CompileError:
    try:
        compiler = find_compiler({"NPUKBUILD_CXX": compiler_name, "PATH": "/usr/bin:/usr/local/bin"})
    except CompilerMissingError:
        pytest.skip(f"{compiler_name} is not here")
    source = folder / "kernel.cc"
    source.write_text(text)
    with pytest.raises(CompileError) as caught:
        compile_kernels([source], arch="aie2", output=folder / "k.so", compiler=compiler)
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize("compiler_name", ["g++", "clang++"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_compiler_s_words_become_a_place_a_reason_and_a_hint(
    tmp_path: Path, mistake: str, compiler_name: str
) -> None:
    line, reason, hint = MISTAKES[mistake]
    error = told(tmp_path, compiler_name, f"{API}#include <cmath>\n{HEAD}{line}\n}}\n")
    assert (error.where or "").startswith(f"{tmp_path / 'kernel.cc'}:4")
    assert reason in (error.why or "")
    assert hint in (error.hint or "")
    assert any(line[:20] in detail for detail in error.details), "the kernel's line is shown"


@pytest.mark.parametrize("compiler_name", ["g++", "clang++"])
def test_a_kernel_without_the_api(tmp_path: Path, compiler_name: str) -> None:
    error = told(tmp_path, compiler_name, f"{HEAD}  auto v = aie::load_v<16>(a);\n}}\n")
    assert error.where == f"{tmp_path / 'kernel.cc'}:2:12"
    assert error.hint == "#include <aie_api/aie.hpp> at the top of the kernel"
    error = told(tmp_path, compiler_name, '#include "zero.cc"\n')
    assert "beside the kernel" in (error.hint or "")


def test_an_error_in_the_api_shows_the_kernel_s_line(tmp_path: Path) -> None:
    text = f"{API}{HEAD}  aie::mmul<5, 8, 4, float, float> m;\n}}\n"
    error = told(tmp_path, "g++", text)
    assert error.details[0] == "aie::mmul<5, 8, 4, float, float> m;"


@pytest.mark.parametrize("compiler_name", ["g++", "clang++"])
def test_an_error_deep_in_the_api_is_told_at_the_kernel(tmp_path: Path, compiler_name: str) -> None:
    body = "auto low = aie::mul<acc32>(aie::load_v<16>(f), aie::load_v<16>(f));\n  low = aie::msc(low, x, x);"
    text = f"{API}{HEAD}  auto x = aie::load_v<16>(f);\n  {body}\n}}\n"
    error = told(tmp_path, compiler_name, text)
    assert (error.where or "").startswith(f"{tmp_path / 'kernel.cc'}:")
    assert "in this accumulator" in (error.why or "")


KINDS = {"int4": 4, "int8": 8, "uint8": 8, "int16": 16, "int32": 32, "bfloat16": 16, "float": 32}


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_messages_name_the_shapes_there_are(check: Check, arch: str) -> None:
    """Every shape a message names exists with some accumulator, and no other of a wide grid does."""
    pairs = [(a, b) for a in KINDS for b in KINDS]
    wrong = "".join(
        f'#line {i + 1} "bad"\naie::mmul<3, 3, 3, {a}, {b}> m{i};\n' for i, (a, b) in enumerate(pairs)
    )
    complaints = check(API + wrong, arch).splitlines()
    grid = [(m, k, n) for m in (1, 2, 4, 8, 16) for k in (1, 2, 4, 8, 16, 32) for n in (4, 8, 16)]
    claims, messages = "", 0
    for a, b in pairs:
        words = f"{KINDS[a]}-bit x {KINDS[b]}-bit is "
        if {a, b} & {"bfloat16", "float"}:
            words = f"{a} x {b} is "
        said = next((line for line in complaints if "no such shape: " + words in line), "")
        named = {tuple(map(int, each.split("x"))) for each in re.findall(r"\d+x\d+x\d+", said)}
        messages += bool(named)
        shapes = ", ".join(f"{{{m}, {k}, {n}}}" for m, k, n in sorted(named)) or "{0, 0, 0}"
        claims += f"constexpr aie::detail::mmul_shape n_{a}_{b}[] = {{{shapes}}};\n"
        claims += f"static_assert(right<{a}, {b}>(n_{a}_{b}));\n"
    whole = ", ".join(f"{{{m}, {k}, {n}}}" for m, k, n in grid)
    assert messages >= 10
    assert check(f"""{API}
constexpr aie::detail::mmul_shape grid[] = {{{whole}}};
template <class A, class B, unsigned N> constexpr bool right(const aie::detail::mmul_shape (&named)[N]) {{
    for (auto shape : grid) {{
        using namespace aie::detail;
        const bool exists = mmul_accum_bits<A, B, acc32>(shape) || mmul_accum_bits<A, B, acc64>(shape);
        bool said = false;
        for (auto each : named) said = said || each == shape;
        if (exists != said) return false;
    }}
    return true;
}}
{claims}""", arch) == ""  # fmt: skip
