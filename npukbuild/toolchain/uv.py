"""Call uv: find it, run it, and give its refusals our words."""

from __future__ import annotations

import os
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from npukbuild.errors import InstallError
from npukbuild.toolchain.environment import SYSTEM_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from npukbuild.toolchain.lock import Package

# What uv may take from the user's environment: where the package index is and how to reach it.
_NETWORK_PREFIXES = (
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX",
    "UV_FIND_LINKS",
    "UV_NATIVE_TLS",
    "UV_KEYRING",
)
_NETWORK_NAMES = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NETRC",
    "UV_CONFIG_FILE",
    "UV_HTTP_RETRIES",
    "UV_HTTP_TIMEOUT",
    "UV_INSECURE_HOST",
    "UV_SYSTEM_CERTS",
    "XDG_CONFIG_HOME",
)
_TIMEOUT = 1800.0


@dataclass(frozen=True, kw_only=True)
class UvResult:
    """How a uv call ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def last_words(self) -> list[str]:
        """The last lines of what it said."""
        return [line for line in self.stderr.splitlines() if line.strip()][-6:]


def find_uv() -> Path:
    """Return uv's program, from its own package or from ``PATH``.

    Raises:
        InstallError: It is not installed.
    """
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        import shutil

        found = shutil.which("uv")
        if found:
            return Path(found).absolute()
    raise InstallError("uv is not installed", hint="python -m pip install uv")


def run_uv(
    arguments: Sequence[str], *, cwd: Path, network: bool = False, stdin: str | None = None
) -> UvResult:
    """Run uv in ``cwd`` and return its answer.

    Args:
        arguments: Its command line.
        cwd: A folder without project files; ``HOME`` and uv's cache stay below it unless ``network``.
        network: Whether the user's index settings and proxies apply.
        stdin: What it reads.

    Raises:
        InstallError: It does not end.
    """
    environment = {
        "PATH": os.pathsep.join([*SYSTEM_PATH, *os.environ.get("PATH", "").split(os.pathsep)]),
        "HOME": os.environ.get("HOME", str(cwd)),
        "UV_CACHE_DIR": str(cwd / "uv-cache"),
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_INSTALL_DIR": os.environ.get("UV_PYTHON_INSTALL_DIR", str(cwd / "uv-python")),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
    }
    if network:
        environment.update(_network_settings(os.environ))
    if "UV_PYTHON_INSTALL_DIR" not in os.environ:
        del environment["UV_PYTHON_INSTALL_DIR"]
    try:
        ended = subprocess.run(
            [str(find_uv()), *arguments],
            cwd=cwd,
            env=environment,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"uv {arguments[0]} did not end within {_TIMEOUT:.0f} s") from None
    return UvResult(returncode=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)


def _network_settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(_NETWORK_PREFIXES) or name.upper() in _NETWORK_NAMES
    }


def find_python(version: str, *, cwd: Path, wanted: Path | None = None, may_download: bool = False) -> Path:
    """Return an interpreter of ``version`` (``major.minor``).

    Args:
        version: Like ``3.11``.
        cwd: A scratch folder.
        wanted: Use this one; it is checked.
        may_download: Let uv fetch one when the machine has none.

    Raises:
        InstallError: There is none, or ``wanted`` is another version.
    """
    if wanted is not None:
        return _check_python(wanted, version)
    downloads = ["--python-preference", "system", "--no-python-downloads"]
    found = run_uv(["python", "find", *downloads, "--no-config", "--no-project", version], cwd=cwd)
    if found.returncode == 0 and found.stdout.strip():
        return Path(found.stdout.strip())
    if may_download:
        fetched = run_uv(["python", "install", "--no-config", version], cwd=cwd, network=True)
        managed = run_uv(
            ["python", "find", "--no-config", "--no-project", "--managed-python", version], cwd=cwd
        )
        if managed.returncode == 0 and managed.stdout.strip():
            return Path(managed.stdout.strip())
        raise InstallError(
            f"Python {version} could not be downloaded",
            details=fetched.last_words or managed.last_words,
            hint=f"install Python {version} by hand and give --python PATH",
        )
    raise InstallError(
        f"there is no Python {version} on this machine",
        why="the pinned wheels are built for it; uv says: "
        + (" ".join(found.last_words[-1:]) or "nothing found"),
        hint=f"install python{version} (with its venv), give --python PATH, or allow uv to fetch one with "
        "--download-python",
    )


def _check_python(python: Path, version: str) -> Path:
    try:
        answer = subprocess.run(
            [str(python), "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError("this Python does not run", where=str(python), why=str(error)) from None
    if answer.stdout.strip() != version:
        raise InstallError(
            f"this is not Python {version}",
            where=str(python),
            why=f"it says {answer.stdout.strip() or answer.stderr.strip()[-200:] or 'nothing'}",
            hint=f"give a Python {version} with --python PATH",
        )
    return python.absolute()


def index_addresses(packages: Sequence[Package], *, python: str, cwd: Path) -> dict[str, str]:
    """Return the address of each wheel, by filename, as the user's package index gives it.

    uv is asked for a lock of exactly these versions without dependencies; nothing is resolved. Which index
    that is, is the user's uv configuration.

    Raises:
        InstallError: The index cannot be reached, or lacks one of the wheels.
    """
    wanted = "".join(f"{package.name}=={package.version}\n" for package in packages)
    arguments = ["pip", "compile", "-", "--no-deps", "--no-header", "--only-binary", ":all:"]
    arguments += ["--format", "pylock.toml", "--python-version", python, "--no-python-downloads"]
    answer = run_uv(
        [*arguments, "--python-platform", "x86_64-manylinux_2_35"], cwd=cwd, network=True, stdin=wanted
    )
    if answer.returncode != 0:
        raise InstallError(
            "the package index does not give the pinned wheels",
            why="it cannot be reached, or a version was removed",
            details=answer.last_words,
            hint="check the network and uv's index (UV_DEFAULT_INDEX), or use --wheelhouse DIR",
        )
    addresses = {}
    for entry in tomllib.loads(answer.stdout).get("packages", []):
        for wheel in entry.get("wheels", []):
            url = wheel.get("url") or Path(wheel["path"]).absolute().as_uri()
            addresses[unquote(urlsplit(url).path.rpartition("/")[2])] = url
    absent = [package.filename for package in packages if package.filename not in addresses]
    if absent:
        raise InstallError(
            "the package index lacks pinned wheels",
            details=absent,
            hint="use another index (UV_DEFAULT_INDEX), or --wheelhouse DIR",
        )
    return addresses
