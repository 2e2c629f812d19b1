"""The doctor's checks of a run: NPU, driver, firmware, node, memory limit, XRT, pyxrt, power mode."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.errors import DeviceError
from npukbuild.toolchain.checks import Check, failed, passed, warned
from npukbuild.toolchain.machine import UNLIMITED

if TYPE_CHECKING:
    from npukbuild.toolchain.machine import Machine
    from npukbuild.toolchain.runner_python import RunnerPython

_HEAP_BYTES = 64 << 20  # the driver's heap: amd/xdna-driver#903
_MEMLOCK_FIX = (
    "write `* - memlock unlimited` to /etc/security/limits.d/99-amdxdna.conf and log in again "
    "(under systemd also LimitMEMLOCK=infinity for user@.service)"
)
_RELOAD = "reload the driver: modprobe -r amdxdna; modprobe amdxdna"
_PLUGIN = "load amdxdna and install XRT's NPU plugin (libxrt-npu2)"
_OPEN = """
import sys
sys.path[:0] = [p for p in sys.argv[1:] if p]
import pyxrt
pyxrt.device(0)
print("opened")
"""


@dataclass(frozen=True)
class Npu:
    """An NPU on the PCI bus."""

    name: str
    target: str
    firmware: str
    revision: str


class DeviceChecks:
    """Checks that share what was found; without an NPU the rest can only warn."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._npu = find_npu(machine)
        self._runner: RunnerPython | None = None
        self._node_ok = False

    def _bad(self, name: str, says: str, fix: str) -> Check:
        return failed(name, says, fix) if self._npu else warned(name, says, f"only with an NPU: {fix}")

    def npu(self) -> Check:
        """Look for a known NPU on the PCI bus."""
        if self._npu is None:
            return warned(
                "NPU",
                "none in this machine: kernels run on the simulator only",
                "run on a machine with a Ryzen AI NPU",
            )
        return passed("NPU", f"{self._npu.name} (target {self._npu.target})")

    def driver(self) -> Check:
        """Look whether amdxdna is loaded, and how long it lets a command run."""
        module = "/sys/module/amdxdna"
        if not self._machine.path(module).is_dir():
            return self._bad(
                "driver", f"amdxdna is not loaded (kernel {self._machine.kernel})", self._driver_fix()
            )
        version = self._machine.read(f"{module}/version")
        limits = []
        # Out-of-tree drivers have the first, the kernel's own the second.
        for name, unit in (("timeout_in_sec", "s"), ("tdr_timeout_ms", "ms")):
            value = self._machine.read(f"{module}/parameters/{name}")
            if value is not None:
                limits.append(
                    "no time limit for a command" if value == "0" else f"a command may run {value} {unit}"
                )
        says = ", ".join([f"amdxdna {version}" if version else "amdxdna of the kernel", *limits])
        return passed("driver", says)

    def _driver_fix(self) -> str:
        release = re.match(r"(\d+)\.(\d+)", self._machine.kernel)
        if release and (int(release[1]), int(release[2])) < (6, 10):
            return "use kernel 6.10 or newer (6.14 has the driver), or install amdxdna-dkms"
        return "sudo modprobe amdxdna; if there is no such module, install amdxdna-dkms"

    def firmware(self) -> Check:
        """Look for the NPU's firmware files."""
        base = "/lib/firmware/amdnpu"
        ids = self._npu.firmware if self._npu else "*"
        revision = self._npu.revision if self._npu else "*"
        found = self._machine.glob(f"{base}/{ids}_{revision}/npu*.sbin*")
        if not found:
            wanted = f"{base}/{ids}_{revision}/npu.sbin"
            return self._bad(
                "firmware", f"there is no {wanted}", "update linux-firmware (or firmware-amd-npu)"
            )
        return passed("firmware", f"{found[-1].parent.name}/{found[-1].name}")

    def node(self) -> Check:
        """Look whether this user may open the device node."""
        nodes = self._machine.glob("/dev/accel/accel*")
        if not nodes:
            return self._bad(
                "device node",
                "there is no /dev/accel/accel*",
                "load the driver; see driver and firmware above",
            )
        node = nodes[0]
        if not os.access(node, os.R_OK | os.W_OK):
            return self._bad(
                "device node",
                f"this user may not open /dev/accel/{node.name}",
                "sudo usermod -aG render $USER, then log in again",
            )
        self._node_ok = True
        return passed("device node", f"/dev/accel/{node.name} can be opened")

    def memlock(self) -> Check:
        """Compare the limit of locked memory with the driver's heap."""
        limit = self._machine.memlock
        if limit == UNLIMITED:
            return passed("memlock", "unlimited")
        says = f"the limit is {limit / (1 << 20):.0f} MB"
        if limit <= _HEAP_BYTES:
            return self._bad("memlock", f"{says}; the driver's heap alone takes 64 MB", _MEMLOCK_FIX)
        return warned("memlock", f"{says}; large buffers may not fit", _MEMLOCK_FIX)

    def xrt(self) -> Check:
        """Ask xrt-smi for its JSON, which goes to a file only; its text has changed three times."""
        program = self._machine.find("xrt-smi", "/opt/xilinx/xrt/bin", "/usr/bin", "/usr/local/bin")
        fix = "install XRT with its NPU plugin (libxrt2, libxrt-npu2, libxrt-utils, libxrt-utils-npu)"
        if program is None:
            return self._bad("XRT", "xrt-smi was not found", fix)
        with tempfile.TemporaryDirectory(prefix="npuk-") as folder:
            target = Path(folder) / "examine.json"
            command: list[str | Path] = [program, "examine", "-f", "JSON", "-o", target, "--force"]
            answer = self._machine.run(command, Path(folder), extra=self._xrt_environment())
            report = _read_json(target)
        if report is None:
            return self._bad("XRT", f"{program} gave no report: {answer.last_line or 'it says nothing'}", fix)
        return self._judge_xrt(report, fix)

    def _xrt_environment(self) -> dict[str, str]:
        """XRT outside the system's folders finds its libraries by these, as its setup.sh would set them."""
        prefix = self._machine.path("/opt/xilinx/xrt")
        if not prefix.is_dir():
            return {}
        return {"XILINX_XRT": str(prefix), "LD_LIBRARY_PATH": str(prefix / "lib")}

    def _judge_xrt(self, report: dict[str, Any], fix: str) -> Check:
        host = _table(_table(report.get("system")).get("host")) or _table(report.get("host"))
        version = _table(host.get("xrt")).get("version", "of unknown version")
        devices = [_table(device) for device in host.get("devices") or []]
        names = [str(device.get("name") or device.get("bdf") or "unnamed") for device in devices]
        if not names:
            return self._bad(
                "XRT",
                f"XRT {version} sees no device",
                "load amdxdna and install XRT's NPU plugin (libxrt-npu2)",
            )
        firmware = next((str(d["firmware_version"]) for d in devices if d.get("firmware_version")), None)
        waiting = [
            n for n, d in zip(names, devices, strict=True) if str(d.get("is_ready", True)).lower() == "false"
        ]
        if waiting:
            return self._bad("XRT", f"XRT {version}: {waiting[0]} is not ready", _RELOAD)
        says = f"XRT {version}, {', '.join(names)}" + (f", firmware {firmware}" if firmware else "")
        return passed("XRT", says)

    def pyxrt(self) -> Check:
        """Say where pyxrt is and for which Python; on the real machine, import it as a run does."""
        builds = pyxrt_builds(self._machine)
        listed = ", ".join(f"{path} for Python {version}" for path, version in builds)
        fix = "install pyxrt of your XRT and the Python that it was built for, or give --runner-python PATH"
        if self._machine.real:
            from npukbuild.toolchain.runner_python import find_runner_python

            try:
                self._runner = find_runner_python()
            except DeviceError as error:
                return self._bad(
                    "pyxrt", f"{listed}, and no Python here imports it" if listed else error.what, fix
                )
            return passed(
                "pyxrt", f"{self._runner.python} ({self._runner.version}) imports {self._runner.pyxrt}"
            )
        if not builds:
            return self._bad("pyxrt", "pyxrt was not found", fix)
        for path, version in builds:
            if self._machine.find(f"python{version}", "/usr/bin", "/usr/local/bin"):
                return passed("pyxrt", f"{path} for Python {version}")
        return self._bad("pyxrt", f"{listed}, and that Python is not here", fix)

    def opens(self) -> Check:
        """Open the device through pyxrt in a child, as a run does."""
        if not self._node_ok or self._runner is None:
            return self._bad(
                "device opens", "not tried: it needs the device node and pyxrt", "see the checks above"
            )
        with tempfile.TemporaryDirectory(prefix="npuk-") as folder:
            argv: list[str | Path] = [self._runner.python, "-I", "-c", _OPEN, *self._runner.search]
            answer = self._machine.run(argv, Path(folder), timeout=30.0, extra=self._runner.environment)
        if answer.last_line == "opened":
            return passed("device opens", "pyxrt.device(0)")
        from npukbuild.toolchain.diagnosis import diagnose_text

        first = diagnose_text(answer.output).first
        says = first.cause if first else answer.last_line
        return self._bad("device opens", says, first.fix if first else "reload the driver, or power cycle")

    def power(self) -> Check:
        """Read the platform's power profile, on which every benchmark depends."""
        profile = self._machine.read("/sys/firmware/acpi/platform_profile")
        if profile is None:
            return passed("power mode", "the platform has no power profile")
        if profile in ("performance", "balanced-performance"):
            return passed("power mode", profile)
        return warned(
            "power mode",
            f"{profile}: timings will not be the best",
            "for benchmarks: powerprofilesctl set performance; sudo xrt-smi configure --pmode performance",
        )


