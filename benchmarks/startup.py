"""What a person waits for: --help, --version, an unchanged kernel, and the main job from nothing.

``python -m benchmarks.startup``. The baseline is a bare start of Python in the same run, one after the other.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("npukbuild"))
MAIN = [PROGRAM, "matmul", "--m", "64", "--n", "512"]
RUNS = 15


@dataclass(frozen=True, slots=True)
class Row:
    """One command's median in milliseconds, and its ratio to the baseline's."""

    name: str
    milliseconds: float
    baseline_ms: float
    wanted: str

    @property
    def ratio(self) -> float:
        """Times ``python -c pass``."""
        return self.milliseconds / self.baseline_ms


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Return the milliseconds of one run."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return 1e3 * (time.perf_counter() - started)


def run(runs: int = RUNS) -> list[Row]:
    """Time the commands in turn, so that a drift of the machine meets all of them."""
    with tempfile.TemporaryDirectory(prefix="npukbuild-bench-") as name:
        folder = Path(name)
        environment = {**os.environ, "NPUKBUILD_CACHE_DIR": str(folder / "cache")}
        cold = timed(MAIN, folder, environment)
        commands = {
            "npukbuild --help": ([PROGRAM, "--help"], "<= 3"),
            "npukbuild --version": ([PROGRAM, "--version"], "<= 3"),
            "unchanged npukbuild matmul --m 64 --n 512": (MAIN, "<= 4"),
        }
        times: dict[str, list[float]] = {title: [] for title in commands}
        bare: list[float] = []
        for _ in range(runs):
            bare.append(timed([sys.executable, "-c", "pass"], folder, environment))
            for title, (command, _) in commands.items():
                times[title].append(timed(command, folder, environment))
        baseline = statistics.median(bare)
        rows = [
            Row(title, statistics.median(times[title]), baseline, wanted)
            for title, (_, wanted) in commands.items()
        ]
        return [*rows, Row("cold npukbuild matmul --m 64 --n 512", cold, baseline, "8 s on 2 cores")]


def main() -> None:
    """Print the table."""
    for row in run():
        figures = f"{row.milliseconds:10.1f} ms {row.ratio:8.2f} x python -c pass ({row.baseline_ms:.1f} ms)"
        sys.stdout.write(f"{row.name:<44}{figures}, wanted {row.wanted}\n")


if __name__ == "__main__":
    main()
