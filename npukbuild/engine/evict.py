"""The store's size: counting, evicting what was used longest ago, clearing, verifying.

Every running build holds a lease, a locked file whose time stamp is the build's start. Everything that a
build uses is touched when it is used, so whatever was touched after the start of the oldest running build
may be in use and is never removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.engine.digest import digest_bytes, digest_file
from npukbuild.engine.locks import Held, try_lock
from npukbuild.engine.wire import DamagedError, unpack
from npukbuild.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from npukbuild.engine.store import LocalStore

DEFAULT_CAP = 5 << 30
KEEP_SHARE = 0.8
"""A collection goes down to this share of the cap, so that it does not run at every build."""

_KINDS = ("ac", "cas", "sets")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Return bytes for ``500M``, ``5G``, ``1024``.

    Raises:
        CacheError: The text is not a size.
    """
    body = text.strip().upper().removesuffix("IB").removesuffix("B")
    unit = body[-1:] if body[-1:] in _UNITS and body else ""
    try:
        size = int(float(body.removesuffix(unit)) * _UNITS[unit])
    except (ValueError, OverflowError):
        size = -1
    if size < 0:
        raise CacheError(f"{text!r} is not a size", hint="write 500M, 5G or a number of bytes")
    return size


def cap_bytes() -> int:
    """Return the size cap: ``NPUKBUILD_CACHE_SIZE``, or 5 GiB."""
    return parse_size(os.environ.get("NPUKBUILD_CACHE_SIZE") or str(DEFAULT_CAP))


@contextlib.contextmanager
def lease(store: LocalStore) -> Iterator[None]:
    """Protect everything this build will use from eviction by others."""
    if not store.writable:
        yield
        return
    held: Held | None = None
    path = store.root / "leases" / uuid.uuid4().hex
    with contextlib.suppress(OSError):
        held = try_lock(path)
    try:
        yield
    finally:
        if held is not None:
            held.release(remove=True)


def oldest_lease(store: LocalStore) -> float:
    """Return when the oldest running build began, or infinity; leases of dead processes are removed."""
    oldest = float("inf")
    for path in (store.root / "leases").iterdir():
        try:
            started = path.stat().st_mtime
            held = try_lock(path)
        except OSError:
            continue
        if held is None:
            oldest = min(oldest, started)
        else:
            held.release(remove=True)
    return oldest


@dataclass(slots=True)
class Usage:
    """What the store holds; bytes count content, results and sets."""

    results: int = 0
    contents: int = 0
    bytes: int = 0
    removed: int = 0
    freed_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def _entries(store: LocalStore) -> Iterator[tuple[str, Path, os.stat_result]]:
    for kind in _KINDS:
        for path in (store.root / kind).glob("??/*"):
            with contextlib.suppress(OSError):
                yield kind, path, path.stat()


def usage(store: LocalStore) -> Usage:
    """Count what the store holds."""
    total = Usage()
    for kind, _path, status in _entries(store):
        total.results += kind == "ac"
        total.contents += kind == "cas"
        total.bytes += status.st_size
    return total


def collect(store: LocalStore, cap: int, *, now: float | None = None) -> Usage:
    """Remove what was used longest ago until the store is below ``cap``, never anything in use.

    Returns:
        What is left, with the number and bytes of what was removed.
    """
    protect = oldest_lease(store)
    _sweep_leftovers(store, time.time() if now is None else now)
    entries = sorted(_entries(store), key=lambda entry: entry[2].st_mtime)
    total = sum(status.st_size for _, _, status in entries)
    goal = cap if total <= cap else int(cap * KEEP_SHARE)
    left = Usage()
    for kind, path, status in entries:
        if total > goal and _remove_unused(path, protect):
            total -= status.st_size
            left.removed += 1
            left.freed_bytes += status.st_size
            continue
        left.results += kind == "ac"
        left.contents += kind == "cas"
        left.bytes += status.st_size
    _write_estimate(store, left.bytes)
    return left


def clear(store: LocalStore) -> Usage:
    """Remove everything that no running build uses."""
    return collect(store, 0)


def collect_when_full(store: LocalStore) -> Usage | None:
    """After a build: add what was written to the estimate, and collect when it passes the cap."""
    written = store.bytes_written
    if not written or not store.writable:
        return None
    store.bytes_written = 0
    try:
        held = try_lock(store.root / "locks" / "collect")
    except OSError:
        return None
    if held is None:
        return None
    try:
        estimate = _read_estimate(store)
        total = usage(store).bytes if estimate is None else estimate + written
        _write_estimate(store, total)
        return collect(store, cap_bytes()) if total > cap_bytes() else None
    finally:
        held.release()


def verify(store: LocalStore) -> dict[str, int]:
    """Read and check every entry; damaged ones are removed.

    Returns:
        ``checked`` and ``damaged``, in entries.
    """
    checked = damaged = 0
    for kind, path, _status in _entries(store):
        checked += 1
        try:
            right = _is_right(kind, path)
        except OSError:
            continue
        if not right:
            damaged += 1
            store.discard(path, {"ac": "result", "cas": "content", "sets": "set of inputs"}[kind])
    return {"checked": checked, "damaged": damaged}


def _is_right(kind: str, path: Path) -> bool:
    if kind == "cas":
        return digest_file(path) == path.name
    data = path.read_bytes()
    if kind == "sets":
        check, _, body = data.partition(b"\n")
        return digest_bytes(body).encode() == check
    try:
        unpack(data, path.name)
    except DamagedError:
        return False
    return True


def _remove_unused(path: Path, protect: float) -> bool:
    """Remove ``path`` unless a build may be using it; looked up now, since it may just have been used."""
    try:
        if path.stat().st_mtime >= protect:
            return False
        path.unlink()
    except OSError:
        return False
    return True


def _sweep_leftovers(store: LocalStore, now: float) -> None:
    """Remove what killed builds left: parts, work folders, lock files that nobody holds."""
    day = 24 * 3600.0
    for path in (*(store.root / "tmp").iterdir(), *(store.root / "work").iterdir()):
        with contextlib.suppress(OSError):
            if now - path.stat().st_mtime > day:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (store.root / "locks").iterdir():
        with contextlib.suppress(OSError):
            if now - path.stat().st_mtime > day and (held := try_lock(path)) is not None:
                held.release(remove=True)


def _read_estimate(store: LocalStore) -> int | None:
    try:
        return int((store.root / "size").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _write_estimate(store: LocalStore, size: int) -> None:
    with contextlib.suppress(OSError):
        (store.root / "size").write_text(str(size), encoding="ascii")