def find_npu(machine: Machine) -> Npu | None:
    """Return the first NPU on the PCI bus that mlir-aie builds for."""
    known = tomllib.loads(Path(__file__).with_name("devices.toml").read_text(encoding="utf-8"))["npu"]
    for folder in machine.glob("/sys/bus/pci/devices/*"):
        place = "/" + folder.relative_to(machine.root).as_posix()
        vendor, device = machine.read(f"{place}/vendor"), machine.read(f"{place}/device")
        for entry in known:
            if (vendor, device) == (entry["vendor"], entry["device"]):
                revision = (machine.read(f"{place}/revision") or "0x00").removeprefix("0x")
                return Npu(entry["name"], entry["target"], entry["firmware"], revision)
    return None


def pyxrt_builds(machine: Machine) -> list[tuple[Path, str]]:
    """Return each pyxrt extension with the Python version in its name."""
    found = []
    for pattern in (
        "/opt/xilinx/xrt/python/pyxrt*.so",
        "/usr/lib/python3*/dist-packages/pyxrt*.so",
        "/usr/lib*/python3*/site-packages/pyxrt*.so",
    ):
        for path in machine.glob(pattern):
            tag = re.search(r"cpython-(\d)(\d+)", path.name)
            inside = re.search(r"python(\d)\.(\d+)", str(path.parent))
            version = tag or inside
            found.append((path, f"{version[1]}.{version[2]}" if version else "unknown"))
    return found


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
