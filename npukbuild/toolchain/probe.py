"""Ask the tools of an install what they are: aiecc's generation and version, Peano's version."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.errors import ToolchainMissingError
from npukbuild.toolchain.environment import clean_environment, isolated_python
from npukbuild.toolchain.process import Step, run_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PROBE_SECONDS = 60.0


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
