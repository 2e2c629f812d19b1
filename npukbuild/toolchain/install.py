"""Make the pinned environment: exact wheels, by uv, complete or not there."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.errors import BusyError, DiskFullError, FolderError, InstallError, ToolchainMissingError
from npukbuild.toolchain.discovery import locate_mlir_aie, locate_peano, probe_aiecc
from npukbuild.toolchain.marker import MARKER_NAME, Marker, environment_folder, manifest_of, read_marker
from npukbuild.toolchain.paths import toolchains_folder, wheelhouse_folder
from npukbuild.toolchain.platforms import HostPlatform, host_platform
from npukbuild.toolchain.uv import find_python, run_uv
from npukbuild.toolchain.wheelhouse import check_space, fill_wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from npukbuild.toolchain.download import Patience
    from npukbuild.toolchain.lock import LockFile, Package, ToolchainSet

_TEMPORARY = ".new-"
_LOCK_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An environment: where it is, what it is, and whether this call made it."""

    folder: Path
    marker: Marker
    fresh: bool


@dataclass(frozen=True, kw_only=True)
class SetStatus:
    """A set of the lock file on this machine.

    Attributes:
        state: ``installed``, ``missing``, ``damaged``, or why it cannot be installed here.
    """

    chosen: ToolchainSet
    folder: Path
    state: str
    marker: Marker | None
    is_default: bool
    wheels_present: int
    wheels: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "set": self.chosen.name,
            "default": self.is_default,
            "state": self.state,
            "summary": self.chosen.summary,
            "python": self.chosen.python,
            "mlir_aie": self.chosen.version_of("mlir_aie"),
            "llvm_aie": self.chosen.version_of("llvm_aie"),
            "folder": str(self.folder),
            "wheels": {"present": self.wheels_present, "needed": self.wheels},
        }


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


