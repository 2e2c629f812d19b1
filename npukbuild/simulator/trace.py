"""The trace of a run in the format of Chrome's tracing, which Perfetto opens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from npukbuild.simulator.recording import WAITING

if TYPE_CHECKING:
    from npukbuild.simulator.result import RunResult

GROUPS = ("host", "cores", "DMA channels", "shim tasks")
"""Groups of tracks, in the order of the page."""


def group_of(track: str) -> str:
    """Return the group that a track belongs to."""
    if track == "host":
        return "host"
    if track.startswith("core "):
        return "cores"
    return "shim tasks" if track.startswith("tasks of ") else "DMA channels"


def chrome_trace(result: RunResult) -> dict[str, Any]:
    """Return the trace events of a run (made with ``trace=True``): complete events, times in microseconds.

    Args:
        result: A timed run.
    """
    scale = 1e-3 / result.clock_ghz
    events: list[dict[str, Any]] = []
    tracks: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(GROUPS, start=1):
        events.append({"ph": "M", "pid": number, "name": "process_name", "args": {"name": name}})
        events.append(
            {"ph": "M", "pid": number, "name": "process_sort_index", "args": {"sort_index": number}}
        )
    for track in sorted({interval.track for interval in result.intervals}):
        pid = GROUPS.index(group_of(track)) + 1
        tracks[track] = (pid, len(tracks) + 1)
        events.append(
            {"ph": "M", "pid": pid, "tid": len(tracks), "name": "thread_name", "args": {"name": track}}
        )
    for interval in result.intervals:
        pid, tid = tracks[interval.track]
        event: dict[str, Any] = {
            "ph": "X",
            "pid": pid,
            "tid": tid,
            "name": interval.name,
            "cat": "wait" if interval.detail == WAITING else "work",
            "ts": round(interval.start * scale, 4),
            "dur": round(interval.cycles * scale, 4),
            "args": {"cycles": round(interval.cycles)},
        }
        if interval.detail and interval.detail != WAITING:
            event["args"]["detail"] = interval.detail
        events.append(event)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {"clock_ghz": result.clock_ghz, "times": "simulated", "call_us": result.microseconds},
    }


def trace_json(result: RunResult) -> str:
    """Return :func:`chrome_trace` as text."""
    return json.dumps(chrome_trace(result), separators=(",", ":"))
