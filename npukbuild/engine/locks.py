"""Locks between processes: released by the kernel when a process dies, tried rather than spun on.

They rest on ``filelock``, that is flock(2): a process killed with SIGKILL holds nothing. The scheduler tries
a lock and does other work until the next try; only :func:`hold` waits, asleep between tries.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import BaseFileLock

DEFAULT_TIMEOUT = 900.0
"""Seconds to wait for another process; longer than any single step is expected to take."""


def lock_timeout() -> float:
    """Return how long to wait for another process: ``NPUKBUILD_LOCK_TIMEOUT`` in seconds, or the default."""
    try:
        return float(os.environ["NPUKBUILD_LOCK_TIMEOUT"])
    except (KeyError, ValueError):
        return DEFAULT_TIMEOUT


@dataclass(slots=True)
class Held:
    """A lock that is held until :meth:`release` or the end of the process."""

    path: Path
    _lock: BaseFileLock

    def release(self, *, remove: bool = False) -> None:
        """Let others have it; with ``remove`` the file goes too, and who waits on it opens a new one."""
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
        self._lock.release()


def try_lock(path: Path) -> Held | None:
    """Take the lock at ``path`` if it is free, without waiting.

    Returns:
        The lock, or None when another process has it. On a file system that cannot be written nobody else
        can build into it either, so the lock counts as taken there.

    Raises:
        OSError: The lock file cannot be made.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0, is_singleton=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    with contextlib.suppress(OSError):
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    return Held(path, lock)


def holder(path: Path) -> str:
    """Return who holds the lock at ``path``, in words."""
    try:
        return path.read_text(encoding="utf-8") or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"


def busy(what: str, path: Path, waited: float) -> BusyError:
    """Return the error for a lock that did not become free."""
    return BusyError(
        f"{what} is being built by {holder(path)}",
        where=str(path),
        why=f"the lock was not free within {waited:g} s",
        hint="wait for it, end that process, or set NPUKBUILD_LOCK_TIMEOUT to a longer time in seconds",
    )


@contextlib.contextmanager
def hold(path: Path, what: str, timeout: float | None = None) -> Iterator[None]:
    """Hold the lock at ``path``, waiting for it asleep.

    Raises:
        BusyError: It was not free within ``timeout`` seconds.
    """
    import time

    limit = lock_timeout() if timeout is None else timeout
    deadline = time.monotonic() + limit
    pause = 0.005
    while (held := try_lock(path)) is None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise busy(what, path, limit)
        time.sleep(min(pause, left))
        pause = min(pause * 2, 0.25)
    try:
        yield
    finally:
        held.release()
