"""Change which set a lock file has as its default, and nothing else in it."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from npukbuild.errors import FolderError, LockFileError
from npukbuild.toolchain.lock import LockFile, read_lock, user_lock_path

_DEFAULT = re.compile(r"^default\s*=\s*(\"[^\"\n]*\"|'[^'\n]*')", re.MULTILINE)


def writable_lock_path(lock: LockFile) -> Path:
    """Return the file that a new choice is written to: the lock itself, or a user's copy of the package's.

    The lock file of a checkout is the project's own and is changed in place; that of an installed package is
    not ours to change.
    """
    packaged = Path(__file__).with_name("toolchain.lock")
    checkout = (packaged.parents[2] / "pyproject.toml").is_file()
    if lock.path.resolve() == packaged.resolve() and not checkout:
        return user_lock_path()
    return lock.path


def write_default(lock: LockFile, name: str) -> Path:
    """Make ``name`` the default set; comments and everything else stay as they are. Return the file written.

    Raises:
        LockFileError: The lock file's own text cannot be changed safely.
        FolderError: It cannot be written.
    """
    text = lock.path.read_text(encoding="utf-8")
    changed, count = _DEFAULT.subn(f'default = "{name}"', text, count=1)
    if count != 1:
        raise LockFileError("the lock file has no plain default line", where=str(lock.path))
    place = writable_lock_path(lock)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{place.name}-", dir=place.parent)
    except OSError as error:
        raise FolderError(f"{place} cannot be written", why=error.strerror) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(changed)
            file.flush()
            os.fsync(file.fileno())
        Path(part).chmod(0o644)
        if read_lock(Path(part)).default != name:
            raise LockFileError("the changed lock file would not read back", where=str(lock.path))
        Path(part).replace(place)
    except OSError as error:
        raise FolderError(f"{place} cannot be written", why=error.strerror) from error
    finally:
        Path(part).unlink(missing_ok=True)
    return place
