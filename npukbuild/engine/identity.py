"""What an action is made with, by content: parts of npukbuild, Python packages, programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.engine.action import Tool
from npukbuild.engine.digest import ABSENT, digest_bytes
from npukbuild.engine.key import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from npukbuild.engine.digest import FileDigests

PACKAGE = Path(__file__).resolve().parents[1]

_SKIPPED = ("__pycache__",)
_SKIPPED_SUFFIXES = (".pyc", ".pyo", ".so", ".md")


def listing(folder: str) -> str:
    """Return the digest of the names in a folder, without what Python's cache and editors leave there."""
    return digest_bytes("\0".join(sorted(name for name in os.listdir(folder) if counts(name))).encode())


def counts(name: str) -> bool:
    """Say whether a file's or folder's name is part of npukbuild's content."""
    return not name.startswith(".") and name not in _SKIPPED and not name.endswith((*_SKIPPED_SUFFIXES, "~"))


class Identities:
    """Makes tools, each once.

    Args:
        digests: Digests of files.
    """

    def __init__(self, digests: FileDigests) -> None:
        self._digests = digests
        self._parts: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
        self._known: dict[tuple[str, ...], Tool] = {}

    def code(self, name: str, rooms: Sequence[str], packages: Sequence[str] = ()) -> Tool:
        """Return a tool made of rooms of npukbuild and of Python packages.

        Args:
            name: The tool's name.
            rooms: Paths below the package: ``planner``, ``render.py``, ``simulator``.
            packages: Distribution names, by version.
        """
        asked = (name, *rooms, "|", *packages)
        if asked in self._known:
            return self._known[asked]
        files: dict[str, str] = {}
        folders: dict[str, str] = {}
        for room in rooms:
            own_files, own_folders = self._room(room)
            files.update(own_files)
            folders.update(own_folders)
        content = {os.path.relpath(path, PACKAGE): digest for path, digest in files.items()}
        versions: dict[str, str] = {}
        for package in packages:
            version, metadata = installed(package)
            versions[package] = version
            if metadata:
                files[metadata] = self._digests.file(metadata)
        identity = key_of({"code": content, "packages": versions, "python": list(sys.version_info[:2])})
        from npukbuild import __version__

        tool = Tool(name, identity, __version__, files, folders)
        self._known[asked] = tool
        return tool

    def _room(self, room: str) -> tuple[dict[str, str], dict[str, str]]:
        known = self._parts.get(room)
        if known is not None:
            return known
        place = PACKAGE / room
        files: dict[str, str] = {}
        folders: dict[str, str] = {}
        if place.is_file():
            files[str(place)] = self._digests.file(place)
        elif place.is_dir():
            for top, inner, names in os.walk(place):
                # Headers for kernels are inputs of the compilation that reads them.
                inner[:] = sorted(name for name in inner if counts(name) and name != "include")
                folders[top] = listing(top)
                for name in sorted(names):
                    if counts(name):
                        path = os.path.join(top, name)
                        files[path] = self._digests.file(path)
        self._parts[room] = (files, folders)
        return files, folders

    def program(self, name: str, path: str, *, parts: Iterable[str] = (), version: str | None = None) -> Tool:
        """Return a tool for a program on this machine.

        Args:
            name: The tool's name.
            path: The program.
            parts: Further files that do its work: a driver's compiler, assembler and linker.
            version: What it says of itself; None asks it.
        """
        files: dict[str, str] = {}
        for part in (path, *parts):
            real = os.path.realpath(part)
            files[real] = self._digests.file(real)
        said = program_version(path) if version is None else version
        identity = key_of({"program": sorted(files.values())})
        return Tool(name, identity, said, files, {}, absent=searched_before(path))


def searched_before(path: str) -> tuple[str, ...]:
    """Return the places on ``PATH`` where a program of this name would have been found first."""
    name = os.path.basename(path)
    passed: list[str] = []
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        candidate = os.path.join(folder or ".", name)
        if os.path.abspath(candidate) == os.path.abspath(path):
            return tuple(passed)
        if not os.path.exists(candidate):
            passed.append(os.path.abspath(candidate))
    return ()


def program_version(path: str) -> str:
    """Return the first number in what ``path --version`` says, or nothing."""
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False, errors="replace"
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\d+(?:\.\d+)+", said)
    return found.group(0) if found else ""


def compiler_parts(path: str) -> tuple[str, ...]:
    """Return the programs that a GCC-like driver calls, as it names them; nothing for others."""
    parts = []
    for name in ("cc1plus", "as", "ld"):
        try:
            said = subprocess.run(
                [path, f"-print-prog-name={name}"], capture_output=True, text=True, timeout=10, check=False
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return ()
        found = shutil.which(said)
        if found:
            parts.append(found)
    return tuple(parts)


def installed(package: str) -> tuple[str, str | None]:
    """Return a distribution's version and its METADATA file; found by name, without importing anything."""
    wanted = re.sub(r"[-_.]+", "_", package).lower()
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            stem, _, version = name.removesuffix(".dist-info").partition("-")
            if name.endswith(".dist-info") and re.sub(r"[-_.]+", "_", stem).lower() == wanted:
                metadata = os.path.join(folder, name, "METADATA")
                return version, metadata if os.path.isfile(metadata) else None
    return ABSENT, None
