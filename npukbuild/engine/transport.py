"""How bytes get to a shared store: a folder that machines mount, or an HTTP server.

The server speaks the cache protocol of Bazel: GET and PUT on ``/ac/<key>`` and ``/cas/<sha256>``.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from npukbuild.errors import CacheError

DEADLINE_SECONDS = 3.0
"""For one request, plus the time its bytes need."""

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
