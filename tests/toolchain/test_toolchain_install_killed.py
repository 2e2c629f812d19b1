"""A killed, damaged or doubled install never looks installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.errors import NpukbuildError
from npukbuild.toolchain import find_toolchain
from npukbuild.toolchain.installed import status
from npukbuild.toolchain.marker import MARKER_NAME
from tests.toolchain.install_rig import PINNED_PLATFORM, leftovers, prepare, put

if TYPE_CHECKING:
    from pathlib import Path

    from npukbuild.toolchain.lock import LockFile
    from tests.standins.faulty_server import FaultyServer

pytestmark = PINNED_PLATFORM


def _start(tmp_path: Path, lock: LockFile, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from npukbuild.cli import main; main()"]
    command += ["toolchain", "install", "--lock", str(lock.path)]
    return subprocess.Popen(
        [*command, "--python", sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come so far"
        time.sleep(0.005)


def test_a_killed_download_is_continued(home: Path, tmp_path: Path, server: FaultyServer) -> None:
    import threading

    lock, wheels = prepare(tmp_path, server, padding=1 << 20)
    name = wheels[0].path.name
    event = threading.Event()
    server.faults[name] = [("once", event)]
    child = _start(tmp_path, lock)
    part = home / "wheelhouse" / f"{name}.part"
    _wait_for(lambda: part.exists() and part.stat().st_size > 200_000)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    event.set()
    assert find_toolchain(lock=lock) is None
    kept = part.stat().st_size
    assert put(lock).fresh
    assert any(header == f"bytes={kept}-" for path, header in server.requests if path.endswith(name))


@pytest.mark.parametrize(
    "delay", [0.0, 0.15, *(pytest.param(d, marks=pytest.mark.slow) for d in (0.05, 0.1, 0.25, 0.4, 0.8))]
)
def test_a_killed_install_leaves_nothing_that_looks_installed(
    home: Path, tmp_path: Path, delay: float
) -> None:
    lock, _ = prepare(tmp_path, padding=16 << 20)
    child = _start(tmp_path, lock, "--offline", "--wheelhouse", str(tmp_path / "upstream"))
    _wait_for(lambda: any((home / "toolchains").glob(".new-*/env")) or child.poll() is not None)
    time.sleep(delay)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    finished = [p for p in leftovers(home) if not p.startswith(".new-")]
    if finished:  # it was quicker than the kill: then it must be whole
        assert status(lock, thorough=True)[0].state == "installed"
        return
    assert find_toolchain(lock=lock) is None
    assert put(lock, offline=True, wheelhouse=tmp_path / "upstream").fresh
    assert [p for p in leftovers(home) if p.startswith(".new-")] == []
    assert status(lock, thorough=True)[0].state == "installed"


def test_a_folder_without_its_marker_is_not_installed(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path)
    done = put(lock, wheelhouse=tmp_path / "upstream", offline=True)
    marker = done.folder / MARKER_NAME
    text = marker.read_text()
    for bad in (
        "",
        "{",
        "{}",
        text.replace(done.marker.identity, "0" * 64),
        text.replace('"schema": 1', '"schema": 9'),
    ):
        marker.write_text(bad)
        assert find_toolchain(lock=lock) is None
    assert put(lock, offline=True).fresh


def test_a_marked_but_damaged_environment_is_said_to_be(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path)
    done = put(lock, wheelhouse=tmp_path / "upstream", offline=True)
    next(done.folder.rglob("llc")).unlink()
    with pytest.raises(NpukbuildError, match="damaged"):
        find_toolchain(lock=lock)


def test_two_installs_at_once_make_one_environment(home: Path, tmp_path: Path) -> None:
    lock, _ = prepare(tmp_path, padding=4 << 20)
    arguments = ("--offline", "--wheelhouse", str(tmp_path / "upstream"))
    children = [_start(tmp_path, lock, *arguments) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert len(leftovers(home)) == 1
    assert status(lock, thorough=True)[0].state == "installed"
