"""Finding the Python that pyxrt was built for: a CPython extension belongs to one minor version.

The pinned build environment generally cannot import it, so the runner is a separate interpreter, found by
asking each candidate to import pyxrt.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ACCEL_NODES = "/dev/accel"
_PROBE_SECONDS = 20.0
_MINORS = ("3.11", "3.12", "3.13", "3.14", "3.10")

# Where packages and XRT's own installer put pyxrt: AMD's and source builds, then Debian-style ones.
_PLACES = ("", "/opt/xilinx/xrt/python", "/usr/lib/python3/dist-packages")
_LIBRARIES = ("/opt/xilinx/xrt/lib",)

_PROBE = """
import json, sys
sys.path[:0] = [p for p in sys.argv[1:] if p]
import pyxrt
print(json.dumps({"python": sys.version.split()[0], "pyxrt": getattr(pyxrt, "__file__", None)}))
"""


@dataclass(frozen=True)
class RunnerPython:
    """An interpreter that imports pyxrt, and how."""

    python: Path
    search: tuple[str, ...]
    version: str
    pyxrt: str | None
    environment: Mapping[str, str] = field(repr=False, default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for reports."""
        return {"python": str(self.python), "version": self.version, "pyxrt": self.pyxrt}


def npu_nodes() -> tuple[Path, ...]:
    """Return the device nodes of the NPU driver."""
    return tuple(sorted(Path(ACCEL_NODES).glob("accel*")))


def npu_present() -> bool:
    """Say whether calls can be sent to an NPU: a device node, or xdna-emu plugged into XRT."""
    return bool(npu_nodes()) or bool(os.environ.get("XDNA_EMU"))


def find_runner_python(given: Path | None = None) -> RunnerPython:
    """Return the first interpreter that imports pyxrt.

    Args:
        given: ``--runner-python``; otherwise ``$NPUKBUILD_RUNNER_PYTHON``, then the machine's own Pythons.
            ``$NPUKBUILD_PYXRT_PATH`` is searched for pyxrt first.

    Raises:
        DeviceError: None does; each one's last words are in ``details``.
    """
    named = given or _from_environment()
    tried: list[str] = []
    for python in [named] if named else _pythons():
        for search in _searches():
            answer = _probe(python, search)
            if isinstance(answer, RunnerPython):
                return answer
            tried.append(f"{python}{f' with {search}' if search else ''}: {answer}")
    raise DeviceError(
        "no Python here can import pyxrt" if not named else f"{named} cannot import pyxrt",
        why="pyxrt is built for one Python version and comes with XRT",
        details=list(dict.fromkeys(tried))[-8:],
        hint="install XRT, or name the right interpreter with --runner-python; see npukbuild doctor",
    )


def runner_environment() -> dict[str, str]:
    """Return the runner's environment: clean, but for what XRT's libraries and the emulator need."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG", "XILINX_XRT", "XDNA_EMU")
        or name.startswith(("XRT_", "XDNA_EMU_"))
    }
    libraries = [place for place in _LIBRARIES if Path(place).is_dir()]
    if given := os.environ.get("LD_LIBRARY_PATH"):
        libraries.append(given)
    if libraries:
        kept["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
    return kept


def _from_environment() -> Path | None:
    given = os.environ.get("NPUKBUILD_RUNNER_PYTHON")
    return Path(given) if given else None


def _pythons() -> Iterator[Path]:
    seen = set()
    for name in ("/usr/bin/python3", *(f"python{minor}" for minor in _MINORS), "python3"):
        found = shutil.which(name)
        if found and (real := os.path.realpath(found)) not in seen:
            seen.add(real)
            yield Path(found)


def _searches() -> Iterable[str]:
    given = os.environ.get("NPUKBUILD_PYXRT_PATH")
    return (given,) if given else [place for place in _PLACES if not place or Path(place).is_dir()]


def _probe(python: Path, search: str) -> RunnerPython | str:
    environment = runner_environment()
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _PROBE, search], capture_output=True, text=True, timeout=_PROBE_SECONDS,
            env=environment, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    last = done.stdout.strip().splitlines()
    if done.returncode != 0 or not last:
        words = done.stderr.strip().splitlines()
        return words[-1] if words else f"exit code {done.returncode}"
    try:
        said = json.loads(last[-1])
        return RunnerPython(python, (search,) if search else (), said["python"], said["pyxrt"], environment)
    except (ValueError, KeyError, TypeError) as error:
        return f"unreadable answer: {error}"
