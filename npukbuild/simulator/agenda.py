"""What happens next: callbacks that are due now, in order, and (timed) SimPy's queue of later ones.

One engine serves both modes. *Timed*, a delay goes through SimPy's event queue; *functional*, every delay is
zero and the same callbacks run in the order in which they became due. Work without a delay never passes
through SimPy, which keeps the number of SimPy events near the number of transfers.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Callback = Callable[..., None]

_CHECK_EVERY = 0x3FF


class BudgetExceededError(Exception):
    """A budget ran out; ``limit`` says which (``time``, ``events``, ``wall``, ``idle``, ``cancelled``)."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit


class Agenda:
    """The event loop.

    Args:
        timed: Whether delays count.
        max_cycles: Budget on simulated time of one run, in cycles.
        max_events: Budget on callbacks of one run (the only budget that a functional run spends).

    Attributes:
        stalled: Called now and then; says whether to give up.
    """

    __slots__ = (
        "_env",
        "_timeout",
        "cancelled",
        "events",
        "max_cycles",
        "max_events",
        "ready",
        "stalled",
        "stopped",
        "timed",
    )

    def __init__(self, *, timed: bool, max_cycles: float, max_events: int) -> None:
        self.timed = timed
        self.ready: deque[Callback] = deque()
        self.max_cycles = max_cycles
        self.max_events = max_events
        self.events = 0
        self.stopped = False
        self.cancelled = False
        self.stalled: Callable[[], bool] | None = None
        self._env: Any = None
        self._timeout: Any = None
        if timed:
            import simpy

            self._env = simpy.Environment()
            self._timeout = simpy.Timeout

    @property
    def now(self) -> float:
        """The time in cycles; a functional agenda stays at 0."""
        return float(self._env.now) if self.timed else 0.0

    def later(self, delay: float, callback: Callback) -> None:
        """Call ``callback`` after ``delay`` cycles (functional: after all that is due already)."""
        if self.timed and delay > 0:
            self._timeout(self._env, delay).callbacks.append(callback)
        else:
            self.ready.append(callback)

    def run(self, deadline: float | None = None) -> None:
        """Run until :attr:`stopped` is set or nothing is left to do.

        Raises:
            BudgetExceededError: A budget ran out.
        """
        ready = self.ready
        popleft = ready.popleft
        limit_cycles = self.now + self.max_cycles
        limit_events = self.events + self.max_events
        events = self.events
        try:
            while True:
                while ready:
                    popleft()()
                    events += 1
                    if not events & _CHECK_EVERY:
                        self._check(events, limit_events, deadline)
                        if self.stopped:
                            return
                if self.stopped or not self.timed or self._env.peek() == float("inf"):
                    return
                self._env.step()
                events += 1
                if self._env.now > limit_cycles:
                    raise BudgetExceededError("time")
                if not events & _CHECK_EVERY:
                    self._check(events, limit_events, deadline)
        finally:
            self.events = events

    def drain(self, max_events: int) -> None:
        """Run what is pending after the host's call has ended, for at most ``max_events`` callbacks."""
        while max_events > 0:
            if self.ready:
                self.ready.popleft()()
            elif self.timed and self._env.peek() != float("inf"):
                self._env.step()
            else:
                return
            max_events -= 1
            self.events += 1

    @property
    def idle(self) -> bool:
        """Whether nothing at all is pending."""
        return not self.ready and not (self.timed and self._env.peek() != float("inf"))

    def _check(self, events: int, limit_events: int, deadline: float | None) -> None:
        if self.cancelled:
            raise BudgetExceededError("cancelled")
        if events > limit_events:
            raise BudgetExceededError("events")
        if self.stalled is not None and self.stalled():
            raise BudgetExceededError("idle")
        if deadline is not None and monotonic() > deadline:
            raise BudgetExceededError("wall")
