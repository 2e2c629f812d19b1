"""The environments that are installed for this user: the state of each set, one change at a time, removal."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.errors import BusyError, FolderError, InstallError, ToolchainMissingError
from npukbuild.toolchain.marker import environment_folder, finished_marker, manifest_of
from npukbuild.toolchain.paths import toolchains_folder, wheelhouse_folder
from npukbuild.toolchain.platforms import HostPlatform, check_platform, host_platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from npukbuild.toolchain.lock import LockFile, ToolchainSet
    from npukbuild.toolchain.marker import Marker

TEMPORARY = ".new-"
"""What the name of a half-made or half-removed environment begins with."""

_LOCK_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class SetStatus:
    """A set of the lock file on this machine.

    Attributes:
        state: ``installed``, ``missing``, ``damaged``, or why it cannot be installed here.
    """

    chosen: ToolchainSet
    folder: Path
    state: str
    marker: Marker | None
    is_default: bool
    wheels_present: int
    wheels: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "set": self.chosen.name,
            "default": self.is_default,
            "state": self.state,
            "summary": self.chosen.summary,
            "python": self.chosen.python,
            "mlir_aie": self.chosen.version_of("mlir_aie"),
            "llvm_aie": self.chosen.version_of("llvm_aie"),
            "folder": str(self.folder),
            "wheels": {"present": self.wheels_present, "needed": self.wheels},
        }


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock of an environment's folder, so that one process at a time makes or removes it.

    Raises:
        BusyError: Another process has held it for an hour.
        FolderError: The folder above cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock", timeout=_LOCK_SECONDS)
        with lock:
            yield
    except Timeout:
        raise BusyError("another install of this set is running", where=str(folder)) from None
    except PermissionError as error:
        raise FolderError("the toolchain's folder cannot be written", where=str(folder.parent)) from error


def status(lock: LockFile, *, thorough: bool = False) -> list[SetStatus]:
    """Return every set of the lock file with its state on this machine.

    Args:
        lock: The lock file.
        thorough: Hash every installed file and compare with the marker.
    """
    host = host_platform()
    return [_status_of(chosen, lock, host, thorough=thorough) for chosen in lock.sets.values()]


def _status_of(chosen: ToolchainSet, lock: LockFile, host: HostPlatform, *, thorough: bool) -> SetStatus:
    folder = environment_folder(chosen, host.name)
    marker = finished_marker(folder, chosen, host.name)
    packages = chosen.packages_for(host.name)
    try:
        check_platform(chosen, lock, host)
        state = "installed" if marker else "missing"
    except InstallError as error:
        state = (
            f"not for this machine: {error.why or error.what}"
            if not chosen.incomplete
            else f"incomplete: {error.why}"
        )
    if marker is not None and thorough and manifest_of(folder) != marker.manifest:
        state = "damaged"
    return SetStatus(
        chosen=chosen,
        folder=folder,
        state=state,
        marker=marker,
        is_default=chosen.name == lock.default,
        wheels_present=sum((wheelhouse_folder() / p.filename).is_file() for p in packages),
        wheels=len(packages),
    )


def remove(name: str) -> list[Path]:
    """Remove every environment of set ``name``, also those of older lock files; the wheelhouse stays.

    Raises:
        ToolchainMissingError: None is installed.
        FolderError: One cannot be removed.
    """
    gone = []
    base = toolchains_folder()
    for folder in sorted(base.glob(f"{name}-*")) if base.is_dir() else []:
        if folder.name[:-17] != name or not folder.is_dir():
            continue
        with exclusive(folder):
            # Renamed first: half a removal must not look like an environment.
            doomed = folder.with_name(f"{TEMPORARY}{folder.name}-removed-{os.getpid()}")
            try:
                folder.replace(doomed)
                shutil.rmtree(doomed)
            except OSError as error:
                raise FolderError(
                    "the environment cannot be removed", where=str(folder), why=error.strerror
                ) from error
        gone.append(folder)
    if not gone:
        raise ToolchainMissingError(f"no environment of set {name!r} is installed", where=str(base))
    return gone
