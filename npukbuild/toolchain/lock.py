"""Read ``toolchain.lock``: which wheels, byte for byte, make a build environment."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.errors import InstallError, LockFileError
from npukbuild.toolchain.paths import data_home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA = 1
LOCK_VARIABLE = "NPUKBUILD_TOOLCHAIN_LOCK"
SET_VARIABLE = "NPUKBUILD_TOOLCHAIN_SET"
GENERATIONS = ("python", "cpp", "declarative")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PACKAGE_KEYS = {
    "name": str,
    "version": str,
    "platform": str,
    "filename": str,
    "url": str,
    "sha256": str,
    "size": int,
    "about_bytes": int,
    "perishable": bool,
    "source": str,
    "same_as": str,
    "names": list,
}


@dataclass(frozen=True, kw_only=True)
class Package:
    """One wheel of a set.

    Attributes:
        url: Its address on a release page; ``None`` for a wheel that comes from the package index in use.
        size: Exact size in bytes, if known. ``about_bytes`` is a rough one, for the disk check only.
        platform: ``linux-x86_64`` and the like, or ``any``.
        perishable: Upstream deletes files of that page after a while.
    """

    name: str
    version: str
    filename: str
    sha256: str | None
    url: str | None = None
    size: int | None = None
    about_bytes: int = 0
    platform: str = "any"
    perishable: bool = False
    source: str = ""

    @property
    def kind(self) -> str:
        """``release`` when the lock file knows the address, ``index`` when the package index does."""
        return "release" if self.url else "index"

    @property
    def expected_bytes(self) -> int:
        """Bytes to make room for: the exact size if known, else the rough one."""
        return self.size if self.size is not None else self.about_bytes


@dataclass(frozen=True, kw_only=True)
class PlatformFacts:
    """What one platform needs: the oldest glibc, and the installed size in bytes."""

    glibc: tuple[int, int] | None
    installed_bytes: int


@dataclass(frozen=True, kw_only=True)
class BadPeano:
    """A Peano build known to miscompile, named by its commit and perhaps its version."""

    commit: str
    reason: str
    source: str
    version: str | None = None

    def matches(self, text: str) -> bool:
        """Say whether ``text`` (a version or a ``--version`` banner) names this build."""
        return self.commit in text or (self.version is not None and self.version in text)


@dataclass(frozen=True, kw_only=True)
class ToolchainSet:
    """One named set of wheels.

    Attributes:
        python: The interpreter's ``major.minor`` that the wheels are built for.
        generation: The aiecc generation expected inside: ``python``, ``cpp`` or ``declarative``.
        incomplete: Why the set cannot be installed, or ``None``.
    """

    name: str
    python: str
    generation: str
    summary: str
    source: str
    platforms: Mapping[str, PlatformFacts]
    packages: tuple[Package, ...]
    incomplete: str | None = None

    def packages_for(self, platform: str) -> tuple[Package, ...]:
        """Return the wheels of one platform, in the lock file's order."""
        return tuple(p for p in self.packages if p.platform in (platform, "any"))

    def version_of(self, name: str) -> str | None:
        """Return the pinned version of package ``name``."""
        return next((p.version for p in self.packages if p.name == name), None)

    def identity(self, platform: str) -> str:
        """Return the sha256 (hex) of everything that decides the installed bytes on ``platform``."""
        content = {
            "python": self.python,
            "platform": platform,
            "wheels": sorted([p.name, p.version, p.filename, p.sha256] for p in self.packages_for(platform)),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class LockFile:
    """A whole lock file: its sets by name, which is the default, and the Peano builds to refuse."""

    path: Path
    default: str
    sets: Mapping[str, ToolchainSet]
    bad_peano: tuple[BadPeano, ...] = field(default=())

    def choose(self, name: str | None) -> ToolchainSet:
        """Return set ``name``, or the default.

        Raises:
            InstallError: The name is unknown, the set is incomplete, or it pins a Peano known to be bad.
        """
        wanted = name or os.environ.get(SET_VARIABLE) or self.default
        if wanted not in self.sets:
            raise InstallError(
                f"there is no toolchain set {wanted!r}",
                where=str(self.path),
                why="the lock file has " + ", ".join(self.sets),
                hint="npukbuild toolchain list",
            )
        return self.sets[wanted]

    def refuse_bad_peano(self, text: str, *, where: str) -> None:
        """Raise when ``text`` names a Peano build that miscompiles.

        Raises:
            InstallError: It does; the message has the reason and its source.
        """
        for bad in self.bad_peano:
            if bad.matches(text):
                raise InstallError(
                    f"this Peano build is known to be bad: {bad.version or bad.commit}",
                    where=where,
                    why=f"{bad.reason} ({bad.source})",
                    hint=f"use the pinned pair: npukbuild toolchain install --set {self.default}",
                )


def default_lock_path() -> Path:
    """Return the lock file in use: ``NPUKBUILD_TOOLCHAIN_LOCK``, the user's own, or the package's."""
    chosen = os.environ.get(LOCK_VARIABLE)
    if chosen:
        return Path(chosen)
    own = user_lock_path()
    return own if own.is_file() else Path(__file__).with_name("toolchain.lock")


def user_lock_path() -> Path:
    """Return where a user's own lock file is, if there is one."""
    return data_home() / "toolchain.lock"


def read_lock(path: Path | None = None) -> LockFile:
    """Read and check a lock file.

    Raises:
        LockFileError: It cannot be read or is wrong; all its mistakes are in ``details``.
    """
    path = path or default_lock_path()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LockFileError(
            "the toolchain lock file cannot be read", where=str(path), why=str(error)
        ) from None
    mistakes: list[str] = []
    if data.get("schema") != SCHEMA:
        mistakes.append(f"schema is {data.get('schema')!r}, this npukbuild reads {SCHEMA}")
    raw_sets = data.get("sets")
    if not isinstance(raw_sets, dict) or not raw_sets:
        mistakes.append("[sets] is missing or empty")
        raw_sets = {}
    sets = {name: _read_set(name, raw, raw_sets, mistakes) for name, raw in raw_sets.items()}
    default = data.get("default")
    if default not in sets:
        mistakes.append(f"default is {default!r}, which is not one of its sets")
    bad = _read_bad(data.get("bad_peano", []), mistakes)
    if mistakes:
        raise LockFileError("the toolchain lock file is wrong", where=str(path), details=mistakes)
    return LockFile(path=path, default=str(default), sets=sets, bad_peano=bad)


def _read_bad(raw: Any, mistakes: list[str]) -> tuple[BadPeano, ...]:
    found = []
    for number, entry in enumerate(raw if isinstance(raw, list) else [], start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("commit"), str) or not entry["commit"]:
            mistakes.append(f"bad_peano number {number} needs a commit")
            continue
        found.append(
            BadPeano(
                commit=entry["commit"],
                version=entry.get("version"),
                reason=str(entry.get("reason", "known to be bad")),
                source=str(entry.get("source", "")),
            )
        )
    return tuple(found)


def _read_set(name: str, raw: Any, raw_sets: Mapping[str, Any], mistakes: list[str]) -> ToolchainSet:
    place = f"sets.{name}"
    if not isinstance(raw, dict):
        mistakes.append(f"{place} is not a table")
        raw = {}
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", name):
        mistakes.append(f"{place}: the name may have letters, digits, dots and hyphens only")
    python = raw.get("python")
    if not isinstance(python, str) or not re.fullmatch(r"3\.\d+", python):
        mistakes.append(f'{place}.python is {python!r}, it should be like "3.11"')
    if raw.get("generation") not in GENERATIONS:
        mistakes.append(
            f"{place}.generation is {raw.get('generation')!r}, it should be one of {', '.join(GENERATIONS)}"
        )
    incomplete = raw.get("incomplete")
    packages: list[Package] = []
    for number, entry in enumerate(_expand(raw.get("packages", []), raw_sets, place, mistakes), start=1):
        package = _read_package(f"{place}.packages[{number}]", entry, bool(incomplete), mistakes)
        if package:
            packages.append(package)
    if not packages:
        mistakes.append(f"{place} has no packages")
    _check_twice(place, packages, mistakes)
    return ToolchainSet(
        name=name,
        python=str(python),
        generation=str(raw.get("generation")),
        summary=str(raw.get("summary", "")),
        source=str(raw.get("source", "")),
        platforms=_read_platforms(place, raw.get("platforms"), mistakes),
        packages=tuple(packages),
        incomplete=str(incomplete) if incomplete else None,
    )


def _check_twice(place: str, packages: Sequence[Package], mistakes: list[str]) -> None:
    seen: set[tuple[str, str]] = set()
    for package in packages:
        if (package.name, package.platform) in seen:
            mistakes.append(f"{place}: {package.name} for {package.platform} is there twice")
        seen.add((package.name, package.platform))


def _expand(
    raw: Any, raw_sets: Mapping[str, Any], place: str, mistakes: list[str], depth: int = 0
) -> list[Any]:
    """Replace every ``same_as`` entry by the packages of the set that it names."""
    if not isinstance(raw, list):
        mistakes.append(f"{place}.packages is not a list of tables")
        return []
    entries: list[Any] = []
    for entry in raw:
        if not isinstance(entry, dict) or "same_as" not in entry:
            entries.append(entry)
            continue
        other = raw_sets.get(entry["same_as"])
        if not isinstance(other, dict) or depth > len(raw_sets):
            mistakes.append(f"{place}: same_as names {entry['same_as']!r}, which is not another set")
            continue
        known = {
            e.get("name"): e
            for e in _expand(other.get("packages", []), raw_sets, place, mistakes, depth + 1)
            if isinstance(e, dict)
        }
        for name in entry.get("names", []):
            if name in known:
                entries.append(known[name])
            else:
                mistakes.append(f"{place}: set {entry['same_as']} has no package {name!r}")
    return entries


def _read_platforms(place: str, raw: Any, mistakes: list[str]) -> dict[str, PlatformFacts]:
    if not isinstance(raw, dict) or not raw:
        mistakes.append(f"{place}.platforms is missing or empty")
        return {}
    platforms = {}
    for name, facts in raw.items():
        glibc = None
        text = facts.get("glibc") if isinstance(facts, dict) else None
        if text is not None:
            match = re.fullmatch(r"(\d+)\.(\d+)", str(text))
            if match is None:
                mistakes.append(f'{place}.platforms.{name}.glibc is {text!r}, it should be like "2.35"')
            else:
                glibc = (int(match[1]), int(match[2]))
        size = facts.get("installed_bytes", 0) if isinstance(facts, dict) else 0
        if not isinstance(size, int) or size < 0:
            mistakes.append(f"{place}.platforms.{name}.installed_bytes is {size!r}")
            size = 0
        platforms[name] = PlatformFacts(glibc=glibc, installed_bytes=size)
    return platforms


def _read_package(place: str, entry: Any, incomplete: bool, mistakes: list[str]) -> Package | None:
    if not isinstance(entry, dict):
        mistakes.append(f"{place} is not a table")
        return None
    before = len(mistakes)
    for key, value in entry.items():
        if key not in _PACKAGE_KEYS:
            mistakes.append(f"{place}: unknown key {key!r}")
        elif not isinstance(value, _PACKAGE_KEYS[key]):
            mistakes.append(f"{place}.{key} is {value!r}, not a {_PACKAGE_KEYS[key].__name__}")
    mistakes.extend(
        f"{place}: {key} is missing" for key in ("name", "version", "filename") if not entry.get(key)
    )
    filename = str(entry.get("filename", ""))
    if "/" in filename or "\\" in filename or not filename.endswith(".whl"):
        mistakes.append(f"{place}: {filename!r} is not the name of a wheel")
    sha256 = entry.get("sha256")
    if sha256 is None and not incomplete:
        mistakes.append(f"{place}: sha256 is missing (only a set marked incomplete may lack one)")
    if isinstance(sha256, str) and not _SHA256.fullmatch(sha256):
        mistakes.append(f"{place}: sha256 is not 64 hexadecimal digits")
    if len(mistakes) > before:
        return None
    return Package(
        name=entry["name"],
        version=entry["version"],
        filename=filename,
        sha256=sha256,
        url=entry.get("url"),
        size=entry.get("size"),
        about_bytes=entry.get("about_bytes", 0),
        platform=entry.get("platform", "any"),
        perishable=entry.get("perishable", False),
        source=entry.get("source", ""),
    )
