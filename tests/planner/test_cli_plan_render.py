from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest

from npukbuild.cli import cli
from npukbuild.cli.report import run_guarded

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: str) -> int:
    return run_guarded(cli, list(arguments))


def test_the_plan_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "matmul", "--m", "3001", "--k", "512", "--n", "512") == 0
    text = capsys.readouterr().out
    for words in ("L1 of a core", "L2 of columns 0-3", "even/odd", "locks", "compute", "DDR", "launch",
                  "bound", "65,536", "plan", "estimated", "3001 x 512 x 512 to"):  # fmt: skip
        assert words in text
    assert all(len(line) < 160 for line in text.split("\n"))


def test_candidates_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "matmul", "--m", "512", "--k", "512", "--n", "512", "--candidates", "4") == 0
    rows = capsys.readouterr().out.split("against")[1].strip().split("\n")
    assert [row.split()[0] for row in rows[1:5]] == ["1", "2", "3", "4"]
    assert all("%" in row for row in rows[2:5])


def test_json_has_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "matmul", "--m", "64", "--n", "512", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["problem"] == {
        "m": 64, "k": 64, "n": 512, "dtype": "bf16", "out_dtype": "bf16", "b_layout": "row", "shift": 0,
    }  # fmt: skip
    assert data["block"] == {"m": 64, "k": 64, "n": 64}
    assert (data["columns"], data["rows"], data["calls"]) == (1, 1, 1)
    assert (data["l1_bytes"], data["l2_bytes"]) == (44_288, 40_960)
    assert {"total_us", "compute_us", "ddr_us", "launch_us", "bound"} <= set(data["prediction"])
    assert len(data["alternatives"]) == 2


def test_a_refusal_has_its_own_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "matmul", "--m", "64", "--n", "512", "--block", "64x64x512", "--json") == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"] == "cannot-fit"
    assert "281,856 > 65,536" in captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--m", "0", "--n", "5"),
        ("--m", "5", "--n", "banana"),
        ("--m", "5"),
        ("--m", "5", "--n", "5", "--block", "64x64"),
        ("--m", "5", "--n", "5", "--cols", "0"),
        ("--m", "5", "--n", "5", "--target", "npu9"),
        ("--m", "5", "--n", "5", "--dtype", "i8", "--out-dtype", "f32"),
    ],
)
def test_bad_requests(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "matmul", *arguments) == 2
    assert "rror" in capsys.readouterr().err


def test_render_writes_two_files_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "out"
    assert run("render", "matmul", "--m", "64", "--n", "512", "-o", str(folder)) == 0
    assert sorted(file.name for file in folder.iterdir()) == ["design.mlir", "kernel.cc"]
    assert "module {" in (folder / "design.mlir").read_text(encoding="utf-8")
    assert "extern" in (folder / "kernel.cc").read_text(encoding="utf-8")
    assert (folder / "kernel.cc").stat().st_mode & 0o777 == 0o644
    capsys.readouterr()
    assert run("render", "matmul", "--m", "64", "--n", "512", "-o", str(folder), "--json") == 0
    assert json.loads(capsys.readouterr().out)["files"] == [
        str(folder / "design.mlir"),
        str(folder / "kernel.cc"),
    ]


def test_render_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "design.mlir").write_text("before", encoding="utf-8")
    monkeypatch.setattr("os.fsync", _fail)
    assert run("render", "matmul", "--m", "64", "--n", "512", "-o", str(tmp_path)) == 12
    assert [file.name for file in tmp_path.iterdir()] == ["design.mlir"]
    assert (tmp_path / "design.mlir").read_text(encoding="utf-8") == "before"


def _fail(_handle: int) -> None:
    import errno

    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    code = run("render", "matmul", "--m", "64", "--n", "512", "-o", str(tmp_path / "file" / "out"))
    assert code == 11
    assert "cannot write into" in capsys.readouterr().err


def test_help_is_there() -> None:
    for name in ("plan", "render"):
        command = cli.get_command(click.Context(cli), name)
        assert isinstance(command, click.Group)
        assert "matmul" in command.commands
