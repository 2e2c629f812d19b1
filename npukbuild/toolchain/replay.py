"""Run a kept step again exactly: same command line, same folder, same environment."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npukbuild.errors import FolderError, ToolchainMissingError
from npukbuild.toolchain.process import (
    RECORD_SCHEMA,
    RECORD_SUFFIX,
    Outcome,
    Step,
    check_outputs,
    hash_file,
    run_step,
    save_record,
)


@dataclass(frozen=True, kw_only=True)
class KeptStep:
    """A step's record: the step, how it stood, and inputs that have changed since."""

    step: Step
    state: str
    changed: tuple[str, ...]
    verdict: str | None = None


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """The outcome of a replay and what is wrong with the outputs."""

    step: Step
    outcome: Outcome
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the step ended well and left all its outputs."""
        return self.outcome.returncode == 0 and not self.outcome.timed_out and not self.faults


def kept_steps(folder: Path) -> list[KeptStep]:
    """Return the steps kept in ``folder`` and the folders below it, oldest first.

    Raises:
        FolderError: There is none, or one is damaged.
    """
    records = sorted(folder.rglob(f"*{RECORD_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)
    records = [path for path in records if not path.name.startswith(".")]
    if not records:
        raise FolderError(
            "no step was kept here",
            where=str(folder),
            why=f"there is no *{RECORD_SUFFIX} in it",
            hint="give the work folder that the error named",
        )
    return [_read(path) for path in records]


def _read(path: Path) -> KeptStep:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        assert value["schema"] == RECORD_SCHEMA, "another version of npukbuild wrote it"
        was, now = value["cwd"], str(path.parent.absolute())

        def moved(text: str) -> str:
            """The folder may have been copied elsewhere since: its own paths follow it."""
            return text.replace(was, now) if was != now else text

        step = Step(
            name=value["name"],
            argv=tuple(moved(word) for word in value["argv"]),
            cwd=Path(now),
            environment={key: moved(text) for key, text in value["environment"].items()},
            timeout=float(value["timeout"]),
            inputs=tuple(value["inputs"]),
            outputs=tuple(value["outputs"]),
        )
        hashes = value["input_sha256"]
        changed = tuple(name for name in step.inputs if hash_file(step.cwd / name) != hashes.get(name))
        return KeptStep(step=step, state=value["state"], changed=changed, verdict=value.get("verdict"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise FolderError("the step's record is damaged", where=str(path), why=repr(error)) from error


def choose_step(steps: list[KeptStep]) -> KeptStep:
    """Return the step to run again: the last one that did not end well, else the last."""
    failed = [kept for kept in steps if kept.state != "ok"]
    return (failed or steps)[-1]


def replay_step(kept: KeptStep) -> Replayed:
    """Run the step again in its folder; its declared outputs are removed first, as in the build.

    Raises:
        ToolchainMissingError: Its program is no longer there.
    """
    program = Path(kept.step.argv[0])
    if not program.exists():
        raise ToolchainMissingError(
            f"the program of step {kept.step.name} is no longer there",
            where=str(program),
            hint="install the same toolchain again: npukbuild toolchain install",
        )
    started = time.time()
    outcome = run_step(kept.step)
    faults = tuple(check_outputs(kept.step, started))
    replayed = Replayed(step=kept.step, outcome=outcome, faults=faults)
    save_record(kept.step, state="ok" if replayed.passed else "failed", outcome=outcome)
    return replayed
