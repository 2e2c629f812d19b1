"""Judge one result against its reference, each element and the mean of all, with rules for NaN, Inf, poison.

* Any NaN is wrong: trial inputs are finite and no step of a sum of finite products makes a NaN before an Inf.
* Inf is right only where the reference is beyond the type's largest finite value less its bound, with the
  same sign.
* An element whose error is above its bound makes the result wrong; there is no allowed fraction.
* So does a bias, the mean of all signed errors, above its own bound: roundings in the wrong direction and
  constant offsets, each too small to show in one element.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

POISONS = (0xA5, 0x5A, 0x7F, 0xC3)
"""Bytes that outputs are filled with before a call, a different one each time.

As bf16 they read -2.9e-16, 1.5e16, a NaN and -389; none is a plausible whole result, and a stretch that was
never written is reported as such.
"""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one trial.

    ``max_error`` is the deviation of the element which comes nearest to (or goes furthest beyond) its own
    bound, ``bound`` that element's bound, ``index`` its place. ``bias`` is the mean of all signed deviations,
    ``bias_bound`` the largest magnitude it may have.
    """

    trial: str
    passed: bool
    max_error: float
    bound: float
    index: tuple[int, ...]
    wrong: int
    total: int
    reason: str | None = None
    result: str = ""
    """Start of the sha256 of the result's bytes: equal numbers, bit for bit, have equal ones."""
    bias: float = 0.0
    bias_bound: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for verdict.json."""
        return {
            "input": self.trial,
            "passed": self.passed,
            "max_error": self.max_error,
            "bound": self.bound,
            "index": list(self.index),
            "bias": self.bias,
            "bias_bound": self.bias_bound,
            "wrong": self.wrong,
            "total": self.total,
            "reason": self.reason,
            "result": self.result,
        }


def poison(array: NDArray[Any], call: int) -> int:
    """Fill ``array`` with the poison byte of this call and return the byte."""
    byte = POISONS[call % len(POISONS)]
    array.view(np.uint8).reshape(-1)[:] = byte
    return byte


def judge(
    trial: str,
    result: NDArray[Any],
    value: NDArray[Any],
    bound: NDArray[Any],
    *,
    largest: float,
    poison_byte: int | None = None,
    mean_bound: float | None = None,
) -> Judgement:
    """Compare ``result`` with ``value``, each element and the mean of all.

    Args:
        trial: Name of the input.
        result: What the device gave, logical shape.
        value: Reference in float64 or int64, same shape.
        bound: Largest allowed deviation per element, >= 0.
        largest: Largest finite value of the result's type.
        poison_byte: What the output was filled with, to tell "never written" from "wrong".
        mean_bound: Largest allowed magnitude of the mean signed deviation, >= 0; by default the mean bound.
    """
    if result.shape != value.shape:
        reason = f"shape {result.shape} instead of {value.shape}"
        return Judgement(trial, False, float("inf"), 0.0, (), value.size, value.size, reason)
    got = result.astype(value.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        signed = got - value
        error = np.abs(signed)
        wrong = ~(error <= bound)
    if value.dtype.kind == "f":
        overflow = np.isinf(got) & (np.abs(value) + bound >= largest) & (np.sign(got) == np.sign(value))
        wrong &= ~overflow
        error = np.where(overflow, 0.0, np.where(np.isnan(got), np.inf, error))
    index = _worst(error, bound, wrong)
    bias = _mean(signed)
    if mean_bound is None:
        mean_bound = _mean(bound)
    fault = _reason(result, value, wrong, poison_byte) if wrong.any() else None
    if fault is None and abs(bias) > mean_bound:
        fault = (
            f"the errors of {value.size:,} elements have a bias: their mean is {bias:.3g}, "
            f"which roundings to nearest keep below {mean_bound:.3g}"
        )
    return Judgement(
        trial,
        fault is None,
        float(error[index]) if value.size else 0.0,
        float(bound[index]) if value.size else 0.0,
        tuple(int(i) for i in index),
        int(wrong.sum()),
        value.size,
        fault,
        hashlib.sha256(np.ascontiguousarray(result).tobytes()).hexdigest()[:16],
        bias,
        mean_bound,
    )


def _mean(values: NDArray[Any]) -> float:
    """Return the mean; what is not finite counts as zero, since it has been judged by itself."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(values.mean()) if values.size else 0.0
    return mean if np.isfinite(mean) else float(np.where(np.isfinite(values), values, 0.0).mean())


def _worst(error: NDArray[Any], bound: NDArray[Any], wrong: NDArray[Any]) -> tuple[Any, ...]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(bound > 0, error / np.where(bound > 0, bound, 1), np.where(error > 0, np.inf, 0.0))
    ratio = np.where(wrong, ratio + 1e3, ratio)
    return np.unravel_index(int(np.argmax(ratio)), error.shape) if error.size else (0,) * error.ndim


def _reason(result: NDArray[Any], value: NDArray[Any], wrong: NDArray[Any], poison_byte: int | None) -> str:
    """Name the usual suspects; the numbers decide, this only helps the reader."""
    count = int(wrong.sum())
    said: str = f"{count:,} of {value.size:,} elements are beyond their bound"
    raw = np.ascontiguousarray(result).view(np.uint8).reshape(result.size, result.dtype.itemsize)
    if poison_byte is not None:
        untouched = int((raw == poison_byte).all(axis=1).sum())
        if untouched > max(1, value.size // 1000):
            return f"{said}; {untouched:,} were never written"
    if not raw.any():
        return f"{said}; the output is all zeros"
    flat = result.reshape(-1)
    if flat.size > 1 and bool((raw == raw[0]).all()):
        return f"{said}; the output is constant ({flat[0]!s})"
    if value.dtype.kind == "f" and np.isnan(result.astype(np.float64)).any():
        return f"{said}; {int(np.isnan(result.astype(np.float64)).sum()):,} are NaN"
    rows = np.flatnonzero(wrong.reshape(wrong.shape[0], -1).any(axis=1)) if wrong.ndim else np.array([0])
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    example = f"the first is {first}: {result[first]!s} for {value[first]:.9g}"
    return f"{said}, in rows {rows[0]}..{rows[-1]}; {example}"
