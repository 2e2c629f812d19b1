"""Run one external tool: deadline, whole process group, output to a file, a command kept for replay."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from npukbuild.errors import DiskFullError, FolderError, ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RECORD_SUFFIX = ".step.json"
RECORD_SCHEMA = 1
_GRACE_SECONDS = 2.0
_FREE_FLOOR = 1 << 20
_CLOCK_SLACK = 2.0  # seconds: file systems stamp with a coarser clock, network ones with another machine's


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call of one tool, complete enough to be run again exactly.

    Attributes:
        name: A short name, unique in its work folder: ``peano``, ``aiecc``.
        argv: The command line; ``argv[0]`` is an absolute path.
        cwd: The work folder.
        environment: The whole environment of the child.
        timeout: Seconds after which the process group is killed.
        inputs: Files it reads, relative to ``cwd``; their hashes are kept to notice later changes.
        outputs: Files it must write, relative to ``cwd``.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str] = field(repr=False)
    timeout: float
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        """The file that takes stdout and stderr."""
        return self.cwd / f"{self.name}.log"

    @property
    def record(self) -> Path:
        """The file that keeps this step for a replay."""
        return self.cwd / f"{self.name}{RECORD_SUFFIX}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a step ended. ``returncode`` is negative for a signal, as in :mod:`subprocess`."""

    returncode: int
    timed_out: bool
    seconds: float
    log: Path

    @property
    def ended(self) -> str:
        """The ending in words."""
        if self.timed_out:
            return f"did not finish within {self.seconds:.0f} s and was killed"
        if self.returncode < 0:
            with contextlib.suppress(ValueError):
                return f"was ended by {signal.Signals(-self.returncode).name}"
        return f"ended with exit code {self.returncode}"


def run_step(step: Step) -> Outcome:
    """Run ``step`` and return how it ended; a bad exit code is not an error here.

    Output goes straight to ``step.log``, so that megabytes of it cost no memory. The child leads its own
    process group; at the deadline, on Ctrl-C and after its end the whole group is killed, so nothing that
    it started outlives the step.

    Raises:
        ToolError: The program cannot be started.
        FolderError: The log or the record cannot be written.
        DiskFullError: The disk ran full meanwhile.
    """
    save_record(step, state="running")
    started = time.monotonic()
    try:
        for name in step.outputs:
            (step.cwd / name).unlink(missing_ok=True)
        with step.log.open("wb") as log:
            process = _start(step, log.fileno())
            timed_out = _wait_and_sweep(process, step.timeout)
    except OSError as error:
        raise FolderError("the log cannot be written", where=str(step.log), why=error.strerror) from error
    outcome = Outcome(
        returncode=process.returncode,
        timed_out=timed_out,
        seconds=time.monotonic() - started,
        log=step.log,
    )
    if shutil.disk_usage(step.cwd).free < _FREE_FLOOR:
        raise DiskFullError(
            f"the disk ran full while {step.name} was running",
            where=str(step.cwd),
            hint="free some space, or choose another folder with --build-dir",
        )
    save_record(step, state="ended", outcome=outcome)
    return outcome


def _start(step: Step, log: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            step.argv,
            cwd=step.cwd,
            env=dict(step.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        if not step.cwd.is_dir():
            raise
        raise ToolError(
            f"{step.name} cannot be started",
            where=step.argv[0],
            why=error.strerror,
            hint="npukbuild doctor",
        ) from error


def _wait_and_sweep(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for the leader's end, then kill what is left of its group; return whether the deadline passed."""
    timed_out = False
    try:
        timed_out = not _wait(process, timeout)
        if timed_out:
            _signal_group(process.pid, signal.SIGTERM)
            _wait(process, _GRACE_SECONDS)
    finally:
        # The leader is not reaped yet, so its number cannot have passed to a stranger's group.
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
    return timed_out


def _wait(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait without reaping; return whether the process has ended."""
    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
            return True
        return False
    try:
        waiter = select.poll()
        waiter.register(handle, select.POLLIN)
        return bool(waiter.poll(max(0.0, timeout) * 1000))
    finally:
        os.close(handle)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def save_record(
    step: Step, *, state: str, outcome: Outcome | None = None, verdict: str | None = None
) -> None:
    """Write the step's record beside its log, whole or not at all.

    Args:
        step: The step.
        state: ``running``, ``ended``, ``ok`` or ``failed``.
        outcome: How it ended, once it has.
        verdict: Why it counts as failed.
    """
    value: dict[str, Any] = {
        "schema": RECORD_SCHEMA,
        "state": state,
        **asdict(step),
        "cwd": str(step.cwd),
        "input_sha256": {name: hash_file(step.cwd / name) for name in step.inputs},
    }
    if outcome is not None:
        value["outcome"] = {"returncode": outcome.returncode, "timed_out": outcome.timed_out}
    if verdict is not None:
        value["verdict"] = verdict
    temporary = step.record.with_name(f".{step.record.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(value, indent=2), encoding="utf-8")
        temporary.replace(step.record)
    except OSError as error:
        raise FolderError(
            "the step's record cannot be written", where=str(step.record), why=error.strerror
        ) from error


def hash_file(path: Path) -> str | None:
    """Return the sha256 (hex) of a file, or ``None`` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def check_outputs(step: Step, started: float) -> list[str]:
    """Return what is wrong with the step's declared outputs: missing, empty, not new.

    ``started`` is :func:`time.time` before the step. The outputs were removed then, so one that is older was
    copied from elsewhere with its date. An exit code is no evidence: the C++ aiecc of the 1.3 series ends
    with 0 and without an XCLBIN when ``xclbinutil`` is missing.
    """
    faults = []
    for name in step.outputs:
        try:
            status = (step.cwd / name).stat()
        except OSError:
            faults.append(f"{name} was not written")
            continue
        if status.st_size == 0:
            faults.append(f"{name} is empty")
        elif status.st_mtime < started - _CLOCK_SLACK:
            faults.append(f"{name} is older than this step: it was left by an earlier one")
    return faults
