"""What a run leaves for the trace: intervals per core, channel, shim task and host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npukbuild.ir.design import TileId


@dataclass(frozen=True, slots=True)
class Interval:
    """Something that took time: cycles since the call began."""

    track: str
    name: str
    start: float
    cycles: float
    detail: str = ""


class Recorder:
    """Collects intervals while :attr:`tracing`."""

    __slots__ = ("first_output", "intervals", "limit", "origin", "tracing")

    def __init__(self, *, tracing: bool, limit: int = 1_000_000) -> None:
        self.tracing = tracing
        self.limit = limit
        self.intervals: list[Interval] = []
        self.origin = 0.0
        self.first_output: float | None = None

    def begin(self, now: float) -> None:
        """Start a new call."""
        self.intervals.clear()
        self.origin = now
        self.first_output = None

    def add(self, track: str, name: str, start: float, cycles: float, detail: str = "") -> None:
        """Keep an interval that starts at time ``start`` of the agenda."""
        if self.tracing and len(self.intervals) < self.limit:
            self.intervals.append(Interval(track, name, start - self.origin, cycles, detail))

    def transfer(self, stream: Any, count: int, start: float, cycles: float) -> None:
        """A stream moved ``count`` bytes."""
        if self.first_output is None:
            for end in stream.ends:
                if end.ddr is not None:
                    self.first_output = start + cycles - self.origin
        if self.tracing:
            detail = f"{count} bytes, {stream.name}"
            for end in (stream.source, *stream.ends):
                label = (end.task.label if getattr(end, "task", None) is not None else "") or end.name
                self.add(end.name, label, start, cycles, detail)


class CoreRecord:
    """Keeps the calls of one core; ``offset`` is the time the program has used since it last yielded."""

    __slots__ = ("now", "offset", "recorder", "track")

    def __init__(self, recorder: Recorder, tile: TileId) -> None:
        self.recorder = recorder
        self.track = f"core {tile}"
        self.offset = 0.0
        self.now: Any = None

    def __call__(self, name: str, cycles: float) -> None:
        """Keep one call."""
        start = (self.now() if self.now is not None else 0.0) + self.offset
        self.recorder.add(self.track, name, start, cycles)
