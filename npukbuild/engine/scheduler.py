"""The scheduler: looks every action up, runs what is missing, each once, longest chain first, within memory.

One thread does everything; it sleeps in one place until a job ends, a shared store answers, or it is time to
try a lock again that another process holds.
"""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING, Any

from npukbuild.engine.execute import remove
from npukbuild.engine.executor import Job
from npukbuild.engine.interrupts import terminations_interrupt
from npukbuild.engine.keep import keep
from npukbuild.engine.locks import busy, holder, lock_timeout, try_lock
from npukbuild.engine.lookup import Lookup, Match, Offer
from npukbuild.engine.memory import MemoryRoom
from npukbuild.engine.node_outcomes import NodeOutcomes
from npukbuild.engine.outcome import Outcome, Reporter, Silent
from npukbuild.engine.questions import Questions
from npukbuild.engine.ticket import LONGEST_LOCK_PAUSE, Ticket, ticket_for
from npukbuild.errors import FolderError, NpukbuildError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from npukbuild.engine.costs import Costs
    from npukbuild.engine.digest import FileDigests
    from npukbuild.engine.executor import Executor, Finished
    from npukbuild.engine.graph import Graph, Node
    from npukbuild.engine.remote import RemoteStore
    from npukbuild.engine.roots import Roots
    from npukbuild.engine.store import LocalStore

_LOOKUP_SLICE = 0.05
_TICK_SECONDS = 0.2
_STARVING_SECONDS = 30.0


