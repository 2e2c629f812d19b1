"""One night: every kernel of a manifest built, checked, timed and published, with what changed since.

Each finished kernel is written down at once (``<nights>/<night>/<target>__<kernel>.json``), so that a night
that was cut off goes on where it stopped: a kernel is done when its record names the very bytes that stand
in its folder.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.errors import GateRefusedError, NpukbuildError
from npukbuild.publish.gate import read_verdict, refusals
from npukbuild.publish.publisher import publish_artifact
from npukbuild.smoke.artifact import open_artifact
from npukbuild.smoke.devices import runs_on_npu
from npukbuild.smoke.smoke import smoke
from npukbuild.smoke.statistics import Timing, compare
from npukbuild.smoke.verdict import hash_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from npukbuild.engine.pipeline import KernelResult
    from npukbuild.publish.keys import SigningKey
    from npukbuild.publish.registry import Registry
    from npukbuild.smoke.artifact import ArtifactFolder

HISTORY = 30
"""Nights that the report looks back."""


@dataclass
class KernelNight:
    """What one kernel's night brought."""

    kernel: str
    status: str
    """``passed``, ``failed`` (build, check or device), ``skipped``."""
    built: str = ""
    because: str = ""
    seconds: float = 0.0
    bytes: int = 0
    device: str | None = None
    error_share: float | None = None
    timing: dict[str, Any] | None = None
    predicted_us: float | None = None
    comparison: dict[str, Any] | None = None
    release: str | None = None
    published: str | None = None
    error: dict[str, Any] | None = None
    subject: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    """Input of the check -> start of the sha256 of what came out."""
    environment: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NightOptions:
    """How a night runs."""

    device: str = "auto"
    iterations: int = 10
    warmup: int = 2
    channel: str = "candidate"
    runner_python: Path | None = None


class Nights:
    """The records of this and earlier nights in a folder."""

    def __init__(self, folder: Path, night: str) -> None:
        self.night = night
        self._root = folder
        self._folder = folder / night
        self._folder.mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        """Where this night's records and report are."""
        return self._folder

    def save(self, row: KernelNight) -> None:
        """Write one kernel's record, whole or not at all."""
        descriptor, name = tempfile.mkstemp(prefix=".row-", dir=self._folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(row), file, indent=1)
        Path(name).chmod(0o644)
        Path(name).replace(self._folder / _file_name(row.kernel))

    def done(self, kernel: str, subject: dict[str, str], *, publishing: bool) -> KernelNight | None:
        """Return this night's record of ``kernel`` if nothing is left to do for exactly these bytes."""
        row = _read(self._folder / _file_name(kernel))
        if row is None or row.status != "passed" or row.subject != subject:
            return None
        return row if row.published is not None or not publishing else None

    def before(self, kernel: str) -> list[tuple[str, KernelNight]]:
        """Return the kernel's records of earlier nights, oldest first."""
        nights = sorted(path for path in self._root.iterdir() if path.is_dir() and path.name < self.night)
        rows = ((path.name, _read(path / _file_name(kernel))) for path in nights[-HISTORY:])
        return [(name, row) for name, row in rows if row is not None]


def kernel_night(
    result: KernelResult,
    nights: Nights,
    options: NightOptions,
    *,
    registry: Registry | None,
    key: SigningKey | None,
    progress: Callable[[str], None] | None = None,
) -> KernelNight:
    """Check, time and publish one built kernel, and write its record.

    A failure becomes part of the record; only an interrupt leaves.
    """
    row = KernelNight(
        result.kernel.group, "skipped", built=result.status, because=result.because,
        seconds=round(result.seconds, 3), bytes=result.bytes,
    )  # fmt: skip
    if result.status in ("failed", "skipped"):
        if result.error is not None:
            row.status, row.error = "failed", result.error.as_dict()
        nights.save(row)
        return row
    row.subject = hash_subject(result.folder)
    publishing = registry is not None and key is not None
    if (done := nights.done(row.kernel, row.subject, publishing=publishing)) is not None:
        return done
    try:
        _check_and_time(row, result.folder, nights, options, progress)
        if row.status == "passed" and registry is not None and key is not None:
            _publish(row, result.folder, options, registry, key)
    except NpukbuildError as error:
        row.status, row.error = "failed", error.as_dict()
    nights.save(row)
    return row


def _check_and_time(
    row: KernelNight,
    folder: Path,
    nights: Nights,
    options: NightOptions,
    progress: Callable[[str], None] | None,
) -> None:
    artifact = open_artifact(folder)
    verdict = _simulated_already(artifact, options)
    if verdict is None:
        verdict = smoke(
            artifact, device=options.device, iterations=options.iterations, warmup=options.warmup,
            runner_python=options.runner_python, progress=progress,
        ).verdict.as_dict()  # fmt: skip
    row.device, row.environment = verdict["device"], verdict["environment"]
    row.predicted_us = float(json.loads(artifact.read_text("plan.json"))["prediction"]["total_us"])
    row.status = verdict["status"]
    row.numbers = {entry["input"]: entry.get("result", "") for entry in verdict["inputs"]}
    row.error_share = (
        verdict["max_error"] / verdict["bound"] if verdict["bound"] else float(verdict["max_error"] > 0)
    )
    if row.status != "passed":
        failed = next(entry for entry in verdict["inputs"] if not entry["passed"])
        row.error = {"what": f"wrong numbers on the {row.device}", "why": failed["reason"], "hint": None}
        return
    row.timing = verdict["timing"]
    earlier = [past for _, past in nights.before(row.kernel) if past.timing and past.device == row.device]
    if earlier:
        before, now = Timing(**earlier[-1].timing or {}), Timing(**row.timing or {})
        row.comparison = compare(before, now).as_dict()


def _simulated_already(artifact: ArtifactFolder, options: NightOptions) -> dict[str, Any] | None:
    """Return the build's own verdict where the simulator would only say the same again.

    The simulator is deterministic: the same bytes give the same numbers and the same simulated times.
    """
    if options.device == "npu" or (options.device == "auto" and runs_on_npu(artifact)):
        return None
    try:
        verdict = read_verdict(artifact)
    except GateRefusedError:
        return None
    fitting = verdict["device"] == "simulator" and not refusals(artifact, verdict, "candidate")
    return verdict if fitting else None


def _publish(
    row: KernelNight, folder: Path, options: NightOptions, registry: Registry, key: SigningKey
) -> None:
    try:
        done = publish_artifact(open_artifact(folder), registry, channel=options.channel, key=key)
    except GateRefusedError as error:
        row.published = f"refused: {error.why or error.what}"
        return
    row.release, row.published = str(done.id), "new" if done.new else "unchanged"


def totals(rows: Sequence[KernelNight]) -> dict[str, int]:
    """Count the rows by what became of them."""
    return {
        "kernels": len(rows),
        "passed": sum(row.status == "passed" for row in rows),
        "failed": sum(row.status == "failed" for row in rows),
        "skipped": sum(row.status == "skipped" for row in rows),
        "built": sum(row.built == "built" for row in rows),
        "published": sum(row.published == "new" for row in rows),
        "slower": sum((row.comparison or {}).get("verdict") == "slower" for row in rows),
        "faster": sum((row.comparison or {}).get("verdict") == "faster" for row in rows),
    }


def _file_name(kernel: str) -> str:
    return f"{kernel.replace('/', '__')}.json"


def _read(path: Path) -> KernelNight | None:
    try:
        return KernelNight(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
