"""The trace of a run in the format of Chrome's tracing, which Perfetto opens.

The format: "Trace Event Format" of the Catapult project. Times are whole nanoseconds, which is what Perfetto
keeps, so that intervals which follow each other do not overlap by rounding (it drops those that do).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from npukbuild.simulator.recording import WAITING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from npukbuild.simulator.recording import Interval
    from npukbuild.simulator.result import RunResult

GROUPS = ("host", "cores", "DMA channels", "shim tasks")
"""Groups of tracks, in the order of the page and of Chrome (Perfetto shows the fullest group first)."""

_FIRST_THREAD = 101
"""Above the number of every process: a thread of its process's number is shown as its main thread."""
_STEPS = 500
"""Values of the DDR counter over the run."""


def group_of(track: str) -> str:
    """Return the group that a track belongs to."""
    if track == "host":
        return "host"
    if track.startswith("core "):
        return "cores"
    return "shim tasks" if track.startswith("tasks of ") else "DMA channels"


def tracks_of(intervals: Iterable[Interval]) -> list[str]:
    """Return the tracks of a run by group, tiles by number: column 2 comes before column 10."""
    return sorted({interval.track for interval in intervals}, key=_place)


def _place(track: str) -> tuple[int, list[int | str]]:
    parts = re.split(r"(\d+)", track)
    return GROUPS.index(group_of(track)), [int(part) if part.isdecimal() else part for part in parts]


def chrome_trace(result: RunResult) -> dict[str, Any]:
    """Return the trace events of a run (made with ``trace=True``): complete events, times in microseconds.

    Args:
        result: A timed run.
    """
    tracks = {track: _FIRST_THREAD + number for number, track in enumerate(tracks_of(result.intervals))}
    events = _names(tracks)
    events.extend(
        _event(interval, _process(interval.track), tracks[interval.track], result.clock_ghz)
        for interval in result.intervals
    )
    events.extend(_ddr_counter(result))
    if result.left_out:
        events.append(_end_of_trace(result))
    return {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {
            "clock_ghz": result.clock_ghz,
            "times": "simulated",
            "call_us": result.microseconds,
            "intervals": len(result.intervals),
            "intervals_left_out": result.left_out,
            "warnings": list(result.warnings),
        },
    }


def _process(track: str) -> int:
    return GROUPS.index(group_of(track)) + 1


def _names(tracks: dict[str, int]) -> list[dict[str, Any]]:
    """Metadata: what the groups and tracks are called and in which order they are shown."""
    events: list[dict[str, Any]] = []
    for number in sorted({_process(track) for track in tracks}):
        named = {
            "process_name": {"name": GROUPS[number - 1]},
            "process_sort_index": {"sort_index": number},
        }
        events.extend({"ph": "M", "pid": number, "name": key, "args": args} for key, args in named.items())
    for track, thread in tracks.items():
        about = {"thread_name": {"name": track}, "thread_sort_index": {"sort_index": thread}}
        events.extend(
            {"ph": "M", "pid": _process(track), "tid": thread, "name": key, "args": args}
            for key, args in about.items()
        )
    return events


def _event(interval: Interval, process: int, thread: int, clock_ghz: float) -> dict[str, Any]:
    start = round(interval.start / clock_ghz)
    end = round((interval.start + interval.cycles) / clock_ghz)
    event: dict[str, Any] = {
        "ph": "X",
        "pid": process,
        "tid": thread,
        "name": interval.name,
        "cat": "wait" if interval.detail == WAITING else "work",
        "ts": start / 1000,
        "dur": (end - start) / 1000,
        "args": {"cycles": round(interval.cycles)},
    }
    if interval.detail and interval.detail != WAITING:
        event["args"]["detail"] = interval.detail
    return event


def _ddr_counter(result: RunResult) -> list[dict[str, Any]]:
    """A counter track: bytes per microsecond (MB/s) between DDR and the array, over :data:`_STEPS` steps."""
    moves = [interval for interval in result.intervals if interval.ddr_bytes]
    if not moves:
        return []
    span = max(result.cycles, max(move.start + move.cycles for move in moves))
    step = span / _STEPS
    totals = [0.0] * _STEPS
    for move in moves:
        first = min(int(move.start / step), _STEPS - 1)
        last = min(int((move.start + move.cycles) / step), _STEPS - 1)
        for place in range(first, last + 1):
            shared = min(move.start + move.cycles, (place + 1) * step) - max(move.start, place * step)
            totals[place] += move.ddr_bytes * (shared / move.cycles if first != last else 1.0)
    length = step / result.clock_ghz * 1e-3
    values = [*(round(total / length, 1) for total in totals), 0.0]
    return [
        {
            "ph": "C",
            "pid": GROUPS.index("shim tasks") + 1,
            "name": "DDR",
            "ts": round(place * step / result.clock_ghz) / 1000,
            "args": {"bytes per us": value},
        }
        for place, value in enumerate(values)
    ]


def _end_of_trace(result: RunResult) -> dict[str, Any]:
    """An instant event on all tracks where the trace stops although the run went on."""
    end = max(interval.start + interval.cycles for interval in result.intervals)
    return {
        "ph": "i",
        "s": "g",
        "pid": 1,
        "tid": _FIRST_THREAD,
        "name": f"end of the trace: {result.left_out:,} intervals left out",
        "ts": round(end / result.clock_ghz) / 1000,
    }


def trace_json(result: RunResult) -> str:
    """Return :func:`chrome_trace` as text."""
    return json.dumps(chrome_trace(result), separators=(",", ":"))
