"""The engine against ninja, ccache and a shell script, side by side in one run.

    python -m benchmarks.engine

Every row is a ratio of medians measured in turn on this machine, with the bound it should stay below (or,
for the two workers, above). The kernels' steps are replaced by small real commands where only the engine is
measured.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, "-m", "npukbuild"]


@dataclass(frozen=True)
class Row:
    """One comparison: measured / baseline should stay below ``bound``, above it if ``least``."""

    name: str
    measured_ms: float
    baseline: str
    baseline_ms: float
    bound: float
    least: bool = False

    @property
    def ratio(self) -> float:
        """Measured / baseline."""
        return self.measured_ms / self.baseline_ms

    @property
    def good(self) -> bool:
        """Whether the bound holds."""
        return self.ratio >= self.bound if self.least else self.ratio <= self.bound

    def line(self) -> str:
        """Return the row as text."""
        relation = ">=" if self.least else "<="
        verdict = "" if self.good else "  (missed)"
        return (
            f"{self.name:<52}{self.measured_ms:>9.1f} ms {self.ratio:>7.2f} x  {relation} {self.bound:<6g} "
            f"{self.baseline} {self.baseline_ms:.1f} ms{verdict}"
        )


def medians(commands: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median milliseconds of each command; one round runs each once, so that noise meets all alike."""
    times: list[list[float]] = [[] for _ in commands]
    for _ in range(rounds):
        for index, command in enumerate(commands):
            started = time.perf_counter()
            command()
            times[index].append((time.perf_counter() - started) * 1000)
    return [statistics.median(one) for one in times]


class Bench:
    """A scratch folder with a byte-compiled copy of the package, as an installation has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "NPUKBUILD_CACHE_DIR": str(folder / "cache"),
            "CCACHE_DIR": str(folder / "ccache"),
            "PYTHONPYCACHEPREFIX": str(folder / "pyc"),
            "PYTHONPATH": str(ROOT),
        }

    def call(self, command: Sequence[str | Path], cwd: Path | None = None) -> Callable[[], object]:
        """Return a function that runs ``command`` and fails with it."""
        words = [str(word) for word in command]

        def run() -> None:
            subprocess.run(
                words, cwd=cwd or self.folder, env=self.environment, check=True, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip

        return run

    def python(self) -> Callable[[], object]:
        """Return the shortest run of the interpreter."""
        return self.call([sys.executable, "-c", "pass"])


def start_up(bench: Bench) -> list[Row]:
    unchanged = bench.call([*PROGRAM, "matmul", "--m", "64", "--n", "512"])
    unchanged()
    time.sleep(2.2)  # until then the new files' time stamps prove nothing and they are read
    unchanged()
    version, text = bench.call([*PROGRAM, "--version"]), bench.call([*PROGRAM, "--help"])
    version()
    text()
    base, hit, said, helped = medians([bench.python(), unchanged, version, text], 25)
    return [
        Row("unchanged npukbuild matmul --m 64 --n 512", hit, "python -c pass", base, 4),
        Row("npukbuild --version", said, "python -c pass", base, 3),
        Row("npukbuild --help", helped, "python -c pass", base, 3),
    ]


def against_ccache(bench: Bench) -> list[Row]:
    if not (shutil.which("ccache") and shutil.which("g++")):
        return []
    (bench.folder / "one.cc").write_text(
        "#include <vector>\nint f(std::vector<int> v) { return v.size(); }\n"
    )
    cached = bench.call(["ccache", "g++", "-c", "one.cc", "-o", "one.o"])
    cached()
    hit = bench.call([*PROGRAM, "matmul", "--m", "64", "--n", "512"])
    ccache, python, ours = medians([cached, bench.python(), hit], 25)
    return [Row("hit for one kernel", ours, "ccache g++ for one object + python -c pass", ccache + python, 2)]


def fake_build(bench: Bench, count: int) -> Path:
    """A folder in which ``count`` kernels stand built and stamped, with this machine's real dependencies.

    One kernel is built for real. The others are copies of its artifact, in the stamp as in the build folder:
    what an unchanged build does is to compare the stamp's files, and there are as many as after a real build.
    """
    from npukbuild.engine import stamp

    place = bench.folder / f"many{count}"
    place.mkdir()
    bench.call([*PROGRAM, "matmul", "--m", "64", "--n", "512"], place)()
    folder = place / "build" / "npu1" / "matmul_bf16_64x64x512"
    stamps = list((place / "build" / ".npukbuild" / "stamps").iterdir())
    body = stamps[0].read_bytes()[len(stamp.HEADER) + 65 :]
    sizes, _, rest = body.partition(b"\n")
    lines = rest[sum(map(int, sizes.split())) :].decode().split("\n")
    (place / "kernels.toml").write_text('[[kernel]]\nfamily = "matmul"\nm = 64\nn = 512\n')
    shared = [line for line in lines if str(folder) not in line]
    own = [line for line in lines if str(folder) in line]
    files: dict[str, str] = {}
    for index in range(count):
        copy = folder.with_name(f"kernel{index}")
        shutil.copytree(folder, copy)
        for line in own:
            _, _, digest, path = line.split("\t", 3)
            files[path.replace(str(folder), str(copy))] = digest
    entries = [line.split("\t", 3) for line in shared]
    script = (
        "import sys, json, os; from npukbuild.engine import stamp\n"
        "given = json.load(open('stamp.json'))\n"
        "assert stamp.record(['build', 'kernels.toml'], b'same\\n', b'', given['F'], set(given['A']), given['D'],"  # noqa: E501
        " started=0.0)"
    )
    import json

    known = {kind: {path: digest for one, _, digest, path in entries if one == kind} for kind in "FDA"}
    known["F"].update(files)
    (place / "stamp.json").write_text(json.dumps({**known, "A": list(known["A"])}))
    bench.call([sys.executable, "-c", script], place)()
    unchanged = bench.call([*PROGRAM, "build", "kernels.toml"], place)
    time.sleep(2.2)
    unchanged()
    return place


def against_ninja(bench: Bench) -> list[Row]:
    rows = []
    for count in (200, 2000):
        place = fake_build(bench, count)
        ours = bench.call([*PROGRAM, "build", "kernels.toml"], place)
        if count == 200 and shutil.which("ninja"):
            rules = ["rule cp", "  command = cp $in $out"]
            rules.extend(f"build out{index}: cp source" for index in range(count))
            (place / "build.ninja").write_text("\n".join(rules) + "\n")
            (place / "source").write_text("x")
            ninja = bench.call(["ninja"], place)
            ninja()
            base, python, own = medians([ninja, bench.python(), ours], 15)
            rows.append(
                Row(
                    "unchanged manifest of 200 kernels",
                    own,
                    "ninja's no-op + python -c pass",
                    base + python,
                    3,
                )
            )
        else:
            (own,) = medians([ours], 7)
            rows.append(Row(f"unchanged manifest of {count} kernels", own, "a second", 1000.0, 1))
    return rows


ENGINE = """
import os, sys, time
from pathlib import Path
from npukbuild.engine.action import Action
from npukbuild.engine.costs import Costs
from npukbuild.engine.digest import FileDigests
from npukbuild.engine.executor import LocalExecutor
from npukbuild.engine.graph import Node, graph_of
from npukbuild.engine.roots import Roots
from npukbuild.engine.scheduler import Scheduler
from npukbuild.engine.store import LocalStore

