"""Names for folders, so that no key depends on where a checkout, a user or a compiler lives."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TOKEN = re.compile(r"\{([A-Za-z][\w.:-]*)\}")


class Roots:
    """A two-way map between places on this machine and their names in keys: ``{include}/aie_api/aie.hpp``.

    Args:
        folders: Name -> folder or program of this machine.
    """

    def __init__(self, folders: Mapping[str, str | Path]) -> None:
        self._folders = {name: os.path.abspath(path) for name, path in folders.items()}
        # Tools report a folder as they were given it or with symbolic links resolved. The longest first: a
        # folder inside another has its own name.
        paths = {
            path: name
            for name, folder in self._folders.items()
            for path in (os.path.realpath(folder), folder)
        }
        self._by_path = sorted(paths.items(), key=lambda entry: (-len(entry[0]), entry[1]))

    def expand(self, text: str) -> str:
        """Replace every ``{name}`` in ``text`` by its place.

        Raises:
            KeyError: A name is not known here.
        """
        return _TOKEN.sub(lambda match: self._folders[match.group(1)], text)

    def name(self, path: str) -> str:
        """Return ``path`` by the name of the folder it is in, or as it is outside of all of them."""
        full = os.path.normpath(path)
        for folder, name in self._by_path:
            if full == folder:
                return f"{{{name}}}"
            if full.startswith(folder + os.sep):
                return f"{{{name}}}/{full[len(folder) + 1 :]}"
        return full

    def with_folders(self, folders: Mapping[str, str | Path]) -> Roots:
        """Return these roots and some more."""
        return Roots({**self._folders, **folders})
