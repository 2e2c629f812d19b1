"""The clean environment that every external tool is started in.

Why it is built from nothing rather than from ours: XRT's and Peano's set-up scripts export ``PYTHONPATH``,
and a ``site-packages`` on it puts the PyPI backport ``dataclasses`` 0.6 before the standard library, which
ends in ``module 'typing' has no attribute '_ClassVar'``; a ``bootgen`` or ``clang`` of another environment on
``PATH`` is picked up in place of the pinned one; user site-packages shadow pinned ones.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from npukbuild.errors import FolderError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SYSTEM_PATH = ("/usr/bin", "/bin")
_ISOLATE = "-I"


def clean_environment(
    work: Path,
    *,
    peano: Path | None = None,
    search: Sequence[Path] = (),
    virtual_env: Path | None = None,
) -> dict[str, str]:
    """Return the whole environment of a child process; nothing of ours is inherited.

    Args:
        work: The action's work folder: it serves as ``HOME`` and holds the temporary files.
        peano: The checked Peano folder, exported as ``PEANO_INSTALL_DIR``. It is never put on ``PATH``,
            where its clang would shadow the host's.
        search: Folders that come first on ``PATH``, in order.
        virtual_env: The environment's folder, exported as ``VIRTUAL_ENV``.
    """
    path = list(dict.fromkeys([*(str(folder) for folder in search), *SYSTEM_PATH]))
    environment = {
        "PATH": os.pathsep.join(path),
        "HOME": str(work),
        "TMPDIR": str(work),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": "0",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }
    if peano is not None:
        environment["PEANO_INSTALL_DIR"] = str(peano)
    if virtual_env is not None:
        environment["VIRTUAL_ENV"] = str(virtual_env)
    return environment


def isolated_python(python: Path, *arguments: str) -> list[str]:
    """Return a command line that runs ``python`` without ``PYTHON*`` variables and without user site."""
    return [str(python), _ISOLATE, *arguments]


def fresh_folder(folder: Path) -> Path:
    """Make ``folder`` for one action and return its absolute path; it must not hold anything yet.

    A fresh folder matters: the Python aiecc copies every ``*.elf`` of its working folder into the build.

    Raises:
        FolderError: It cannot be made, is not a folder, or is not empty.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FolderError(
                "the work folder is not empty", where=str(folder), hint="give each step its own folder"
            )
    except OSError as error:
        raise FolderError("the work folder cannot be made", where=str(folder), why=error.strerror) from error
    return folder
