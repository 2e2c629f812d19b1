"""Shared stores: a folder, a real nginx, and servers with every fault."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.engine import remote as remote_module
from npukbuild.engine.remote import RemoteStore
from npukbuild.engine.transport import open_transport
from npukbuild.engine.wire import Result, pack
from npukbuild.errors import CacheError
from tests.engine.rig import World, compilation, shell, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def shared(address: object, said: list[str] | None = None, rest: Path | None = None) -> RemoteStore:
    said = [] if said is None else said
    return RemoteStore(open_transport(str(address)), str(address), say=said.append, rest=rest)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """A real nginx with WebDAV PUT, as Bazel's documentation describes it for a remote cache."""
    assert NGINX is not None
    port = free_port()
    (folder / "cache").mkdir()
    modules = "/usr/lib/nginx/modules/ngx_http_dav_ext_module.so"
    del modules
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
        events {{ worker_connections 64; }}
        http {{
          access_log {folder}/access.log; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p;
          fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          server {{
            listen 127.0.0.1:{port}; root {folder}/cache; client_max_body_size 1g;
            location / {{ dav_methods PUT; create_full_put_path on; client_body_in_file_only off; }}
          }}
        }}
        """
    )
    server = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def build_on_two_machines(address: object, tmp_path: Path) -> None:
    """A machine builds and uploads; another one, with other paths and an empty cache, fetches it all."""
    said: list[str] = []

    def machine(name: str) -> World:
        world = World(tmp_path / name / "checkout", tmp_path / name / "cache", said)
        world.write("src/main.c", "#include <value.h>\nint value(void) { return VALUE; }\n")
        world.write("two/value.h", "#define VALUE 1\n")
        (world.folder / "one").mkdir()
        return world

    first, second = machine("first"), machine("second-machine")
    store = shared(address, said)
    nodes = [shell("a", "echo content > out; chmod +x out"), compilation(first)]
    assert {o.status for o in first.run(*nodes, remote=store).values()} == {"built"}
    store.drain(20)
    assert store.uploads == 3, said  # two results and one set of headers
    again = shared(address, said)
    outcomes = second.run(nodes[0], compilation(second), remote=again)
    assert {(o.status, o.source) for o in outcomes.values()} == {("hit", "shared")}, said
    assert text(outcomes["a"]) == "content\n"
    assert outcomes["a"].outputs["out"].record.executable
    second.write("two/value.h", "#define VALUE 2\n")
    assert second.run(compilation(second), remote=again)["cc"].status == "built"
    again.drain(20)
    assert {o.source for o in second.run(nodes[0]).values()} == {"local"}, "what was fetched is kept"
    assert not said


def test_a_shared_folder(tmp_path: Path) -> None:
    build_on_two_machines(tmp_path / "shared", tmp_path)
    assert not list((tmp_path / "shared").rglob(".*"))


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_nginx_with_webdav(tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    with nginx(tmp_path / "nginx") as address:
        build_on_two_machines(address, tmp_path)
    log = (tmp_path / "nginx" / "access.log").read_text()
    assert '"PUT /ac/' in log
    assert '"PUT /cas/' in log
    assert '"GET /ac/' in log
    assert '"GET /cas/' in log


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_nginx_with_damaged_content(tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    with nginx(tmp_path / "nginx") as address:
        said: list[str] = []
        store = shared(address, said)
        first = World(tmp_path, tmp_path / "c1")
        first.run(shell("a", "echo right > out"), remote=store)
        store.drain(20)
        for path in (tmp_path / "nginx" / "cache" / "cas").rglob("*"):
            if path.is_file():
                path.write_text("wrong!")
        outcome = World(tmp_path, tmp_path / "c2").run(shell("a", "echo right > out"), remote=store)["a"]
        assert (outcome.status, text(outcome)) == ("built", "right\n")
        assert any("damaged content" in line for line in said)


class Faulty(BaseHTTPRequestHandler):
    """Answers as its server's ``fault`` says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        fault = self.server.fault  # type: ignore[attr-defined]
        if fault == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(1000):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.2)
        elif fault == "hang":
            time.sleep(30)
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"short")
            self.close_connection = True
        elif fault == "slow misses":
            time.sleep(0.3)
            self._answer(404, b"")
        elif fault == "garbage":
            self._answer(200, os.urandom(500))
        elif fault == "other key":
            self._answer(200, pack(Result({}), "f" * 64))
        else:
            self._answer(int(fault), b"no")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def faulty(fault: str) -> Iterator[str]:
    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            return

    server = Server(("127.0.0.1", 0), Faulty)
    server.fault = fault  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("fault", ["drip", "hang", "cut", "garbage", "other key", "500", "403", "302"])
