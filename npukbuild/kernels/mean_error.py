"""How far the mean error of a result may be from zero when every rounding is to nearest.

A bound on one element must allow the worst case of all its roundings at once; a wrong rounding mode or a
constant relative offset can hide below it. The mean over all elements cannot: under rounding to nearest the
errors have no direction and cancel, under floor each lies half a unit too low on average.

* Model: the signed errors x_1 .. x_n of the roundings behind a result have mean zero given the earlier ones,
  and |x_i| <= h_i, half a unit. This is the usual model of rounding to nearest (Higham and Mary 2019, "A new
  approach to probabilistic rounding error analysis"). It needs no distribution within [-h_i, h_i].
* The error of the sum of all elements is sum_i w_i x_i with known weights w_i. By Azuma's and Hoeffding's
  inequality P(|sum_i w_i x_i| > z sqrt(sum_i (w_i h_i)^2)) <= 2 exp(-z^2 / 2), which is 3e-8 for z = 6.
  Six standard deviations are the tightest case, halves rounded to even; errors spread evenly over [-h, h]
  have one of h / sqrt(3), so that z = 6 is then ten of them.
* The mean of one rounding error is not quite zero, for two reasons: the density f of the values is not flat
  across a unit q (the mean is about q^2 f' / (12 f), which is below h / 100 for units of at most 2^-6 of a
  value whose density changes over its own size), and bf16 inputs have few mantissas, so that many roundings
  of a large matrix are the same. 2^-6 sum_i |w_i| h_i allows for both; under floor the sum is 0.5 to 1 times
  sum_i |w_i| h_i.
* What has a direction, as the truncation inside accumulators may have, is added with its full bound.

So |mean error| <= (z sqrt(sum_i (w_i h_i)^2) + 2^-6 sum_i |w_i| h_i + sum of certain bounds) / elements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

Z = 6.0
"""Chance of a false alarm at most 2 exp(-Z^2 / 2) = 3e-8 per input."""

LEAN = 2.0**-6
"""Largest mean of one rounding error to nearest, relative to half a unit."""


@dataclass(frozen=True)
class Roundings:
    """Independent roundings to nearest that enter the sum of all errors.

    ``total`` is the sum of |w_i| h_i, ``squares`` that of (w_i h_i)^2, where h_i is the largest error of a
    rounding and w_i its weight in the sum.
    """

    total: float
    squares: float


def one_each(half: NDArray[np.float64]) -> Roundings:
    """Return the roundings of a result whose elements are each rounded once, by at most ``half``."""
    flat = half.ravel()
    return Roundings(float(flat.sum()), float(flat @ flat))


def mean_bound(elements: int, roundings: Iterable[Roundings], certain: float) -> float:
    """Return the largest allowed magnitude of the mean error over ``elements``; see the module's text.

    Args:
        elements: Number of elements.
        roundings: All roundings to nearest behind the result.
        certain: Sum over all elements of the bound of errors that may have a direction.
    """
    groups = list(roundings)
    spread = math.sqrt(sum(group.squares for group in groups))
    lean = sum(group.total for group in groups)
    return (Z * spread + LEAN * lean + certain) / elements
