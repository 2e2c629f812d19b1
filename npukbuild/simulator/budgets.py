"""What ends a call that would not end by itself: budgets, and a look at who is busy without getting on."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

from npukbuild.simulator.faults import at, fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Thread

    from npukbuild.errors import SimulationFault
    from npukbuild.simulator.array import ArrayState
    from npukbuild.simulator.crash import Running
    from npukbuild.simulator.host import Controller

GRACE_SECONDS = 1.5
"""How long a call may go on past its real time, to end by itself with a better message."""
_LOOK_EVERY = 1.0
_MOST_NAMED = 6


class Progress:
    """Tells a call that works for its host from one that only keeps itself busy.

    The host gets on when its sequence does, or when one of its transfers that have an end moves data. Cores
    that pass a lock to and fro, or descriptors that go round without one, make events for ever and neither.

    Args:
        array: The array.
        controller: The host's side of the call.
        most: Real seconds that may pass while the host gets nowhere.
    """

    def __init__(self, array: ArrayState, controller: Controller, most: float) -> None:
        self.array = array
        self.controller = controller
        self.most = most
        self._seen: Any = None
        self._idle = 0.0
        self._looked = monotonic()
        self._moved: dict[str, int] = {}

    def stalled(self) -> bool:
        """Say whether the host has got nowhere for too long."""
        now, time = self.controller.progress(), monotonic()
        # Events are looked at often: a longer pause is one of the whole process.
        self._idle += min(time - self._looked, _LOOK_EVERY)
        self._looked = time
        if now != self._seen:
            self._seen, self._idle = now, 0.0
            self._moved = {stream.name: stream.handovers for stream in self.array.streams}
        return self._idle > self.most

    def explain(self) -> SimulationFault:
        """Return the fault of a call that gets nowhere: what the host waits for, and who is busy."""
        wait = self.controller.waiting
        lines = []
        if wait is not None:
            channel = self.array.channel(wait.tile, wait.direction, wait.channel)
            name = f" of {channel.fifo}" if channel.fifo else ""
            lines.append(f"the host waits for a token of {channel.name}{name}{at(wait.loc)}")
        streams, cores = list(self._streams()), list(self._cores())
        lines += [*streams[:_MOST_NAMED], *cores[:_MOST_NAMED]]
        hints = ["give descriptors that go round an acquire and a release"] if streams else []
        hints += ["let the core's loop come to what the others wait for"] if cores else []
        return fault(
            "the design keeps itself busy for ever and gives the host nothing (a livelock)",
            loc=wait.loc if wait is not None else None,
            why=f"for {self.most:g} s of real time the host's transfers did not move a word:",
            hint=f"{', or '.join(hints) or 'send what the array waits for'}; if it is at work, allow more "
            "with max_idle_seconds (--max-idle)",
            details=lines,
        )

    def _streams(self) -> Iterator[str]:
        for stream in self.array.streams:
            moved = stream.handovers - self._moved.get(stream.name, 0)
            if moved:
                bd = stream.source.bd
                what = f" {bd.memory.name}{at(bd.descriptor.loc)}" if bd is not None else ""
                ends = ", ".join(end.name for end in stream.ends)
                yield f"{stream.source.name} has sent{what} {moved:,} times to {ends}"

    def _cores(self) -> Iterator[str]:
        for core in self.array.cores:
            if core.ended:
                continue
            if core.waiting is None:
                yield f"{core.name} runs on and on{at(core.core.loc)}"
            else:
                place = at(getattr(core.waiting, "loc", None))
                yield f"{core.name} waits{place} for {core.waiting.text}"


def over_budget(limit: str, array: ArrayState, controller: Controller, given: str) -> SimulationFault:
    """Return the fault of a call that came to the end of a budget.

    Args:
        limit: Which budget (``time``, ``events``, ``wall``, ``cancelled``).
        array: The array.
        controller: The host's side of the call.
        given: The budget with its unit.
    """
    running = [core.name for core in array.cores if core.waiting is None and not core.ended]
    why = "it was interrupted" if limit == "cancelled" else f"it has not ended within {given}"
    wait = controller.waiting
    waits = f"; the host waits for {wait.tile} {wait.direction} {wait.channel}" if wait is not None else ""
    return fault(
        "the budget ran out before the call ended",
        loc=wait.loc if wait is not None else None,
        why=why + waits,
        hint=f"a core that never ends its work: {', '.join(running[:_MOST_NAMED])}"
        if running
        else f"raise {_OPTIONS.get(limit, 'the budget')}, or send less data",
    )


_OPTIONS = {
    "time": "max_us (--budget)",
    "events": "max_events",
    "wall": "max_seconds (--max-seconds)",
}


class Patience:
    """Waits for the thread of a call, and gives up when it is stuck inside a compiled core function.

    Args:
        busy: Tells the core function under way, and a number that changes when a queued one has ended.
        most: Real seconds for the call.
        most_inside: Real seconds for one call of a core function.
    """

    def __init__(self, busy: Callable[[], tuple[Running, int]], most: float, most_inside: float) -> None:
        self.busy = busy
        self.most = most
        self.most_inside = most_inside

    def wait(self, worker: Thread) -> SimulationFault | None:
        """Return once the thread has ended, or the fault of one that will not."""
        end = monotonic() + self.most + GRACE_SECONDS
        seen: Any = None
        since = 0.0  # seconds spent looking, so that a process that was stopped for a while is not blamed
        while True:
            pause = min(_LOOK_EVERY, self.most_inside, max(0.0, end - monotonic()))
            worker.join(pause)
            if not worker.is_alive():
                return None
            if monotonic() >= end:
                return self._stuck(f"the call was given {self.most:g} s of real time")
            # The frame of a call into compiled code is on top, the same one, until that call returns.
            now = sys._current_frames().get(worker.ident or 0), *self.busy()  # noqa: SLF001
            if (
                now[1] is None
                or seen is None
                or now[0] is not seen[0]
                or now[1] is not seen[1]
                or now[2] != seen[2]
            ):
                seen, since = now, 0.0
                continue
            since += pause
            if since >= self.most_inside:
                return self._stuck(f"one call of it has taken {self.most_inside:g} s of real time")

    def _stuck(self, why: str) -> SimulationFault:
        running, _ = self.busy()
        if running is None:
            return fault(
                "the simulation does not come to an end",
                why=why,
                hint="allow more with max_seconds (--max-seconds), or simulate fewer data",
            )
        name, tile, loc = running
        return fault(
            f"core function {name} on core {tile} does not return",
            loc=loc,
            why=f"{why} and it is still inside this compiled code",
            hint="look for an endless loop in the kernel's C++; max_idle_seconds (--max-idle) allows more",
        )
