"""Many builders at once, and builders that are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from npukbuild.engine.digest import digest_file
from npukbuild.engine.store import LocalStore
from npukbuild.engine.wire import unpack

SCRIPT = "tests.engine.build_some"
ROOT = Path(__file__).parents[2]


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", SCRIPT, *map(str, arguments)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], seconds: float = 120) -> str:
    out, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, out
    return out


def everything_served_is_right(cache: Path) -> None:
    store = LocalStore(cache)
    for path in (cache / "v1" / "cas").glob("*/*"):
        assert digest_file(path) == path.name
    for path in (cache / "v1" / "ac").glob("*/*"):
        unpack(path.read_bytes(), path.name)
        assert store.get_result(path.name) is not None


def test_processes_at_once_do_each_action_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    several = [start(tmp_path / "cache", log, 6) for _ in range(4)]
    for process in several:
        finish(process)
    counts = Counter(log.read_text().split())
    assert counts == {name: 1 for index in range(6) for name in (f"a{index}", f"b{index}")}


def test_different_graphs_at_once(tmp_path: Path) -> None:
    several = [start(tmp_path / "cache", tmp_path / f"log{count}", count) for count in (2, 4, 6)]
    for process in several:
        finish(process)
    names = [name for count in (2, 4, 6) for name in (tmp_path / f"log{count}").read_text().split()]
    assert len([name for name in names if name.startswith("a")]) >= 6


def test_who_waits_for_a_killed_builder_takes_over(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = start(tmp_path / "cache", log, 2, "pause=5")
    deadline = time.monotonic() + 30
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    second = start(tmp_path / "cache", log, 2, "pause=0.01")  # other commands, so other keys
    finish(second)
    first.kill()
    first.communicate()
    everything_served_is_right(tmp_path / "cache")


def kill_and_recover(tmp_path: Path, seed: int, times: int) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    finish(start(cache, log, 4, "pause=0.004", f"kill={seed},{times}"), 600)
    everything_served_is_right(cache)
    finish(start(cache, log, 4, "pause=0.004"))
    assert not still_running(tmp_path)


def still_running(folder: Path) -> list[str]:
    """Commands of processes that still work in ``folder``, given a moment to end."""
    for _ in range(50):
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if str(folder) in str((process / "cwd").readlink()):
                    found.append((process / "cmdline").read_text())
            except OSError:
                continue
        if not found:
            return []
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_sigkill_at_random_points(tmp_path: Path, seed: int) -> None:
    kill_and_recover(tmp_path, seed, 12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 104))
def test_sigkill_at_hundreds_of_random_points(tmp_path: Path, seed: int) -> None:
    kill_and_recover(tmp_path, seed, 100)


def test_an_interrupt_stops_children_and_keeps_what_is_finished(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.engine.rig import World, shell\n"
        "world = World(Path(sys.argv[1]), Path(sys.argv[1]) / 'cache')\n"
        "quick = shell('quick', 'echo done > out')\n"
        "slow = shell('slow', 'trap \"\" TERM; echo $$ > pid; sleep 60 & wait; sleep 60; echo no > out')\n"
        "try:\n"
        "    world.run(quick, slow)\n"
        "except KeyboardInterrupt:\n"
        "    print(world.run(quick)['quick'].status)\n"
        "    sys.exit(130)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30

    def ready() -> bool:
        return all(any(tmp_path.glob(f"cache/v1/{place}")) for place in ("work/*/w/pid", "ac/*/*"))

    while not ready() and time.monotonic() < deadline:
        time.sleep(0.01)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "hit\n")
    assert time.monotonic() - began < 20
    assert not still_running(tmp_path)
    assert not list(tmp_path.glob("cache/v1/work/*"))


def test_a_killed_builder_leaves_no_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start(tmp_path / "cache", log, 2, "pause=30")
    deadline = time.monotonic() + 30
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not still_running(tmp_path)
