"""A loopback HTTP server that serves a folder and a package index, with faults on request."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from pathlib import Path


class FaultyServer:
    """Serves ``folder`` below ``/files/`` and as a simple index below ``/simple/``.

    Attributes:
        faults: By file name, a list of faults; each request uses up the first one:
            ``("cut", n)`` closes after n bytes, ``("wrong",)`` flips bytes, ``("status", code)``,
            ``("stall", seconds)`` sleeps after the first half, ``("slow", seconds)`` sleeps per 64 KB,
            ``("whole",)`` ignores the range, ``("once", event)`` waits for an event after the first half.
        requests: (path, Range header) of every request.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, list[tuple[Any, ...]]] = {}
        self.requests: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                outer.answer(self)

            def do_HEAD(self) -> None:
                outer.answer(self, head=True)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def base(self) -> str:
        """The address of the served files."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/files"

    @property
    def index(self) -> str:
        """The address of the package index."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/simple/"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, *, head: bool = False) -> None:
        """Answer one request."""
        path = unquote(handler.path)
        self.requests.append((path, handler.headers.get("Range")))
        if path.startswith("/simple/"):
            self._answer_index(handler, path)
            return
        name = path.rpartition("/")[2]
        file = self.folder / name
        faults = self.faults.get(name, [])
        fault = faults.pop(0) if faults and not head else ("none",)
        if fault[0] == "status" or not file.is_file():
            handler.send_error(fault[1] if fault[0] == "status" else 404)
            return
        content = file.read_bytes()
        start = self._start(handler, fault, len(content))
        if start is None:
            return
        handler.end_headers()
        if not head:
            self._send(handler, content[start:], fault)

    def _start(self, handler: BaseHTTPRequestHandler, fault: tuple[Any, ...], size: int) -> int | None:
        wanted = handler.headers.get("Range")
        if wanted and fault[0] != "whole":
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            if start >= size:
                handler.send_error(416)
                return None
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        else:
            start = 0
            handler.send_response(200)
        handler.send_header("Content-Length", str(size - start))
        return start

    def _send(self, handler: BaseHTTPRequestHandler, body: bytes, fault: tuple[Any, ...]) -> None:
        try:
            if fault[0] == "cut":
                handler.wfile.write(body[: fault[1]])
                return
            if fault[0] == "wrong":
                body = bytes(b ^ 0xFF for b in body)
            half = len(body) // 2
            if fault[0] in ("stall", "once"):
                handler.wfile.write(body[:half])
                handler.wfile.flush()
                if fault[0] == "stall":
                    time.sleep(fault[1])
                else:
                    fault[1].wait(30)
                body = body[half:]
            for at in range(0, len(body), 65536):
                handler.wfile.write(body[at : at + 65536])
                if fault[0] == "slow":
                    handler.wfile.flush()
                    time.sleep(fault[1])
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _answer_index(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        project = path.removeprefix("/simple/").strip("/").replace("-", "_")
        wheels = sorted(p.name for p in self.folder.glob(f"{project}-*.whl"))
        if not wheels:
            handler.send_error(404)
            return
        links = "".join(f'<a href="/files/{name.replace("+", "%2B")}">{name}</a>\n' for name in wheels)
        body = f"<!DOCTYPE html><html><body>\n{links}</body></html>".encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
