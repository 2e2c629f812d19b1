"""``npukbuild build``, ``why`` and ``cache`` as a person uses them, and builds in which nothing changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
MANIFEST = """
[defaults]
family = "matmul"
[[kernel]]
m = [16, 32]
k = 32
n = 64
"""
GROUPS = ["npu1/matmul_bf16_16x32x64", "npu1/matmul_bf16_32x32x64"]


class Place:
    """A folder with a manifest, its own cache, and its own copy of templates and core sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for name in ("templates", "kernels_src"):
            shutil.copytree(ROOT / name, folder / "data" / name)
        (folder / "kernels.toml").write_text(MANIFEST)
        self.environment = {
            **os.environ,
            "NPUKBUILD_CACHE_DIR": str(folder / "cache"),
            "NPUKBUILD_DATA_DIR": str(folder / "data"),
            "PYTHONPATH": str(ROOT),
        }

    def __call__(
        self, *arguments: str, code: int = 0, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "npukbuild", *arguments],
            cwd=self.folder,
            env={**self.environment, **(more or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done

    def build(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self("build", "kernels.toml", "--json", *arguments, code=code).stdout)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("build") / "place")
    report = made.build()
    assert (report["built"], report["hit"], report["failed"]) == (2, 0, 0)
    return made


def statuses(report: Any) -> list[str]:
    return [kernel["status"] for kernel in report["kernels"]]


def test_nothing_changed(place: Place) -> None:
    place.build()
    again = place("build", "kernels.toml", "--json")
    assert statuses(json.loads(again.stdout)) == ["hit", "hit"]
    assert again.stderr == ""
    place("build", "kernels.toml")
    assert place("build", "kernels.toml").stdout.startswith("2 kernels are up to date")


def test_an_unchanged_build_imports_next_to_nothing(place: Place) -> None:
    place("build", "kernels.toml")
    script = (
        "import sys, npukbuild.cli\n"
        "try:\n"
        "    npukbuild.cli.main(['build', 'kernels.toml'])\n"
        "except SystemExit as leave:\n"
        "    assert leave.code == 0\n"
        "heavy = {'click', 'numpy', 'jinja2', 'xdsl', 'rich', 'json', 'typing', 'pathlib', 'subprocess'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    command = subprocess.run(
        [sys.executable, "-c", script],
        cwd=place.folder,
        env=place.environment,
        text=True,
        capture_output=True,
        check=True,
    )
    assert "up to date" in command.stdout
    assert command.stderr == "[]\n"


def test_a_changed_core_source_rebuilds_and_says_so(place: Place) -> None:
    source = place.folder / "data/kernels_src/matmul.hpp"
    text = source.read_text()
    source.write_text(text + "\n// changed\n")
    said = place("why", "matmul_bf16_16x32x64").stdout
    assert said.startswith("npu1/matmul_bf16_16x32x64: would be built now: kernels_src/matmul.hpp changed")
    report = place.build()
    assert statuses(report) == ["built", "built"]
    assert report["kernels"][0]["because"] == "kernels_src/matmul.hpp changed"
    line = place("why", f"build/{GROUPS[0]}").stdout
    assert "up to date; built" in line
    assert "because kernels_src/matmul.hpp changed" in line
    source.write_text(text)
    back = place.build()
    assert statuses(back) == ["hit", "hit"], "the first result is still in the cache"
    assert json.loads(place("why", GROUPS[1], "--json").stdout)["because"] == "the cache had it"


def test_a_lost_or_edited_artifact_is_put_back(place: Place) -> None:
    place.build()
    kernel = place.folder / "build" / GROUPS[0] / "kernel.cc"
    right = kernel.read_text()
    kernel.write_text("// edited\n")
    assert statuses(place.build()) == ["hit", "hit"]
    assert kernel.read_text() == right
    shutil.rmtree(kernel.parent)
    place.build()
    assert kernel.read_text() == right


def test_a_request_that_changes(place: Place) -> None:
    place.build()
    place.edit("kernels.toml", "n = 64", "n = 64\ncols = 1")
    assert "cols none -> 1" in place.build()["kernels"][0]["because"]
    place.edit("kernels.toml", "n = 64\ncols = 1", "n = 64")
    place.build()


def test_filter_list_and_schema(place: Place) -> None:
    assert place("build", "kernels.toml", "--list").stdout.split() == GROUPS
    assert place("build", "kernels.toml", "--list", "--filter", "*32x32*").stdout.split() == GROUPS[1:]
    assert "no kernel matches nothing" in place("build", "kernels.toml", "--filter", "nothing", code=2).stderr
    assert json.loads(place("build", "--schema").stdout)["title"] == "npukbuild manifest"
    place("build", code=2)


def test_a_broken_kernel_fails_alone_with_keep_going(tmp_path: Path) -> None:
    place = Place(tmp_path / "place")
    (place.folder / "kernels.toml").write_text(
        MANIFEST + '[[kernel]]\nm = 16\nn = 64\nblock = "16x512x4096"\n'
    )
    done = place("build", "kernels.toml", "--keep-going", code=3)
    assert "2 built, 0 hit, 1 failed" in done.stdout
    assert "failed  npu1/matmul_bf16_16x64x64" in done.stdout
    assert (place.folder / "build" / GROUPS[1] / "verdict.json").is_file()
    report = place.build("--keep-going", code=3)
    assert sorted(statuses(report)) == ["failed", "hit", "hit"]
    assert report["kernels"][2]["error"]["error"] == "cannot-fit"


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    place = Place(tmp_path / "place")
    (place.folder / "kernels.toml").write_text(
        MANIFEST.replace("[16, 32]", str([16 * i for i in range(1, 6)]))
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "npukbuild", "build", "kernels.toml", "-j", "2"], cwd=place.folder, text=True,
        env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(place.folder.glob("build/npu1/*/verdict.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "of 5 kernels are finished and kept" in err
    for folder in (place.folder / "build" / "npu1").glob("matmul*"):
        assert (folder / "manifest.json").is_file()
        assert (folder / "verdict.json").is_file()


def test_cache_commands(place: Place) -> None:
    stats = json.loads(place("cache", "stats", "--json").stdout)
    assert stats["results"] > 0
    assert stats["bytes"] > 0
    checked = json.loads(place("cache", "verify", "--json").stdout)
    assert checked["damaged"] == 0
    assert "of 1.0 MB" in place("cache", "stats", more={"NPUKBUILD_CACHE_SIZE": "1000000"}).stdout
    place("cache", "gc", "--size", "banana", code=19)
    place("cache", "gc", "--size", "100K")
    assert json.loads(place("cache", "stats", "--json").stdout)["bytes"] <= 100 << 10
    assert json.loads(place("cache", "clear", "--json").stdout)["bytes"] == 0
    assert statuses(place.build("--force")) == ["built", "built"]


def test_why_of_what_was_never_built(place: Place) -> None:
    place("build", "kernels.toml")
    done = place("why", "matmul_bf16_16x32x65", code=2)
    assert "matmul_bf16_16x32x64" in done.stderr


def test_help_is_the_command_line_librarys_own(place: Place) -> None:
    from click.testing import CliRunner

    from npukbuild.cli.group import cli

    expected = CliRunner().invoke(cli, ["--help"], prog_name="npukbuild").output
    assert place("--help").stdout == expected
    assert place("--version").stdout == CliRunner().invoke(cli, ["--version"], prog_name="npukbuild").output
