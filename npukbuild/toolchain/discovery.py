"""Find the toolchain to build with: a pinned environment, or an existing install that the user names."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.errors import InstallError, ToolchainMissingError
from npukbuild.toolchain.environment import clean_environment, isolated_python
from npukbuild.toolchain.known_hashes import KnownHashes
from npukbuild.toolchain.lock import LockFile, read_lock
from npukbuild.toolchain.marker import Marker, environment_folder, finished_marker
from npukbuild.toolchain.platforms import host_platform
from npukbuild.toolchain.process import Step, hash_file, run_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MLIR_AIE_VARIABLE = "NPUKBUILD_MLIR_AIE"
PEANO_VARIABLE = "NPUKBUILD_PEANO"
XCLBINUTIL_VARIABLE = "NPUKBUILD_XCLBINUTIL"
PEANO_TOOLS = ("clang++", "opt", "llc", "ld.lld")
XRT_BIN = Path("/opt/xilinx/xrt/bin")
_PROBE_SECONDS = 60.0

# What decides the bytes that an install produces; the rest of it (docs, other tools) does not.
_IDENTITY_PATTERNS_MLIR_AIE = (
    "bin/aiecc*",
    "bin/aie-opt",
    "bin/aie-translate",
    "bin/bootgen",
    "include/aie_api/**/*",
    "aie_runtime_lib/**/*",
    "python/aie/compiler/**/*.py",
)
_IDENTITY_PATTERNS_PEANO = (
    "bin/clang*",
    "bin/opt",
    "bin/llc",
    "bin/*lld*",
    "bin/llvm-ar",
    "lib/**/*.a",
    "lib/**/crt*.o",
)


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
    peano_root = locate_peano(*peano) if peano else _beside(root)
    python = find_python(root)
    aiecc = _aiecc_of(root, python)
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
        identity=_identity(root, peano_root),
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
        aiecc=_aiecc_of(root, python),
        peano=peano,
        generation=marker.generation,
        mlir_aie_version=marker.mlir_aie_version,
        peano_version=marker.peano_version,
        identity=marker.identity,
        python=python,
        xclbinutil=find_xclbinutil(root),
    )


def locate_mlir_aie(given: Path, said_by: str) -> Path:
    """Return the mlir_aie folder for what a user may name: it, its environment, its site-packages.

    Raises:
        ToolchainMissingError: No mlir_aie is there.
    """
    candidates = [given, given / "mlir_aie", *sorted(given.glob("lib/python3.*/site-packages/mlir_aie"))]
    # An environment of the Python generation has bin/aiecc.py itself: it is the headers that tell.
    with_aiecc = [
        place
        for place in candidates
        if any((place / "bin" / name).is_file() for name in ("aiecc", "aiecc.py"))
        or (place.parent.name == "site-packages" and (place.parents[3] / "bin" / "aiecc.py").is_file())
    ]
    for candidate in with_aiecc:
        if (candidate / "include" / "aie_api" / "aie.hpp").is_file():
            return candidate.resolve()
    if with_aiecc:
        raise ToolchainMissingError(
            "this mlir_aie has no aie_api headers",
            where=str(with_aiecc[-1]),
            why="include/aie_api/aie.hpp is missing",
            hint="the headers come in the mlir_aie wheel; reinstall it",
        )
    raise ToolchainMissingError(
        f"no mlir_aie at the place that {said_by} names",
        where=str(given),
        why="none of bin/aiecc, bin/aiecc.py, lib/python3.*/site-packages/mlir_aie/bin/aiecc is there",
        hint="give site-packages/mlir_aie or its virtual environment",
    )


def locate_peano(given: Path, said_by: str) -> Path:
    """Return the Peano folder for a folder that a user may name, with every tool in it checked.

    aiecc ignores a wrong ``--peano`` silently and then takes a clang from ``PATH``; so it is checked here.

    Raises:
        ToolchainMissingError: No complete Peano is there.
    """
    candidates = [given, given / "llvm-aie", *sorted(given.glob("lib/python3.*/site-packages/llvm-aie"))]
    for candidate in candidates:
        absent = [name for name in PEANO_TOOLS if not os.access(candidate / "bin" / name, os.X_OK)]
        if not absent:
            return candidate.resolve()
        if len(absent) < len(PEANO_TOOLS):
            raise ToolchainMissingError(
                "this Peano is incomplete",
                where=str(candidate),
                why="missing or not executable: " + ", ".join(f"bin/{name}" for name in absent),
                hint="reinstall the llvm-aie wheel",
            )
    raise ToolchainMissingError(
        f"no Peano at the place that {said_by} names",
        where=str(given),
        why=f"bin/{PEANO_TOOLS[0]} is not there",
        hint="give site-packages/llvm-aie (with the hyphen)",
    )


def _beside(root: Path) -> Path:
    try:
        return locate_peano(root.parent / "llvm-aie", "mlir_aie's neighbour")
    except ToolchainMissingError:
        raise ToolchainMissingError(
            "no Peano beside this mlir_aie",
            where=str(root.parent / "llvm-aie"),
            hint=f"give --peano DIR, or set {PEANO_VARIABLE}",
        ) from None


def find_python(root: Path) -> Path | None:
    """Return the interpreter of the environment that holds ``<env>/lib/python3.X/site-packages/mlir_aie``."""
    if root.parent.name != "site-packages":
        return None
    python = root.parents[3] / "bin" / "python"
    return python if os.access(python, os.X_OK) else None


def _aiecc_of(root: Path, python: Path | None) -> Path:
    """Prefer the native driver; wheels of the Python generation have ``aiecc.py`` in the venv's bin."""
    places = [root / "bin" / "aiecc", root / "bin" / "aiecc.py"]
    if python is not None:
        places.append(python.parent / "aiecc.py")
    return next((place for place in places if place.is_file()), places[0])


