"""Questions to a shared store that are under way, so that the scheduler never waits for one of them."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npukbuild.engine.lookup import Lookup, Offer
    from npukbuild.engine.remote import RemoteStore
    from npukbuild.engine.ticket import Ticket


class Questions:
    """Asks a shared store in its threads, and hands the answers to the scheduler's one thread.

    Args:
        lookup: Finds results in the store.
        remote: The store; None is never asked.

    Attributes:
        wake: A descriptor that becomes readable when an answer has come.
    """

    def __init__(self, lookup: Lookup, remote: RemoteStore | None) -> None:
        self._lookup = lookup
        self._remote = remote
        self._asked_for: dict[str, Ticket] = {}
        self._answers: list[tuple[str, Offer | None]] = []
        self._asked = self._answered = 0
        self.wake, self._wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self._wake_write, False)

    def can_ask(self, ticket: Ticket) -> bool:
        """Say whether the store is in use and was not asked for this ticket before."""
        return self._remote is not None and self._remote.open and not ticket.offered

    def ask(self, ticket: Ticket) -> None:
        """Ask for a ticket's result; the answer comes with :meth:`answers`."""
        assert self._remote is not None
        self._asked_for[ticket.node.name] = ticket
        ticket.asked_at = time.monotonic()
        self._asked += 1
        name, base_key, discovers = ticket.node.name, ticket.base_key, ticket.discovers

        def work() -> None:
            offer = None
            try:
                offer = self._lookup.shared(base_key, discovers=discovers)
            finally:
                self._answers.append((name, offer))
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake_write, b".")
                self._answered += 1

        self._remote.run(work)

    def answers(self) -> Iterator[tuple[Ticket, Offer | None]]:
        """Yield each ticket whose answer has come, or is not waited for any longer, with what is offered."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 4096)
        while self._answers:
            name, offer = self._answers.pop(0)
            ticket = self._asked_for.pop(name, None)
            if ticket is not None:
                ticket.offered = True
                yield ticket, offer
        if self._remote is None:
            return
        now = time.monotonic()
        for late in [t for t in self._asked_for.values() if now - t.asked_at > self._remote.patience()]:
            del self._asked_for[late.node.name]
            self._remote.give_up(now - late.asked_at)
            late.offered = True
            yield late, None

    def close(self) -> None:
        """Close the descriptors, unless a thread may still write to one: its number must not be reused."""
        if self._asked == self._answered:
            os.close(self.wake)
            os.close(self._wake_write)