class Scheduler:
    """Brings every node of a graph to its outcome.

    Args:
        graph: What to build.
        store: The local store.
        digests: States of files.
        roots: Names of folders.
        executor: Where actions run.
        costs: What actions cost.
        remote: A shared store.
        keep_going: Whether a failure leaves the rest running.
        force: Whether kept results are ignored.
        reporter: Told of everything.
        budget: Bytes of memory that running actions may take together; None asks the machine.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        store: LocalStore,
        digests: FileDigests,
        roots: Roots,
        executor: Executor,
        costs: Costs,
        remote: RemoteStore | None = None,
        keep_going: bool = False,
        force: bool = False,
        reporter: Reporter | None = None,
        budget: int | None = None,
    ) -> None:
        self._graph = graph
        self._store = store
        self._digests = digests
        self._executor = executor
        self._costs = costs
        self._keep_going = keep_going
        self._force = force
        self._reporter: Reporter = reporter or Silent()
        self._memory = MemoryRoom(costs, budget)
        self._lookup = Lookup(store, digests, roots, remote)
        self._questions = Questions(self._lookup, remote)
        self._ends = NodeOutcomes(graph, self._reporter)
        self.outcomes = self._ends.outcomes
        self._priority = graph.chain_seconds(costs)
        self._ready: list[tuple[float, int, Ticket]] = []
        self._foreign: list[Ticket] = []
        self._parked: dict[str, list[Ticket]] = {}
        self._busy_keys: set[str] = set()
        self._running: dict[str, Ticket] = {}
        self._order = 0
        self._made: set[str] = set()

    def run(self) -> dict[str, Outcome]:
        """Build; return every node's outcome. Failures are outcomes, not exceptions.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM; children are stopped first, and what was finished is kept in
                ``outcomes`` and in the store.
        """
        actions = {name: node.action for name, node in self._graph.nodes.items()}
        self._reporter.begin(
            {name: self._costs.seconds(action.kind, action.label) for name, action in actions.items()}
        )
        try:
            with terminations_interrupt():
                while not self._ends.complete:
                    self._step()
        finally:
            self._close()
        return self.outcomes

    def _step(self) -> None:
        self._look_up_some()
        self._retry_locks()
        self._start_some()
        if self._stopping and not self._running:
            self._ends.skip_rest()
            return
        if self._ends.complete:
            return
        ended = self._executor.wait(self._pause(), self._questions.wake)
        # What others wait for is stored first, since they may be the longest chain; before the rest is
        # stored the idle workers get new work.
        ended.sort(key=lambda finished: not self._ends.users[finished.name])
        for finished in ended:
            if not self._ends.users[finished.name]:
                self._start_some()
            self._finish(finished)
        for ticket, offer in self._questions.answers():
            self._answered(ticket, offer)
        self._reporter.tick()

    @property
    def _stopping(self) -> bool:
        """Whether nothing new is begun: something failed, and the rest is not to go on."""
        return self._ends.failed and not self._keep_going

    def _pause(self) -> float:
        if self._ends.ready and not self._stopping:
            return 0.0
        pause = _TICK_SECONDS
        now = time.monotonic()
        for ticket in self._foreign:
            pause = min(pause, ticket.retry_at - now)
        return max(0.0, pause)

    # --- looking up
    # --------------------------------------------------------------------------------------------

    def _look_up_some(self) -> None:
        """Look ready nodes up for a while; nothing new is begun after a failure without keep-going."""
        end = time.monotonic() + _LOOKUP_SLICE
        while self._ends.ready and time.monotonic() < end and not self._stopping:
            node = self._graph.nodes[self._ends.ready.pop()]
            try:
                ticket = ticket_for(node, self.outcomes, self._digests)
            except OSError as error:
                what = f"cannot read an input of {node.name}"
                self._ends.fail(node, FolderError(what, where=error.filename, why=error.strerror))
                continue
            self._try_hit(ticket)

    def _try_hit(self, ticket: Ticket) -> None:
        """Take a kept result, or go on to asking the shared store and running."""
        if ticket.base_key in self._busy_keys:
            self._parked.setdefault(ticket.base_key, []).append(ticket)
            return
        if not self._may_reuse(ticket):
            self._push(ticket)
            return
        match = self._lookup.local(ticket.base_key, discovers=ticket.discovers)
        if match is not None:
            self._hit(ticket, match, "local")
        elif self._questions.can_ask(ticket):
            self._busy_keys.add(ticket.base_key)
            self._questions.ask(ticket)
        else:
            self._push(ticket)

    def _may_reuse(self, ticket: Ticket) -> bool:
        return ticket.node.action.cached and (not self._force or ticket.base_key in self._made)

    def _answered(self, ticket: Ticket, offer: Offer | None) -> None:
        self._busy_keys.discard(ticket.base_key)
        match = None
        if offer is not None:
            match = self._lookup.accept(ticket.base_key, offer, discovers=ticket.discovers)
        if match is not None:
            self._hit(ticket, match, "shared")
        else:
            self._push(ticket)
        self._unpark(ticket.base_key)

    def _hit(self, ticket: Ticket, match: Match, source: str) -> None:
        self._ends.end(
            ticket.node,
            Outcome(
                "hit", ticket.base, match.found, match.outputs, match.key, match.result.seconds, source=source
            ),
        )

    # --- running
    # -----------------------------------------------------------------------------------------------

    def _push(self, ticket: Ticket) -> None:
        self._order += 1
        heapq.heappush(self._ready, (-self._priority[ticket.node.name], self._order, ticket))

    def _start_some(self) -> None:
        if self._stopping:
            return
        passed_over = []
        now = time.monotonic()
        while self._ready:
            entry = heapq.heappop(self._ready)
            ticket = entry[2]
            if self._has_room(ticket):
                self._begin(ticket)
                continue
            passed_over.append(entry)
            ticket.passed_since = ticket.passed_since or now
            # What needs much memory would never run if smaller ones always went first.
            if now - ticket.passed_since > _STARVING_SECONDS or not self._executor.has_room(_PLAIN):
                break
        for entry in passed_over:
            heapq.heappush(self._ready, entry)

    def _has_room(self, ticket: Ticket) -> bool:
        """Say whether a worker, its slots and, on this machine, the memory are there."""
        if not self._executor.has_room(ticket.node.action):
            return False
        return not self._executor.local or self._memory.reserve(ticket, self._running.values())

    def _begin(self, ticket: Ticket) -> None:
        """Take the action's lock and run it, unless somebody else has it or has just finished it."""
        node = ticket.node
        if ticket.base_key in self._busy_keys:
            self._parked.setdefault(ticket.base_key, []).append(ticket)
            return
        try:
            ticket.held = try_lock(self._store.lock_path(ticket.base_key))
            if ticket.held is None:
                self._wait_for_other(ticket)
                return
            if self._may_reuse(ticket):
                match = self._lookup.local(ticket.base_key, discovers=ticket.discovers)
                if match is not None:
                    ticket.release()
                    self._hit(ticket, match, "local")
                    return
            ticket.in_store = self._store.writable
            ticket.folder = self._store.work_folder(node.action.kind.replace("/", "-"))
            self._executor.start(Job(node.name, node.action, ticket.contents, ticket.folder))
        except (NpukbuildError, OSError) as error:
            ticket.release()
            if self._moved_off_full_disk(ticket):
                return
            self._ends.fail(
                node, error if isinstance(error, NpukbuildError) else _cannot_run(node, error), ticket
            )
            return
        self._busy_keys.add(ticket.base_key)
        self._running[node.name] = ticket
        self._reporter.started(node, self._costs.seconds(node.action.kind, node.action.label))

    def _wait_for_other(self, ticket: Ticket) -> None:
        now = time.monotonic()
        path = self._store.lock_path(ticket.base_key)
        if not ticket.waiting_since:
            ticket.waiting_since = now
            self._reporter.waiting(ticket.node, holder(path))
        elif now - ticket.waiting_since > lock_timeout():
            self._ends.fail(ticket.node, busy(ticket.node.name, path, lock_timeout()), ticket)
            return
        ticket.retry_at = now + ticket.pause
        ticket.pause = min(ticket.pause * 1.5, LONGEST_LOCK_PAUSE)
        self._foreign.append(ticket)

    def _retry_locks(self) -> None:
        now = time.monotonic()
        due = [ticket for ticket in self._foreign if ticket.retry_at <= now]
        if due:
            self._foreign = [ticket for ticket in self._foreign if ticket.retry_at > now]
            for ticket in due:
                self._push(ticket)

    def _finish(self, finished: Finished) -> None:
        ticket = self._running.pop(finished.name)
        node = ticket.node
        try:
            if finished.error is not None and self._moved_off_full_disk(ticket):
                return
            if finished.error is not None or finished.made is None:
                error = finished.error or _cannot_run(node, OSError("no result"))
                self._ends.fail(node, error, ticket)
                return
            self._made.add(ticket.base_key)
            self._costs.learn(node.action.kind, node.action.label, finished.peak_bytes, finished.seconds)
            self._ends.end(node, self._kept(ticket, finished))
        except OSError as error:
            self._ends.fail(node, _cannot_run(node, error), ticket)
        except KeyboardInterrupt:
            if ticket.folder is not None:
                remove(ticket.folder)
            raise
        finally:
            self._busy_keys.discard(ticket.base_key)
            ticket.release()
            self._unpark(ticket.base_key)

    def _moved_off_full_disk(self, ticket: Ticket) -> bool:
        """Run a failed action again in the system's temporary folder if the cache's disk is full."""
        if not ticket.in_store or not self._store.leave_when_full():
            return False
        if ticket.folder is not None:
            remove(ticket.folder)
            ticket.folder = None
        self._push(ticket)
        return True

    def _kept(self, ticket: Ticket, finished: Finished) -> Outcome:
        return keep(ticket, finished, store=self._store, lookup=self._lookup, digests=self._digests)

    def _unpark(self, base_key: str) -> None:
        for ticket in self._parked.pop(base_key, []):
            self._try_hit(ticket)

    def _close(self) -> None:
        self._executor.close()
        for ticket in self._running.values():
            if ticket.folder is not None:
                remove(ticket.folder)
            ticket.release()
        self._running.clear()
        self._questions.close()


def _cannot_run(node: Node, error: OSError) -> NpukbuildError:
    from npukbuild.engine.folder import folder_error

    translated = folder_error(error, _place_of(error))
    translated.what = f"{node.name}: {translated.what}"
    return translated


def _place_of(error: OSError) -> Path:
    from pathlib import Path

    return Path(str(error.filename)) if error.filename else Path("the build's work folder")


class _Plain:
    """Stands for an action that takes no slots, to ask whether any worker is free."""

    resources: Mapping[str, int] = {}


_PLAIN: Any = _Plain()
