"""Runs one core's program: resumes its generator when what it waits for has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.simulator.core.context import Request
from npukbuild.simulator.faults import fault
from npukbuild.simulator.recording import INLINE, WAITING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npukbuild.ir.design import Core
    from npukbuild.simulator.agenda import Agenda
    from npukbuild.simulator.core.ports import Wait
    from npukbuild.simulator.recording import Recorder


class CoreRunner:
    """One core.

    Attributes:
        waiting: The lock request or port it waits for, None while it runs.
        ended: Whether its program has come to its end.
        busy_cycles: Cycles in which it computed (waiting not counted).
    """

    __slots__ = ("agenda", "busy_cycles", "core", "ended", "name", "program", "recorder", "since",
                 "tile", "waiting")  # fmt: skip

    def __init__(self, core: Core, program: Iterator[Any], agenda: Agenda, recorder: Recorder) -> None:
        self.core = core
        self.tile = core.tile
        self.name = f"core {core.tile}"
        self.program = program
        self.agenda = agenda
        self.recorder = recorder
        self.since = 0.0
        self.waiting: Request | Wait | None = None
        self.ended = False
        self.busy_cycles = 0.0

    def step(self, _event: object = None) -> None:
        """Go on until the program waits or ends."""
        if self.waiting is not None:
            if self.recorder.tracing:
                self._record_wait()
            self.waiting = None
        known = len(self.recorder.intervals)
        try:
            request = next(self.program)
        except StopIteration:
            self.ended = True
            return
        except RecursionError:
            raise fault(
                f"{self.name} calls functions of the design too deep",
                loc=self.core.loc,
                why="one of them calls itself without end; the core's stack would run over its buffers",
                hint="write it as a loop",
            ) from None
        if isinstance(request, float):
            self.busy_cycles += request
            if self.recorder.tracing:
                self._record_inline(request, known)
            self.agenda.later(request, self.step)
        elif isinstance(request, Request):
            self.waiting = request
            self.since = self.agenda.now
            request.lock.wait(request.count, request.equal, self.step)
        elif request is None:
            self.agenda.later(0.0, self.step)
        else:
            self.waiting = request
            self.since = self.agenda.now
            request.add(self.step)

    def _record_wait(self) -> None:
        assert self.waiting is not None
        start = max(self.since, self.recorder.origin)
        self.recorder.add(self.name, f"wait: {self.waiting.text}", start, self.agenda.now - start, WAITING)

    def _record_inline(self, cycles: float, known: int) -> None:
        """Note what the core did since it last waited, unless that were core functions."""
        if all(one.track != self.name for one in self.recorder.intervals[known:]):
            self.recorder.add(self.name, INLINE, self.agenda.now, cycles)
