"""Loading an artifact on the device that is asked for, or on the best there is."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npukbuild.smoke.artifact import ArtifactFolder
    from npukbuild.smoke.harness import LoadedKernel

DEVICES = ("auto", "npu", "simulator")


@contextlib.contextmanager
def loaded_on(
    artifact: ArtifactFolder, device: str, *, runner_python: Path | None = None
) -> Iterator[tuple[LoadedKernel, dict[str, Any]]]:
    """Give the loaded kernel and what is known of the device; ``auto`` takes the NPU where it can.

    Raises:
        DeviceError: ``npu`` was asked for and there is none, or the artifact has no XCLBIN.
    """
    has_xclbin = (artifact.path / "kernel.xclbin").is_file()
    if device == "npu" and not has_xclbin:
        raise DeviceError(
            f"{artifact.name} has no XCLBIN",
            why="it was built without the toolchain",
            hint="npukbuild toolchain install, then build it again",
        )
    if device == "npu" or (device == "auto" and runs_on_npu(artifact)):
        from npukbuild.smoke.npu import NpuKernel
        from npukbuild.toolchain.runner_python import find_runner_python

        runner = find_runner_python(runner_python)
        xclbin = (artifact.path / "kernel.xclbin").read_bytes()
        insts = (artifact.path / "insts.bin").read_bytes()
        with NpuKernel(xclbin, insts, artifact.abi, runner=runner) as kernel:
            yield kernel, {"runner": runner.as_dict(), **npu_environment()}
        return
    from npukbuild.smoke.kernel_check import load_on_simulator

    yield load_on_simulator(artifact), {}


def runs_on_npu(artifact: ArtifactFolder) -> bool:
    """Say whether ``auto`` means the NPU: there is one, and the artifact has an XCLBIN for it."""
    from npukbuild.toolchain.runner_python import npu_present

    return (artifact.path / "kernel.xclbin").is_file() and npu_present()


def npu_environment() -> dict[str, Any]:
    """Return driver, firmware and power mode as the system tells them; what it does not tell is left out."""
    from npukbuild.smoke.npu import tdr_parameters

    found: dict[str, Any] = {}
    with contextlib.suppress(OSError):
        found["driver"] = Path("/sys/module/amdxdna/version").read_text(encoding="utf-8").strip()
    found.update(tdr_parameters())
    if os.environ.get("XDNA_EMU"):
        found["emulator"] = "xdna-emu"
    with contextlib.suppress(OSError):
        profile = Path("/sys/firmware/acpi/platform_profile").read_text(encoding="utf-8").strip()
        found["platform_profile"] = profile
    found.update(_from_xrt_smi())
    return found


def _from_xrt_smi() -> dict[str, Any]:
    """Ask xrt-smi: it writes JSON only to a file, and its text form has changed three times."""
    tool = shutil.which("xrt-smi") or shutil.which("xrt-smi", path="/opt/xilinx/xrt/bin")
    if tool is None:
        return {}
    with tempfile.TemporaryDirectory(prefix="npukbuild-smi-") as work:
        report = Path(work) / "report.json"
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
            subprocess.run(
                [tool, "examine", "-r", "all", "-f", "JSON", "-o", str(report)],
                capture_output=True, timeout=20, check=False,
            )  # fmt: skip
            said = json.loads(report.read_text(encoding="utf-8"))
            return {
                name: value
                for name, keys in _SMI_FACTS.items()
                if (value := _first(said, keys)) not in (None, "")
            }
    return {}


_SMI_FACTS = {
    "device": ("devices", "name"),
    "firmware": ("firmware_version",),
    "xrt": ("xrt", "version"),
    "power_mode": ("power_mode",),
    "performance_mode": ("performance_mode",),
}
"""What is recorded -> where it stands in the report: below the first key anywhere, then the next one."""


def _first(value: Any, keys: tuple[str, ...]) -> Any:
    """Return the first plain value found below ``keys``, whose levels may have others between them."""
    if not keys:
        return None if isinstance(value, (dict, list)) else value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and keys[0] in value:
        inner = value[keys[0]]
        found = _first(inner, keys[1:])
        if found is not None:
            return found
    for child in children:
        found = _first(child, keys)
        if found is not None:
            return found
    return None
