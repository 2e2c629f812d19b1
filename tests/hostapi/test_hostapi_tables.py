"""Which types, lengths and pairs the host's API takes, as tables over the element types."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hostapi.tools import Check

BITS = {
    "int4": 4, "uint4": 4, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32,
    "bfloat16": 16, "float": 32,
}  # fmt: skip
FLOATING = {"bfloat16", "float"}
# What a core multiplies: the widths of the second factor, by the width of the first (integers only).
FACTORS: dict[int, set[int]] = {4: set(), 8: {4, 8, 16}, 16: {8, 16, 32}, 32: {16, 32}}


def vector(kind: str, lanes: int) -> str:
    return f"aie::vector<{kind}, {lanes}>"


def multiplies(a: str, b: str) -> bool:
    if a in FLOATING or b in FLOATING:
        return a == b
    return BITS[b] in FACTORS[BITS[a]]


class Table:
    """Rows that ask, by a concept for each expression, whether it has a meaning for types."""

    def __init__(self) -> None:
        self.concepts: dict[tuple[str, int], str] = {}
        self.rows: list[str] = []

    def row(self, holds: bool, expression: str, *types: str) -> None:
        name = self.concepts.setdefault((expression, len(types)), f"Takes{len(self.concepts)}")
        self.rows.append(f"static_assert({'' if holds else '!'}{name}<{', '.join(types)}>);\n")

    def text(self) -> str:
        lines = ["#include <aie_api/aie.hpp>\n"]
        for (expression, count), name in self.concepts.items():
            letters = "xyz"[:count]
            kinds = ", ".join(f"class {letter.upper()}" for letter in letters)
            values = ", ".join(f"{letter.upper()} {letter}" for letter in letters)
            lines.append(f"template <{kinds}> concept {name} = requires({values}) {{ {expression}; }};\n")
        return "".join([*lines, *self.rows])


def table(arch: str) -> str:
    """Every element type with every function that is constrained by its type."""
    asked = Table()
    for kind in BITS:
        lanes = 512 // BITS[kind]
        own, other = vector(kind, lanes), vector(kind, 2 * lanes)
        integer = kind not in FLOATING
        for name in ("add", "sub", "min", "max", "lt", "ge", "eq"):
            asked.row(True, f"aie::{name}(x, x)", own)
            asked.row(True, f"aie::{name}(x, y)", own, kind)
            asked.row(False, f"aie::{name}(x, y)", own, other)
        for name in ("bit_and", "bit_or", "bit_xor"):
            asked.row(integer, f"aie::{name}(x, x)", own)
        asked.row(integer and BITS[kind] > 4, "aie::saturating_add(x, x)", own)
        asked.row(integer, "aie::bit_not(x)", own)
        asked.row(integer, "aie::to_float(x)", own)
        asked.row(not integer or BITS[kind] > 4, "aie::inv(x)", own)
        for name in ("invsqrt", "sqrt", "to_fixed"):
            asked.row(not integer, f"aie::{name}(x)", own)
        for name in ("upshift", "downshift", "logical_downshift"):
            asked.row(integer, f"aie::{name}(x, 1)", own)
        asked.row(True, "aie::select(x, x, y)", own, f"aie::mask<{lanes}>")
        asked.row(False, "aie::select(x, x, y)", own, f"aie::mask<{2 * lanes}>")
        asked.row(False, "aie::concat(x, y)", own, other)
        asked.row(False, "aie::store_v(y, x)", own, "double *")
    asked.row(arch == "aie2p", "aie::to_fixed(x)", vector("float", 64))
    for lanes in (32, 64):
        asked.row(True, "aie::to_fixed<int32>(x)", vector("bfloat16", lanes))
        fits = lanes == 32 or arch == "aie2p"
        asked.row(fits, "aie::to_fixed<uint32>(x)", vector("bfloat16", lanes))
    for a, b in itertools.product(BITS, BITS):
        left, right = vector(a, 32), vector(b, 32)
        for name in ("mul", "negmul"):
            asked.row(multiplies(a, b), f"aie::{name}(x, y)", left, right)
        asked.row(multiplies(a, b), "aie::mul(x, y)", left, b)
        if a != b:
            for name in ("add", "min", "lt", "interleave_zip", "concat"):
                arguments = "x, y, 1" if name == "interleave_zip" else "x, y"
                asked.row(False, f"aie::{name}({arguments})", left, right)
    return asked.text()


def default_tag(a: str, b: str) -> str:
    if a in FLOATING:
        return "accfloat"
    larger, smaller = max(BITS[a], BITS[b]), min(BITS[a], BITS[b])
    return "acc32" if larger <= 16 else "acc48" if smaller <= 16 else "acc64"


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_functions_take_the_element_types_that_they_have(check: Check, arch: str) -> None:
    assert check(table(arch), arch) == ""


def test_products_go_to_the_accumulator_of_their_factors(check: Check) -> None:
    rows = [
        f"static_assert(std::is_same_v<decltype(aie::mul({vector(a, 32)}(), {vector(b, 32)}())), "
        f"aie::accum<{default_tag(a, b)}, 32>>);\n"
        for a, b in itertools.product(BITS, BITS)
        if multiplies(a, b)
    ]
    assert len(rows) == 34
    assert check("#include <aie_api/aie.hpp>\n" + "".join(rows)) == ""


def test_registers_have_the_lengths_that_they_have(check: Check) -> None:
    good, bad = "", "#include <aie_api/aie.hpp>\n"
    wanted: list[int] = []
    cases = [(vector(kind, n), n & (n - 1) == 0 and n * bits >= 128) for kind, bits in BITS.items() for n in
             (1, 2, 3, 4, 8, 12, 16, 24, 32, 48, 64, 128)]  # fmt: skip
    unaligned = "decltype(aie::begin_unaligned_vector<{}>(({} *)nullptr))"
    for kind, bits in BITS.items():
        cases += [(unaligned.format(n // bits, kind), n <= 1024) for n in (128, 512, 1024, 2048)]
    transposed = "decltype(aie::transpose({}(), 4, 4))"
    # 4-bit elements are transposed one by one, in any number.
    cases += [
        (transposed.format(vector(k, n // b)), n <= 1024 or b == 4)
        for k, b in BITS.items()
        for n in (512, 2048)
    ]
    for i, (kind, fits) in enumerate(cases):
        if fits:
            good += f"using g{i} = {kind}; inline constexpr auto s{i} = sizeof(g{i});\n"
        else:
            wanted.append(i + 1)
            bad += f'#line {i + 1} "bad"\ninline constexpr auto s{i} = sizeof({kind});\n'
    assert check("#include <aie_api/aie.hpp>\n" + good) == ""
    complaints = check(bad)
    assert [line for line in wanted if f"bad:{line}:" not in complaints] == []
