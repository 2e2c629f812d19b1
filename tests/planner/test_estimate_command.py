"""``npukbuild estimate`` as a user meets it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from npukbuild.cli import cli
from npukbuild.cli.report import run_guarded
from npukbuild.errors import FolderError, InputError

TABLE = Path(__file__).parents[1] / "data" / "published_gemm.csv"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["estimate", *arguments])


@cache
def published() -> dict[str, Any]:
    result = run("--table", str(TABLE), "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_json_has_every_row_and_the_errors_in_all() -> None:
    data = published()
    assert data["kind"] == "estimated"
    assert [row["line"] for row in data["rows"]] == list(range(2, 184))
    overall = {entry["name"]: entry for entry in data["overall"]}
    assert overall["all rows with a time"]["rows"] == 168
    assert overall["all rows with a time"]["mean_absolute_error_percent"] <= 20
    assert overall["block given, M*K*N >= 512^3"]["mean_absolute_error_percent"] <= 10
    assert sum(entry["rows"] for entry in data["sources"]) == 168


def test_json_rows_explain_themselves() -> None:
    row = published()["rows"][0]
    assert row["size"] == [4224, 4032, 4224]
    assert row["block"] == [96, 112, 96]
    assert row["block_from"] == "table"
    assert row["error_percent"] == pytest.approx(100 * (row["estimated"] / row["measured"] - 1), abs=0.01)
    assert {"compute_us", "ddr_us", "stream_us", "launch_us", "bound"} <= row["prediction"].keys()


def test_text_says_errors_sources_reasons_and_that_nothing_ran() -> None:
    lines = run("--table", str(TABLE)).stdout.splitlines()
    assert lines[0].split()[:3] == ["line", "device", "types"]
    assert len([line for line in lines if " npu1 " in line or " npu2 " in line]) == 182
    assert any("Striking the Balance" in line and "%" in line for line in lines)
    assert any(line.startswith("all rows with a time") for line in lines)
    assert "rows that may be far off, and why" in lines
    far = lines[lines.index("more than 30 % off in the mean, and why") + 1 :]
    blocks = next(place for place, line in enumerate(far) if "block_datatypes" in line)
    assert far[blocks + 1] == "    the size as printed does not divide into the blocks as printed"
    assert re.fullmatch(r"    the rest is \d\d\.\d % off", far[blocks + 2])
    assert lines[-1] == "all times are estimated; nothing was run"
    assert max(map(len, lines)) <= 120


def test_what_is_far_off_for_no_known_reason_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "device,dtype_in,dtype_out,M,K,N,time_us,source\n"
        "npu2,i8,i8,512,512,512,900000,far\nnpu2,i8,i8,512,512,512,140,near\n"
    )
    lines = run("--table", str(path)).stdout.splitlines()
    far = lines.index("more than 30 % off in the mean, and why")
    assert lines[far + 1 : far + 3] == ["  far", "    no known reason"]
    assert "  near" not in lines
    sources = {
        entry["name"]: entry for entry in json.loads(run("--table", str(path), "--json").stdout)["sources"]
    }
    assert sources["far"]["without_reason_percent"] == sources["far"]["mean_absolute_error_percent"] > 30


def test_one_row_without_a_measurement(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("device,dtype_in,dtype_out,M,K,N,tile_m,tile_k,tile_n\nnpu2,i8,i8,512,512,512,64,64,64\n")
    result = run("--table", str(path))
    assert result.exit_code == 0
    assert "mean |error|" not in result.stdout
    assert " - " in result.stdout
    data = json.loads(run("--table", str(path), "--json").stdout)
    assert data["rows"][0]["error_percent"] is None
    assert data["overall"] == data["sources"] == []


def test_bad_input_is_refused_with_every_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("device,dtype_in,dtype_out,M,K,N\nnpu7,i8,i8,1,1,1\nnpu1,i8,i8,x,1,1\n")
    assert run_guarded(cli, ["estimate", "--table", str(path)]) == InputError.exit_code
    error = capsys.readouterr().err
    assert "2 mistakes in the table" in error
    assert "line 2: device is 'npu7'" in error
    assert "line 3: M is 'x'" in error
    assert run_guarded(cli, ["estimate", "--table", str(path), "--json"]) == InputError.exit_code
    assert len(json.loads(capsys.readouterr().out)["details"]) == 2


def test_a_missing_file_and_a_missing_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_guarded(cli, ["estimate", "--table", str(tmp_path / "none.csv")]) == FolderError.exit_code
    assert "cannot read" in capsys.readouterr().err
    assert run_guarded(cli, ["estimate"]) == 2
