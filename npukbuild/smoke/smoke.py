"""The smoke check of an artifact on disk: numbers, then time, then a verdict for exactly these bytes."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.engine.families import plan_request
from npukbuild.errors import FolderError
from npukbuild.smoke.devices import loaded_on
from npukbuild.smoke.harness import check
from npukbuild.smoke.measure import measure
from npukbuild.smoke.verdict import EXECUTED_FILES, Verdict, hash_subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.smoke.artifact import ArtifactFolder
    from npukbuild.smoke.statistics import Timing


@dataclass(frozen=True)
class SmokeResult:
    """A verdict with the timing that came with it."""

    verdict: Verdict
    timing: Timing | None
    predicted_us: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "verdict": self.verdict.as_dict(),
            "timing": self.timing.as_dict() if self.timing else None,
            "predicted_us": self.predicted_us,
        }


def smoke(
    artifact: ArtifactFolder,
    *,
    device: str,
    iterations: int,
    warmup: int,
    runner_python: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> SmokeResult:
    """Check ``artifact`` on ``device`` and replace its verdict.json.

    The subject is hashed before and after: bytes that change while they run get no verdict.

    Raises:
        FolderError: A checked file changed meanwhile.
        DeviceError, DeviceHungError: The device failed.
    """
    from npukbuild.kernels import matmul_numerics

    problem = plan_request(artifact.manifest["request"]).problem
    before = hash_subject(artifact.path)
    with loaded_on(artifact, device, runner_python=runner_python) as (loaded, environment):
        subject = {name: before[name] for name in EXECUTED_FILES[loaded.device] if name in before}
        verdict = check(
            loaded, artifact.abi, problem, matmul_numerics, target=artifact.target, subject=subject,
            environment=environment, progress=progress,
        )  # fmt: skip
        timing = None
        if verdict.passed and iterations:
            timing = measure(
                loaded, artifact.abi, problem, matmul_numerics, iterations=iterations, warmup=warmup,
                progress=progress,
            )  # fmt: skip
            verdict = Verdict(
                verdict.device, verdict.target, verdict.judgements, subject, timing.as_dict(), environment
            )
    if hash_subject(artifact.path) != before:
        raise FolderError(f"{artifact.path} changed while it was being checked", hint="check it again")
    replace_json(artifact.path / "verdict.json", verdict.as_dict())
    plan = json.loads(artifact.read_text("plan.json"))
    return SmokeResult(verdict, timing, float(plan["prediction"]["total_us"]))


def replace_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as JSON, whole or not at all."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
