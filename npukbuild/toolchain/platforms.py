"""What this machine is, in the words of wheel tags."""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
from dataclasses import dataclass


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
