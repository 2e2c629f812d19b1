"""The wheelhouse: a folder that keeps every wheel of a set, so that an upstream deletion cannot hurt."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from npukbuild.errors import BusyError, DiskFullError, FolderError, InstallError
from npukbuild.toolchain.download import PART_SUFFIX, Patience, download, verify_file
from npukbuild.toolchain.uv import index_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from npukbuild.toolchain.lock import Package, ToolchainSet

_LOCK_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What filling a wheelhouse did, by file name."""

    folder: Path
    present: tuple[str, ...]
    copied: tuple[str, ...]
    downloaded: tuple[str, ...]


def fill_wheelhouse(
    chosen: ToolchainSet,
    folder: Path,
    *,
    platform: str,
    sources: Sequence[Path] = (),
    offline: bool = False,
    patience: Patience | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Filled:
    """Make ``folder`` hold every wheel of ``chosen`` for ``platform``, each with its right hash.

    Order for each wheel: already there, a copy from ``sources``, a download. A file with a wrong hash is
    never used: in ``folder`` it is replaced, in ``sources`` it is an error.

    Raises:
        InstallError: A wheel cannot be had; ``details`` names all that are missing when offline.
        DiskFullError: The disk has no room for what is missing.
        FolderError: The folder cannot be written.
        BusyError: Another process has been filling it for an hour.
    """
    packages = chosen.packages_for(platform)
    _make(folder)
    with _exclusive(folder):
        present = [p for p in packages if p.sha256 and verify_file(folder / p.filename, p.sha256)]
        missing = [p for p in packages if p not in present]
        check_space(folder, missing)
        copied = [p for p in missing if _copy_from(p, sources, folder)]
        missing = [p for p in missing if p not in copied]
        if missing and offline:
            raise InstallError(
                "wheels are missing and --offline forbids to download them",
                where=str(sources[0] if sources else folder),
                details=[p.filename for p in missing],
                hint="fill a wheelhouse on a machine with network: npukbuild toolchain mirror DIR",
            )
        _download_all(missing, folder, chosen.python, patience, progress)
    return Filled(
        folder=folder,
        present=tuple(p.filename for p in present),
        copied=tuple(p.filename for p in copied),
        downloaded=tuple(p.filename for p in missing),
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError("the wheelhouse cannot be made", where=str(folder), why=error.strerror) from error
    if not os.access(folder, os.W_OK):
        raise FolderError("the wheelhouse cannot be written", where=str(folder), why="permission denied")


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".lock", timeout=_LOCK_SECONDS):
            yield
    except Timeout:
        raise BusyError(
            "another process is filling this wheelhouse",
            where=str(folder),
            why=f"it has held the lock for more than {_LOCK_SECONDS / 60:.0f} minutes",
        ) from None


def check_space(folder: Path, packages: Sequence[Package], extra: int = 0) -> None:
    """Raise when the disk of ``folder`` lacks the room for ``packages`` and ``extra`` bytes.

    Raises:
        DiskFullError: It does.
    """
    needed = extra
    for package in packages:
        part = folder / (package.filename + PART_SUFFIX)
        needed += max(0, package.expected_bytes - (part.stat().st_size if part.exists() else 0))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFullError(
            "there is not enough space for the toolchain",
            where=str(folder),
            why=f"it needs {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free",
            hint="free some space, or set NPUKBUILD_HOME to a folder on another disk",
        )


def _copy_from(package: Package, sources: Sequence[Path], folder: Path) -> bool:
    """Take the wheel from one of the user's wheelhouses, if it is there."""
    for source in sources:
        candidate = source / package.filename
        if not candidate.is_file() or candidate.absolute() == (folder / package.filename).absolute():
            continue
        _take(candidate, package, folder, f"{package.filename} in the wheelhouse has the wrong hash")
        return True
    return False


def _take(candidate: Path, package: Package, folder: Path, complaint: str) -> None:
    assert package.sha256 is not None
    temporary = folder / f".{package.filename}.{os.getpid()}"
    try:
        shutil.copyfile(candidate, temporary)
        if not verify_file(temporary, package.sha256):
            raise InstallError(
                complaint,
                where=str(candidate),
                why=f"the lock file says sha256 {package.sha256}",
                hint="the file is damaged or another build of the same name: replace it",
            )
        temporary.replace(folder / package.filename)
    except OSError as error:
        raise FolderError("the wheel cannot be copied", where=str(candidate), why=error.strerror) from error
    finally:
        temporary.unlink(missing_ok=True)


def _download_all(
    packages: Sequence[Package],
    folder: Path,
    python: str,
    patience: Patience | None,
    progress: Callable[[str, int, int | None], None] | None,
) -> None:
    # The perishable and large ones first: what can vanish is saved before anything else can fail.
    ordered = sorted(packages, key=lambda p: (not p.perishable, p.url is None))
    addresses: dict[str, str] = {}
    for package in ordered:
        assert package.sha256 is not None
        url = package.url
        if url is None:
            if not addresses:
                unknown = [p for p in ordered if p.url is None]
                with tempfile.TemporaryDirectory(prefix="npuk-", dir=folder) as scratch:
                    addresses = index_addresses(unknown, python=python, cwd=Path(scratch))
            url = addresses[package.filename]
        if urlsplit(url).scheme == "file":
            local = Path(unquote(urlsplit(url).path))
            _take(local, package, folder, f"{package.filename} of the package index has the wrong hash")
            continue

        def tell(done: int, total: int | None, name: str = package.filename) -> None:
            if progress:
                progress(name, done, total)

        download(
            url,
            folder / package.filename,
            sha256=package.sha256,
            size=package.size,
            patience=patience,
            progress=tell,
        )
