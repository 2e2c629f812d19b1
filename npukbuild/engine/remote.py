"""A shared store of results, which is verified, bounded in time, and left alone when it does not help.

A shared store can only save time. Nothing it answers is believed before it is verified, no request of it may
take longer than its deadline, and after a few failures, or too much time lost, it is left alone for the rest
of the run and, so that the next command does not stumble over it again, for ``REST_SECONDS``.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from npukbuild.engine.digest import digest_bytes
from npukbuild.engine.transport import DEADLINE_SECONDS
from npukbuild.engine.wire import DamagedError, Result, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from npukbuild.engine.transport import Transport

SLOWEST_BYTES = 1 << 20
"""Bytes per second below which fetching is not worth waiting for."""

MOST_FAILURES = 3
MOST_LOST_SECONDS = 6.0
FREE_SECONDS = 0.02
"""A miss that took no longer than this counts as nothing lost."""

REST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A result with its contents, all verified."""

    result: Result
    contents: Mapping[str, bytes]


class RemoteStore:
    """A shared store with a breaker and threads of its own.

    Threads are daemons: one that hangs in a dead file system is abandoned, never joined.

    Args:
        transport: How to reach it.
        where: Its address, for messages.
        say: Takes warnings.
        rest: A file that remembers that the store was found dead; None keeps nothing.
        threads: Requests at once.
        read_only: Never upload.
    """

    def __init__(
        self,
        transport: Transport,
        where: str,
        *,
        say: Callable[[str], None] = lambda _text: None,
        rest: Path | None = None,
        threads: int = 4,
        read_only: bool = False,
    ) -> None:
        self._transport = transport
        self.where = where
        self._say = say
        self._rest = rest
        self._lock = threading.Lock()
        self._failures = 0
        self._lost = 0.0
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._pending = 0
        self._idle = threading.Condition(self._lock)
        self._threads = threads
        self._started = 0
        self.read_only = read_only
        self.open = not self._resting()
        self.uploads = 0

    # --- asking
    # ------------------------------------------------------------------------------------------------

    def run(self, work: Callable[[], None]) -> None:
        """Do ``work``, which asks this store, in a thread.

        The caller bounds its own waiting with :meth:`patience` in case even the thread hangs.
        """
        self._start(work, work)

    def patience(self) -> float:
        """Return the seconds after which an answer is not waited for any longer."""
        return DEADLINE_SECONDS + 1.0

    def give_up(self, seconds: float) -> None:
        """Count a question that was not answered."""
        self._failed(seconds, "no answer")

    def get(self, key: str) -> Fetched | None:
        """Return a verified result with its contents, or None."""
        data = self._try("get", "ac", key)
        if data is None:
            return None
        try:
            result = unpack(data, key)
        except DamagedError:
            self._warn(f"the shared cache at {self.where} holds a damaged result; it is made again")
            return None
        contents: dict[str, bytes] = {}
        for record in result.outputs.values():
            content = self._try("get", "cas", record.digest, size=record.size)
            if content is None:
                return None
            if len(content) != record.size or digest_bytes(content) != record.digest:
                self._warn(f"the shared cache at {self.where} holds damaged content; it is made again")
                return None
            contents[record.digest] = content
        with self._lock:
            self._lost = 0.0
        return Fetched(result, contents)

    def upload(self, key: str, result: Result, contents: Callable[[str], bytes | None]) -> None:
        """Offer a result in the background; content first, so that no reader sees a result without it."""
        if not self.read_only:

            def work() -> None:
                self.put(key, result, contents)

            self._start(work, lambda: None)

    def put(self, key: str, result: Result, contents: Callable[[str], bytes | None]) -> bool:
        """Store a result with its contents; say whether all of it arrived."""
        for record in result.outputs.values():
            data = contents(record.digest)
            if data is None or not self._try("put", "cas", record.digest, data=data):
                return False
        if not self._try("put", "ac", key, data=pack(result, key)):
            return False
        self.uploads += 1
        return True

    def get_bytes(self, digest: str, size: int = 0) -> bytes | None:
        """Return verified content."""
        data = self._try("get", "cas", digest, size=size)
        return data if data is not None and digest_bytes(data) == digest else None

    def put_bytes(self, data: bytes) -> str | None:
        """Store content and return its digest, or None when it did not arrive."""
        digest = digest_bytes(data)
        return digest if self._try("put", "cas", digest, data=data) else None

    def drain(self, seconds: float) -> None:
        """Wait for uploads, but not for longer than ``seconds``."""
        deadline = time.monotonic() + seconds
        with self._idle:
            while self._pending and self.open and (left := deadline - time.monotonic()) > 0:
                self._idle.wait(left)

    # --- the breaker
    # -------------------------------------------------------------------------------------------

    def _try(self, verb: str, kind: str, name: str, *, data: bytes = b"", size: int = 0) -> Any:
        """Do one request; None or False when it failed or the store is left alone."""
        if not self.open:
            return None
        started = time.monotonic()
        deadline = started + DEADLINE_SECONDS + max(size, len(data)) / SLOWEST_BYTES
        try:
            if verb == "get":
                answer: Any = self._transport.get(kind, name, deadline)
            else:
                self._transport.put(kind, name, data, deadline)
                answer = True
        except (OSError, ValueError) as error:
            self._failed(time.monotonic() - started, str(error) or type(error).__name__)
            return None
        took = time.monotonic() - started
        with self._lock:
            self._failures = 0
            if answer is None and took > FREE_SECONDS:
                self._lost += took
        if self._lost > MOST_LOST_SECONDS:
            self._leave("it is too slow to help")
        return answer

    def _failed(self, seconds: float, why: str) -> None:
        with self._lock:
            self._failures += 1
            self._lost += seconds
            over = self._failures >= MOST_FAILURES or self._lost > MOST_LOST_SECONDS
        if over:
            self._leave(why)

    def _leave(self, why: str) -> None:
        with self._idle:
            if not self.open:
                return
            self.open = False
            self._idle.notify_all()
        self._say(f"the shared cache at {self.where} is not used any more: {why}")
        if self._rest is not None:
            with contextlib.suppress(OSError):
                self._rest.write_text(self.where, encoding="utf-8")

    def _resting(self) -> bool:
        if self._rest is None:
            return False
        try:
            age = time.time() - self._rest.stat().st_mtime
            return 0 <= age < REST_SECONDS and self._rest.read_text(encoding="utf-8") == self.where
        except OSError:
            return False

    def _warn(self, text: str) -> None:
        self._say(text)

    # --- threads
    # -----------------------------------------------------------------------------------------------

    def _start(self, job: Callable[[], None], otherwise: Callable[[], None]) -> None:
        if not self.open:
            otherwise()
            return
        with self._lock:
            self._pending += 1
            if self._started < self._threads:
                self._started += 1
                threading.Thread(target=self._serve, daemon=True, name="npukbuild-remote").start()
        self._jobs.put(job)

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            finally:
                with self._idle:
                    self._pending -= 1
                    self._idle.notify_all()
