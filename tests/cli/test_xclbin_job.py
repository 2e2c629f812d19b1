"""With a toolchain the same command builds the XCLBIN: against stand-ins of every generation of aiecc."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.standins.layout import make_install, site_packages

if TYPE_CHECKING:
    from tests.cli.conftest import Program

MAIN = ("matmul", "--m", "64", "--k", "128", "--n", "256")
FOLDER = Path("build/npu1/matmul_bf16_64x128x256")


def toolchain(folder: Path, generation: str, **options: object) -> tuple[str, ...]:
    root = make_install(folder / generation, generation, **options)  # type: ignore[arg-type]
    return "--mlir-aie", str(root), "--peano", str(site_packages(folder / generation) / "llvm-aie")


@pytest.mark.parametrize("generation", ["python", "cpp", "declarative"])
def test_the_same_command_builds_the_xclbin(program: Program, tmp_path: Path, generation: str) -> None:
    arguments = (*MAIN, *toolchain(tmp_path, generation))
    outcome = program(*arguments)
    assert outcome.code == 0, outcome.err
    folder = program.folder / FOLDER
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"kernel.xclbin", "insts.bin"} <= set(manifest["files"])
    assert manifest["producer"]["toolchain"]["mlir_aie"] in ("1.2.0", "1.3.4", "1.4.2")
    assert "not built" not in outcome.out
    verdict = json.loads((folder / "verdict.json").read_text())
    assert set(verdict["subject"]) >= {"design.mlir", "kernel.cc"}
    before = (folder / "kernel.xclbin").read_bytes()
    again = program(*arguments, NPUKBUILD_CACHE_DIR=str(tmp_path / "other-cache"))
    assert again.code == 0, again.err
    assert (folder / "kernel.xclbin").read_bytes() == before, "two builds of one XCLBIN are bit-identical"


def test_a_tool_that_exits_0_without_output_is_an_error(program: Program, tmp_path: Path) -> None:
    arguments = toolchain(tmp_path, "cpp", xclbinutil=None)
    outcome = program(*MAIN, *arguments, PATH=os.environ["PATH"])
    assert outcome.code in (14, 16), outcome.err
    assert "xclbin" in outcome.err
    assert not (program.folder / FOLDER).exists()


def test_without_a_toolchain_it_says_so_and_can_insist(program: Program, tmp_path: Path) -> None:
    home = {"NPUKBUILD_HOME": str(tmp_path / "home")}
    outcome = program(*MAIN, **home)
    assert outcome.code == 0, outcome.err
    assert "npukbuild toolchain install" in outcome.out
    refused = program(*MAIN, "--require-xclbin", **home)
    assert refused.code == 14, refused.err
    assert "toolchain install" in refused.err
    wrong = program(*MAIN, "--mlir-aie", str(tmp_path), **home)
    assert wrong.code == 14, wrong.err