def test_a_bad_server_neither_fails_nor_stalls_a_build(
    world: World, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_module, "DEADLINE_SECONDS", 0.5)
    monkeypatch.setattr(remote_module, "SLOWEST_BYTES", 1 << 30)
    with faulty(fault) as address:
        store = shared(address, world.said)
        began = time.monotonic()
        nodes = [shell(f"n{index}", f"echo {index} > out") for index in range(12)]
        outcomes = world.run(*nodes, remote=store)
        store.drain(2)
        assert {outcome.status for outcome in outcomes.values()} == {"built"}
        assert time.monotonic() - began < 12
    if fault not in ("garbage", "other key"):
        assert not store.open
        assert len([line for line in world.said if "not used any more" in line]) == 1


def test_a_dead_server_is_left_alone_for_a_while(world: World, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    store = shared(address, world.said, tmp_path / "rest")
    nodes = [shell(f"n{index}", f"echo {index} > out") for index in range(6)]
    assert {outcome.status for outcome in world.run(*nodes, remote=store).values()} == {"built"}
    assert not store.open
    assert not shared(address, rest=tmp_path / "rest").open, "the next command does not try it again at once"
    assert shared("http://127.0.0.1:1/", rest=tmp_path / "rest").open, "another address is another store"
    os.utime(tmp_path / "rest", (1, 1))
    assert shared(address, rest=tmp_path / "rest").open


def test_a_server_that_only_costs_time_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "MOST_LOST_SECONDS", 1.0)
    with faulty("slow misses") as address:
        store = shared(address, world.said)
        store.read_only = True
        nodes = [shell(f"n{index}", f"echo {index} > out") for index in range(30)]
        world.run(*nodes, remote=store)
        assert not store.open
        assert any("too slow to help" in line for line in world.said)


def test_a_hanging_file_system_does_not_stall(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening a FIFO that nobody writes blocks for ever, as reading from a dead NFS server does."""
    from npukbuild.engine.action import full_key
    from npukbuild.engine.key import key_of

    monkeypatch.setattr(remote_module, "DEADLINE_SECONDS", 0.2)
    monkeypatch.setattr(RemoteStore, "patience", lambda _self: 0.5)
    nodes = [shell(f"n{index}", f"echo {index} > out") for index in range(6)]
    for node in nodes:
        key = full_key(key_of(node.action.base({})), {})
        place = tmp_path / "nfs" / "ac" / key[:2] / key
        place.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(place)
    store = shared(tmp_path / "nfs", world.said)
    began = time.monotonic()
    assert {outcome.status for outcome in world.run(*nodes, remote=store).values()} == {"built"}
    assert time.monotonic() - began < 10
    assert not store.open


def test_addresses(tmp_path: Path) -> None:
    for wrong in ("s3://bucket", "http://", "ftp://x/y"):
        with pytest.raises(CacheError):
            open_transport(wrong)
    assert open_transport(f"file://{tmp_path}").get("cas", "ab", 0) is None


def test_an_unwritable_shared_folder_costs_nothing_but_a_warning(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = shared(tmp_path / "file", world.said)
    nodes = [shell(f"n{index}", f"echo {index} > out") for index in range(4)]
    assert {outcome.status for outcome in world.run(*nodes, remote=store).values()} == {"built"}
    store.drain(5)
    assert any("not used any more" in line for line in world.said)
