"""Whether two runs differ: a verdict that knows noise."""

from __future__ import annotations

import random
from statistics import median, quantiles

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.smoke.statistics import SLACK, Timing, compare, summarise

times = st.lists(st.floats(1.0, 1e6), min_size=1, max_size=50)


@given(times)
def test_a_summary_is_in_order_and_agrees_with_the_standard_library(values: list[float]) -> None:
    found = summarise(values, "measured")
    assert found.min_us <= found.median_us <= found.p95_us <= found.max_us
    assert found.median_us == pytest.approx(median(values))
    if len(values) > 1:
        cuts = quantiles(values, n=20, method="inclusive")
        assert found.p95_us == pytest.approx(cuts[18])
        quarters = quantiles(values, n=4, method="inclusive")
        assert found.spread_us == pytest.approx((quarters[2] - quarters[0]) / 2, abs=1e-6)


def timing(median_us: float, spread_us: float, calls: int = 100) -> Timing:
    return Timing("measured", calls, median_us, median_us, median_us, median_us, spread_us)


@given(st.floats(1, 1e5), st.floats(0, 0.2), st.integers(1, 1000))
def test_a_run_is_never_different_from_itself(us: float, noise: float, calls: int) -> None:
    assert compare(timing(us, us * noise, calls), timing(us, us * noise, calls)).verdict == "same"


@given(st.floats(1, 1e5), st.floats(1.001, 3.0), st.floats(0, 0.2))
def test_slower_one_way_is_faster_or_same_the_other(us: float, factor: float, noise: float) -> None:
    slow, fast = timing(us * factor, us * noise), timing(us, us * noise)
    there, back = compare(fast, slow).verdict, compare(slow, fast).verdict
    assert there in ("slower", "same")
    assert back in ("faster", "same")


@given(st.floats(10, 1e5), st.floats(0.0, 0.5))
def test_more_noise_never_turns_same_into_different(us: float, noise: float) -> None:
    change = 1.1
    quiet = compare(timing(us, 0), timing(us * change, 0)).verdict
    noisy = compare(timing(us, us * noise), timing(us * change, us * noise)).verdict
    assert quiet == "slower"
    assert noisy in ("slower", "same")
    more_calls = compare(timing(us, us * noise, 10_000), timing(us * change, us * noise, 10_000)).verdict
    assert more_calls == "slower", "enough calls see through the noise"


def test_small_changes_are_within_the_slack() -> None:
    assert compare(timing(100, 0), timing(100 * (1 + 0.9 * SLACK), 0)).verdict == "same"
    assert compare(timing(100, 0), timing(100 * (1 + 1.1 * SLACK), 0)).verdict == "slower"
    assert compare(timing(100, 0), timing(100 * (1 - 1.1 * SLACK), 0)).verdict == "faster"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.05, 0.2]))
def test_runs_of_one_normal_noise_rarely_differ(seed: int, sigma: float) -> None:
    """Three sigmas: of twelve pairs of equal runs at most one may be called different."""
    chance = random.Random(seed)

    def run() -> Timing:
        return summarise([max(1.0, chance.gauss(100, 100 * sigma)) for _ in range(60)], "measured")

    assert sum(compare(run(), run()).verdict != "same" for _ in range(12)) <= 1


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_a_real_slowdown_is_seen_through_noise(sigma: float) -> None:
    chance = random.Random(1)

    def run(us: float) -> Timing:
        return summarise([chance.gauss(us, us * sigma) for _ in range(100)], "measured")

    assert all(compare(run(100), run(115)).verdict == "slower" for _ in range(20))
