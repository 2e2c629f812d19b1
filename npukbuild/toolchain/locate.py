"""Where the parts of an install are below a folder that a user names: mlir_aie, Peano, aiecc, the packer."""

from __future__ import annotations

import os
from pathlib import Path

from npukbuild.errors import ToolchainMissingError

PEANO_VARIABLE = "NPUKBUILD_PEANO"
XCLBINUTIL_VARIABLE = "NPUKBUILD_XCLBINUTIL"
PEANO_TOOLS = ("clang++", "opt", "llc", "ld.lld")
XRT_BIN = Path("/opt/xilinx/xrt/bin")


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


def locate_peano_beside(root: Path) -> Path:
    """Return the Peano that stands beside mlir_aie in its site-packages.

    Raises:
        ToolchainMissingError: None does, or it is incomplete.
    """
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


def aiecc_of(root: Path, python: Path | None) -> Path:
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