def find_xclbinutil(root: Path, *, machine: Path = Path("/")) -> Path | None:
    """Return the xclbinutil that a build will use; whether it works is the doctor's question.

    Order: ``NPUKBUILD_XCLBINUTIL``, beside aiecc (wheels may carry an XRT-free one), XRT's own folder,
    ``/usr/bin``. Debian's ``/usr/bin/xclbinutil`` is a wrapper of a missing file and comes last.
    """
    own = os.environ.get(XCLBINUTIL_VARIABLE)
    places = [Path(own)] if own else []
    places += [root / "bin" / "xclbinutil", machine / XRT_BIN.relative_to("/") / "xclbinutil"]
    places += [machine / "usr/local/bin/xclbinutil", machine / "usr/bin/xclbinutil"]
    return next((place for place in places if os.access(place, os.X_OK) and place.is_file()), None)


def read_peano_version(peano: Path) -> str:
    """Return Peano's version: from the wheel's metadata, else from ``clang++ --version``."""
    found = _wheel_version(peano.parent, "llvm_aie")
    if found:
        return found
    banner = _ask([str(peano / "bin" / "clang++"), "--version"], peano=peano)
    commit = re.search(r"llvm-aie\S*\s+([0-9a-f]{8,40})", banner)
    version = re.search(r"clang version (\S+)", banner)
    return f"{version[1] if version else 'unknown'}+{commit[1][:8] if commit else 'unknown'}"


def probe_aiecc(aiecc: Path, python: Path | None, root: Path) -> tuple[str, str]:
    """Return aiecc's generation and version by asking it, with the wheel's metadata as the second source.

    Raises:
        ToolchainMissingError: It does not answer as any known generation does.
    """
    command = isolated_python(python, str(aiecc)) if python and aiecc.suffix == ".py" else [str(aiecc)]
    banner = _ask([*command, "--version"], search=[root / "bin"])
    version = _wheel_version(root.parent, "mlir_aie")
    generation: str | None
    if "declarative" in banner:
        generation = "declarative"
    elif "C++ version" in banner:
        generation = "cpp"
    elif "aiecc.py" in banner:
        generation = "python"
    else:
        generation = _generation_of_version(version) if banner.strip() else None
    if generation is None:
        shown = banner.strip().splitlines()[-1:] or ["(no output)"]
        raise ToolchainMissingError(
            "aiecc does not say what it is",
            where=str(aiecc),
            why=f"`aiecc --version` printed: {shown[0][:200]}",
            hint="npukbuild doctor",
        )
    commit = re.search(r"\b([0-9a-f]{7,40})\s*$", banner.strip())
    return generation, version or (commit[1][:12] if commit else "unknown")


def _generation_of_version(version: str | None) -> str | None:
    """Generations by release: Python to 2026-03, C++ in 1.3, declarative from 1.4 on."""
    if version is None:
        return None
    dated = re.match(r"0\.0\.1\.(\d{8})", version)
    if dated:
        return "python" if int(dated[1]) < 20260305 else "cpp"
    release = re.match(r"(\d+)\.(\d+)", version)
    if release is None:
        return None
    pair = (int(release[1]), int(release[2]))
    return "declarative" if pair >= (1, 4) else "cpp" if pair >= (1, 3) else "python"


def _wheel_version(site: Path, name: str) -> str | None:
    for info in sorted(site.glob(f"{name}-*.dist-info")):
        return info.name[len(name) + 1 : -len(".dist-info")]
    return None


def _ask(argv: Sequence[str], *, peano: Path | None = None, search: Iterable[Path] = ()) -> str:
    """Run a tool for its answer, in a scratch folder; its exit code is not looked at."""
    with tempfile.TemporaryDirectory(prefix="npuk-") as scratch:
        work = Path(scratch)
        step = Step(
            name="probe",
            argv=tuple(argv),
            cwd=work,
            environment=clean_environment(work, peano=peano, search=list(search)),
            timeout=_PROBE_SECONDS,
        )
        run_step(step)
        with step.log.open("rb") as log:
            return log.read(65536).decode("utf-8", "replace")


@functools.cache
def _identity(root: Path, peano: Path) -> str:
    """Hash the bytes of an existing install's tools and headers, by relative name."""
    total = hashlib.sha256()
    known = KnownHashes()
    for label, base, patterns in (
        ("mlir_aie", root, _IDENTITY_PATTERNS_MLIR_AIE),
        ("peano", peano, _IDENTITY_PATTERNS_PEANO),
    ):
        seen: dict[Path, str | None] = {}
        files = sorted({path for pattern in patterns for path in base.glob(pattern) if path.is_file()})
        for path in files:
            real = path.resolve()
            if real not in seen:
                seen[real] = known.of(real)
            total.update(f"{label}/{path.relative_to(base).as_posix()} {seen[real]}\n".encode())
    known.save()
    return total.hexdigest()


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


__all__ = [
    "InstallError",
    "Toolchain",
    "find_toolchain",
    "missing_toolchain_message",
    "require_toolchain",
]
