"""What a run leaves for the trace: intervals per core, channel, shim task and host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npukbuild.ir.design import TileId
    from npukbuild.simulator.agenda import Agenda
    from npukbuild.simulator.descriptors import Task


WAITING = "waiting"
"""Detail of an interval in which a core stood still."""


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

    def task(self, channel: Any, task: Task) -> None:
        """A task of the runtime sequence ended on a channel."""
        self.add(
            f"tasks of {channel.name}",
            task.label,
            task.begun,
            channel.agenda.now - task.begun,
            str(task.loc or ""),
        )


class CoreRecord:
    """Keeps the calls of one core; ``offset`` is the time the program has used since it last yielded."""

    __slots__ = ("agenda", "offset", "recorder", "track")

    def __init__(self, recorder: Recorder, tile: TileId, agenda: Agenda) -> None:
        self.recorder = recorder
        self.track = f"core {tile}"
        self.agenda = agenda
        self.offset = 0.0

    def __call__(self, name: str, cycles: float) -> None:
        """Keep one call."""
        self.recorder.add(self.track, name, self.agenda.now + self.offset, cycles)
