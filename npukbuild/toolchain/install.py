"""Make the pinned environment: exact wheels, by uv, complete or not there."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.errors import DiskFullError, FolderError, InstallError, ToolchainMissingError
from npukbuild.toolchain.installed import TEMPORARY, exclusive
from npukbuild.toolchain.locate import locate_mlir_aie, locate_peano
from npukbuild.toolchain.marker import (
    MARKER_NAME,
    Marker,
    environment_folder,
    finished_marker,
    manifest_of,
)
from npukbuild.toolchain.paths import wheelhouse_folder
from npukbuild.toolchain.platforms import HostPlatform, check_platform, host_platform
from npukbuild.toolchain.probe import probe_aiecc
from npukbuild.toolchain.uv import find_python, run_uv
from npukbuild.toolchain.wheelhouse import check_space, fill_wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from npukbuild.toolchain.download import Patience
    from npukbuild.toolchain.lock import LockFile, Package, ToolchainSet


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An environment: where it is, what it is, and whether this call made it."""

    folder: Path
    marker: Marker
    fresh: bool


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
    make = functools.partial(
        _make,
        chosen,
        host,
        lock=lock,
        wheelhouse=wheelhouse,
        offline=offline,
        python=python,
        may_download_python=may_download_python,
        patience=patience,
        say=say,
        progress=progress,
    )
    marker = finished_marker(folder, chosen, host.name)
    if marker is not None:
        return Installed(folder=folder, marker=marker, fresh=False)
    with exclusive(folder):
        marker = finished_marker(folder, chosen, host.name)
        if marker is not None:
            return Installed(folder=folder, marker=marker, fresh=False)
        return Installed(folder=folder, marker=_put_in_place(folder, make), fresh=True)


def _put_in_place(folder: Path, make: Callable[[Path], Marker]) -> Marker:
    """Let ``make`` build beside ``folder``, and rename what it built; nothing else of it stays."""
    _clear_leftovers(folder)
    temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{folder.name}-", dir=folder.parent))
    try:
        marker = make(temporary)
        _publish(temporary / "env", folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return marker


def _clear_leftovers(folder: Path) -> None:
    """Remove what killed installs of this set left; the lock is held, so none is running."""
    for leftover in folder.parent.glob(f"{TEMPORARY}{folder.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if folder.exists():
        shutil.rmtree(folder)


def _make(
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
