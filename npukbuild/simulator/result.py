"""What a run tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npukbuild.simulator.recording import Interval


@dataclass(frozen=True)
class RunResult:
    """One call of a design on the simulator. All times are *simulated*.

    Attributes:
        timed: Whether times were simulated; if not, they are 0.
        cycles: AIE cycles from the start of the runtime sequence to its end.
        microseconds: The same in microseconds at ``clock_ghz``, plus ``launch_us``.
        launch_us: Fixed time around a call (driver, firmware) that is part of ``microseconds``.
        first_output_us: When the first data reached host memory, from the start of the sequence.
        cores, streams, channels: Busy share (0..1) per name.
        ddr: Busy share of the memory behind all shims.
        ddr_bytes: Bytes that crossed the shims.
        bottleneck: What was busy for the largest share, in words.
        counts: Events, hand-overs, core-function calls, tasks.
        warnings: What was odd and not wrong.
        intervals: The trace (only when asked for), in cycles from the start.
        left_out: Intervals beyond the most that a trace holds.
    """

    timed: bool
    cycles: float
    clock_ghz: float
    launch_us: float
    first_output_us: float | None
    cores: Mapping[str, float]
    streams: Mapping[str, float]
    ddr: float
    ddr_bytes: int
    bottleneck: str
    counts: Mapping[str, int]
    warnings: tuple[str, ...] = ()
    intervals: tuple[Interval, ...] = field(default=(), repr=False)
    left_out: int = 0

    @property
    def array_us(self) -> float:
        """Microseconds from the start of the runtime sequence to its end."""
        return self.cycles / self.clock_ghz * 1e-3

    @property
    def microseconds(self) -> float:
        """Simulated microseconds of the call, with the launch."""
        return self.array_us + self.launch_us if self.timed else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "timed": self.timed,
            "simulated_us": round(self.microseconds, 3),
            "array_us": round(self.array_us, 3),
            "launch_us": self.launch_us if self.timed else 0.0,
            "cycles": round(self.cycles),
            "clock_ghz": self.clock_ghz,
            "first_output_us": None if self.first_output_us is None else round(self.first_output_us, 3),
            "bottleneck": self.bottleneck,
            "ddr": {"utilisation": round(self.ddr, 4), "bytes": self.ddr_bytes},
            "cores": {name: round(share, 4) for name, share in self.cores.items()},
            "streams": {name: round(share, 4) for name, share in self.streams.items()},
            "counts": dict(self.counts),
            "warnings": list(self.warnings),
        }
