"""A failed step is run again exactly."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from npukbuild.cli import cli
from npukbuild.errors import NpukbuildError, ToolError
from tests.toolchain.aiecc_rig import DESIGN, run, tools

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("machine_without_xrt")


def test_replay_runs_the_failed_step_again_exactly(tmp_path: Path) -> None:
    toolchain = tools(tmp_path, "declarative", behaviour={"exit": 7})
    with pytest.raises(ToolError) as caught:
        run(toolchain, tmp_path)
    assert any(f"npukbuild replay {tmp_path / 'a'}" in line for line in caught.value.details)
    runner = CliRunner()
    again = runner.invoke(cli, ["replay", str(tmp_path / "a"), "--json"])
    assert json.loads(again.stdout)["returncode"] == 7
    assert again.return_value == 16 or again.exit_code in (0, 16)
    (toolchain.mlir_aie / "standin.json").unlink()
    well = runner.invoke(cli, ["replay", str(tmp_path / "a")])
    assert "aiecc ended well this time" in well.stdout
    shown = runner.invoke(cli, ["replay", str(tmp_path / "a"), "--print"])
    assert shown.stdout.startswith(f"cd {tmp_path / 'a'} && env -i ")
    assert subprocess.run(shown.stdout, shell=True, capture_output=True, check=False).returncode == 0


def test_replay_follows_a_moved_folder_and_notes_changed_inputs(tmp_path: Path) -> None:
    toolchain = tools(tmp_path, "declarative")
    run(toolchain, tmp_path)
    moved = (tmp_path / "a").rename(tmp_path / "elsewhere")
    (moved / "design.mlir").write_text(DESIGN + "\n")
    result = CliRunner().invoke(cli, ["replay", str(moved)])
    assert "ended well" in result.stdout
    assert "design.mlir has changed" in result.stderr


def test_replay_of_a_folder_without_steps(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["replay", str(tmp_path)])
    assert isinstance(result.exception, NpukbuildError)
    assert result.exception.what == "no step was kept here"
