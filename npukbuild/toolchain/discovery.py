"""Find the toolchain to build with: a pinned environment, or an existing install that the user names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npukbuild.errors import ToolchainMissingError
from npukbuild.toolchain.environment import clean_environment, isolated_python
from npukbuild.toolchain.identity import identity_of
from npukbuild.toolchain.locate import (
    PEANO_VARIABLE,
    aiecc_of,
    find_python,
    find_xclbinutil,
    locate_mlir_aie,
    locate_peano,
    locate_peano_beside,
)
from npukbuild.toolchain.lock import LockFile, read_lock
from npukbuild.toolchain.marker import Marker, environment_folder, finished_marker
from npukbuild.toolchain.platforms import host_platform
from npukbuild.toolchain.probe import probe_aiecc, read_peano_version
from npukbuild.toolchain.process import hash_file

MLIR_AIE_VARIABLE = "NPUKBUILD_MLIR_AIE"


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """A checked toolchain: every path is absolute and exists.

    Attributes:
        origin: How it was found: ``set 1.4.2``, ``--mlir-aie`` or the variable's name.
        generation: How its aiecc behaves: ``python``, ``cpp`` or ``declarative``.
        identity: sha256 (hex) by content: of the lock set for a pinned environment, of the tools' and
            headers' bytes for an existing install. Never a path or a date.
        python: The interpreter of its environment, if it has one; the Python aiecc needs it.
        xclbinutil: The packer that aiecc will find, or ``None`` when none was seen.
    """

    origin: str
    mlir_aie: Path
    aiecc: Path
    peano: Path
    generation: str
    mlir_aie_version: str
    peano_version: str
    identity: str
    python: Path | None = None
    xclbinutil: Path | None = None

    @property
    def clang(self) -> Path:
        """Peano's C++ compiler."""
        return self.peano / "bin" / "clang++"

    @property
    def include(self) -> Path:
        """The folder that holds ``aie_api/aie.hpp``."""
        return self.mlir_aie / "include"

    def aiecc_command(self, *arguments: str) -> list[str]:
        """Return the command line of aiecc: a Python script is run isolated, by its own interpreter."""
        if self.generation == "python":
            if self.python is None:
                raise ToolchainMissingError(
                    "this aiecc is a Python program, and no interpreter was found beside it",
                    where=str(self.aiecc),
                    hint="point --mlir-aie at site-packages/mlir_aie of a virtual environment",
                )
            return isolated_python(self.python, str(self.aiecc), *arguments)
        return [str(self.aiecc), *arguments]

    def environment(self, work: Path) -> dict[str, str]:
        """Return the clean environment of one action in ``work``."""
        # Own folders first: beside an xclbinutil there may be a bootgen of another release.
        own = self.mlir_aie / "bin"
        search = [own, self.python.parent] if self.python is not None else [own]
        packer = self.xclbinutil
        if packer is not None:
            shadowed = packer.parent != own and (own / packer.name).exists()
            search.insert(0 if shadowed else len(search), packer.parent)
        virtual_env = self.python.parent.parent if self.python is not None else None
        return clean_environment(work, peano=self.peano, search=search, virtual_env=virtual_env)

    def as_dict(self) -> dict[str, Any]:
        """Return what an artifact records about its tools; nothing in it names this machine.

        ``identity`` and ``xclbinutil`` are sha256 (hex): of mlir_aie and Peano together, and of the packer,
        which comes from elsewhere.
        """
        return {
            "origin": self.origin,
            "generation": self.generation,
            "mlir_aie": self.mlir_aie_version,
            "peano": self.peano_version,
            "identity": self.identity,
            "xclbinutil": hash_file(self.xclbinutil) if self.xclbinutil is not None else None,
        }


