"""Registries: where releases are kept. One protocol, a folder here, an OCI registry in :mod:`.oci`."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from npukbuild.errors import DiskFullError, RegistryError, ReleaseMissingError, SignatureError
from npukbuild.publish.dsse import signed_payload
from npukbuild.publish.release import ATTESTATION, RELEASED_FILES, Release, ReleaseId

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALLOWED = {*RELEASED_FILES, ATTESTATION}
LARGEST_FILE = 64 * 1024 * 1024
"""No file of a release is larger; a registry that offers one is refused, unread."""

_PART = ".part-"
_GONE = ".gone-"


class Registry(Protocol):
    """A place that keeps releases; a version that is there is never changed."""

    @property
    def location(self) -> str:
        """How a person names it."""

    def put(self, release: Release) -> bool:
        """Add ``release`` whole; False when the very version is there already."""

    def ids(self) -> list[ReleaseId]:
        """Return all releases, sorted."""

    def get(self, release_id: ReleaseId) -> Release:
        """Return one release with all its files."""

    def remove(self, release_id: ReleaseId) -> None:
        """Remove one release whole."""


def open_registry(location: str, *, create: bool = False) -> Registry:
    """Return the registry at ``location``: a folder, or ``oci://HOST[:PORT]/REPOSITORY``.

    Raises:
        RegistryError: It does not exist, or cannot be used.
    """
    if location.startswith("oci://"):
        from npukbuild.publish.oci import OciRegistry

        return OciRegistry(location)
    return FolderRegistry(Path(location), create=create)


class FolderRegistry:
    """Releases in a folder: ``TARGET/NAME/VERSION/`` with the files.

    There is no index that could disagree with the files: what stands complete is there, and a folder comes
    to stand by one rename.
    """

    def __init__(self, root: Path, *, create: bool = False) -> None:
        self._root = root
        if create:
            try:
                root.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RegistryError(f"registry {root} cannot be made", why=error.strerror) from error
        elif not root.is_dir():
            raise RegistryError(
                f"there is no registry at {root}", hint="publish something to it first, or check --registry"
            )

    @property
    def location(self) -> str:
        """The folder."""
        return str(self._root)

    def put(self, release: Release) -> bool:
        """Write the release beside its place and rename it in; the first of two publishers wins."""
        place = self._place(release.id)
        if place.is_dir():
            return False
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=f"{_PART}{place.name}-", dir=place.parent))
        except OSError as error:
            raise _unwritable(self._root, error) from error
        try:
            for name, data in release.files.items():
                _write_synced(part / name, data)
            part.chmod(0o755)
            part.rename(place)
            _sync_folder(place.parent)
        except OSError as error:
            if place.is_dir():
                return False
            raise _unwritable(self._root, error) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return True

    def ids(self) -> list[ReleaseId]:
        """Walk the folder; staged and half-removed folders do not count."""
        found = []
        for target in _folders(self._root):
            for name in _folders(target):
                found += [ReleaseId(target.name, name.name, version.name) for version in _folders(name)]
        return sorted(found)

    def get(self, release_id: ReleaseId) -> Release:
        """Read all files of one release; what does not belong there is refused."""
        place = self._place(release_id)
        if not place.is_dir():
            raise ReleaseMissingError(
                f"{release_id} is not in the registry", where=self.location, hint="npukbuild list"
            )
        files = {}
        try:
            for path in sorted(place.iterdir()):
                if path.name not in _ALLOWED or path.is_symlink() or not path.is_file():
                    raise RegistryError(
                        f"{release_id} holds {path.name}, which no release has", where=str(place)
                    )
                if path.stat().st_size > LARGEST_FILE:
                    raise RegistryError(
                        f"{path.name} of {release_id} is larger than any release", where=str(place)
                    )
                files[path.name] = path.read_bytes()
        except OSError as error:
            raise RegistryError(
                f"{release_id} cannot be read", where=str(place), why=error.strerror
            ) from error
        return Release(release_id, channel_of(files, release_id), files)

    def remove(self, release_id: ReleaseId) -> None:
        """Rename the release away in one step, then delete it."""
        place = self._place(release_id)
        gone = place.with_name(f"{_GONE}{place.name}-{os.getpid()}")
        try:
            place.rename(gone)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unwritable(self._root, error) from error
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self) -> int:
        """Remove what killed publishers left; return how many folders."""
        leftovers = [path for marker in (_PART, _GONE) for path in self._root.glob(f"*/*/{marker}*")]
        for path in leftovers:
            shutil.rmtree(path, ignore_errors=True)
        return len(leftovers)

    def _place(self, release_id: ReleaseId) -> Path:
        for part in (release_id.target, release_id.name, release_id.version):
            if not part or part[0] == "." or "/" in part or "\\" in part or "\0" in part:
                raise RegistryError(f"{part!r} cannot be part of a release's place")
        return self._root / release_id.target / release_id.name / release_id.version


def channel_of(files: dict[str, bytes], release_id: ReleaseId) -> str:
    """Return the channel that a release's attestation states, without checking the signature."""
    try:
        return str(signed_payload(files[ATTESTATION])["predicate"]["release"]["channel"])
    except (KeyError, TypeError, SignatureError) as error:
        raise RegistryError(f"{release_id} has no readable attestation", why=str(error)) from error


def _folders(path: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        for child in sorted(path.iterdir()):
            if child.is_dir() and not child.name.startswith("."):
                yield child


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(root: Path, error: OSError) -> RegistryError | DiskFullError:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"no space left for registry {root}", why=str(error))
    return RegistryError(f"registry {root} cannot be written", why=error.strerror or str(error))
