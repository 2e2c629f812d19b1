"""What a number of calls took, and whether two such runs differ."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Timing:
    """Microseconds of a number of calls; ``kind`` says where they come from, see :func:`kind_of_times`."""

    kind: str
    calls: int
    min_us: float
    median_us: float
    p95_us: float
    max_us: float
    spread_us: float
    """Half the distance between the quartiles: the noise of one call."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": self.kind, "calls": self.calls, "min_us": self.min_us, "median_us": self.median_us,
            "p95_us": self.p95_us, "max_us": self.max_us, "spread_us": self.spread_us,
        }  # fmt: skip


def kind_of_times(device: str) -> str:
    """Return what to call times of ``device``: measured, emulated (xdna-emu behind XRT) or simulated."""
    if device != "npu":
        return "simulated"
    return "emulated" if os.environ.get("XDNA_EMU") else "measured"


def summarise(times: Sequence[float], kind: str) -> Timing:
    """Return the statistics of at least one call."""
    ordered = sorted(times)
    spread = (quantile(ordered, 0.75) - quantile(ordered, 0.25)) / 2
    return Timing(
        kind, len(ordered), ordered[0], quantile(ordered, 0.5), quantile(ordered, 0.95), ordered[-1], spread
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values, linear between neighbours."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True)
class Comparison:
    """This run's median against an earlier one."""

    before_us: float
    now_us: float
    ratio: float
    noise: float
    verdict: str
    """``faster``, ``slower`` or ``same``."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "before_us": self.before_us, "now_us": self.now_us, "ratio": self.ratio,
            "noise": self.noise, "verdict": self.verdict,
        }  # fmt: skip


SLACK = 0.03
"""A median moves this much between runs without any cause (power states, another tenant of the memory)."""

_SIGMAS = 3.0


def compare(before: Timing, now: Timing) -> Comparison:
    """Judge the change of the median against the noise of both runs.

    The standard error of a median of n calls with half inter-quartile range q is about 1.858 q / sqrt(n) for
    normal noise (sigma = q / 0.6745, times sqrt(pi / 2)). A change counts beyond three of them, both runs'
    added in quadrature, and beyond :data:`SLACK`.
    """
    error = math.hypot(*(1.858 * t.spread_us / math.sqrt(t.calls) for t in (before, now)))
    noise = max(_SIGMAS * error / before.median_us, SLACK) if before.median_us else SLACK
    ratio = now.median_us / before.median_us if before.median_us else 1.0
    verdict = "same" if abs(ratio - 1) <= noise else "slower" if ratio > 1 else "faster"
    return Comparison(before.median_us, now.median_us, ratio, noise, verdict)
