"""A cluster of several worker processes on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engine.test_remote import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MANIFEST = """
[[kernel]]
family = "matmul"
m = [16, 32]
k = 64
n = [64, 128]
"""


@contextmanager
def cluster(folder: Path, workers: list[list[str]]) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    port = free_port()
    python = [sys.executable, "-W", "ignore", "-m"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "10s"}
    log = (folder / "cluster.log").open("wb")
    started = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*python, *arguments], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        started.append(process)
        return process

    try:
        start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        several = [
            start("distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--no-nanny", "--nthreads", "1",
                  "--no-dashboard", "--name", f"w{index}", *options)
            for index, options in enumerate(workers)
        ]  # fmt: skip
        yield f"dask://127.0.0.1:{port}", several
    finally:
        for process in started:
            process.kill()
            process.wait()
        log.close()


def script(folder: Path, address: str, body: str) -> subprocess.Popen[str]:
    head = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from npukbuild.engine.costs import Costs\n"
        "from npukbuild.engine.farm import open_farm\n"
        "from npukbuild.engine.graph import graph_of\n"
        "from npukbuild.engine.action import OutputOf\n"
        "from npukbuild.engine.scheduler import Scheduler\n"
        "from npukbuild.engine.session import open_session\n"
        "from tests.engine.rig import World, shell, text\n"
        f"folder = Path({str(folder)!r})\n"
        "world = World(folder, folder / 'cache')\n"
        "def build(nodes):\n"
        "    with open_session(cache_dir=world.cache, remote=str(folder / 'shared'), say=print) as s:\n"
        f"        farm = open_farm({address!r}, s, world.roots)\n"
        "        return Scheduler(graph_of(nodes), store=s.store, digests=s.digests, roots=world.roots,\n"
        "                         executor=farm, costs=s.costs, remote=s.remote, keep_going=True).run()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", head + body], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_a_worker_that_is_killed_in_mid_build_is_replaced(tmp_path: Path) -> None:
    body = (
        "nodes = []\n"
        "for i in range(8):\n"
        "    nodes.append(shell(f'a{i}', f'echo start >> {folder}/log; sleep 1; echo {i} > out'))\n"
        "    nodes.append(shell(f'b{i}', 'cat in in > out', inputs={'in': OutputOf(f'a{i}', 'out')}))\n"
        "nodes.append(shell('bad', 'echo reason >&2; exit 5'))\n"
        "outcomes = build(nodes)\n"
        "for i in range(8):\n"
        "    assert text(outcomes[f'b{i}']) == f'{i}\\n{i}\\n', outcomes[f'a{i}'].error\n"
        "assert 'exit code 5' in outcomes['bad'].error.why and 'reason' in str(outcomes['bad'].error)\n"
        "print(sorted({o.status for o in outcomes.values()}))\n"
    )
    with cluster(tmp_path, [[], [], []]) as (address, workers):
        process = script(tmp_path, address, body)
        deadline = time.monotonic() + 60
        while not (tmp_path / "log").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(workers[0].pid, signal.SIGKILL)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err + (tmp_path / "cluster.log").read_text()
        assert out == "['built', 'failed']\n"
        assert (tmp_path / "log").read_text().count("start") > 8, "the lost worker's action ran again"


@pytest.mark.slow
def test_npu_actions_go_to_workers_with_an_npu(tmp_path: Path) -> None:
    body = (
        "nodes = [shell(f'n{i}', f'cut -d\" \" -f4 /proc/$PPID/stat > out # {i}', resources={'NPU': 1})\n"
        "         for i in range(3)]\n"
        "outcomes = build(nodes)\n"
        "print({int(text(o)) for o in outcomes.values()})\n"
    )
    with cluster(tmp_path, [[], ["--resources", "NPU=1"]]) as (address, workers):
        process = script(tmp_path, address, body)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, f"{{{workers[1].pid}}}\n"), err


@pytest.mark.slow
def test_a_manifest_on_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "k.toml").write_text(MANIFEST)
    with cluster(tmp_path, [[], []]) as (address, _workers):
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "npukbuild",
                "build",
                "k.toml",
                "--workers",
                address,
                "--remote",
                str(tmp_path / "shared"),
                "--json",
            ],
            cwd=tmp_path,
            env={**os.environ, "NPUKBUILD_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert (report["built"], report["failed"]) == (4, 0)
        assert (tmp_path / "build/npu1/matmul_bf16_16x64x64/verdict.json").is_file()


def test_a_cluster_needs_a_shared_cache_and_an_address(tmp_path: Path) -> None:
    (tmp_path / "k.toml").write_text(MANIFEST)

    def build(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "npukbuild", "build", "k.toml", *arguments],
            cwd=tmp_path,
            text=True,
            env={**os.environ, "NPUKBUILD_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            check=False,
        )

    assert build("--workers", "dask://127.0.0.1:1").returncode == 19
    wrong = build("--workers", "somewhere", "--remote", str(tmp_path / "s"))
    assert wrong.returncode == 16
    assert "dask://HOST:PORT" in wrong.stderr