def find_toolchain(
    mlir_aie: Path | str | None = None,
    peano: Path | str | None = None,
    *,
    set_name: str | None = None,
    lock: LockFile | None = None,
) -> Toolchain | None:
    """Return the toolchain to build with, or ``None`` when none is installed.

    Order: the arguments, ``NPUKBUILD_MLIR_AIE`` and ``NPUKBUILD_PEANO``, the pinned environment of the set.

    Args:
        mlir_aie: An existing install: ``site-packages/mlir_aie``, its virtual environment or its prefix.
        peano: An existing Peano: ``site-packages/llvm-aie`` or its prefix. Looked for beside ``mlir_aie``
            when absent.
        set_name: The pinned set, else ``NPUKBUILD_TOOLCHAIN_SET``, else the lock file's default.
        lock: A lock file already read.

    Raises:
        ToolchainMissingError: A named install is not one, or the pinned environment is damaged.
        InstallError: Its Peano is a build known to miscompile, or the set is unknown.
    """
    lock = lock or read_lock()
    named = _named(mlir_aie, MLIR_AIE_VARIABLE, "--mlir-aie")
    named_peano = _named(peano, PEANO_VARIABLE, "--peano")
    if named is not None or named_peano is not None:
        return _existing(named, named_peano, lock)
    chosen = lock.choose(set_name)
    folder = environment_folder(chosen, host_platform().name)
    marker = finished_marker(folder, chosen, host_platform().name)
    return _pinned(folder, marker, lock) if marker is not None else None


def missing_toolchain_message() -> str:
    """Say in one line that no XCLBIN was built because the toolchain is absent, and how to get it."""
    return (
        "no XCLBIN: the toolchain is not installed (npukbuild toolchain install); simulation is not affected"
    )


def _named(given: Path | str | None, variable: str, option: str) -> tuple[Path, str] | None:
    if given is not None:
        return Path(given).absolute(), option
    value = os.environ.get(variable)
    return (Path(value).absolute(), variable) if value else None


def _existing(mlir_aie: tuple[Path, str] | None, peano: tuple[Path, str] | None, lock: LockFile) -> Toolchain:
    if mlir_aie is None:
        raise ToolchainMissingError(
            "--peano alone is not enough",
            where=str(peano[0]) if peano else None,
            why="aiecc and the aie_api headers come with mlir_aie",
            hint=f"give --mlir-aie DIR too, or set {MLIR_AIE_VARIABLE}",
        )
    root = locate_mlir_aie(*mlir_aie)
    peano_root = locate_peano(*peano) if peano else locate_peano_beside(root)
    python = find_python(root)
    aiecc = aiecc_of(root, python)
    peano_version = read_peano_version(peano_root)
    lock.refuse_bad_peano(peano_version, where=str(peano_root))
    generation, version = probe_aiecc(aiecc, python, root)
    return Toolchain(
        origin=mlir_aie[1],
        mlir_aie=root,
        aiecc=aiecc,
        peano=peano_root,
        generation=generation,
        mlir_aie_version=version,
        peano_version=peano_version,
        identity=identity_of(root, peano_root),
        python=python,
        xclbinutil=find_xclbinutil(root),
    )


def _pinned(folder: Path, marker: Marker, lock: LockFile) -> Toolchain:
    site = folder / marker.site_packages
    try:
        root = locate_mlir_aie(site / "mlir_aie", "the pinned environment")
        peano = locate_peano(site / "llvm-aie", "the pinned environment")
    except ToolchainMissingError as error:
        raise ToolchainMissingError(
            "the installed toolchain is damaged",
            where=str(folder),
            why=error.why or error.what,
            hint=f"npukbuild toolchain remove {marker.set_name}, then npukbuild toolchain install "
            f"--set {marker.set_name}",
        ) from error
    lock.refuse_bad_peano(marker.peano_version, where=str(folder))
    python = folder / "bin" / "python"
    return Toolchain(
        origin=f"set {marker.set_name}",
        mlir_aie=root,
        aiecc=aiecc_of(root, python),
        peano=peano,
        generation=marker.generation,
        mlir_aie_version=marker.mlir_aie_version,
        peano_version=marker.peano_version,
        identity=marker.identity,
        python=python,
        xclbinutil=find_xclbinutil(root),
    )


def require_toolchain(
    mlir_aie: Path | str | None = None, peano: Path | str | None = None, *, set_name: str | None = None
) -> Toolchain:
    """Return :func:`find_toolchain`'s answer, or raise when there is none.

    Raises:
        ToolchainMissingError: No toolchain is installed.
    """
    found = find_toolchain(mlir_aie, peano, set_name=set_name)
    if found is None:
        raise ToolchainMissingError(
            "the toolchain is not installed",
            why="neither a pinned environment nor --mlir-aie and --peano was found",
            hint="npukbuild toolchain install",
        )
    return found
