"""Shared stores: a folder on a network file system, and an HTTP server that speaks Bazel's cache protocol.

A shared store can only save time. Nothing it answers is believed before it is verified, no request of it may
take longer than its deadline, and after a few failures, or too much time lost, it is left alone for the rest
of the run and, so that the next command does not stumble over it again, for ``REST_SECONDS``.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from npukbuild.engine.digest import digest_bytes
from npukbuild.engine.wire import DamagedError, Result, pack, unpack
from npukbuild.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEADLINE_SECONDS = 3.0
"""For one request, plus the time its bytes need at ``SLOWEST_BYTES``."""

SLOWEST_BYTES = 1 << 20
"""Bytes per second below which fetching is not worth waiting for."""

MOST_FAILURES = 3
MOST_LOST_SECONDS = 6.0
FREE_SECONDS = 0.02
"""A miss that took no longer than this counts as nothing lost."""

REST_SECONDS = 60.0
MOST_BYTES = 1 << 30
"""The largest answer that is read."""


class Transport(Protocol):
    """How bytes get to a shared store and back."""

    def get(self, kind: str, name: str, deadline: float) -> bytes | None:
        """Return the bytes at ``/<kind>/<name>`` or None; ``deadline`` is in ``time.monotonic()``."""

    def put(self, kind: str, name: str, data: bytes, deadline: float) -> None:
        """Store bytes at ``/<kind>/<name>``."""


class FolderTransport:
    """A folder that several machines mount."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, kind: str, name: str, deadline: float) -> bytes | None:
        """Return the file's content."""
        try:
            return self._place(kind, name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, kind: str, name: str, data: bytes, deadline: float) -> None:
        """Write beside the place and rename."""
        place = self._place(kind, name)
        if kind == "cas" and place.exists():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{name}.{uuid.uuid4().hex}")
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # another machine may read what this one has only cached
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)

    def _place(self, kind: str, name: str) -> Path:
        return self._folder / kind / name[:2] / name


class HttpTransport:
    """Plain GET and PUT on ``/ac/<key>`` and ``/cas/<sha256>``; one connection per thread is kept open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._prefix = parts.path.rstrip("/")
        self._headers = {"User-Agent": "npukbuild"}
        if parts.username is not None:
            import base64

            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._local = threading.local()

    def get(self, kind: str, name: str, deadline: float) -> bytes | None:
        """Return the body of a 200, None for a 404."""
        status, body = self._request("GET", f"{self._prefix}/{kind}/{name}", None, deadline)
        if status == 200:
            return body
        if status in (404, 410):
            return None
        raise OSError(f"the server answered {status}")

    def put(self, kind: str, name: str, data: bytes, deadline: float) -> None:
        """Store; any 2xx is success."""
        status, _ = self._request("PUT", f"{self._prefix}/{kind}/{name}", data, deadline)
        if not 200 <= status < 300:
            raise OSError(f"the server answered {status}")

    def _request(self, method: str, path: str, body: bytes | None, deadline: float) -> tuple[int, bytes]:
        from http.client import HTTPException

        fresh = getattr(self._local, "connection", None) is None
        try:
            return self._once(method, path, body, deadline)
        except (OSError, HTTPException) as error:
            self._drop()
            if fresh or time.monotonic() >= deadline:
                raise OSError(str(error) or type(error).__name__) from error
        try:  # a kept connection may have been closed by the server meanwhile
            return self._once(method, path, body, deadline)
        except (OSError, HTTPException) as error:
            self._drop()
            raise OSError(str(error) or type(error).__name__) from error

    def _once(self, method: str, path: str, body: bytes | None, deadline: float) -> tuple[int, bytes]:
        connection = self._connection(deadline)
        connection.request(method, path, body=body, headers=self._headers)
        response = connection.getresponse()
        parts: list[bytes] = []
        size = 0
        while True:
            # A socket's time-out is per read; a server that sends a byte a second is stopped here.
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the deadline passed")
            if connection.sock is not None:
                connection.sock.settimeout(left)
            part = response.read1(1 << 16)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise OSError("the answer is too large")
        if response.length not in (None, 0):
            raise OSError("the answer was cut short")
        if response.will_close:
            self._drop()
        return response.status, b"".join(parts)

    def _connection(self, deadline: float) -> Any:
        from http.client import HTTPConnection, HTTPSConnection

        left = max(0.001, deadline - time.monotonic())
        connection = getattr(self._local, "connection", None)
        if connection is None:
            kind = HTTPSConnection if self._secure else HTTPConnection
            connection = kind(self._host, self._port, timeout=min(left, DEADLINE_SECONDS))
            self._local.connection = connection
        elif connection.sock is not None:
            connection.sock.settimeout(left)
        return connection

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()


def open_transport(where: str) -> Transport:
    """Return the transport for a folder, a ``file://`` or an ``http(s)://`` address.

    Raises:
        CacheError: The address has another form.
    """
    scheme = urlsplit(where).scheme
    if scheme in ("http", "https"):
        if not urlsplit(where).hostname:
            raise CacheError(f"{where!r} names no host", hint="--remote http://HOST:PORT/")
        return HttpTransport(where)
    if scheme == "file":
        return FolderTransport(Path(unquote(urlsplit(where).path)))
    if "://" in where:
        raise CacheError(
            f"a shared cache cannot be at {where!r}",
            hint="give a folder that all machines mount, or http://HOST:PORT/",
        )
    return FolderTransport(Path(where))


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
        self.hits = 0
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
            self.hits += 1
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
