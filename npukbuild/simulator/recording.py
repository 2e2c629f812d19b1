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

INLINE = "code in the design"
"""Name of an interval in which a core executed operations of its body, and no core function."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Something that took time: cycles since the call began; ``ddr_bytes`` crossed from or to DDR."""

    track: str
    name: str
    start: float
    cycles: float
    detail: str = ""
    ddr_bytes: int = 0


class Recorder:
    """Collects intervals while :attr:`tracing`: at most ``limit``; :attr:`left_out` counts the rest."""

    __slots__ = ("first_output", "intervals", "left_out", "limit", "origin", "tracing")

    def __init__(self, *, tracing: bool, limit: int = 1_000_000) -> None:
        self.tracing = tracing
        self.limit = limit
        self.intervals: list[Interval] = []
        self.left_out = 0
        self.origin = 0.0
        self.first_output: float | None = None

    def begin(self, now: float) -> None:
        """Start a new call."""
        self.intervals.clear()
        self.left_out = 0
        self.origin = now
        self.first_output = None

    def add(
        self, track: str, name: str, start: float, cycles: float, detail: str = "", ddr_bytes: int = 0
    ) -> None:
        """Keep an interval that starts at time ``start`` of the agenda."""
        if not self.tracing:
            return
        if len(self.intervals) < self.limit:
            self.intervals.append(Interval(track, name, start - self.origin, cycles, detail, ddr_bytes))
        else:
            self.left_out += 1

    def warnings(self, clock_ghz: float) -> tuple[str, ...]:
        """Return what a reader of the trace has to know: that it stops before the run does."""
        if not self.left_out:
            return ()
        last = max(interval.start + interval.cycles for interval in self.intervals) / clock_ghz * 1e-3
        every = len(self.intervals) + self.left_out
        held = f"the trace holds the first {len(self.intervals):,} of {every:,} intervals"
        return (f"{held} and stops at {last:,.1f} us",)

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
                crossed = count if getattr(end, "ddr", None) is not None else 0
                self.add(end.name, label, start, cycles, detail, crossed)

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
