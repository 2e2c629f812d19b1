"""What actions cost: learned seconds and peak memory, and how much memory there is to spend."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

UNKNOWN_BYTES = 1 << 30
"""Assumed for a kind of action that never ran here: aiecc on a whole array stays below (toolchain facts)."""

UNKNOWN_SECONDS = 1.0
MARGIN = 1.25
"""Runs of one action vary; this much more than the largest peak seen is reserved."""

MOST_NAMES = 4096
USABLE_SHARE = 0.85
_DECAY = 0.5


class Costs:
    """Learned costs per kind and label, kept between runs.

    Args:
        path: Where they are kept; None keeps nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, dict[str, list[float]]] = _load(path)
        self._new: dict[str, dict[str, list[float]]] = {}

    def memory(self, kind: str, label: str) -> int:
        """Return bytes to reserve: the action's own peak, else its kind's largest, else a cautious guess."""
        names = self._known.get(kind)
        if not names:
            return UNKNOWN_BYTES
        own = names.get(label)
        peak = own[0] if own else max(entry[0] for entry in names.values())
        return int(peak * MARGIN)

    def seconds(self, kind: str, label: str) -> float:
        """Return the expected time: the action's own, else the mean of its kind."""
        names = self._known.get(kind)
        if not names:
            return UNKNOWN_SECONDS
        own = names.get(label)
        return own[1] if own else sum(entry[1] for entry in names.values()) / len(names)

    def learn(self, kind: str, label: str, peak_bytes: int, seconds: float) -> None:
        """Take one run into account; a peak is forgotten slowly, since one small run proves nothing."""
        names = self._known.setdefault(kind, {})
        old = names.get(label)
        entry = [float(peak_bytes), seconds]
        if old is not None:
            entry = [max(peak_bytes, old[0] * 0.9), old[1] * _DECAY + seconds * (1 - _DECAY)]
        names[label] = entry
        self._new.setdefault(kind, {})[label] = entry

    def save(self) -> None:
        """Merge what was learned into the file; a failure costs only knowledge."""
        if self._path is None or not self._new:
            return
        merged = _load(self._path)
        for kind, names in self._new.items():
            rest = {name: entry for name, entry in merged.get(kind, {}).items() if name not in names}
            merged[kind] = dict([*rest.items(), *names.items()][-MOST_NAMES:])
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            part.write_text(json.dumps(merged), encoding="utf-8")
            part.replace(self._path)
            self._new = {}


def _load(path: Path | None) -> dict[str, dict[str, list[float]]]:
    if path is None:
        return {}
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(kind): {str(name): [float(peak), float(seconds)] for name, (peak, seconds) in names.items()}
            for kind, names in data.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def memory_budget() -> int:
    """Return the bytes that a build may use: ``NPUKBUILD_MEMORY``, else most of what is free now.

    Free means the kernel's MemAvailable (proc(5)) and, in a container, what the control group has left.
    """
    chosen = os.environ.get("NPUKBUILD_MEMORY")
    if chosen:
        from npukbuild.engine.evict import parse_size

        return parse_size(chosen)
    limits = [size for size in (_available(), _group_room()) if size is not None]
    return int(min(limits) * USABLE_SHARE) if limits else 1 << 62


def _available() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _group_room() -> int | None:
    folder = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            return int(limit) - int((folder / "memory.current").read_text(encoding="ascii"))
    return None
