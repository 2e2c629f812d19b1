"""The scheduler: looks every action up, runs what is missing, each once, longest chain first, within memory.

One thread does everything; it sleeps in one place until a job ends, a shared store answers, or it is time to
try a lock again that another process holds.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.engine.action import FileInput, TextInput
from npukbuild.engine.costs import memory_budget
from npukbuild.engine.digest import digest_bytes
from npukbuild.engine.execute import remove
from npukbuild.engine.executor import Job
from npukbuild.engine.interrupts import terminations_interrupt
from npukbuild.engine.key import key_of
from npukbuild.engine.locks import Held, busy, holder, lock_timeout, try_lock
from npukbuild.engine.lookup import Lookup, Match, Offer
from npukbuild.engine.outcome import Outcome, Reporter, Silent
from npukbuild.engine.store import Blob
from npukbuild.engine.wire import OutputRecord, Result
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
_LOCK_PAUSES = (0.02, 0.25)
_TICK_SECONDS = 0.2
_STARVING_SECONDS = 30.0


@dataclass(slots=True)
class _Ticket:
    """A node on its way from "ready" to its outcome."""

    node: Node
    base: dict[str, Any]
    base_key: str
    contents: dict[str, Blob | bytes]
    held: Held | None = None
    folder: Path | None = None
    reserved: int = 0
    waiting_since: float = 0.0
    retry_at: float = 0.0
    pause: float = _LOCK_PAUSES[0]
    asked_at: float = 0.0
    passed_since: float = 0.0
    offered: bool = False
    in_store: bool = False


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
        self._remote = remote
        self._keep_going = keep_going
        self._force = force
        self._reporter: Reporter = reporter or Silent()
        self._fixed_budget = budget is not None or "NPUKBUILD_MEMORY" in os.environ
        self._budget = memory_budget() if budget is None else budget
        self._lookup = Lookup(store, digests, roots, remote)
        self.outcomes: dict[str, Outcome] = {}
        self._users = graph.users()
        self._missing = {name: len(node.needs) for name, node in graph.nodes.items()}
        self._priority = graph.chain_seconds(costs)
        self._fresh: list[str] = [name for name, count in self._missing.items() if count == 0]
        self._fresh.reverse()
        self._ready: list[tuple[float, int, _Ticket]] = []
        self._foreign: list[_Ticket] = []
        self._fetching: dict[str, _Ticket] = {}
        self._parked: dict[str, list[_Ticket]] = {}
        self._busy_keys: set[str] = set()
        self._running: dict[str, _Ticket] = {}
        self._order = 0
        self._failed = False
        self._made: set[str] = set()
        self._answers: list[tuple[str, Offer | None]] = []
        self._asked = self._answered_count = 0
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

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
                while len(self.outcomes) < len(self._graph.nodes):
                    self._step()
        finally:
            self._close()
        return self.outcomes

    def _step(self) -> None:
        self._look_up_some()
        self._retry_locks()
        self._start_some()
        if self._failed and not self._keep_going and not self._running:
            self._skip_rest()
            return
        if len(self.outcomes) == len(self._graph.nodes):
            return
        ended = self._executor.wait(self._pause(), self._wake_read)
        # What others wait for is stored first, since they may be the longest chain; before the rest is
        # stored the idle workers get new work.
        ended.sort(key=lambda finished: not self._users[finished.name])
        for finished in ended:
            if not self._users[finished.name]:
                self._start_some()
            self._finish(finished)
        self._take_answers()
        self._reporter.tick()

    def _pause(self) -> float:
        if self._fresh and not (self._failed and not self._keep_going):
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
        while self._fresh and time.monotonic() < end and not (self._failed and not self._keep_going):
            node = self._graph.nodes[self._fresh.pop()]
            try:
                ticket = self._ticket(node)
            except OSError as error:
                self._fail(node, FolderError(f"cannot read an input of {node.name}", where=error.filename,
                                             why=error.strerror))  # fmt: skip
                continue
            self._try_hit(ticket)

    def _ticket(self, node: Node) -> _Ticket:
        contents: dict[str, Blob | bytes] = {}
        digests: dict[str, str] = {}
        for name, source in node.action.inputs.items():
            if isinstance(source, TextInput):
                contents[name] = source.content
                digests[name] = digest_bytes(source.content)
            elif isinstance(source, FileInput):
                status = source.path.stat()
                digest = self._digests.file(source.path)
                record = OutputRecord(digest, status.st_size, bool(status.st_mode & 0o100))
                contents[name] = Blob(record, source.path, kept=False)
                digests[name] = digest + ("x" if record.executable else "")
            else:
                blob = self.outcomes[source.node].outputs[source.name]
                contents[name] = blob
                digests[name] = blob.record.digest + ("x" if blob.record.executable else "")
        base = node.action.base(digests)
        return _Ticket(node, base, key_of(base), contents)

    def _try_hit(self, ticket: _Ticket) -> None:
        """Take a kept result, or go on to asking the shared store and running."""
        if ticket.base_key in self._busy_keys:
            self._parked.setdefault(ticket.base_key, []).append(ticket)
            return
        if not self._may_reuse(ticket):
            self._push(ticket)
            return
        match = self._lookup.local(ticket.base_key, discovers=bool(ticket.node.action.depfile))
        if match is not None:
            self._hit(ticket, match, "local")
        elif self._remote is not None and self._remote.open and not ticket.offered:
            self._ask(ticket)
        else:
            self._push(ticket)

    def _may_reuse(self, ticket: _Ticket) -> bool:
        return ticket.node.action.cached and (not self._force or ticket.base_key in self._made)

    def _ask(self, ticket: _Ticket) -> None:
        assert self._remote is not None
        self._busy_keys.add(ticket.base_key)
        self._fetching[ticket.node.name] = ticket
        ticket.asked_at = time.monotonic()
        self._asked += 1
        name, base_key = ticket.node.name, ticket.base_key
        discovers = bool(ticket.node.action.depfile)

        def work() -> None:
            offer = None
            try:
                offer = self._lookup.shared(base_key, discovers=discovers)
            finally:
                self._answers.append((name, offer))
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake_write, b".")
                self._answered_count += 1

        self._remote.run(work)

    def _take_answers(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        while self._answers:
            name, offer = self._answers.pop(0)
            ticket = self._fetching.pop(name, None)
            if ticket is not None:
                self._answered(ticket, offer)
        assert self._remote is not None or not self._fetching
        if self._remote is not None:
            now = time.monotonic()
            for ticket in [t for t in self._fetching.values() if now - t.asked_at > self._remote.patience()]:
                del self._fetching[ticket.node.name]
                self._remote.give_up(now - ticket.asked_at)
                self._answered(ticket, None)

    def _answered(self, ticket: _Ticket, offer: Offer | None) -> None:
        ticket.offered = True
        self._busy_keys.discard(ticket.base_key)
        match = None
        if offer is not None:
            match = self._lookup.accept(ticket.base_key, offer, discovers=bool(ticket.node.action.depfile))
        if match is not None:
            self._hit(ticket, match, "shared")
        else:
            self._push(ticket)
        self._unpark(ticket.base_key)

    def _hit(self, ticket: _Ticket, match: Match, source: str) -> None:
        self._end(
            ticket.node,
            Outcome(
                "hit", ticket.base, match.found, match.outputs, match.key, match.result.seconds, source=source
            ),
        )

    # --- running
    # -----------------------------------------------------------------------------------------------

    def _push(self, ticket: _Ticket) -> None:
        self._order += 1
        heapq.heappush(self._ready, (-self._priority[ticket.node.name], self._order, ticket))

    def _start_some(self) -> None:
        if self._failed and not self._keep_going:
            return
        passed_over = []
        now = time.monotonic()
        while self._ready:
            entry = heapq.heappop(self._ready)
            ticket = entry[2]
            if self._fits(ticket):
                self._begin(ticket)
                continue
            passed_over.append(entry)
            ticket.passed_since = ticket.passed_since or now
            # What needs much memory would never run if smaller ones always went first.
            if now - ticket.passed_since > _STARVING_SECONDS or not self._executor.has_room(_PLAIN):
                break
        for entry in passed_over:
            heapq.heappush(self._ready, entry)

    def _fits(self, ticket: _Ticket) -> bool:
        """Say whether a worker, its slots and the memory are there; alone, an action always fits."""
        action = ticket.node.action
        if not self._executor.has_room(action):
            return False
        if not self._executor.local:
            return True
        ticket.reserved = self._costs.memory(action.kind, action.label)
        if not self._running:
            return True
        used = sum(other.reserved for other in self._running.values())
        if used + ticket.reserved > self._budget:
            return False
        return self._fixed_budget or memory_budget() >= ticket.reserved

    def _begin(self, ticket: _Ticket) -> None:
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
                match = self._lookup.local(ticket.base_key, discovers=bool(node.action.depfile))
                if match is not None:
                    self._release(ticket)
                    self._hit(ticket, match, "local")
                    return
            ticket.in_store = self._store.writable
            ticket.folder = self._store.work_folder(node.action.kind.replace("/", "-"))
            self._executor.start(Job(node.name, node.action, ticket.contents, ticket.folder))
        except (NpukbuildError, OSError) as error:
            self._release(ticket)
            if self._moved_off_full_disk(ticket):
                return
            self._fail(node, error if isinstance(error, NpukbuildError) else _cannot_run(node, error), ticket)
            return
        self._busy_keys.add(ticket.base_key)
        self._running[node.name] = ticket
        self._reporter.started(node, self._costs.seconds(node.action.kind, node.action.label))

    def _wait_for_other(self, ticket: _Ticket) -> None:
        now = time.monotonic()
        path = self._store.lock_path(ticket.base_key)
        if not ticket.waiting_since:
            ticket.waiting_since = now
            self._reporter.waiting(ticket.node, holder(path))
        elif now - ticket.waiting_since > lock_timeout():
            self._fail(ticket.node, busy(ticket.node.name, path, lock_timeout()), ticket)
            return
        ticket.retry_at = now + ticket.pause
        ticket.pause = min(ticket.pause * 1.5, _LOCK_PAUSES[1])
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
                self._fail(node, error, ticket)
                return
            self._made.add(ticket.base_key)
            self._costs.learn(node.action.kind, node.action.label, finished.peak_bytes, finished.seconds)
            self._end(node, self._keep(ticket, finished))
        except OSError as error:
            self._fail(node, _cannot_run(node, error), ticket)
        except KeyboardInterrupt:
            if ticket.folder is not None:
                remove(ticket.folder)
            raise
        finally:
            self._busy_keys.discard(ticket.base_key)
            self._release(ticket)
            self._unpark(ticket.base_key)

    def _moved_off_full_disk(self, ticket: _Ticket) -> bool:
        """Run a failed action again in the system's temporary folder if the cache's disk is full."""
        if not ticket.in_store or not self._store.leave_when_full():
            return False
        if ticket.folder is not None:
            remove(ticket.folder)
            ticket.folder = None
        self._push(ticket)
        return True

    def _keep(self, ticket: _Ticket, finished: Finished) -> Outcome:
        """Put what was made into the store, and its result if every input stayed as it was."""
        made, node = finished.made, ticket.node
        assert made is not None
        outputs: dict[str, Blob] = {}
        for name, path in made.outputs.items():
            record = self._store.put_file(path, move=True)
            place = self._store.content_path(record.digest)
            outputs[name] = Blob(record, place if self._store.writable else path)
        result = Result(
            {name: blob.record for name, blob in outputs.items()}, finished.seconds, finished.peak_bytes
        )
        steady = made.steady and all(tool.unchanged(self._digests) for tool in node.action.tools)
        key = ""
        if steady and node.action.cached:
            discovers = bool(node.action.depfile)
            key = self._lookup.publish(ticket.base_key, made.found, result, discovers=discovers)
        if ticket.folder is not None and self._store.writable:
            remove(ticket.folder)
        return Outcome(
            "built",
            ticket.base,
            made.found,
            outputs,
            key,
            finished.seconds,
            finished.peak_bytes,
            steady=steady,
        )

    def _release(self, ticket: _Ticket) -> None:
        if ticket.held is not None:
            ticket.held.release()
            ticket.held = None

    def _unpark(self, base_key: str) -> None:
        for ticket in self._parked.pop(base_key, []):
            self._try_hit(ticket)

    # --- ends
    # --------------------------------------------------------------------------------------------------

    def _end(self, node: Node, outcome: Outcome) -> None:
        self.outcomes[node.name] = outcome
        self._reporter.ended(node, outcome)
        for user in self._users[node.name]:
            self._missing[user] -= 1
            if self._missing[user] == 0 and user not in self.outcomes:
                self._fresh.append(user)

    def _fail(self, node: Node, error: NpukbuildError, ticket: _Ticket | None = None) -> None:
        self._failed = True
        base = ticket.base if ticket else {}
        outcome = Outcome("failed", base, error=error, folder=ticket.folder if ticket else None)
        self.outcomes[node.name] = outcome
        self._reporter.ended(node, outcome)
        self._skip_users(node.name)

    def _skip_users(self, name: str) -> None:
        for user in self._users[name]:
            if user not in self.outcomes:
                self.outcomes[user] = Outcome("skipped")
                self._reporter.ended(self._graph.nodes[user], self.outcomes[user])
                self._skip_users(user)

    def _skip_rest(self) -> None:
        for name, node in self._graph.nodes.items():
            if name not in self.outcomes:
                self.outcomes[name] = Outcome("skipped")
                self._reporter.ended(node, self.outcomes[name])

    def _close(self) -> None:
        self._executor.close()
        for ticket in self._running.values():
            if ticket.folder is not None:
                remove(ticket.folder)
            self._release(ticket)
        self._running.clear()
        if self._asked == self._answered_count:
            # Otherwise a thread may still write to the pipe, and its number must not pass to another file.
            os.close(self._wake_read)
            os.close(self._wake_write)


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
