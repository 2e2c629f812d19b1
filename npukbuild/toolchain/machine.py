"""The machine as the doctor sees it: a root folder, an environment, limits, and a way to run programs."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.toolchain.environment import clean_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNLIMITED = -1


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a program said and how it ended; ``returncode`` is None when it could not run or did not end."""

    returncode: int | None
    output: str

    @property
    def first_line(self) -> str:
        """Its first line that is not empty."""
        return next((line.strip() for line in self.output.splitlines() if line.strip()), "")

    @property
    def last_line(self) -> str:
        """Its last line that is not empty."""
        return next((line.strip() for line in reversed(self.output.splitlines()) if line.strip()), "")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine, or a folder that looks like one.

    Attributes:
        root: What stands for ``/``.
        environment: The user's environment variables.
        memlock: Limit of locked memory in bytes; -1 for none.
        kernel: The kernel's release.
    """

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    memlock: int = field(default_factory=lambda: resource.getrlimit(resource.RLIMIT_MEMLOCK)[0])
    kernel: str = field(default_factory=platform.release)

    @property
    def real(self) -> bool:
        """Whether this is the machine we run on."""
        return self.root == Path("/")

    def path(self, absolute: str) -> Path:
        """Return where ``absolute`` lies on this machine."""
        return self.root / absolute.lstrip("/")

    def read(self, absolute: str) -> str | None:
        """Return a small file's text without blanks around it, or None."""
        try:
            return self.path(absolute).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def glob(self, pattern: str) -> list[Path]:
        """Return what matches an absolute pattern, sorted."""
        return sorted(self.root.glob(pattern.lstrip("/")))

    def find(self, name: str, *folders: str) -> Path | None:
        """Return the first executable file called ``name`` in ``folders``, then on the user's ``PATH``."""
        places = [self.path(folder) for folder in folders]
        places += [self.path(part) for part in self.environment.get("PATH", "").split(os.pathsep) if part]
        return next((p / name for p in places if os.access(p / name, os.X_OK) and (p / name).is_file()), None)

    def run(
        self,
        argv: Sequence[str | Path],
        work: Path,
        *,
        timeout: float = 30.0,
        extra: Mapping[str, str] | None = None,
    ) -> Answer:
        """Run a program in a clean environment with ``extra`` added; return what it said on both streams."""
        try:
            ended = subprocess.run(
                [str(word) for word in argv],
                cwd=work,
                env={**clean_environment(work), **(extra or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Answer(returncode=None, output=f"it did not end within {timeout:.0f} s")
        except OSError as error:
            return Answer(returncode=None, output=str(error.strerror))
        return Answer(returncode=ended.returncode, output=ended.stdout.decode("utf-8", "replace")[:65536])
