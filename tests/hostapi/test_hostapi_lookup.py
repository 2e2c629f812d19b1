"""Which keys, tables and numbers of elements look-ups and linear approximations take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hostapi.tools import Check

BITS = {"int8": 8, "uint16": 16, "int32": 32, "bfloat16": 16, "float": 32}


def lookup(key: str, value: str, keys: int, values: int) -> str:
    return (
        f"void f(aie::lut<4, {value}> table, aie::vector<{key}, {keys}> x) {{ "
        f"aie::parallel_lookup<{key}, aie::lut<4, {value}>> look(table, 1); "
        f"aie::vector<{value}, {values}> y = look.fetch<{values}>(x); }}"
    )


def approximation(kind: str, table: str, elements: int) -> str:
    return (
        f"auto f(aie::lut<{table}> table, aie::vector<{kind}, {elements}> x) {{ "
        f"return aie::linear_approx<{kind}, aie::lut<{table}>>(table, 4, 2, 0).compute(x); }}"
    )


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_a_lookup_gives_a_register_of_values_for_16_or_32_integer_keys(check: Check, arch: str) -> None:
    cases = {
        lookup(key, value, keys, values): key not in ("bfloat16", "float")
        and keys in (16, 32)
        and values <= keys
        and values * BITS[value] <= 512
        for key in BITS
        for value in ("int8", "bfloat16", "float")
        for keys in (16, 32, 64)
        for values in (16, 32)
        if values * BITS[value] >= 128
    }
    assert 15 < sum(cases.values()) < len(cases) - 15
    assert takes(check, list(cases), arch) == [case for case, good in cases.items() if good]


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_an_approximation_takes_one_registers_share(check: Check, arch: str) -> None:
    good = [
        approximation("int8", "4, int8", 16),
        approximation("int8", "4, int8", 32),
        approximation("int16", "4, int32", 8),
        approximation("int16", "4, int16", 16),
        approximation("bfloat16", "4, float, bfloat16", 16),
    ]
    bad = [
        approximation("int8", "4, int8", 64),
        approximation("int16", "4, int32", 32),
        approximation("bfloat16", "4, float, bfloat16", 32),
        approximation("float", "4, float, float", 16),
    ]
    assert takes(check, [*good, *bad], arch) == good


def takes(check: Check, cases: list[str], arch: str) -> list[str]:
    text = "#include <aie_api/aie.hpp>\n" + "".join(
        f'#line {i + 1} "case"\nnamespace n{i} {{ {case} }}\n' for i, case in enumerate(cases)
    )
    complaints = check(text, arch)
    return [case for i, case in enumerate(cases) if f"case:{i + 1}:" not in complaints]
