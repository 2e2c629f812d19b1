"""What a matmul must compute, what it is tried on, and how far it may be off.

Error bound of a floating-point product (bf16 inputs, float32 accumulation over K terms):

* A product of two bf16 values has 16 significant bits: exact in float32.
* One ``mmul`` instruction aligns its s products and the accumulator to the largest exponent and truncates
  to 23 fraction bits (AM020 ch. 4). With S = sum_k |a_k b_k|, each of the s + 1 terms loses at most
  2^-23 S, and K/s instructions are executed: (1 + 1/s) K 2^-23 S <= K 2^-22 S. Correctly rounded float32
  addition in any order (gamma_{K-1} S, u = 2^-24) stays below that too, so one bound covers hardware,
  simulator and any blocking of K.
  K is here the largest number of products of an element that are not zero: adding zero loses nothing.
* The data path flushes subnormal products and sums to zero: at most (K + 1) 2^-126.
* The one rounding to bf16 (8 significant bits, to nearest) adds at most 2^-8 of the rounded value.

So |C' - C| <= 2^-8 |C| + (1 + 2^-8) (K 2^-22 S + (K + 1) 2^-126) for bf16 results, and the same without the
2^-8 terms for float32. Truncation instead of rounding loses up to 2^-7 |C| and breaks the bound wherever
cancellation is mild; for large K, where the sum's term dominates, the ``integers`` input decides: all its
partial sums are integers below 2^23, so accumulation is exact and the result must be *equal*.

``bfp16`` inputs are bf16 values that the core brings to block floating point: 8 neighbours along K share the
exponent of the largest, so each is off by at most u = 2^-6 of the largest of its block (one unit of an 8-bit
mantissa, whatever the rounding). With A^ and B^ holding those largest magnitudes in each element's place, the
bound grows by u (A^ |B| + |A| B^) + u^2 A^ B^ before the last rounding
(:mod:`npukbuild.kernels.block_floating`).

That bound allows conversions in the wrong direction, so the mean of all errors is bounded too, by the rule of
:mod:`npukbuild.kernels.mean_error`. The roundings behind a result are those of A and B to blocks and that of
C to bf16; the sums' term, which may have a direction, is taken whole. The ``positive`` input decides: where
all factors have one sign, floor lowers every element, and with at most 128 products per element the sums'
term is far below half a unit. Its bf16 version has exact sums again, so that its results must be equal.

Integer results are exact: the sum modulo 2^32, then for i8 and i16 results
``saturate(round_half_even(sum / 2^shift))`` (an SRS with conv_even rounding and saturation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import ml_dtypes
import numpy as np

from npukbuild.kernels.block_floating import BLOCK, product_error, product_roundings
from npukbuild.kernels.mean_error import mean_bound, one_each

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

NUMPY_DTYPES: dict[str, Any] = {
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "bfp16": np.dtype(ml_dtypes.bfloat16),
    "f32": np.dtype(np.float32),
    "i8": np.dtype(np.int8),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
}

BF16_ROUNDOFF = 2.0**-8
"""Unit roundoff of bfloat16: half of 2^-7, the spacing of 8 significant bits at 1."""

BF16_MAX = 2.0**127 * (2 - 2.0**-7)
"""Largest finite bfloat16."""

FLUSH = 2.0**-126
"""Smallest normal float32: what is below may be flushed to zero."""


class MatmulShape(Protocol):
    """The part of a matmul problem that its numbers depend on."""

    @property
    def m(self) -> int:
        """Rows of A and C."""

    @property
    def k(self) -> int:
        """Columns of A, rows of B."""

    @property
    def n(self) -> int:
        """Columns of B and C."""

    @property
    def dtype(self) -> str:
        """Input type."""

    @property
    def out_dtype(self) -> str:
        """Result type."""

    @property
    def b_layout(self) -> str:
        """``row``: B is stored [K, N]; ``col``: B is stored [N, K]."""

    @property
    def shift(self) -> int:
        """Right shift of integer results."""


@dataclass(frozen=True)
class Trial:
    """One set of inputs as the kernel takes them: A[M, K], then B[K, N] (or B[N, K] with b_layout col)."""

    name: str
    inputs: tuple[NDArray[Any], ...]
    exact: bool = False
    """Accumulation is exact on this input, so the result must be equal to the rounded reference."""


@dataclass(frozen=True)
class Expected:
    """The reference result and the largest allowed deviation, both [M, N] (float64, or int64 and 0).

    ``mean_bound`` is the largest allowed magnitude of the mean signed deviation.
    """

    value: NDArray[Any]
    bound: NDArray[Any]
    mean_bound: float = 0.0


def trials(shape: MatmulShape, *, seed: int = 20261) -> Iterator[Trial]:
    """Yield at least five different inputs, to be run back to back on one loaded design.

    ``positive`` is first, when the core still rounds as it does after reset. ``structure`` comes between
    random ones so that a result left over from the call before cannot pass, and all data are new in every
    call: that catches ping-pong buffers that are one call late.
    """
    random = np.random.default_rng(seed)
    if shape.dtype in ("bf16", "bfp16"):
        yield _positive(shape, random)
        yield _integers(shape, random)
        yield _structure(shape, random)
        yield _magnitudes(shape, random)
        yield _normal(shape, random)
    else:
        yield _uniform(shape, random, "uniform")
        yield _structure(shape, random)
        yield _extremes(shape, random)
        yield _small(shape, random)
        yield _uniform(shape, random, "uniform again")


def expected(shape: MatmulShape, trial: Trial) -> Expected:
    """Compute C = A x B in float64 (int64 for integers) with its bounds; see the module's text."""
    if shape.dtype not in ("bf16", "bfp16"):
        return _expected_integer(shape, trial)
    a, b = (array.astype(np.float64) for array in _operands(shape, trial))
    value = a @ b
    if trial.exact:
        rounded = value.astype(np.float32).astype(NUMPY_DTYPES[shape.out_dtype]).astype(np.float64)
        return Expected(rounded, np.zeros_like(rounded))
    # Products that are zero change no sum.
    terms = int(np.count_nonzero(a, axis=1).max())
    bound = terms * 2.0**-22 * (np.abs(a) @ np.abs(b)) + (terms + 1) * FLUSH
    certain, roundings = float(bound.sum()), []
    if shape.dtype == "bfp16":
        bound += product_error(a, b)
        roundings.append(product_roundings(a, b))
    if shape.out_dtype == "bf16":
        last = BF16_ROUNDOFF * (np.abs(value) + bound)
        bound += last
        roundings.append(one_each(last))
    return Expected(value, bound, mean_bound(value.size, roundings, certain))


