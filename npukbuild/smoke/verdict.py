"""The verdict on a kernel: what ran, on what, with which numbers, bound to the exact bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from npukbuild.smoke.judge import Judgement

CHECKED_FILES = ("design.mlir", "kernel.cc", "kernel.xclbin", "insts.bin")
"""The files of an artifact whose bytes a verdict is bound to, where they exist."""

BUILT_FILES = ("kernel.xclbin", "insts.bin")
"""What the toolchain makes of the design and the kernel, and the NPU alone can run."""

EXECUTED_FILES = {"simulator": ("design.mlir", "kernel.cc"), "npu": CHECKED_FILES}
"""By device: the files that a check speaks for: what ran, and on the NPU also what that was built from."""

RUN_FILES = {"simulator": ("design.mlir", "kernel.cc"), "npu": ("kernel.xclbin", "insts.bin")}
"""By device: the files that it executes; the simulator does not execute an XCLBIN."""


@dataclass(frozen=True)
class Verdict:
    """The result of one smoke check.

    ``device`` is ``simulator`` or ``npu``. ``subject`` maps file names to the sha256 of the bytes that ran.
    ``timing`` holds microseconds: *simulated* ones when the device is the simulator.
    """

    device: str
    target: str
    judgements: tuple[Judgement, ...]
    subject: Mapping[str, str]
    timing: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True when there are judgements and all passed."""
        return bool(self.judgements) and all(judgement.passed for judgement in self.judgements)

    @property
    def ran(self) -> tuple[str, ...]:
        """The files of the subject that this device executed: the sources, or the package."""
        return tuple(name for name in RUN_FILES[self.device] if name in self.subject)

    @property
    def worst(self) -> Judgement:
        """The judgement that comes nearest to its bound, failed ones first."""
        return max(self.judgements, key=lambda j: (not j.passed, _ratio(j.max_error, j.bound), j.max_error))

    @property
    def most_biased(self) -> Judgement:
        """The judgement whose mean error comes nearest to its bound."""
        return max(self.judgements, key=lambda j: (_ratio(abs(j.bias), j.bias_bound), abs(j.bias)))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for verdict.json and ``--json``."""
        worst, biased = self.worst, self.most_biased
        return {
            "status": "passed" if self.passed else "failed",
            "device": self.device,
            "target": self.target,
            "max_error": worst.max_error,
            "bound": worst.bound,
            "bias": biased.bias,
            "bias_bound": biased.bias_bound,
            "inputs": [judgement.as_dict() for judgement in self.judgements],
            "subject": dict(self.subject),
            "ran": list(self.ran),
            "timing": dict(self.timing),
            "environment": dict(self.environment),
        }


def _ratio(error: float, bound: float) -> float:
    if bound > 0:
        return error / bound
    return float("inf") if error > 0 else 0.0


def hash_subject(folder: Path, names: Sequence[str] = CHECKED_FILES) -> dict[str, str]:
    """Return the sha256 of each of ``names`` that exists in ``folder``."""
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in names
        if (folder / name).is_file()
    }
