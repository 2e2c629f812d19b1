"""The program as a person runs it: a subprocess."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Program:
    """Runs ``npukbuild`` in a folder of its own, with a cache of its own."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ, "NPUKBUILD_CACHE_DIR": str(cache), "NPUKBUILD_KEYS_DIR": str(folder / "keys"),
            "NPUKBUILD_HOME": str(folder / "home"), "COLUMNS": "100",
        }  # fmt: skip

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "npukbuild", *map(str, arguments)]

    def __call__(self, *arguments: str | Path, **environment: str) -> Outcome:
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env={**self.environment, **environment},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def program(tmp_path: Path, shared_cache: Path) -> Program:
    return Program(tmp_path, shared_cache)
