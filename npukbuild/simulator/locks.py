"""Semaphore locks as the tiles have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.simulator.faults import at, fault

if TYPE_CHECKING:
    from npukbuild.errors import SimulationFault
    from npukbuild.ir.design import Location, Lock
    from npukbuild.simulator.agenda import Agenda, Callback


class LockState:
    """One lock: a value of 0..``maximum`` and those who wait for it.

    ``acquire_ge`` waits for value >= n and subtracts n, ``acquire_eq`` waits for value == n and subtracts n,
    ``release`` adds n. Waiters are looked at in the order of their arrival; one that asks for more than
    there is does not hold up the others, since the hardware retries every request on its own.
    """

    __slots__ = ("lock", "maximum", "name", "ready", "value", "waiters")

    def __init__(self, lock: Lock, maximum: int, agenda: Agenda) -> None:
        self.lock = lock
        self.name = lock.name
        self.value = lock.init
        self.maximum = maximum
        self.ready = agenda.ready
        self.waiters: list[tuple[int, bool, Callback]] = []

    def take(self, count: int, equal: bool) -> bool:
        """Subtract ``count`` if the lock allows it now, and say whether it did."""
        if self.value == count or (self.value > count and not equal):
            self.value -= count
            return True
        return False

    def wait(self, count: int, equal: bool, resume: Callback) -> None:
        """Call ``resume`` once ``count`` was subtracted."""
        self.waiters.append((count, equal, resume))

    def release(self, count: int, who: str = "", loc: Location | None = None) -> None:
        """Add ``count`` and let those go on who can.

        Args:
            count: How much.
            who: The core or DMA channel that releases.
            loc: Its line in the design.

        Raises:
            SimulationFault: The 6-bit value overflows.
        """
        value = self.value + count
        if not 0 <= value <= self.maximum:
            raise self._out_of_range(value, count, who, loc)
        waiters = self.waiters
        if not waiters:
            self.value = value
        elif len(waiters) == 1:
            need, equal, resume = waiters[0]
            if value == need or (value > need and not equal):
                waiters.clear()
                self.ready.append(resume)
                value -= need
            self.value = value
        else:
            self.value = value
            self._grant()

    def _out_of_range(self, value: int, count: int, who: str, loc: Location | None) -> SimulationFault:
        over = value > self.maximum
        return fault(
            f"lock {self.name} of {self.lock.tile} {'over' if over else 'under'}flows",
            loc=loc or self.lock.loc,
            why=f"{who or 'its owner'} releases {count} and it is {self.value}, which makes {value}; a lock "
            f"holds 0..{self.maximum}{at(self.lock.loc)}",
            hint="it is released more often than acquired: compare the counts of both ends"
            if over
            else "a release adds to a lock: its count is not below 0",
        )

    def set(self, value: int, loc: Location | None = None) -> None:
        """Give the lock a value from outside (host or register write, at ``loc``)."""
        if not 0 <= value <= self.maximum:
            raise fault(
                f"lock {self.name} of {self.lock.tile} cannot be set to {value}",
                loc=loc or self.lock.loc,
                why=f"a lock holds 0..{self.maximum}{at(self.lock.loc)}",
                hint="write a value that its register holds",
            )
        self.value = value
        self._grant()

    def _grant(self) -> None:
        left = []
        for waiter in self.waiters:
            count, equal, resume = waiter
            if self.take(count, equal):
                self.ready.append(resume)
            else:
                left.append(waiter)
        self.waiters = left
