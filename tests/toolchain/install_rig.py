"""Stand-in wheels with their lock file, and the install of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.toolchain.download import Patience
from npukbuild.toolchain.install import install
from npukbuild.toolchain.lock import LockFile, read_lock
from npukbuild.toolchain.platforms import host_platform
from tests.standins.wheels import Wheel, make_wheels, write_lock

if TYPE_CHECKING:
    from tests.standins.faulty_server import FaultyServer

PINNED_PLATFORM = pytest.mark.skipif(
    host_platform().name != "linux-x86_64", reason="the pinned wheels are for Linux on x86-64"
)
QUICK = Patience(attempts=3, stall_seconds=10.0, pause_seconds=0.01)


def prepare(
    tmp_path: Path, server: FaultyServer | None = None, **options: Any
) -> tuple[LockFile, list[Wheel]]:
    wheels = make_wheels(
        tmp_path / "upstream", padding=options.pop("padding", 0), **options.pop("content", {})
    )
    base = server.base if server else "http://127.0.0.1:9/files"
    path = write_lock(tmp_path / "test.lock", wheels, base=base, **options)
    return read_lock(path), wheels


def put(lock: LockFile, **options: Any) -> Any:
    return install(lock.choose("t"), lock, python=Path(sys.executable), patience=QUICK, **options)


def leftovers(home: Path) -> list[str]:
    folder = home / "toolchains"
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock")) if folder.is_dir() else []
