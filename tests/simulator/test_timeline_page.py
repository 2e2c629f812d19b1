"""The timeline page of large and of unusual runs: what is bounded, and what it says about it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npukbuild.simulator import Simulator
from npukbuild.simulator.recording import INLINE, WAITING, Interval
from npukbuild.simulator.result import RunResult
from npukbuild.simulator.timeline import tracks
from npukbuild.simulator.timeline.page import timeline_html
from tests.simulator.designs import load, one_core


def result(intervals: list[Interval], cycles: float) -> RunResult:
    return RunResult(
        timed=True,
        cycles=cycles,
        clock_ghz=1.0,
        launch_us=0.0,
        first_output_us=1234.5,
        cores={},
        streams={},
        ddr=0.0,
        ddr_bytes=0,
        bottleneck="none",
        counts={},
        intervals=tuple(intervals),
    )


def bars(svg: str) -> int:
    return len(re.findall(r'class="(?:work w\d|wait)"', svg))


@pytest.mark.parametrize("rows", [1, 60])
def test_the_number_of_bars_is_bounded_and_every_busy_time_is_still_seen(rows: int) -> None:
    count = 120_000 // rows
    intervals = [
        Interval(f"core (0,{row + 2})", f"f{number % 3}", 100.0 * number, 40.0, WAITING if number % 2 else "")
        for row in range(rows)
        for number in range(count)
    ]
    svg = tracks.tracks_svg(load(one_core()), result(intervals, 100.0 * count))
    drawn = bars(svg)
    assert rows <= drawn <= tracks._MOST_BARS
    reach = [
        float(x) + float(w)
        for x, w in re.findall(r'<rect x="([\d.]+)"[^>]* width="([\d.]+)"[^>]*class="w', svg)
    ]
    assert max(reach) >= tracks._LEFT + tracks._WIDTH * 0.99
    told = [int(number) for number in re.findall(r" and (\d+) more:", svg)]
    assert sum(told) + drawn == len(intervals)


def test_tracks_beyond_the_most_are_told_and_not_drawn() -> None:
    most = tracks._MOST_ROWS
    intervals = [Interval(f"core ({n // 4},{n % 4 + 2})", "f", 0.0, 10.0) for n in range(most + 7)]
    svg = tracks.tracks_svg(load(one_core()), result(intervals, 100.0))
    assert "7 more tracks are not drawn; the trace has them" in svg
    assert bars(svg) == most
    whole = tracks.tracks_svg(load(one_core()), result(intervals[:most], 100.0))
    assert "not drawn" not in whole


def test_code_in_the_design_is_shown_as_work_and_not_as_a_function() -> None:
    design = load(one_core())
    found = Simulator(design, trace=True).run([np.arange(256, dtype=np.int32), np.zeros(256, np.int32)])
    inline = [one for one in found.intervals if one.name == INLINE]
    assert sum(one.cycles for one in inline) == pytest.approx(
        found.cores["core (0,2)"] * found.cycles, rel=0.01
    )
    page = timeline_html(design, found)
    assert "No C++ function is called" in page
    assert f"<title>{INLINE}" in page
    assert "<th>fifo</th>" in page


def test_times_of_some_thousand_microseconds_are_readable() -> None:
    page = timeline_html(load(one_core()), result([], 5e6))
    assert "1,234.5 us" in page
    assert "5,000.0 us" in page
