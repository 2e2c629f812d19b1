"""With a toolchain the same command builds the XCLBIN: against stand-ins of every generation of aiecc."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from npukbuild.publish.provenance import make_statement
from tests.standins.layout import GOLDEN, make_install, python_script, site_packages

if TYPE_CHECKING:
    from tests.cli.conftest import Program

MAIN = ("matmul", "--m", "64", "--k", "128", "--n", "256")
FOLDER = Path("build/npu1/matmul_bf16_64x128x256")
ROOT = Path(__file__).resolve().parents[2]
OTHER = GOLDEN / "G1_matmul_64x64x512_bf16"  # a design for one column


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
    about = manifest["producer"]["toolchain"]
    stated = make_statement(
        files=manifest["files"], manifest=manifest, verdict=verdict, channel="candidate", version="1",
        published="2026-01-01T00:00:00Z",
    )["predicate"]["buildDefinition"]["resolvedDependencies"]  # fmt: skip
    (tools,) = [entry for entry in stated if entry["name"] == "toolchain"]
    assert tools["digest"] == {"sha256": about["identity"]}
    packer = site_packages(tmp_path / generation) / "mlir_aie/bin/xclbinutil"
    assert tools["annotations"]["xclbinutil"] == hashlib.sha256(packer.read_bytes()).hexdigest()
    before = (folder / "kernel.xclbin").read_bytes()
    again = program(*arguments, NPUKBUILD_CACHE_DIR=str(tmp_path / "other-cache"))
    assert again.code == 0, again.err
    assert (folder / "kernel.xclbin").read_bytes() == before, "two builds of one XCLBIN are bit-identical"


def test_a_refusal_names_the_line_of_the_design_and_of_the_template(program: Program, tmp_path: Path) -> None:
    said = "design.mlir:18:5: error: 'aie.tile' op allocated buffers exceeded available memory\n"
    arguments = toolchain(tmp_path, "cpp", behaviour={"stderr": said, "exit": 1})
    outcome = program(*MAIN, *arguments)
    assert outcome.code == 16, outcome.err
    kept = program.folder / f"{FOLDER}.failed" / "t" / "a"
    blamed = (kept / "design.mlir").read_text().splitlines()[17]
    assert "aie.objectfifo @" in blamed
    assert "at design.mlir:18:5" in outcome.err
    assert "smaller tiles" in outcome.err
    macro = (ROOT / "templates/macros/fifo.j2").read_text().splitlines()
    line = next(at for at, text in enumerate(macro, 1) if text.startswith("aie.objectfifo @"))
    assert f"this line is made by templates/macros/fifo.j2:{line}" in outcome.err
    assert "log: " in outcome.err
    assert "npukbuild replay " in outcome.err
    again = program("replay", kept)
    assert again.code == 16, again.err
    assert "aiecc failed again" in again.err
    explained = program("diagnose", kept / "aiecc.log")
    assert explained.code == 0
    assert "stack and buffers need more than a tile has" in explained.out


def peano_says(folder: Path, generation: str, *orders: str) -> None:
    lines = "".join(f"// standin: {order}\n" for order in orders)
    (site_packages(folder / generation) / "llvm-aie" / "standin.orders").write_text(lines)


def test_soft_float_in_the_kernel_is_an_error_with_its_function(program: Program, tmp_path: Path) -> None:
    arguments = toolchain(tmp_path, "declarative")
    peano_says(tmp_path, "declarative", "call * __mulsf3")
    outcome = program(*MAIN, *arguments)
    assert outcome.code == 8, outcome.err
    assert "scalar software floating point" in outcome.err
    assert re.search(r"\bmm_\w+ calls __mulsf3: ", outcome.err)


def test_a_compilers_error_names_the_line_of_the_kernel(program: Program, tmp_path: Path) -> None:
    arguments = toolchain(tmp_path, "cpp")
    peano_says(tmp_path, "cpp", "error 40 use of undeclared identifier 'rubbish'")
    outcome = program(*MAIN, *arguments)
    assert outcome.code == 8, outcome.err
    assert "Peano cannot compile kernel.cc" in outcome.err
    assert "at kernel.cc:40:3" in outcome.err
    kept = program.folder / f"{FOLDER}.failed" / "k"
    assert program("replay", kept).code == 16
    (site_packages(tmp_path / "cpp") / "llvm-aie" / "standin.orders").unlink()
    assert "ended well this time" in program("replay", kept).out


def test_a_stack_that_is_too_small_is_raised_or_refused(program: Program, tmp_path: Path) -> None:
    arguments = toolchain(tmp_path, "declarative")
    peano_says(tmp_path, "declarative", "frame * 4000")
    raised = program(*MAIN, *arguments)
    assert raised.code == 0, raised.err
    record = json.loads((program.folder / FOLDER / "logs" / "xclbin.json").read_text())
    assert record["stack_size"] == 4288  # 4000 and 256 of margin, to a multiple of 64
    assert any("raised to 4288" in note for note in record["notes"])
    peano_says(tmp_path, "declarative", "frame * 60000")
    refused = program(*MAIN, *arguments, NPUKBUILD_CACHE_DIR=str(tmp_path / "other-cache"))
    assert refused.code != 0
    assert "frames do not fit into the core's stack" in refused.err


def test_a_stream_of_another_design_is_refused(program: Program, tmp_path: Path) -> None:
    arguments = toolchain(tmp_path, "declarative", behaviour={"insts": str(OTHER.with_suffix(".insts.bin"))})
    outcome = program(*MAIN, *arguments)
    assert outcome.code == 16, outcome.err
    assert "the instruction stream is not this design's" in outcome.err
    assert "npu1 has 4" in outcome.err
    assert not (program.folder / FOLDER).exists()
    kept = program.folder / f"{FOLDER}.failed"
    assert (kept / "t" / "a" / "insts.bin").is_file()
    assert (kept / "t" / "a" / "aiecc.step.json").is_file()


def test_a_package_for_too_few_columns_is_refused(program: Program, tmp_path: Path) -> None:
    behaviour = {"partition-of": OTHER.with_suffix(".mlir").read_text()}
    outcome = program(*MAIN, *toolchain(tmp_path, "cpp", behaviour=behaviour))
    assert outcome.code == 16, outcome.err
    assert "its partition is 1 columns wide, npu1 has 4" in outcome.err


def test_a_package_that_cannot_be_loaded_is_refused(program: Program, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.xclbin"
    data = bytearray(OTHER.with_suffix(".standin.xclbin").read_bytes())
    data[0x1A0:0x1B0] = bytes(16)  # the UUID
    damaged.write_bytes(data)
    arguments = toolchain(tmp_path, "declarative", xclbinutil=None)
    packer = python_script(
        tmp_path / "xrt" / "xclbinutil",
        f"import shutil\nshutil.copyfile({str(damaged)!r}, sys.argv[sys.argv.index('--output') + 1])\n",
    )
    outcome = program(*MAIN, *arguments, NPUKBUILD_XCLBINUTIL=str(packer))
    assert outcome.code == 16, outcome.err
    assert "UUID is all zeros" in outcome.err


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
