"""A toolchain set on trial: a manifest built, checked and timed with it, and what became different."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from npukbuild.errors import RequestError, ToolError
from npukbuild.publish.night import KernelNight
from npukbuild.smoke.statistics import Timing, compare
from npukbuild.toolchain.lock import LOCK_VARIABLE, SET_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SHADOWING = ("NPUKBUILD_MLIR_AIE", "NPUKBUILD_PEANO")


@dataclass(frozen=True)
class TrialOptions:
    """What a trial builds and how it runs it."""

    manifest: Path
    build_dir: Path
    lock: Path
    filters: tuple[str, ...] = ()
    device: str = "auto"
    iterations: int = 10
    jobs: int | None = None
    runner_python: Path | None = None


@dataclass(frozen=True)
class Trial:
    """What a set made of the manifest."""

    set_name: str
    rows: dict[str, KernelNight]

    @property
    def passed(self) -> set[str]:
        """Kernels that were built and computed right numbers."""
        return {name for name, row in self.rows.items() if row.status == "passed"}


@dataclass(frozen=True)
class Change:
    """How one kernel fares with another set."""

    kernel: str
    broke: str | None = None
    """What failed, where it passed before."""
    mended: bool = False
    numbers: tuple[str, ...] = ()
    """Inputs whose results differ in any bit."""
    bytes_changed: bool = False
    time: dict[str, Any] | None = field(default=None)
    device: str | None = None

    @property
    def slower(self) -> bool:
        """Whether its median time rose beyond the noise."""
        return (self.time or {}).get("verdict") == "slower"

    @property
    def notable(self) -> bool:
        """Whether there is anything to show."""
        moved = (self.time or {}).get("verdict") not in (None, "same")
        return bool(self.broke or self.mended or self.numbers or moved)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "kernel": self.kernel, "broke": self.broke, "mended": self.mended, "numbers": list(self.numbers),
            "bytes_changed": self.bytes_changed, "time": self.time, "device": self.device,
        }  # fmt: skip


def run_trial(set_name: str, options: TrialOptions, say: Callable[[str], None]) -> Trial:
    """Build, check and time the manifest with ``set_name`` in a process of its own, publishing nothing.

    Raises:
        RequestError: A variable names an existing install, which would be used instead of any set.
        ToolError: The process left no report.
    """
    if shadowing := [name for name in _SHADOWING if os.environ.get(name)]:
        raise RequestError(
            f"{' and '.join(shadowing)} would be used instead of set {set_name}",
            hint="unset it and try again",
        )
    say(f"set {set_name}: building, checking and timing {options.manifest}")
    night = dt.datetime.now(dt.UTC).strftime("trial-%Y%m%dT%H%M%S.%f")
    folder = options.build_dir / set_name
    command = [sys.executable, "-m", "npukbuild", "nightly", str(options.manifest), "--no-publish",
               "--require-xclbin", "--build-dir", str(folder), "--night", night, "--device", options.device,
               "--iterations", str(options.iterations), "--json"]  # fmt: skip
    command += [word for pattern in options.filters for word in ("--filter", pattern)]
    command += ["--jobs", str(options.jobs)] if options.jobs else []
    command += ["--runner-python", str(options.runner_python)] if options.runner_python else []
    environment = {**os.environ, SET_VARIABLE: set_name, LOCK_VARIABLE: str(options.lock.resolve())}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=False)
    try:
        text = (folder / "nights" / night / "report.json").read_text(encoding="utf-8")
        rows = [KernelNight(**row) for row in json.loads(text)["kernels"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolError(
            f"set {set_name} could not be tried", why=f"the build ended with exit code {done.returncode}"
        ) from error
    return Trial(set_name, {row.kernel: row for row in rows})


def compare_trials(before: Trial, after: Trial) -> list[Change]:
    """Return one entry per kernel, in the manifest's order."""
    return [_change(before.rows.get(name), row) for name, row in after.rows.items()]


def _change(old: KernelNight | None, new: KernelNight) -> Change:
    passed_before = old is not None and old.status == "passed"
    if new.status != "passed":
        what = (new.error or {}).get("what") or new.status
        return Change(new.kernel, broke=str(what) if passed_before else None)
    if old is None or not passed_before:
        return Change(new.kernel, mended=old is not None, device=new.device)
    numbers = tuple(name for name, digest in new.numbers.items() if old.numbers.get(name) != digest)
    time = None
    if old.timing and new.timing and old.device == new.device:
        time = compare(Timing(**old.timing), Timing(**new.timing)).as_dict()
    package = "kernel.xclbin"
    return Change(
        new.kernel,
        numbers=numbers if old.device == new.device else (),
        bytes_changed=old.subject.get(package) != new.subject.get(package),
        time=time,
        device=new.device,
    )


def faults(changes: list[Change], *, by: str) -> list[str]:
    """Return what speaks against the newer set: ``fail``, also ``numbers``, or also ``slower``."""
    found = [f"{change.kernel}: {change.broke}" for change in changes if change.broke]
    if by == "numbers":
        found += [f"{c.kernel}: other numbers for {', '.join(c.numbers)}" for c in changes if c.numbers]
    if by == "slower":
        found += [f"{c.kernel}: {c.time['ratio'] - 1:+.1%}" for c in changes if c.slower and c.time]
    return found
