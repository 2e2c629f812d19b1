"""Where actions run: the interface, and the one that runs them on this machine."""

from __future__ import annotations

import select
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from npukbuild.engine.depfile import HeaderSearch
from npukbuild.engine.execute import clock, collect, failure, prepare, request_for
from npukbuild.engine.pool import Worker, WorkerPool
from npukbuild.errors import NpukbuildError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from npukbuild.engine.action import Action
    from npukbuild.engine.digest import FileDigests
    from npukbuild.engine.execute import Collected
    from npukbuild.engine.roots import Roots
    from npukbuild.engine.store import Blob


@dataclass(frozen=True, slots=True)
class Job:
    """An action that is to run now.

    Attributes:
        name: The node's name.
        action: What to run.
        contents: Input name -> its content.
        folder: A fresh, empty folder of this machine for it.
    """

    name: str
    action: Action
    contents: Mapping[str, Blob | bytes]
    folder: Path


@dataclass(frozen=True, slots=True)
class Finished:
    """How a job ended; exactly one of ``made`` and ``error`` is set. Peak memory in bytes."""

    name: str
    seconds: float
    peak_bytes: int
    made: Collected | None = None
    error: NpukbuildError | None = None


class Executor(Protocol):
    """Runs jobs; used by one thread."""

    def has_room(self, action: Action) -> bool:
        """Say whether one more job could start now."""

    def start(self, job: Job) -> None:
        """Start a job; its end is told by :meth:`wait`.

        Raises:
            NpukbuildError: It cannot be started.
            OSError: Its folder cannot be filled.
        """

    def wait(self, seconds: float, wake: int) -> list[Finished]:
        """Sleep until a job ends, the descriptor ``wake`` is readable, or ``seconds`` have passed."""

    def close(self) -> None:
        """Stop every job and what it started."""

    @property
    def local(self) -> bool:
        """Whether jobs take this machine's memory."""


class LocalExecutor:
    """Runs jobs in worker processes on this machine.

    Args:
        jobs: How many at once.
        roots: Names of folders.
        digests: States of files.
        slots: Named things of which the machine has a number, such as ``{"NPU": 1}``.
    """

    def __init__(
        self, jobs: int, roots: Roots, digests: FileDigests, slots: Mapping[str, int] | None = None
    ) -> None:
        self._pool = WorkerPool(jobs)
        self._roots = roots
        self._digests = digests
        self._headers = HeaderSearch(roots)
        self._running: dict[Worker, tuple[Job, float]] = {}
        self._free = dict(slots or {"NPU": 1})

    @property
    def local(self) -> bool:
        """True: memory is this machine's."""
        return True

    def has_room(self, action: Action) -> bool:
        """Say whether a worker and all slots that the action takes are free."""
        if len(self._running) >= self._pool.size:
            return False
        return all(self._free.get(name, 0) >= count for name, count in action.resources.items())

    def start(self, job: Job) -> None:
        """Fill the job's folder and hand it to a worker."""
        prepare(job.action, job.contents, job.folder)
        worker = self._pool.take()
        assert worker is not None
        for name, count in job.action.resources.items():
            self._free[name] -= count
        self._running[worker] = (job, clock())
        worker.send(request_for(job.action, job.folder, self._roots))

    def wait(self, seconds: float, wake: int) -> list[Finished]:
        """Sleep in select(2) until something happens."""
        by_descriptor = {worker.descriptor: worker for worker in self._running}
        ready, _, _ = select.select([*by_descriptor, wake], [], [], max(0.0, seconds))
        ended = []
        for descriptor in ready:
            worker = by_descriptor.get(descriptor)
            if worker is not None and (finished := self._finish(worker)) is not None:
                ended.append(finished)
        return ended

    def _finish(self, worker: Worker) -> Finished | None:
        reply = worker.read()
        if reply is None:
            return None
        job, started = self._running.pop(worker)
        self._pool.give_back(worker)
        for name, count in job.action.resources.items():
            self._free[name] += count
        error = failure(job.action, reply, job.folder)
        made: Collected | None = None
        if error is None:
            try:
                made = collect(
                    job.action, job.folder, self._roots, self._digests, self._headers, started=started
                )
            except NpukbuildError as wrong:
                error = wrong
        return Finished(job.name, reply.seconds, reply.peak_bytes, made, error)

    def close(self) -> None:
        """End the workers; each kills its action's process group."""
        self._pool.close()
        self._running.clear()
