"""The examples of the documentation do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
WORKFLOWS = sorted((ROOT / "examples" / "ci").glob("*.yml"))


@pytest.mark.slow
@pytest.mark.parametrize("page", ["release.md", "runtime.md", "nightly.md"])
def test_examples_run(world: Path, page: str) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / page).read_text())
    assert blocks
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for language, text in blocks:
        command = ["bash", "-euc", text] if language == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=world, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{text}\n{done.stderr}"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: str(path.name))
def test_workflows_use_commands_and_options_that_exist(workflow: Path) -> None:
    import click

    from npukbuild.cli.group import cli

    text = re.sub(r"\n\s+(?=--|npukbuild)", " ", workflow.read_text().replace(">-", ""))
    calls = re.findall(r"(?:run: *|^ *)npukbuild ([^\n]+)", text, re.MULTILINE)
    assert any(call.startswith("nightly") for call in calls)
    with click.Context(cli) as context:
        for call in calls:
            words = call.split()
            command = cli.get_command(context, words[0])
            assert command is not None, call
            if isinstance(command, click.Group):
                command = command.get_command(context, words[1])
                assert command is not None, call
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known, call
