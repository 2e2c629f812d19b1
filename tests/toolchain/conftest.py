"""What tests of the toolchain stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.standins.faulty_server import FaultyServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def machine_without_xrt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No tool of this machine takes part: the stand-ins' folder is the whole path."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr("npukbuild.toolchain.environment.SYSTEM_PATH", (str(empty),))
    monkeypatch.setattr("npukbuild.toolchain.locate.XRT_BIN", empty)
    monkeypatch.setenv("NPUKBUILD_HOME", str(tmp_path / "home"))
    for name in ("NPUKBUILD_XCLBINUTIL", "NPUKBUILD_MLIR_AIE", "NPUKBUILD_PEANO"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of npukbuild, and no toolchain named by a variable."""
    folder = tmp_path / "home"
    monkeypatch.setenv("NPUKBUILD_HOME", str(folder))
    monkeypatch.delenv("NPUKBUILD_MLIR_AIE", raising=False)
    monkeypatch.delenv("NPUKBUILD_PEANO", raising=False)
    monkeypatch.delenv("NPUKBUILD_TOOLCHAIN_SET", raising=False)
    return folder


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """A server of wheels on loopback, with no proxy before it."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    running = FaultyServer(tmp_path / "upstream")
    monkeypatch.setenv("UV_DEFAULT_INDEX", running.index)
    yield running
    running.close()
