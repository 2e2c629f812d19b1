"""A folder that looks like a machine with a Phoenix NPU, for the doctor (stand-in)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from npukbuild.toolchain.machine import UNLIMITED, Machine
from tests.standins.layout import python_script

if TYPE_CHECKING:
    from pathlib import Path

EXAMINE = {
    "schema_version": {"schema": "JSON"},
    "system": {
        "host": {
            "os": {"distribution": "Ubuntu 24.04"},
            "xrt": {"version": "2.21.75", "branch": "master"},
            "devices": [
                {
                    "bdf": "0000:c6:00.1",
                    "device_class": "Ryzen",
                    "name": "NPU Phoenix",
                    "firmware_version": "1.5.5.391",
                    "is_ready": "true",
                }
            ],
        }
    },
}

# As documented: JSON goes to a file only, -f needs -o, an existing file needs --force.
XRT_SMI = """
import json, os
arguments = sys.argv[1:]
REPORT = {report!r}
if arguments[:1] != ["examine"]:
    sys.exit("usage: xrt-smi examine")
if "-f" in arguments and "-o" not in arguments:
    sys.exit("ERROR: Output file is missing")
if "-o" in arguments:
    target = arguments[arguments.index("-o") + 1]
    if os.path.exists(target) and "--force" not in arguments:
        sys.exit("ERROR: Output file already exists")
    open(target, "w").write(REPORT)
print("|[0000:c6:00.1] |NPU Phoenix |")
"""


def make_machine(root: Path, *, report: Any = EXAMINE, **options: Any) -> Machine:
    """Lay out a healthy machine at ``root``."""

    def write(path: str, text: str = "") -> None:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    pci = "sys/bus/pci/devices/0000:c6:00.1"
    write(f"{pci}/vendor", "0x1022\n")
    write(f"{pci}/device", "0x1502\n")
    write(f"{pci}/revision", "0x00\n")
    write("sys/bus/pci/devices/0000:00:00.0/vendor", "0x1022\n")
    write("sys/module/amdxdna/version", "2.21.0\n")
    write("sys/module/amdxdna/parameters/timeout_in_sec", "2\n")
    write("lib/firmware/amdnpu/1502_00/npu.sbin.zst", "firmware")
    write("dev/accel/accel0")
    write("sys/firmware/acpi/platform_profile", "performance\n")
    write("usr/lib/python3/dist-packages/pyxrt.cpython-312-x86_64-linux-gnu.so", "extension")
    python_script(root / "usr/bin/python3.12", "pass\n")
    python_script(root / "usr/bin/xrt-smi", XRT_SMI.format(report=json.dumps(report)))
    settings: dict[str, Any] = {
        "environment": {"PATH": "/usr/bin"},
        "memlock": UNLIMITED,
        "kernel": "6.17.0-5",
    }
    return Machine(root=root, **{**settings, **options})
