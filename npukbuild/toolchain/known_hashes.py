"""Hashes of large tools, kept between commands: an existing install is read once, not at every build."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from npukbuild.toolchain.paths import data_home
from npukbuild.toolchain.process import hash_file

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "known-hashes.json"
_MOST = 4000
_SETTLED_SECONDS = 2.0  # a file that changed just now may change again within one tick of its clock


class KnownHashes:
    """sha256 (hex) of files by place, size, inode and times.

    A file that differs in any of these is read again. Nothing depends on the file that keeps them: damaged
    or unwritable, it is left out.
    """

    def __init__(self) -> None:
        self._path = data_home() / _NAME
        self._known: dict[str, str] = {}
        self._new = False
        with contextlib.suppress(OSError, ValueError):
            read = json.loads(self._path.read_text(encoding="utf-8"))
            self._known = {str(key): str(value) for key, value in read.items()} if type(read) is dict else {}

    def of(self, path: Path) -> str | None:
        """Return the hash of a file, or None when it cannot be read."""
        try:
            status = path.stat()
        except OSError:
            return None
        key = f"{path}|{status.st_size}|{status.st_ino}|{status.st_mtime_ns}|{status.st_ctime_ns}"
        if key in self._known:
            return self._known[key]
        digest = hash_file(path)
        if digest is not None and time.time() - status.st_ctime > _SETTLED_SECONDS:
            self._known[key] = digest
            self._new = True
        return digest

    def save(self) -> None:
        """Keep what is new, the latest few thousand files."""
        if not self._new:
            return
        temporary = self._path.with_name(f".{_NAME}.{os.getpid()}")
        kept = dict(list(self._known.items())[-_MOST:])
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(kept), encoding="utf-8")
            temporary.replace(self._path)
