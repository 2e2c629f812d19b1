"""Element-wise operations, rearrangements, elementary functions and tables against numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from tests.hostapi import models
from tests.hostapi.tools import kernel_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.simulator.kernel_library import KernelLibrary
    from tests.hostapi.tools import Load

Array = np.ndarray
BF16 = np.dtype(ml_dtypes.bfloat16)
TYPES: dict[str, np.dtype] = {
    "int8": np.dtype(np.int8), "int16": np.dtype(np.int16), "int32": np.dtype(np.int32), "bf16": BF16,
    "float": np.dtype(np.float32),
}  # fmt: skip


@pytest.fixture(scope="module")
def library(load: Load) -> KernelLibrary:
    return load(kernel_file("elementwise.cc"))


def sample(dtype: np.dtype, seed: int) -> Array:
    generator = np.random.default_rng(seed)
    if dtype.kind == "i":
        info = np.iinfo(dtype)
        return generator.integers(info.min, info.max, 16, dtype=dtype, endpoint=True)
    return (generator.normal(size=16) * 100).astype(dtype)


def floored(values: Array) -> Array:
    """Round to bfloat16 as a core does after reset: towards minus infinity."""
    return np.array([models.bf16_bits(float(v), "floor") for v in values], np.uint16).view(BF16)


def same(x: Array) -> Array:
    return x


ARITHMETIC: dict[str, Callable[[Array, Array], Array]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "max": np.maximum,
    "min": np.minimum,
    "neg": lambda a, b: -a,
    "abs": lambda a, b: np.abs(a),
    "pick": lambda a, b: np.where(a < b, b, a),
    "reversed": lambda a, b: a[::-1],
    "up3": lambda a, b: np.concatenate([b[13:], a[:13]]),
    "down3": lambda a, b: np.concatenate([a[3:], b[:3]]),
    "rotate": lambda a, b: np.roll(a, -5),
    "transposed": lambda a, b: a.reshape(2, 8).T.ravel(),
    "zip": lambda a, b: np.stack([a.reshape(8, 2), b.reshape(8, 2)], axis=1).ravel()[16:],
    "unzip": lambda a, b: np.concatenate([a, b])[1::2],
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", ARITHMETIC)
def test_operations_on_every_type(library: KernelLibrary, name: str, kind: str) -> None:
    dtype = TYPES[kind]
    a, b = sample(dtype, 1), sample(dtype, 2)
    out = np.zeros(16, dtype)
    library.call(f"{name}_{kind}", a, b, out)
    with np.errstate(over="ignore"):
        if kind == "bf16" and name in ("add", "sub"):
            expected = floored(ARITHMETIC[name](a.astype(np.float32), b.astype(np.float32)))
        else:
            expected = ARITHMETIC[name](a, b)
    np.testing.assert_array_equal(
        out.view(np.uint8), np.ascontiguousarray(expected.astype(dtype)).view(np.uint8)
    )


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("band", lambda a, b: a & b),
        ("bxor", lambda a, b: a ^ b),
        ("bnot", lambda a, b: ~a),
        ("down2", lambda a, b: a >> 2),
        ("logical2", lambda a, b: (a.view(np.uint16) >> 2).view(np.int16)),
        ("up2", lambda a, b: a << 2),
    ],
)
def test_bits(library: KernelLibrary, name: str, reference: Callable[[Array, Array], Array]) -> None:
    a, b = sample(np.dtype(np.int16), 3), sample(np.dtype(np.int16), 4)
    out = np.zeros(16, np.int16)
    library.call(f"{name}_int16", a, b, out)
    np.testing.assert_array_equal(out, reference(a, b))


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("mul", lambda c, a, b: a * b),
        ("mac", lambda c, a, b: c + a * b),
        ("msc", lambda c, a, b: c - a * b),
        ("negmul", lambda c, a, b: -(a * b)),
        ("square", lambda c, a, b: a * a),
        ("mac_scalar", lambda c, a, b: c + a * np.float32(1.5)),
        ("acc_add", lambda c, a, b: c + a),
    ],
)
def test_products_of_bfloat16_are_exact(
    library: KernelLibrary, name: str, reference: Callable[[Array, Array, Array], Array]
) -> None:
    a, b = sample(BF16, 5), sample(BF16, 6)
    out = sample(np.dtype(np.float32), 7)
    expected = reference(out, a.astype(np.float32), b.astype(np.float32))
    library.call(f"{name}_bf16", a, b, out)
    np.testing.assert_array_equal(out, expected)


def test_integer_products(library: KernelLibrary) -> None:
    a, b = sample(np.dtype(np.int16), 8), sample(np.dtype(np.int16), 9)
    out = np.zeros(16, np.int32)
    library.call("mul_int16", a, b, out)
    np.testing.assert_array_equal(out, a.astype(np.int32) * b)
    c, d = np.arange(-16, 16, dtype=np.int8), np.arange(100, 132, dtype=np.uint8).view(np.int8)
    wide = np.zeros(32, np.int32)
    library.call("mul_int8", c, d, wide)
    np.testing.assert_array_equal(wide, c.astype(np.int32) * d)
    library.call("mul_unsigned", c, d, wide)
    np.testing.assert_array_equal(wide, c.view(np.uint8).astype(np.int32) * d)


def test_reductions(library: KernelLibrary) -> None:
    floats = np.arange(-7, 9).astype(BF16)
    integers = np.arange(3, 19, dtype=np.int32)
    out = np.zeros(7, np.float32)
    library.call("reductions", floats, integers, out)
    total = float(integers.sum())
    assert list(out) == [8.0, 8.0, -7.0, total, 18.0, 3.0, -total]


def run(library: KernelLibrary, name: str, values: Array, dtype: Any) -> Array:
    out = np.zeros(len(values), dtype)
    library.call(name, np.ascontiguousarray(values), out, len(values))
    return out.astype(np.float64)


POSITIVE = np.exp(np.linspace(-30, 30, 512))


@pytest.mark.parametrize(
    ("name", "dtype", "reference", "tolerance"),
    [
        ("inv_bf16", BF16, lambda x: 1 / x, 2.0**-6),
        ("inv_float", np.float32, lambda x: 1 / x, 2e-3),
        ("invsqrt_bf16", BF16, lambda x: x**-0.5, 2.0**-6),
        ("invsqrt_float", np.float32, lambda x: x**-0.5, 1e-3),
        ("sqrt_float", np.float32, np.sqrt, 2.0**-24),
    ],
)
def test_reciprocals_and_roots(
    library: KernelLibrary, name: str, dtype: Any, reference: Callable[[Array], Array], tolerance: float
) -> None:
    x = POSITIVE.astype(dtype)
    np.testing.assert_allclose(run(library, name, x, dtype), reference(x.astype(np.float64)), rtol=tolerance)


def test_exponential_has_the_accuracy_of_the_table(library: KernelLibrary) -> None:
    x = np.linspace(-20, 20, 4096).astype(BF16)
    truth = np.exp(x.astype(np.float64))
    error = np.abs(run(library, "exp_bf16", x, np.float32) / truth - 1)
    # Two bfloat16 factors, and the argument cut to 1/256.
    assert error.max() < 2.0**-8 + 2 * 2.0**-9 + 1e-4
    assert error.max() > 1e-3, "a table, not the exact function"
    far = np.array([200.0, -200.0, 89.0, -100.0] * 4).astype(BF16)
    assert np.isfinite(run(library, "exp_bf16", far, np.float32)[2:]).all()


def test_hyperbolic_tangent_has_the_accuracy_of_the_table(library: KernelLibrary) -> None:
    x = np.linspace(-8, 8, 2048).astype(BF16)
    y = run(library, "tanh_bf16", x, BF16)
    error = np.abs(y - np.tanh(x.astype(np.float64)))
    assert error.max() < 8e-3
    assert error.max() > 1e-3
    assert set(y[np.abs(x.astype(np.float32)) >= 4]) == {-1.0, 1.0}


def test_reciprocal_by_table(library: KernelLibrary) -> None:
    x = POSITIVE.astype(np.float32)
    out = np.zeros(len(x), BF16)
    library.call("inverse", x, out, len(x))
    np.testing.assert_allclose(out.astype(np.float64), 1 / x.astype(np.float64), rtol=2.0**-7)


def test_conversions_between_fixed_and_floating_point(library: KernelLibrary) -> None:
    x = np.array([1.0, -1.0, 0.3, -0.3, 0.0625, 1e9, -1e9, 7.9] * 2)
    bf = x.astype(BF16)
    expected = np.clip(np.floor(bf.astype(np.float64) * 8), -(2**31), 2**31 - 1)
    np.testing.assert_array_equal(run(library, "fixed_bf16", bf, np.int32), expected)
    single = x.astype(np.float32)
    expected = np.clip(np.rint(single.astype(np.float64) * 8), -(2**31), 2**31 - 1)
    np.testing.assert_array_equal(run(library, "fixed_float", single, np.int32), expected)
    n = np.array([0, 1, -1, 2**31 - 1, -(2**31), 12345678, -99, 16] * 2, np.int32)
    np.testing.assert_array_equal(run(library, "floating", n, np.float32), n.astype(np.float32) / 16)


def test_aie2p_has_exp2_and_tanh(load: Load) -> None:
    library = load(kernel_file("elementwise.cc"), "aie2p")
    x = np.linspace(-10, 10, 512).astype(np.float32)
    np.testing.assert_allclose(
        run(library, "exp2_float", x, BF16), np.exp2(x.astype(np.float64)), rtol=2.0**-8
    )
    np.testing.assert_allclose(
        run(library, "tanh_float", x, BF16), np.tanh(x.astype(np.float64)), rtol=2.0**-8
    )


def test_lookups(library: KernelLibrary) -> None:
    keys = np.array([0, 3, 4, 12, 31, 32, 60, 63, 64, 1000, 65535, 7, 8, 9, 10, 11], np.uint16)
    out = np.zeros(16, np.int16)
    library.call("lookup", keys, out)
    np.testing.assert_array_equal(out, np.minimum(keys >> 2, 15))


def test_linear_approximation(library: KernelLibrary) -> None:
    x = np.array([-1.0, -0.5, 0.0, 0.5, -100.0, 100.0, 3.0, -3.0] * 2).astype(BF16)
    out = np.zeros(16, np.float32)
    library.call("line", x, out)
    wide = x.astype(np.float32)
    np.testing.assert_array_equal(out, np.where(wide < 0, 2 * wide, 3 * wide + 1))


def test_sliding_products(library: KernelLibrary) -> None:
    coeff, data = np.arange(1, 17, dtype=np.int16), np.arange(-16, 16, dtype=np.int16)
    out = np.zeros(8, np.int32)
    library.call("sliding", coeff, data, out)
    expected = [sum(int(coeff[1 + p]) * int(data[2 + lane + p]) for p in range(4)) for lane in range(8)]
    assert list(out) == expected


def test_four_bit_elements_share_bytes(library: KernelLibrary) -> None:
    packed = np.array([0x10 * (15 - i) + i for i in range(16)], np.uint8)
    wide, back = np.zeros(32, np.int8), np.zeros(16, np.uint8)
    library.call("int4_roundtrip", packed, wide, back)
    nibbles = np.stack([packed & 15, packed >> 4], axis=1).ravel().astype(np.int8)
    np.testing.assert_array_equal(wide, np.where(nibbles > 7, nibbles - 16, nibbles))
    np.testing.assert_array_equal(back, packed)


def test_parts_of_vectors(library: KernelLibrary) -> None:
    x = np.arange(32).astype(BF16)
    out = np.zeros(64, BF16)
    library.call("views", x, out)
    v = x.copy()
    v[8:16] = x[24:32]
    v[31] = v[0]
    v = np.concatenate([np.array([7]).astype(BF16), v[:-1]])
    np.testing.assert_array_equal(out[:32], v)
    np.testing.assert_array_equal(out[32:48], v.reshape(8, 2, 2)[:, 0].ravel())
    np.testing.assert_array_equal(out[48:], v[1::2])
