"""What bringing matrices to block floating point (bfp16ebs8 of AIE2P) may change in their product.

Eight neighbours along K share the exponent E of the largest, 2^E <= largest < 2^(E + 1), and keep mantissas
of 8 bits in two's complement: multiples of the block's unit 2^(E - 6). One rounding is off by less than a
unit in any mode, and by half a unit at most to nearest. Where the largest rounds to 128 units, which 8 bits
do not hold, the block moves one exponent up and its unit doubles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from npukbuild.kernels.mean_error import Roundings

BLOCK = 8
"""Elements that share an exponent."""

UNIT = 2.0**-6
"""Largest error of a mantissa in any rounding mode, relative to the largest of its block."""


def product_error(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bound what the conversions of A[M, K] and B[K, N] change in each element of A x B, in any mode.

    With A^ and B^ holding the largest magnitude of its block in each element's place and u = 2^-6 it is
    u (A^ |B| + |A| B^) + u^2 A^ B^, shape [M, N].
    """
    a, b = np.abs(a), np.abs(b)
    most_a, most_b = largest_of_block(a), largest_of_block(b.T).T
    error: NDArray[np.float64] = UNIT * (most_a @ b + a @ most_b) + UNIT**2 * (most_a @ most_b)
    return error


def product_roundings(a: NDArray[np.float64], b: NDArray[np.float64]) -> Roundings:
    """Return what the conversions of A[M, K] and B[K, N] to nearest add to the sum of all elements of A x B.

    The sum's error is sum_ik da_ik (sum_j b_kj) + sum_kj db_kj (sum_i a_ik + da_ik): each rounding counts
    with the sum of a row of B or of a column of A, the latter no larger than |sum_i a_ik| + sum_i |da_ik|.
    Zeros are exact.
    """
    from npukbuild.kernels.mean_error import Roundings

    half_a, half_b = half_units(a), half_units(b.T).T
    weight_a = np.abs(b.sum(axis=1))
    weight_b = np.abs(a.sum(axis=0)) + half_a.sum(axis=0)
    return Roundings(
        float(half_a.sum(axis=0) @ weight_a + half_b.sum(axis=1) @ weight_b),
        float((half_a**2).sum(axis=0) @ weight_a**2 + (half_b**2).sum(axis=1) @ weight_b**2),
    )


def half_units(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the unit of each element's block along the row, 0 where the element is zero."""
    # largest = fraction x 2^exponent with fraction in [0.5, 1), so E = exponent - 1.
    fraction, exponent = np.frexp(largest_of_block(np.abs(rows)))
    up = fraction >= 1 - 2.0**-8
    return np.where(rows != 0, np.ldexp(1.0, exponent - 8 + up), 0.0)


def largest_of_block(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each element the largest of its block along the row."""
    count, length = rows.shape
    padded = np.zeros((count, -(-length // BLOCK) * BLOCK))
    padded[:, :length] = rows
    largest = padded.reshape(count, -1, BLOCK).max(axis=2)
    return np.asarray(np.repeat(largest, BLOCK, axis=1)[:, :length])
