"""A night: resumed after a kill, compared with the last one, reported for people and programs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

KERNELS = ("npu1/matmul_bf16_32x32x64", "npu1/matmul_bf16_16x32x32")


def night(run: Callable[..., Any], name: str, *options: str) -> Any:
    return run("nightly", "kernels.toml", "--night", name, "--json", *options)


def test_a_night_without_a_key_says_what_to_do_and_can_make_one(
    world: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    said = night(npukbuild_cli, "n1")
    assert said.code == 26
    assert "npukbuild keys new" in said.err
    said = night(npukbuild_cli, "n1", "--make-key")
    assert said.code == 0, said.err
    assert "made signing key" in said.err
    assert said.json()["totals"]["published"] == 2
    said = night(npukbuild_cli, "n1", "--make-key")
    assert "made signing key" not in said.err


def test_reports_for_people_and_programs(world: Path, npukbuild_cli: Callable[..., Any]) -> None:
    assert night(npukbuild_cli, "2026-01-01", "--no-publish").code == 0
    folder = world / "build" / "nights"
    record = folder / "2026-01-01" / f"{KERNELS[0].replace('/', '__')}.json"
    earlier = json.loads(record.read_text())
    earlier["timing"]["median_us"] /= 2  # it was twice as fast then
    record.write_text(json.dumps(earlier))
    said = night(npukbuild_cli, "2026-01-02", "--no-publish", "--fail-on-slower")
    assert said.code == 21
    rows = {row["kernel"]: row for row in said.json()["kernels"]}
    assert rows[KERNELS[0]]["comparison"]["verdict"] == "slower"
    assert rows[KERNELS[1]]["comparison"]["verdict"] == "same"
    suite = ET.parse(folder / "2026-01-02" / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")
    assert {f"{case.get('classname')}/{case.get('name')}" for case in suite} == set(KERNELS)
    page = (folder / "2026-01-02" / "report.html").read_text()
    assert all(kernel in page for kernel in KERNELS)
    assert "+100.0 %" in page
    assert not re.search(r"(src|href)=|url\(|@import|<script", page), "it stands alone"


def test_a_failing_kernel_is_reported_and_the_others_go_on(
    world: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    text = (world / "kernels.toml").read_text()
    (world / "kernels.toml").write_text(
        text + '\n[[kernel]]\nm = 512\nk = 512\nn = 512\nblock = "512x512x512"\n'
    )  # fmt: skip
    said = night(npukbuild_cli, "n1", "--make-key")
    assert said.code == 21
    totals = said.json()["totals"]
    assert (totals["passed"], totals["failed"], totals["published"]) == (2, 1, 2)
    (case,) = ET.parse(world / "build/nights/n1/junit.xml").getroot().iter("failure")
    assert case.get("message")
    assert 'class="fail"' in (world / "build/nights/n1/report.html").read_text()


def test_publishing_later_in_the_same_night_publishes(world: Path, npukbuild_cli: Callable[..., Any]) -> None:
    night(npukbuild_cli, "n1", "--no-publish")
    said = night(npukbuild_cli, "n1", "--make-key")
    assert said.json()["totals"]["published"] == 2


def test_a_killed_night_goes_on_where_it_stopped(world: Path, npukbuild_cli: Callable[..., Any]) -> None:
    """The process dies right after the first kernel's record; the second start leaves that record alone."""
    npukbuild_cli("keys", "new", "me")
    code = """
import os, signal, sys
from npukbuild.publish import night
save = night.Nights.save
def save_and_die(self, row):
    save(self, row)
    os.kill(os.getpid(), signal.SIGKILL)
night.Nights.save = save_and_die
from npukbuild.cli import main
main(["nightly", "kernels.toml", "--night", "n1"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=world, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    folder = world / "build" / "nights" / "n1"
    (first,) = folder.glob("*.json")
    stamp, content = first.stat().st_mtime_ns, first.read_bytes()
    time.sleep(0.02)
    said = night(npukbuild_cli, "n1")
    assert said.code == 0, said.err
    assert said.json()["totals"]["passed"] == 2
    assert (first.stat().st_mtime_ns, first.read_bytes()) == (stamp, content)


@pytest.mark.slow
def test_nights_killed_at_random_points_all_end_well(world: Path, npukbuild_cli: Callable[..., Any]) -> None:
    npukbuild_cli("keys", "new", "me")
    command = [sys.executable, "-m", "npukbuild", "nightly", "kernels.toml", "--night", "n1"]
    for turn in range(8):
        process = subprocess.Popen(command, cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.2 + 0.15 * turn)
        process.kill()
        process.wait()
    assert subprocess.run(command, cwd=world, capture_output=True).returncode == 0
    for row in npukbuild_cli("list", "--json").json():
        assert npukbuild_cli("verify", row["release"]).code == 0
    assert not list(Path(world / "build" / "nights" / "n1").glob("*.part"))
    assert os.environ["NPUKBUILD_KEYS_DIR"]
