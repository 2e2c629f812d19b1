"""Check this machine on the path of a build and of a run, and say what to fix first."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from npukbuild.errors import NpukbuildError
from npukbuild.toolchain import doctor_device, doctor_tools
from npukbuild.toolchain.checks import Check, failed, passed, warned
from npukbuild.toolchain.paths import data_home
from npukbuild.toolchain.platforms import HostPlatform, host_platform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from npukbuild.toolchain.aiecc import CoreLimits
    from npukbuild.toolchain.lock import LockFile
    from npukbuild.toolchain.machine import Machine

State = Literal["pass", "warn", "fail"]
_LOW_DISK = 5_000_000_000


@dataclass(frozen=True, kw_only=True)
class Report:
    """All checks in the order of a build and a run."""

    checks: tuple[Check, ...]

    @property
    def worst(self) -> State:
        """``fail`` if any check failed, else ``warn`` if any warned, else ``pass``."""
        states = {check.state for check in self.checks}
        return "fail" if "fail" in states else "warn" if "warn" in states else "pass"

    @property
    def first(self) -> Check | None:
        """What to do first: the earliest failure, else the earliest warning with a fix."""
        for state in ("fail", "warn"):
            for check in self.checks:
                if check.state == state and check.fix:
                    return check
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        first = self.first
        return {
            "state": self.worst,
            "checks": [check.as_dict() for check in self.checks],
            "first": {"name": first.name, "fix": first.fix} if first else None,
        }


def examine(
    machine: Machine,
    *,
    lock: LockFile,
    limits: CoreLimits,
    before: Sequence[tuple[str, Callable[[], Check]]] = (),
    after: Sequence[tuple[str, Callable[[], Check]]] = (),
    mlir_aie: Path | None = None,
    peano: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run every check and return the report; a check that breaks is a failed check, not an error.

    Args:
        machine: The machine.
        lock: The lock file in use.
        limits: A core's memories, for the small design.
        before: Further checks that come right after the platform (the host compiler).
        after: Further checks at the end (the cache).
        mlir_aie: An existing install to check in place of the pinned one.
        peano: Its Peano.
        tell: Told the name of each check before it starts.
    """
    tools = doctor_tools.ToolChecks(machine, lock, limits, mlir_aie, peano)
    device = doctor_device.DeviceChecks(machine)
    plan: list[tuple[str, Callable[[], Check]]] = [
        ("platform", lambda: check_host(host_platform(), lock)),
        *before,
        ("uv", tools.uv),
        ("toolchain", tools.environment),
        ("Peano", tools.peano),
        ("xclbinutil", tools.xclbinutil),
        ("aiecc", tools.aiecc),
        ("NPU", device.npu),
        ("driver", device.driver),
        ("firmware", device.firmware),
        ("device node", device.node),
        ("memlock", device.memlock),
        ("XRT", device.xrt),
        ("pyxrt", device.pyxrt),
        ("device opens", device.opens),
        ("power mode", device.power),
        ("disk", lambda: check_disk([data_home(), Path(tempfile.gettempdir()), Path.cwd()])),
        *after,
    ]
    checks = []
    for name, check in plan:
        tell(name)
        try:
            checks.append(check())
        except NpukbuildError as error:
            checks.append(
                failed(name, error.what + (f": {error.why}" if error.why else ""), error.hint or "")
            )
        except Exception as error:  # a doctor must finish its round
            checks.append(failed(name, f"the check itself broke: {error!r}", "please report this"))
    return Report(checks=tuple(_reconcile(checks, tools)))


def _reconcile(checks: list[Check], tools: doctor_tools.ToolChecks) -> list[Check]:
    """A failed link of our own is no obstacle when aiecc has just linked a core."""
    built = any(check.name == "aiecc" and check.state == "pass" for check in checks)
    if not (tools.link_fault and built):
        return checks
    return [
        warned(check.name, f"{check.says}; aiecc's own link works", check.fix or "")
        if check.name == "Peano"
        else check
        for check in checks
    ]


def check_host(host: HostPlatform, lock: LockFile) -> Check:
    """Check the operating system, the processor and glibc against the default set."""
    glibc = f", glibc {host.glibc[0]}.{host.glibc[1]}" if host.glibc else ""
    chosen = lock.sets[lock.default]
    facts = chosen.platforms.get(host.name)
    if facts is None:
        return warned(
            "platform",
            f"{host.name}{glibc}: set {chosen.name} has no wheels for it",
            "build XCLBINs on " + " or ".join(chosen.platforms) + "; simulation works here",
        )
    if facts.glibc is not None and (host.glibc is None or host.glibc < facts.glibc):
        needed = ".".join(map(str, facts.glibc))
        return warned(
            "platform",
            f"{host.name}{glibc or ', no glibc'}: the toolchain needs glibc {needed}",
            "build XCLBINs on Ubuntu 22.04, Debian 12 or newer, or in a container of one; simulation works",
        )
    return passed("platform", f"{host.name}{glibc}")


def check_disk(folders: Sequence[Path]) -> Check:
    """Check the free space of the disks that a build writes to."""
    tight = []
    frees = []
    for folder in folders:
        existing = next((place for place in (folder, *folder.parents) if place.is_dir()), Path("/"))
        free = shutil.disk_usage(existing).free
        frees.append(free)
        if free < _LOW_DISK:
            tight.append(f"{free / 1e9:.1f} GB at {folder}")
    if tight:
        return warned("disk", "little space: " + ", ".join(dict.fromkeys(tight)), "free some space there")
    return passed("disk", f"at least {min(frees) / 1e9:.0f} GB free")
