"""Several result files that appear together: all are written before the first is renamed."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from npukbuild.errors import DiskFullError, FolderError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors that mean a full disk."""


def write_together(files: Mapping[Path, Callable[[IO[bytes]], None]]) -> None:
    """Write files of which, on any error, none has changed.

    Every file is written and synced under a name of its own in its folder; only then are they renamed, so
    that a full disk leaves what was there before. A file system has no rename of several files at once: a
    machine that stops between two renames leaves the first new and the second old, each of them whole.

    Args:
        files: Per path what writes its content.

    Raises:
        FolderError: A folder cannot be written to.
        DiskFullError: The content does not fit.
    """
    parts: dict[Path, Path] = {}
    try:
        for path, write in files.items():
            _write_beside(path, write, parts)
        replaced: list[Path] = []
        for path, part in parts.items():
            try:
                part.replace(path)
            except OSError as error:
                done = [f"{other} is new already" for other in replaced]
                raise FolderError(f"cannot write {path}", why=error.strerror, details=done) from error
            replaced.append(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _write_beside(path: Path, write: Callable[[IO[bytes]], None], parts: dict[Path, Path]) -> None:
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        kind = DiskFullError if error.errno in _FULL else FolderError
        raise kind(f"cannot write {path}", why=error.strerror) from error
    part = parts[path] = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
    except OSError as error:
        if error.errno is not None and error.errno not in _FULL:
            raise FolderError(f"cannot write {path}", why=error.strerror) from error
        raise DiskFullError(  # numpy gives no number when the disk takes a part of an array only
            f"cannot write {path}",
            why=error.strerror or "no space left on the device",
            hint="free some space and run again; none of the results was written",
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
