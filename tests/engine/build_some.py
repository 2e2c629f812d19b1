"""Builds a fixed graph of real commands; started by tests as a process of its own.

``python build_some.py CACHE LOG NODES [KEY=VALUE...]``: every action appends its name to LOG when it runs.
With ``kill=SEED,COUNT`` it forks a builder COUNT times and kills each with SIGKILL at a random moment.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.engine.action import OutputOf
from npukbuild.engine.evict import lease
from tests.engine.rig import World, shell

if TYPE_CHECKING:
    from npukbuild.engine.graph import Node


def nodes(log: Path, count: int, pause: float) -> list[Node]:
    """Pairs of actions: one makes a file of several blocks slowly, the other checks and doubles it."""
    made: list[Node] = []
    for index in range(count):
        first = shell(
            f"a{index}",
            f"echo a{index} >> {log}; for i in 1 2 3 4; do echo {index} $i; sleep {pause}; done > out",
        )
        second = shell(
            f"b{index}",
            f'echo b{index} >> {log}; test "$(wc -l < in)" = 4 && cat in in > out',
            inputs={"in": OutputOf(f"a{index}", "out")},
        )
        made.extend([first, second])
    return made


def build(cache: Path, log: Path, count: int, pause: float) -> None:
    world = World(cache.parent, cache)
    store = world.store()
    with lease(store):
        outcomes = world.run(*nodes(log, count, pause), store=store)
    for index in range(count):
        lines = "".join(f"{index} {i}\n" for i in (1, 2, 3, 4))
        found = outcomes[f"b{index}"].outputs["out"].path.read_text()
        assert found == lines * 2, found


def kill_often(cache: Path, log: Path, count: int, pause: float, seed: int, times: int) -> None:
    """Fork a builder and kill it, again and again, with a fresh graph each time it has managed to finish."""
    chance = random.Random(seed)
    for _ in range(times):
        child = os.fork()
        if child == 0:
            try:
                build(cache, log, count, pause)
            finally:
                os._exit(0)
        time.sleep(chance.uniform(0.0, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if chance.random() < 0.2:
            damage(cache, chance)


def damage(cache: Path, chance: random.Random) -> None:
    """Remove some finished entries, so that there is always something left to build."""
    for kind in ("ac", "cas"):
        for path in sorted((cache / "v1" / kind).glob("*/*")):
            if chance.random() < 0.5:
                path.unlink()


if __name__ == "__main__":
    options = dict(word.split("=") for word in sys.argv[4:])
    arguments = (Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(options.get("pause", "0.02")))
    if "kill" in options:
        seed, times = options["kill"].split(",")
        kill_often(*arguments, int(seed), int(times))
    else:
        build(*arguments)
