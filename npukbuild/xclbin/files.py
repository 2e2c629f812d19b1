"""Reading and replacing whole files, with our errors."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from npukbuild.errors import ContainerError, DiskFullError, FolderError

MAX_BYTES = 1 << 30
"""Largest file that is read; an XCLBIN of an NPU has some 100 KB to a few MB."""


def read_file(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Read a file of at most ``limit`` bytes.

    Raises:
        FolderError: It is missing or cannot be read.
        ContainerError: It is larger than any file of its kind.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise FolderError("a file cannot be read", where=str(path), why=error.strerror) from None
    if len(data) > limit:
        raise ContainerError(
            "the file is too large", where=str(path), why=f"more than {limit} bytes are not read"
        )
    return data


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of ``path`` at once: readers see the old bytes or the new, never a part.

    Raises:
        FolderError: The folder cannot be written to.
        DiskFullError: No space is left; the old file is untouched.
    """
    temporary: Path | None = None
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else None
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes the file private; give it what a plain open() would, or what was there before.
        temporary.chmod(_default_mode() if mode is None else mode)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError("no space left on the device", where=str(path)) from None
        raise FolderError("a file cannot be written", where=str(path), why=error.strerror) from None


def _default_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