folder, jobs, count, script = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
roots, digests = Roots({}), FileDigests()
nodes = [Node(f"n{i}", Action(kind="sh", label=f"n{i}", outputs=("out",),
         environment={"PATH": os.environ["PATH"]},
         command=("/bin/sh", "-c", script.replace("@", str(i))))) for i in range(count)]
costs = Costs()
costs.learn("sh", "n0", 1 << 20, 0.1)
executor = LocalExecutor(jobs, roots, digests)
started = time.perf_counter()
store = LocalStore(folder)
Scheduler(graph_of(nodes), store=store, digests=digests, roots=roots, executor=executor, costs=costs).run()
print(time.perf_counter() - started)
"""


def engine_seconds(bench: Bench, jobs: int, count: int, script: str) -> float:
    """Seconds that the engine takes for ``count`` fresh actions, without the interpreter's start."""
    cache = Path(tempfile.mkdtemp(dir=bench.folder))
    done = subprocess.run(
        [sys.executable, "-c", ENGINE, str(cache), str(jobs), str(count), script],
        env=bench.environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def overhead(bench: Bench) -> list[Row]:
    """Executed actions against the same commands from a shell script; the row's bound is 5 ms for each."""
    count, command = 200, "echo @ > out"
    place = bench.folder / "script"
    place.mkdir()
    lines = [
        f"mkdir d{index}; (cd d{index}; /bin/sh -c '{command.replace('@', str(index))}')"
        for index in range(count)
    ]
    (place / "all.sh").write_text("\n".join(lines) + "\n")
    script, ours = [], []
    for _ in range(5):
        for old in place.glob("d*"):
            shutil.rmtree(old)
        started = time.perf_counter()
        bench.call(["/bin/sh", "all.sh"], place)()
        script.append(time.perf_counter() - started)
        ours.append(engine_seconds(bench, 1, count, command))
    extra = (statistics.median(ours) - statistics.median(script)) / count * 1000
    return [Row("overhead per executed action against a shell script", extra, "a millisecond", 1.0, 5)]


def two_workers(bench: Bench) -> list[Row]:
    """Independent CPU-bound actions with one and with two workers."""
    script = f"{sys.executable} -S -c 'x=sum(i*i for i in range(3000000))' ; echo @ > out"
    one, two = [], []
    for _ in range(3):
        one.append(engine_seconds(bench, 1, 12, script))
        two.append(engine_seconds(bench, 2, 12, script))
    slow, fast = statistics.median(one) * 1000, statistics.median(two) * 1000
    plain = [
        bench.call(["xargs", "-a", "many", "-I", "@", "-P", str(jobs), "/bin/sh", "-c", script])
        for jobs in (1, 2)
    ]
    (bench.folder / "many").write_text("\n".join(map(str, range(12))) + "\n")
    serial, parallel = medians(plain, 3)
    return [
        Row("one worker's time for independent actions", slow, "two workers'", fast, 1.8, least=True),
        Row(
            "  what this machine gives at the moment: xargs -P 1",
            serial,
            "xargs -P 2",
            parallel,
            1.0,
            least=True,
        ),
    ]


def run() -> list[Row]:
    """Measure everything."""
    with tempfile.TemporaryDirectory(prefix="npukbuild-bench-") as folder:
        bench = Bench(Path(folder))
        rows = start_up(bench)
        for part in (against_ccache, against_ninja, overhead, two_workers):
            rows.extend(part(bench))
        return rows


def main() -> None:
    """Measure and print."""
    for row in run():
        sys.stdout.write(f"{row.line()}\n")


if __name__ == "__main__":
    main()
