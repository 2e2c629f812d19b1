"""What this machine is, in the words of wheel tags, and whether a set can work on it."""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.errors import InstallError

if TYPE_CHECKING:
    from npukbuild.toolchain.lock import LockFile, ToolchainSet


@dataclass(frozen=True, kw_only=True)
class HostPlatform:
    """The host: ``linux-x86_64`` and its glibc, or ``None`` where there is none (musl, Windows)."""

    name: str
    glibc: tuple[int, int] | None


@functools.cache
def host_platform() -> HostPlatform:
    """Return this machine's platform."""
    machine = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower())
    system = {"linux": "linux", "win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    glibc = None
    try:
        match = re.match(r"glibc (\d+)\.(\d+)", os.confstr("CS_GNU_LIBC_VERSION") or "")
        glibc = (int(match[1]), int(match[2])) if match else None
    except (AttributeError, ValueError, OSError):
        pass  # another C library, or another system
    return HostPlatform(name=f"{system}-{machine or platform.machine().lower()}", glibc=glibc)


def check_platform(chosen: ToolchainSet, lock: LockFile, host: HostPlatform) -> None:
    """Raise when the set cannot work on this machine.

    Raises:
        InstallError: The set is incomplete, has no wheels for the platform, needs a newer glibc, or pins a
            Peano known to be bad.
    """
    if chosen.incomplete:
        raise InstallError(
            f"set {chosen.name} cannot be installed",
            where=str(lock.path),
            why=chosen.incomplete,
            hint="npukbuild toolchain list shows the others",
        )
    facts = chosen.platforms.get(host.name)
    if facts is None:
        raise InstallError(
            f"set {chosen.name} has no wheels for {host.name}",
            why="it has them for " + ", ".join(chosen.platforms),
            hint="build on one of those machines; simulation works everywhere",
        )
    if facts.glibc is not None:
        needed = ".".join(map(str, facts.glibc))
        if host.glibc is None:
            raise InstallError(
                "this machine's C library is not glibc",
                why=f"the wheels need glibc {needed} or newer",
                hint="use a container of Ubuntu 22.04 or newer",
            )
        if host.glibc < facts.glibc:
            raise InstallError(
                f"this machine's glibc is too old: {'.'.join(map(str, host.glibc))}",
                why=f"the wheels need glibc {needed} or newer (Ubuntu 22.04, Debian 12)",
                hint="use a newer distribution or a container of one",
            )
    for package in chosen.packages:
        if package.name == "llvm_aie":
            lock.refuse_bad_peano(package.version, where=f"{lock.path}, set {chosen.name}")
