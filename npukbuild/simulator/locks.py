"""Semaphore locks as the tiles have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.simulator.faults import fault

if TYPE_CHECKING:
    from npukbuild.ir.design import Lock
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

    def release(self, count: int) -> None:
        """Add ``count`` and let those go on who can.

        Raises:
            SimulationFault: The 6-bit value overflows.
        """
        value = self.value + count
        if value > self.maximum:
            raise fault(
                f"lock {self.name} overflows",
                loc=self.lock.loc,
                why=f"its value would become {value}; a lock holds at most {self.maximum}",
                hint="it is released more often than acquired; check the counts of both ends",
            )
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

    def set(self, value: int) -> None:
        """Give the lock a value from outside (host or register write)."""
        if not 0 <= value <= self.maximum:
            raise fault(
                f"lock {self.name} cannot be set to {value}",
                loc=self.lock.loc,
                why=f"a lock holds 0..{self.maximum}",
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
