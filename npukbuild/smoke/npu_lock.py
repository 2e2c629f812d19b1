"""Whose turn it is on the NPU: one process of a machine at a time, and one call of that process at a time.

Concurrent contexts wedge Phoenix, so a process that wants the NPU takes a lock on a file. All kernels that
one process loads share that lock; their calls take turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_SECONDS = 0.1


class _Owner:
    """This process's hold on the lock file, shared by everything that it has on the NPU."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.turn = threading.RLock()
        self.users = 0
        self.descriptor = -1


_owners: dict[Path, _Owner] = {}
_owners_guard = threading.Lock()


def lock_path() -> Path:
    """Return the file whose lock means "the NPU of this machine is mine"."""
    return Path(
        os.environ.get("NPUKBUILD_NPU_LOCK", "") or Path(tempfile.gettempdir()) / "npukbuild-npu.lock"
    )


@contextlib.contextmanager
def npu_lock(seconds: float) -> Iterator[tuple[threading.RLock, int]]:
    """Hold the machine's NPU; give the lock for this process's turns and the file descriptor that holds it.

    The runner inherits the descriptor: while a runner lives, even one whose parent was killed, the NPU counts
    as taken.

    Raises:
        BusyError: Another process did not give it up within ``seconds``.
    """
    path = lock_path()
    with _owners_guard:
        owner = _owners.setdefault(path, _Owner())
    with owner.guard:
        if owner.users == 0:
            owner.descriptor = _take(path, seconds)
        owner.users += 1
    try:
        yield owner.turn, owner.descriptor
    finally:
        with owner.guard:
            owner.users -= 1
            if owner.users == 0:
                os.close(owner.descriptor)


def _take(path: Path, seconds: float) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except PermissionError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # made by another user: enough for a lock
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, 0o666)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise BusyError(
                    "another process uses the NPU",
                    why=f"its lock {path} was not free within {seconds:g} s",
                    hint="wait for it; concurrent contexts wedge the array",
                ) from None
            time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
        else:
            return descriptor
