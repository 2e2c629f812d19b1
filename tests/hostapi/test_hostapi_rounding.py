"""Shifts, rounding modes, saturation and bfloat16 conversion against exact models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostapi import models
from tests.hostapi.tools import kernel_file

if TYPE_CHECKING:
    from npukbuild.simulator.kernel_library import KernelLibrary
    from tests.hostapi.tools import Load


@pytest.fixture(scope="module", params=["aie2", "aie2p"])
def library(request: pytest.FixtureRequest, load: Load) -> KernelLibrary:
    return load(kernel_file("rounding.cc"), request.param)


def edges() -> np.ndarray:
    near = [sign * (half * 128 + step) for half in range(-6, 7) for step in range(-3, 4) for sign in (1, -1)]
    wide = [
        127,
        128,
        255,
        256,
        -128,
        -129,
        32767,
        32768,
        -32768,
        -32769,
        2**31 - 1,
        -(2**31),
        2**30,
        -(2**30),
    ]
    values = sorted({*near, *wide, *(value << 4 for value in near), *range(-40, 41)})
    return np.array(values + [0] * (-len(values) % 32), np.int32)


CASES = [
    ("acc32_int8", np.int8), ("acc32_uint8", np.uint8), ("acc32_int16", np.int16), ("acc32_int32", np.int32),
    ("acc64_int32", np.int32), ("acc64_int16", np.int16),
]  # fmt: skip


@pytest.mark.parametrize("mode", models.MODES)
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_shift_round_saturate(library: KernelLibrary, name: str, dtype: type, mode: str) -> None:
    values = edges()
    lanes = 32 if dtype in (np.int8, np.uint8) else 16
    info = np.iinfo(dtype)
    out: np.ndarray = np.zeros(len(values), info.dtype)
    for saturation in models.SATURATION:
        for shift in (0, 1, 4, 8):
            modes = (models.MODES[mode], models.SATURATION[saturation])
            library.call(name, values, out, len(values) // lanes, shift, *modes)
            expected = [
                models.shift_round_saturate(int(v), shift, mode, saturation, info.bits, info.min < 0)
                for v in values
            ]
            np.testing.assert_array_equal(out, np.array(expected, dtype), err_msg=f"{saturation} >> {shift}")


def test_64_bit_sums_do_not_wrap_before_the_shift(library: KernelLibrary) -> None:
    a = np.array([2**31 - 1, -(2**31), 123456789, -987654321] * 4, np.int32)
    b = np.array([-(2**31), 2**31 - 1, 2**30, 77777777] * 4, np.int32)
    out = np.zeros(16, np.int32)
    for mode, code in models.MODES.items():
        library.call("product_int32", a, b, out, 33, code, 1)
        expected = [
            models.shift_round_saturate(int(x) * int(y), 33, mode, "saturate", 32, True)
            for x, y in zip(a, b, strict=True)
        ]
        np.testing.assert_array_equal(out, expected, err_msg=mode)


def test_32_bit_accumulators_wrap(library: KernelLibrary) -> None:
    values = np.full(16, 2**31 - 1, np.int32)
    out = np.zeros(16, np.int32)
    library.call("wrap_acc32", values, out)
    assert set(out) == {-2}


def singles() -> np.ndarray:
    generator = np.random.default_rng(5)
    bits = generator.integers(0, 2**32, 4000, dtype=np.uint64).astype(np.uint32)
    ties = (bits & 0xFFFF0000) | 0x8000
    exact = bits & 0xFFFF0000
    special = np.array(
        [0, 1 << 31, 1, 0x8000, 0x18000, 0x7F7FFFFF, 0xFF7FFFFF, 0x007FFFFF, 0x80008001], np.uint32
    )
    everything = np.concatenate([bits, ties, exact, special]).view(np.float32)
    finite = everything[np.isfinite(everything)]
    return finite[: len(finite) // 16 * 16].copy()


@pytest.mark.parametrize("mode", models.MODES)
def test_bfloat16_conversion_in_every_mode(library: KernelLibrary, mode: str) -> None:
    values = singles()[::3]
    values = values[: len(values) // 16 * 16].copy()
    out = np.zeros(len(values), np.uint16)
    library.call("accfloat_bf16", values, out, len(values) // 16, 0, models.MODES[mode], 0)
    expected = np.array([models.bf16_bits(float(value), mode) for value in values], np.uint16)
    np.testing.assert_array_equal(out, expected)


def test_convergent_even_is_what_ml_dtypes_does(library: KernelLibrary) -> None:
    values = singles()
    out = np.zeros(len(values), np.uint16)
    library.call("accfloat_bf16", values, out, len(values) // 16, 0, models.MODES["conv_even"], 0)
    with np.errstate(over="ignore"):
        expected = values.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(out, expected.view(np.uint16))


@settings(max_examples=60, deadline=None)
@given(
    data=st.lists(st.floats(width=32), min_size=16, max_size=16),
    mode=st.sampled_from(sorted(models.MODES.values())),
)
def test_conversion_keeps_specials_and_neighbours(load: Load, data: list[float], mode: int) -> None:
    library = load(kernel_file("rounding.cc"))
    values = np.array(data, np.float32)
    out = np.zeros(16, ml_dtypes.bfloat16)
    library.call("accfloat_bf16", values, out, 1, 0, mode, 0)
    result = out.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(values))
    np.testing.assert_array_equal(np.signbit(result), np.signbit(values))
    infinite = np.isinf(values)
    np.testing.assert_array_equal(result[infinite], values[infinite])
    normal = np.isfinite(values) & (np.abs(values) >= 2.0**-126) & np.isfinite(result)
    assert (np.abs(result[normal] - values[normal]) <= np.abs(values[normal]) * 2.0**-7).all()


def test_scalar_conversions_obey_the_register_and_constants_do_not(library: KernelLibrary) -> None:
    values = np.array([1.00390625, -1.00390625, 1.0000001] + [0.0] * 13, np.float32)
    out = np.zeros(16, np.uint16)
    state = library.new_core_state()
    library.select_core(state)
    for mode in ("floor", "ceil", "conv_even", "symmetric_inf"):
        state.rounding = models.MODES[mode]
        library.call("scalar_bf16", values, out, 16)
        assert list(out[:3]) == [models.bf16_bits(float(value), mode) for value in values[:3]]
        library.call("constant_bf16", out)
        assert list(out[:2]) == [0x3F80, 0x3F4C]


def test_registers_start_at_the_hardware_reset_values_and_stick(library: KernelLibrary) -> None:
    out = np.full(2, -1, np.int32)
    first, second = library.new_core_state(), library.new_core_state()
    library.select_core(first)
    library.call("read_modes", out)
    assert list(out) == [0, 0]
    library.call("write_modes", 12, 1)
    library.call("read_modes", out)
    assert list(out) == [12, 1]
    library.select_core(second)
    library.call("read_modes", out)
    assert list(out) == [0, 0], "another core has registers of its own"
    library.select_core(first)
    library.call("swap_modes", out)
    assert list(out) == [12, 1]
    assert (first.rounding, first.saturation) == (13, 3)
    assert (second.rounding, second.saturation) == (0, 0)


def test_packing_saturates_only_when_asked(library: KernelLibrary) -> None:
    values = np.array([300, -300, 127, -128] * 8, np.int16)
    out = np.zeros(32, np.int8)
    for saturation, expected in (
        (0, [44, -44, 127, -128]),
        (1, [127, -128, 127, -128]),
        (3, [127, -127, 127, -127]),
    ):
        library.call("pack_int16", values, out, saturation)
        assert list(out[:4]) == expected