def install(
    chosen: ToolchainSet,
    lock: LockFile,
    *,
    wheelhouse: Path | None = None,
    offline: bool = False,
    python: Path | None = None,
    may_download_python: bool = False,
    patience: Patience | None = None,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Installed:
    """Install ``chosen`` for this user, or return the environment that is already there.

    The environment is built under another name and renamed as its last step, after its marker was written:
    a killed install leaves nothing that looks installed, and the next one clears what it left.

    Args:
        chosen: The set.
        lock: The lock file that it is from.
        wheelhouse: A folder with wheels to use before any download.
        offline: Never use the network.
        python: The interpreter to use.
        may_download_python: Let uv fetch an interpreter.
        patience: How hard to try a download.
        say: Told in words what happens.
        progress: Told name, bytes so far and bytes in all of a download.

    Raises:
        InstallError: With its own message for each: platform, glibc, Python, network, hash, a file that is
            gone, wheels that do not run.
        DiskFullError: There is no room.
        BusyError: Another install of the same set has run for an hour.
    """
    host = host_platform()
    check_platform(chosen, lock, host)
    folder = environment_folder(chosen, host.name)
    already = _finished(folder, chosen, host)
    if already is not None:
        return Installed(folder=folder, marker=already, fresh=False)
    with _exclusive(folder):
        already = _finished(folder, chosen, host)
        if already is not None:
            return Installed(folder=folder, marker=already, fresh=False)
        _clear_leftovers(folder)
        temporary = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{folder.name}-", dir=folder.parent))
        try:
            marker = _build(
                chosen,
                host,
                temporary,
                lock=lock,
                wheelhouse=wheelhouse,
                offline=offline,
                python=python,
                may_download_python=may_download_python,
                patience=patience,
                say=say,
                progress=progress,
            )
            _publish(temporary / "env", folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Installed(folder=folder, marker=marker, fresh=True)


def _finished(folder: Path, chosen: ToolchainSet, host: HostPlatform) -> Marker | None:
    marker = read_marker(folder)
    return marker if marker is not None and marker.identity == chosen.identity(host.name) else None


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock", timeout=_LOCK_SECONDS)
        with lock:
            yield
    except Timeout:
        raise BusyError("another install of this set is running", where=str(folder)) from None
    except PermissionError as error:
        raise FolderError("the toolchain's folder cannot be written", where=str(folder.parent)) from error


def _clear_leftovers(folder: Path) -> None:
    """Remove what killed installs of this set left; the lock is held, so none is running."""
    for leftover in folder.parent.glob(f"{_TEMPORARY}{folder.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if folder.exists():
        shutil.rmtree(folder)


def _build(
    chosen: ToolchainSet,
    host: HostPlatform,
    temporary: Path,
    *,
    lock: LockFile,
    wheelhouse: Path | None,
    offline: bool,
    python: Path | None,
    may_download_python: bool,
    patience: Patience | None,
    say: Callable[[str], None],
    progress: Callable[[str, int, int | None], None] | None,
) -> Marker:
    interpreter = find_python(
        chosen.python, cwd=temporary, wanted=python, may_download=may_download_python and not offline
    )
    facts = chosen.platforms[host.name]
    check_space(temporary, (), extra=facts.installed_bytes)
    say(f"Python {chosen.python}: {interpreter}")
    filled = fill_wheelhouse(
        chosen,
        wheelhouse_folder(),
        platform=host.name,
        sources=[wheelhouse] if wheelhouse is not None else [],
        offline=offline,
        patience=patience,
        progress=progress,
    )
    got = len(filled.copied) + len(filled.downloaded)
    say(f"{len(filled.present)} wheels were in the wheelhouse, {got} are new: {filled.folder}")
    env = temporary / "env"
    _make_venv(env, interpreter, temporary)
    say("installing")
    _install_wheels(env, chosen.packages_for(host.name), filled.folder, temporary)
    marker = _examine(env, chosen, host, lock)
    with (env / MARKER_NAME).open("w", encoding="utf-8") as file:
        file.write(marker.to_json())
        file.flush()
        os.fsync(file.fileno())
    return marker


def _make_venv(env: Path, interpreter: Path, cwd: Path) -> None:
    arguments = ["venv", "--no-config", "--no-project", "--relocatable", "--no-python-downloads"]
    made = run_uv([*arguments, "--offline", "--python", str(interpreter), str(env)], cwd=cwd)
    if made.returncode != 0:
        raise InstallError(
            "the environment cannot be made",
            where=str(interpreter),
            details=made.last_words,
            why="uv venv failed",
        )


def _install_wheels(env: Path, packages: Sequence[Package], wheelhouse: Path, cwd: Path) -> None:
    """Install exactly these files: no resolver, no index, every hash checked once more by uv."""
    requirements = cwd / "requirements.txt"
    lines = [
        f"{p.name} @ {(wheelhouse / p.filename).absolute().as_uri()} --hash=sha256:{p.sha256}\n"
        for p in packages
    ]
    requirements.write_text("".join(lines), encoding="utf-8")
    arguments = ["pip", "install", "--no-config", "--offline", "--no-index", "--no-deps", "--require-hashes"]
    arguments += ["--python", str(env / "bin" / "python"), "--requirement", str(requirements)]
    done = run_uv([*arguments, "--link-mode", "hardlink"], cwd=cwd)
    if done.returncode == 0:
        return
    said = "\n".join(done.last_words)
    if "No space left" in said:
        raise DiskFullError("no space left while installing the wheels", where=str(env.parent.parent))
    raise InstallError(
        "the pinned wheels cannot be installed",
        where=str(wheelhouse),
        why="uv pip install failed",
        details=done.last_words,
        hint="npukbuild toolchain mirror DIR checks every wheel again",
    )


def _examine(env: Path, chosen: ToolchainSet, host: HostPlatform, lock: LockFile) -> Marker:
    """Take the path of a build through the new environment, and describe it."""
    site = env / "lib" / f"python{chosen.python}" / "site-packages"
    backport = site / "dataclasses.py"
    if backport.exists():
        raise InstallError(
            "the set contains the dataclasses backport",
            where=str(backport),
            why="it shadows the standard library as soon as site-packages comes first on the path",
        )
    peano_version = chosen.version_of("llvm_aie") or "unknown"
    lock.refuse_bad_peano(peano_version, where=f"set {chosen.name}")
    try:
        root = locate_mlir_aie(site / "mlir_aie", "the set")
        locate_peano(site / "llvm-aie", "the set")
        native = root / "bin" / "aiecc"
        script = env / "bin" / "aiecc.py"
        aiecc = native if native.is_file() else script if script.is_file() else root / "bin" / "aiecc.py"
        generation, _ = probe_aiecc(aiecc, env / "bin" / "python", root)
    except ToolchainMissingError as error:
        raise InstallError(
            "the installed wheels do not work here", where=error.where, why=f"{error.what}: {error.why}"
        ) from error
    if generation != chosen.generation:
        raise InstallError(
            "aiecc is not what the lock file says",
            where=str(aiecc),
            why=f"it behaves as the {generation} generation, set {chosen.name} says {chosen.generation}",
        )
    return Marker(
        set_name=chosen.name,
        identity=chosen.identity(host.name),
        manifest=manifest_of(env),
        site_packages=site.relative_to(env).as_posix(),
        python_version=chosen.python,
        generation=generation,
        mlir_aie_version=chosen.version_of("mlir_aie") or "unknown",
        peano_version=peano_version,
    )


def _publish(env: Path, folder: Path) -> None:
    try:
        env.replace(folder)
        handle = os.open(folder.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise FolderError(
            "the environment cannot be put in place", where=str(folder), why=error.strerror
        ) from error


def status(lock: LockFile, *, thorough: bool = False) -> list[SetStatus]:
    """Return every set of the lock file with its state on this machine.

    Args:
        lock: The lock file.
        thorough: Hash every installed file and compare with the marker.
    """
    host = host_platform()
    return [_status_of(chosen, lock, host, thorough=thorough) for chosen in lock.sets.values()]


def _status_of(chosen: ToolchainSet, lock: LockFile, host: HostPlatform, *, thorough: bool) -> SetStatus:
    folder = environment_folder(chosen, host.name)
    marker = _finished(folder, chosen, host)
    packages = chosen.packages_for(host.name)
    try:
        check_platform(chosen, lock, host)
        state = "installed" if marker else "missing"
    except InstallError as error:
        state = (
            f"not for this machine: {error.why or error.what}"
            if not chosen.incomplete
            else f"incomplete: {error.why}"
        )
    if marker is not None and thorough and manifest_of(folder) != marker.manifest:
        state = "damaged"
    return SetStatus(
        chosen=chosen,
        folder=folder,
        state=state,
        marker=marker,
        is_default=chosen.name == lock.default,
        wheels_present=sum((wheelhouse_folder() / p.filename).is_file() for p in packages),
        wheels=len(packages),
    )


def remove(name: str) -> list[Path]:
    """Remove every environment of set ``name``, also those of older lock files; the wheelhouse stays.

    Raises:
        ToolchainMissingError: None is installed.
        FolderError: One cannot be removed.
    """
    gone = []
    base = toolchains_folder()
    for folder in sorted(base.glob(f"{name}-*")) if base.is_dir() else []:
        if folder.name[:-17] != name or not folder.is_dir():
            continue
        with _exclusive(folder):
            # Renamed first: half a removal must not look like an environment.
            doomed = folder.with_name(f"{_TEMPORARY}{folder.name}-removed-{os.getpid()}")
            try:
                folder.replace(doomed)
                shutil.rmtree(doomed)
            except OSError as error:
                raise FolderError(
                    "the environment cannot be removed", where=str(folder), why=error.strerror
                ) from error
        gone.append(folder)
    if not gone:
        raise ToolchainMissingError(f"no environment of set {name!r} is installed", where=str(base))
    return gone
