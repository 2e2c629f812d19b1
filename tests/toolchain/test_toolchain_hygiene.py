"""Tools run in a clean environment, in a process group that does not outlive its step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from npukbuild.errors import ToolError
from npukbuild.toolchain.environment import clean_environment
from tests.standins.layout import make_install, python_script, site_packages
from tests.toolchain.aiecc_rig import run, tools, zombie

pytestmark = pytest.mark.usefixtures("machine_without_xrt")


BACKPORT = """# stand-in for the PyPI backport dataclasses 0.6: the statement of it that fails
import typing
def dataclass(cls):
    for annotation in cls.__annotations__.values():
        type(annotation) is typing._ClassVar
    return cls
"""
USER = "import dataclasses\n@dataclasses.dataclass\nclass Options:\n    jobs: int = 1\nprint('ok')\n"


def test_the_dataclasses_shadowing_is_real_and_prevented(tmp_path: Path) -> None:
    """site-packages on PYTHONPATH puts the backport first; our environment and -I do not."""
    env = tmp_path / "env"
    make_install(env, "python")
    site = site_packages(env)
    (site / "dataclasses.py").write_text(BACKPORT)
    python = env / "bin" / "python"
    bad = subprocess.run(
        [python, "-c", USER], env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=False
    )
    assert "module 'typing' has no attribute '_ClassVar'" in bad.stderr
    work = tmp_path / "w"
    work.mkdir()
    os.environ["PYTHONPATH"] = str(site)
    try:
        clean = clean_environment(work)
    finally:
        del os.environ["PYTHONPATH"]
    good = subprocess.run([python, "-c", USER], env=clean, capture_output=True, text=True, check=False)
    assert good.stdout.startswith("ok"), good.stderr
    isolated = subprocess.run(
        [python, "-I", "-c", USER], env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=False
    )
    assert isolated.stdout.startswith("ok"), isolated.stderr


def test_the_python_driver_survives_a_poisoned_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolchain = tools(tmp_path, "python")
    site = site_packages(tmp_path / "env")
    (site / "dataclasses.py").write_text(BACKPORT)
    script = toolchain.aiecc
    script.write_text(script.read_text().replace("import sys\n", "import sys\n" + USER, 1))
    monkeypatch.setenv("PYTHONPATH", str(site))
    run(toolchain, tmp_path)
    assert "ok" in (tmp_path / "a" / "aiecc.log").read_text()


def test_an_interrupt_kills_the_tool_and_keeps_the_record(tmp_path: Path) -> None:
    program = python_script(
        tmp_path / "slow",
        "import os,time,pathlib\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)\n",
    )
    work = tmp_path / "i"
    work.mkdir()
    code = (
        "import sys; from pathlib import Path; from npukbuild.toolchain.process import Step, run_step\n"
        f"program, work = {str(program)!r}, Path({str(work)!r})\n"
        "run_step(Step(name='slow', argv=(program,), cwd=work, environment={}, timeout=60))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not (work / "pid").exists() or not (work / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    tool = int((work / "pid").read_text())
    child.send_signal(signal.SIGINT)
    assert child.wait(20) != 0
    assert not Path(f"/proc/{tool}").exists() or zombie(tool)
    assert json.loads((work / "slow.step.json").read_text())["state"] == "running"


def test_what_a_tool_leaves_running_does_not_outlive_it(tmp_path: Path) -> None:
    from npukbuild.toolchain.process import Step, run_step

    program = python_script(
        tmp_path / "leaver",
        "import subprocess,pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path('pid').write_text(str(child.pid))\n",
    )
    work = tmp_path / "l"
    work.mkdir()
    outcome = run_step(Step(name="leaver", argv=(str(program),), cwd=work, environment={}, timeout=30))
    assert outcome.returncode == 0
    left = int((work / "pid").read_text())
    time.sleep(0.2)
    assert not Path(f"/proc/{left}").exists() or zombie(left)


def test_a_tool_that_is_not_there(tmp_path: Path) -> None:
    from npukbuild.toolchain.process import Step, run_step

    with pytest.raises(ToolError, match="cannot be started"):
        run_step(Step(name="x", argv=("/nowhere/x",), cwd=tmp_path, environment={}, timeout=5))