def rounded_shift(value: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    """Divide by 2^shift, rounding halves to even: the SRS of ``aie`` in conv_even mode."""
    if shift == 0:
        return value
    floor = value >> shift
    rest = value - (floor << shift)
    half = np.int64(1) << np.int64(shift - 1)
    up = (rest > half) | ((rest == half) & ((floor & 1) == 1))
    rounded: NDArray[np.int64] = floor + up.astype(np.int64)
    return rounded


def _expected_integer(shape: MatmulShape, trial: Trial) -> Expected:
    # float64 products of 16-bit integers are exact and so is their sum while K < 2^21; BLAS then does the
    # work that numpy's integer matmul does 50 times slower.
    a, b = _operands(shape, trial)
    if shape.k * float(np.iinfo(a.dtype).min) ** 2 < 2.0**53:
        exact = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
    else:
        exact = a.astype(np.int64) @ b.astype(np.int64)
    wrapped = exact.astype(np.int32).astype(np.int64)
    if shape.out_dtype != "i32":
        info = np.iinfo(NUMPY_DTYPES[shape.out_dtype])
        wrapped = np.clip(rounded_shift(wrapped, shape.shift), info.min, info.max)
    return Expected(wrapped, np.zeros_like(wrapped))


def _pair(shape: MatmulShape, a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    dtype = NUMPY_DTYPES[shape.dtype]
    stored = np.ascontiguousarray(b.T) if shape.b_layout == "col" else b
    return a.astype(dtype), stored.astype(dtype)


def _operands(shape: MatmulShape, trial: Trial) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return A[M, K] and B[K, N]."""
    a, b = trial.inputs
    return a, b.T if shape.b_layout == "col" else b


def _normal(shape: MatmulShape, random: np.random.Generator) -> Trial:
    a = random.standard_normal((shape.m, shape.k), dtype=np.float32)
    b = random.standard_normal((shape.k, shape.n), dtype=np.float32)
    return Trial("normal", _pair(shape, a, b))


def _positive(shape: MatmulShape, random: np.random.Generator) -> Trial:
    # Blocks of A's columns are kept, the others zero: 128 products below 2^16 have a sum below 2^23, so that
    # integers, of which bf16 holds all below 2^8, are added exactly. For block floating point fractions show
    # more than halves being rounded. An odd last bit in every factor leaves none that needs no rounding.
    a = 253 * (1 - random.random((shape.m, shape.k), dtype=np.float32))
    b = 253 * (1 - random.random((shape.k, shape.n), dtype=np.float32))
    dropped = random.permutation(-(-shape.k // BLOCK))[128 // BLOCK :]
    zeros = np.isin(np.arange(shape.k) // BLOCK, dropped)
    if shape.dtype == "bf16":
        a, b = np.floor(a / 2) * 2 + 1, np.floor(b / 2) * 2 + 1
    else:
        a, b = _with_odd_last_bit(a), _with_odd_last_bit(b)
    a[:, zeros] = 0
    return Trial("positive", _pair(shape, a, b), exact=shape.dtype == "bf16")


def _with_odd_last_bit(values: NDArray[Any]) -> NDArray[Any]:
    rounded = values.astype(ml_dtypes.bfloat16)
    rounded.view(np.uint16)[...] |= np.uint16(1)
    return rounded


def _integers(shape: MatmulShape, random: np.random.Generator) -> Trial:
    # Every partial sum stays an integer below 2^23, and 127 fits the 8-bit mantissas of block floating point.
    # The larger the sums, the more of them need their last rounding.
    largest = max(1, min(127, math.isqrt((2**23 - 1) // shape.k)))
    a = random.integers(-largest, largest + 1, (shape.m, shape.k)).astype(np.float32)
    b = random.integers(-largest, largest + 1, (shape.k, shape.n)).astype(np.float32)
    return Trial("integers", _pair(shape, a, b), exact=True)


def _structure(shape: MatmulShape, random: np.random.Generator) -> Trial:
    # Row i of A picks one row of B: any transpose, shift or swap of blocks shows as another row's values.
    a = np.zeros((shape.m, shape.k), dtype=np.float32)
    rows = np.arange(shape.m)
    a[rows, (rows * 7 + 3) % shape.k] = 1.0
    if shape.dtype in ("bf16", "bfp16"):
        b = random.standard_normal((shape.k, shape.n), dtype=np.float32)
    else:
        info = np.iinfo(NUMPY_DTYPES[shape.dtype])
        b = random.integers(info.min, info.max + 1, (shape.k, shape.n)).astype(np.float32)
    return Trial("one-hot", _pair(shape, a, b), exact=shape.dtype != "bfp16")


def _magnitudes(shape: MatmulShape, random: np.random.Generator) -> Trial:
    a = random.standard_normal((shape.m, shape.k), dtype=np.float32)
    b = random.standard_normal((shape.k, shape.n), dtype=np.float32)
    a *= np.exp2(random.integers(-20, 21, a.shape)).astype(np.float32)
    b *= np.exp2(random.integers(-20, 21, b.shape)).astype(np.float32)
    return Trial("magnitudes", _pair(shape, a, b))


def _uniform(shape: MatmulShape, random: np.random.Generator, name: str) -> Trial:
    info = np.iinfo(NUMPY_DTYPES[shape.dtype])
    # 12 bits of an i16 keep K = 32768 terms inside int32, so the wrap is left to the extremes.
    span = min(info.max, 255)
    a = random.integers(max(info.min, -span - 1), span + 1, (shape.m, shape.k))
    b = random.integers(max(info.min, -span - 1), span + 1, (shape.k, shape.n))
    return Trial(name, _pair(shape, a, b))


def _extremes(shape: MatmulShape, random: np.random.Generator) -> Trial:
    info = np.iinfo(NUMPY_DTYPES[shape.dtype])
    values = np.array([info.min, info.max, -1, 0, 1])
    a = random.choice(values, (shape.m, shape.k))
    b = random.choice(values, (shape.k, shape.n))
    return Trial("extremes", _pair(shape, a, b))


def _small(shape: MatmulShape, random: np.random.Generator) -> Trial:
    # Sums that stay inside the result's range at shift 0, so that saturation cannot hide a wrong value.
    a = np.zeros((shape.m, shape.k), dtype=np.int64)
    rows = np.arange(shape.m)
    for offset in range(min(3, shape.k)):
        a[rows, (rows * 5 + offset * 11) % shape.k] = random.integers(-3, 4, shape.m)
    b = random.integers(-9, 10, (shape.k, shape.n))
    return Trial("small", _pair(shape, a, b))
