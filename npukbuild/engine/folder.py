"""Result folders that appear whole or not at all.

A folder is written beside its place and swapped in with one rename while a lock is held, so that a killed
process, a full disk or a second builder never leaves a half-written result where a whole one is expected.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.errors import BusyError, DiskFullError, FolderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
_PART = ".part-"
_OLD = ".old-"


@contextmanager
def locked(
    place: Path, *, timeout: float = 600.0, waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lock of ``place``; it is released when the process ends, however it ends.

    Raises:
        BusyError: Another process held it for longer than ``timeout`` seconds.
        FolderError: The parent folder cannot be written.
    """
    from filelock import FileLock, Timeout

    _make_parent(place)
    lock = FileLock(place.parent / f".{place.name}.lock")
    try:
        try:
            lock.acquire(timeout=min(timeout, 0.5))
        except Timeout:
            if waiting is not None:
                waiting(f"waiting for another npukbuild that works on {place}")
            lock.acquire(timeout=timeout, poll_interval=0.2)
    except Timeout:
        raise BusyError(
            f"another npukbuild is working on {place}",
            why=f"its lock was not free within {timeout:g} s",
            hint="wait for it to end, or give this run another --build-dir",
        ) from None
    except OSError as error:
        raise folder_error(error, place.parent) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def staged(place: Path) -> Iterator[Path]:
    """Give an empty folder to fill; on a clean exit it replaces ``place`` at once, otherwise it is removed.

    Hold :func:`locked` around it. Leftovers of killed builders are removed first.
    """
    _make_parent(place)
    _sweep(place)
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{place.name}{_PART}", dir=place.parent))
    except OSError as error:
        raise folder_error(error, place.parent) from error
    try:
        part.chmod(0o755)
        yield part
        _swap(part, place)
    except OSError as error:
        raise folder_error(error, place) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def folder_error(error: OSError, place: Path) -> FolderError | DiskFullError:
    """Translate an operating system error about ``place`` into ours."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            f"no space left for {place}",
            why=str(error),
            hint="free some space, or choose another folder with --build-dir",
        )
    return FolderError(
        f"cannot write {place}",
        why=error.strerror or str(error),
        hint="choose another folder with --build-dir",
    )


def _make_parent(place: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise folder_error(error, place.parent) from error


def _sweep(place: Path) -> None:
    for marker in (_PART, _OLD):
        for leftover in place.parent.glob(f".{place.name}{marker}*"):
            shutil.rmtree(leftover, ignore_errors=True)


def _swap(part: Path, place: Path) -> None:
    for path in part.rglob("*"):
        if path.is_file():
            _sync(path)
    if not place.exists():
        part.rename(place)
    elif not _exchange(part, place):
        # No atomic exchange here: for one rename's length the place is empty, never half-written.
        old = place.parent / f".{place.name}{_OLD}{os.getpid()}"
        place.rename(old)
        part.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    _sync(place.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step with renameat2(2), where the system can."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    arguments = (_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return bool(renameat2(*arguments) == 0)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
