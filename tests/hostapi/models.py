"""Independent models of the vector unit's rounding, in exact Python arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

MODES = {
    "floor": 0, "ceil": 1, "symmetric_floor": 2, "symmetric_ceil": 3, "negative_inf": 8, "positive_inf": 9,
    "symmetric_zero": 10, "symmetric_inf": 11, "conv_even": 12, "conv_odd": 13,
}  # fmt: skip
SATURATION = {"none": 0, "saturate": 1, "symmetric": 3}


def round_exact(value: Fraction, mode: str) -> int:
    """Round to an integer as the AIE API's documentation words each mode."""
    low = math.floor(value)
    if value == low:
        return low
    away = low if value < 0 else low + 1
    zero = low + 1 if value < 0 else low
    directed = {"floor": low, "ceil": low + 1, "symmetric_floor": zero, "symmetric_ceil": away}
    if mode in directed:
        return directed[mode]
    if value - low != Fraction(1, 2):
        return low if value - low < Fraction(1, 2) else low + 1
    even = low if low % 2 == 0 else low + 1
    return {
        "negative_inf": low, "positive_inf": low + 1, "symmetric_zero": zero, "symmetric_inf": away,
        "conv_even": even, "conv_odd": low + 1 if even == low else low,
    }[mode]  # fmt: skip


def shift_round_saturate(value: int, shift: int, mode: str, saturation: str, bits: int, signed: bool) -> int:
    rounded = round_exact(Fraction(value, 1 << shift) if shift >= 0 else Fraction(value << -shift), mode)
    high = (1 << (bits - signed)) - 1
    low = 0 if not signed else -high if saturation == "symmetric" else -high - 1
    if saturation != "none":
        return min(max(rounded, low), high)
    wrapped = rounded & ((1 << bits) - 1)
    return wrapped - (1 << bits) if signed and wrapped >> (bits - 1) else wrapped


def bf16_bits(single: float, mode: str) -> int:
    """Round one finite float32 to bfloat16; overflow goes to infinity."""
    bits = int(np.float32(single).view(np.uint32))
    exponent = (bits >> 23 & 255) or 1
    unit = Fraction(2) ** (exponent - 127 - 7)  # weight of a bfloat16's last bit
    steps = round_exact(Fraction(float(np.float32(single))) / unit, mode)
    if steps == 0:
        return bits >> 31 << 15
    scaled = Fraction(abs(steps)) * unit
    if scaled >= Fraction(2) ** 128:
        return (bits >> 31 << 15) | 0x7F80
    return (bits >> 31 << 15) | int(np.float32(float(scaled)).view(np.uint32)) >> 16


def to_blocks(values: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Exponents and mantissas of block floating point whose blocks are the rows of ``values``.

    Args:
        values: Any shape; the last axis is one block.
        mode: ``floor``, ``ceil``, ``symmetric_floor`` (towards zero) or ``conv_even``.

    Returns:
        Biased exponents without the last axis and mantissas of the shape of ``values``.
    """
    whole = {"floor": np.floor, "ceil": np.ceil, "symmetric_floor": np.trunc, "conv_even": np.rint}[mode]
    largest = np.abs(values).max(axis=-1, keepdims=True)
    exponent = np.where(largest == 0, 0, np.frexp(largest)[1] + 126)
    mantissa = whole(values / 2.0 ** (exponent - 133))
    out_of_range = ((mantissa > 127) | (mantissa < -128)).any(axis=-1, keepdims=True)
    exponent = exponent + out_of_range
    return exponent[..., 0], whole(values / 2.0 ** (exponent - 133))


def blocks_to_values(exponent: np.ndarray, mantissa: np.ndarray) -> np.ndarray:
    """What block floating point stands for."""
    values: np.ndarray = mantissa * 2.0 ** (exponent[..., None] - 133)
    return values
