"""How long planning takes, against a bare start of Python measured in the same run.

``python -m benchmarks.planner``. The planner is imported and warm; shapes are random over all types, layouts
and targets, the same in every run.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from npukbuild.kernels.matmul import B_LAYOUTS, DTYPE_PAIRS, MatmulProblem
from npukbuild.planner import plan_matmul
from npukbuild.targets import load_target, target_names

SHAPES = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement in milliseconds and its ratio to the baseline's."""

    name: str
    milliseconds: float
    baseline: str
    baseline_ms: float

    @property
    def ratio(self) -> float:
        """Times the baseline."""
        return self.milliseconds / self.baseline_ms


def random_problem(source: random.Random) -> tuple[MatmulProblem, str]:
    """Return one problem, small or large, round or odd, and a target for it."""
    dtype = source.choice([name for name in DTYPE_PAIRS if name != "bfp16"])
    out = source.choice(DTYPE_PAIRS[dtype])
    m, k, n = (
        source.choice((source.randint(1, 200), source.randint(1, 5000), 64 * source.randint(1, 64)))
        for _ in range(3)
    )
    return MatmulProblem(m, k, n, dtype, out, source.choice(B_LAYOUTS)), source.choice(target_names())


def bare_start_ms() -> float:
    """Return the median of ``python -c pass`` in milliseconds."""
    times = []
    for _ in range(9):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def run(shapes: int = SHAPES) -> list[Row]:
    """Plan ``shapes`` random shapes and return median, 99th percentile and sum."""
    source = random.Random(20261)
    baseline = bare_start_ms()
    plan_matmul(MatmulProblem(64, 64, 512), load_target("npu1"))
    times = []
    for _ in range(shapes):
        problem, target = random_problem(source)
        model = load_target(target)
        started = time.perf_counter()
        plan_matmul(problem, model)
        times.append(1e3 * (time.perf_counter() - started))
    times.sort()
    figures = {
        "one shape, median": statistics.median(times),
        "one shape, 99th percentile": times[len(times) * 99 // 100],
        f"{shapes} shapes": sum(times),
    }
    return [Row(name, value, "python -c pass", baseline) for name, value in figures.items()]


def main() -> None:
    """Print the table."""
    for row in run():
        words = f"{row.name:<28}{row.milliseconds:10.1f} ms   {row.ratio:8.2f} x {row.baseline}"
        sys.stdout.write(f"{words} ({row.baseline_ms:.1f} ms)\n")


if __name__ == "__main__":
    main()
