"""Publishers that die anywhere, and several at once, leave a registry that is right."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from npukbuild.publish.keys import known_keys
from npukbuild.publish.registry import FolderRegistry
from npukbuild.publish.release import verify_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from npukbuild.publish.keys import SigningKey
    from npukbuild.smoke.artifact import ArtifactFolder

PUBLISH = """
import sys
from pathlib import Path
from npukbuild.publish.keys import load_signing_key
from npukbuild.publish.publisher import publish_artifact
from npukbuild.publish.registry import FolderRegistry
from npukbuild.smoke.artifact import open_artifact
registry, key = FolderRegistry(Path(sys.argv[1]), create=True), load_signing_key(None)
print("ready", flush=True)
for round in range(int(sys.argv[2])):
    for folder in sys.argv[3:]:
        publish_artifact(open_artifact(Path(folder)), registry, channel="candidate", key=key,
                         version=f"v{round}")
"""


def start(registry: Path, rounds: int, folders: list[Path]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PUBLISH, str(registry), str(rounds), *map(str, folders)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def everything_holds(root: Path) -> int:
    registry = FolderRegistry(root)
    keys = known_keys()
    for release_id in registry.ids():
        verify_release(registry.get(release_id), keys)
    return len(registry.ids())


def kill_at_random_points(
    make_artifact: Callable[..., ArtifactFolder], tmp_path: Path, times: int, seed: int
) -> None:
    root = tmp_path / "registry"
    folders = [make_artifact(xclbin=True).path for _ in range(2)]
    chance = random.Random(seed)
    seen = 0
    for _ in range(times):
        process = start(root, 200, folders)
        time.sleep(chance.uniform(0.0, 0.08))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        now = everything_holds(root)
        assert now >= seen
        seen = now
    process = start(root, 1, folders)
    assert process.communicate()[1] == b""
    assert everything_holds(root) >= max(seen, 1)
    FolderRegistry(root).sweep()
    assert not list(root.glob("*/*/.*"))


def test_killed_publishers_lose_and_show_nothing(
    make_artifact: Callable[..., ArtifactFolder], key: SigningKey, tmp_path: Path
) -> None:
    kill_at_random_points(make_artifact, tmp_path, times=6, seed=1)


@pytest.mark.slow
def test_many_killed_publishers(
    make_artifact: Callable[..., ArtifactFolder], key: SigningKey, tmp_path: Path
) -> None:
    kill_at_random_points(make_artifact, tmp_path, times=100, seed=2)


def test_publishers_at_once(
    make_artifact: Callable[..., ArtifactFolder], key: SigningKey, tmp_path: Path
) -> None:
    folder = make_artifact(xclbin=True).path
    processes = [start(tmp_path / "registry", 20, [folder]) for _ in range(3)]
    for process in processes:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    assert everything_holds(tmp_path / "registry") == 20
