"""Sources become a checked package, or the tool's failure is found out whatever its exit code."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from npukbuild.errors import NpukbuildError, ResourceError, ToolError
from npukbuild.toolchain import build_xclbin
from tests.standins.layout import GOLDEN
from tests.toolchain.aiecc_rig import (
    DESIGN,
    GENERATIONS,
    KERNEL,
    LIMITS,
    OBJECT,
    SYMBOL,
    build,
    failed,
    run,
    tools,
    zombie,
)

pytestmark = pytest.mark.usefixtures("machine_without_xrt")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_sources_become_a_checked_package_in_every_generation(tmp_path: Path, generation: str) -> None:
    toolchain = tools(tmp_path, generation)
    assert toolchain.generation == generation
    built = build(toolchain, tmp_path)
    assert built.xclbin.name == "mm.xclbin"
    assert built.xclbin.read_bytes() == (GOLDEN / "G1_matmul_64x64x512_bf16.standin.xclbin").read_bytes()
    assert built.insts.read_bytes() == (GOLDEN / "G1_matmul_64x64x512_bf16.insts.bin").read_bytes()
    assert [core.tile for core in built.aiecc.cores] == ["core (0, 2)"]
    record = built.as_dict()
    assert record["toolchain"]["generation"] == generation
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_flag_is_taken_by_every_generation(tmp_path: Path, generation: str) -> None:
    toolchain = tools(tmp_path, generation)
    outputs = run(toolchain, tmp_path, jobs=2, alloc_scheme="basic-sequential")
    words = json.loads((tmp_path / "a" / "aiecc.step.json").read_text())["argv"]
    assert f"--peano={toolchain.peano}" in words
    assert {"--no-xchesscc", "--no-xbridge", "--no-compile-host", "--alloc-scheme=basic-sequential"} <= set(
        words
    )
    assert outputs.xclbin.is_file()


def test_the_generations_treat_an_unknown_flag_as_documented(tmp_path: Path) -> None:
    """Guards the stand-ins: A ends with 2, B swallows it, C refuses with 1."""
    codes = {}
    for generation in GENERATIONS:
        toolchain = tools(tmp_path / generation, generation)
        work = tmp_path / generation / "x"
        work.mkdir()
        command = toolchain.aiecc_command("--no-such-flag", "--version")
        ended = subprocess.run(
            command, env=toolchain.environment(work), cwd=work, capture_output=True, check=False
        )
        codes[generation] = ended.returncode
    assert codes == {"python": 2, "cpp": 0, "declarative": 1}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_missing_xclbinutil_is_found_out_whatever_the_exit_code(tmp_path: Path, generation: str) -> None:
    error = failed(tmp_path, generation, xclbinutil=None)
    assert "mm.xclbin was not written" in (error.why or "") or "xclbinutil" in (error.why or "")
    assert "NPUKBUILD_XCLBINUTIL" in (error.hint or "")
    if generation == "cpp":
        assert "exit code 0, but" in (error.why or "")
        assert "xclbinutil was not found" in (error.why or "")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_wrapper_of_a_missing_xclbinutil_that_exits_0(tmp_path: Path, generation: str) -> None:
    error = failed(tmp_path, generation, xclbinutil="debian")
    assert "wrapper script of a program that is not there" in (error.why or "")
    assert "NPUKBUILD_XCLBINUTIL" in (error.hint or "")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"half-xclbin": True}, "mm.xclbin is damaged: its header says 9465 bytes, the file has 4000"),
        ({"bad-insts": True}, "insts.bin is damaged: its header says 420 bytes, the file has 416"),
        ({"stale": True}, "mm.xclbin is older than this step"),
        ({"crash": True}, "aiecc was ended by SIGKILL"),
        ({"exit": 0}, "mm.xclbin was not written; insts.bin was not written"),
        ({"exit": 3}, "aiecc ended with exit code 3"),
    ],
)
def test_bad_outputs_are_refused(tmp_path: Path, behaviour: dict[str, Any], words: str) -> None:
    error = failed(tmp_path, "cpp" if behaviour.get("exit") == 0 else "declarative", behaviour=behaviour)
    assert isinstance(error, ToolError)
    assert words in (error.why or "")


def test_a_hang_ends_with_its_whole_process_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npukbuild.toolchain.process._GRACE_SECONDS", 0.3)
    error = failed(tmp_path, "declarative", behaviour={"hang": True}, timeout=3.0)
    assert "did not finish within" in (error.why or "")
    grandchild = int((tmp_path / "a" / "grandchild.pid").read_text())
    for _ in range(50):
        if not Path(f"/proc/{grandchild}").exists() or zombie(grandchild):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the grandchild, which ignores SIGTERM, is still alive")


def test_megabytes_of_stderr_are_not_dumped(tmp_path: Path) -> None:
    late = {
        "noise": 6,
        "stderr": "error: 'aie.tile' op allocated buffers exceeded available memory\n",
        "exit": 1,
    }
    error = failed(tmp_path, "declarative", behaviour=late)
    assert (tmp_path / "a" / "aiecc.log").stat().st_size > 5_000_000
    assert len(str(error)) < 2000
    assert "use smaller tiles" in (error.hint or "")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"core-text": 20000}, "core (0, 2): program 20000 bytes, 3616 too many for 16384"),
        ({"core-data": 30000}, "stack and buffers leave 21248 of 65536"),
        ({"core-data": 64, "data-at": 0x7FFF0}, "data ends at 0x80030, its memory at 0x80000"),
    ],
)
def test_a_core_that_does_not_fit_is_refused(tmp_path: Path, behaviour: dict[str, Any], words: str) -> None:
    toolchain = tools(tmp_path, "cpp", behaviour=behaviour)
    with pytest.raises(ResourceError) as caught:
        run(toolchain, tmp_path)
    assert any(words in line for line in caught.value.details)


def test_a_core_for_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="not for an AIE core"):
        run(tools(tmp_path, "declarative", behaviour={"machine": 62}), tmp_path)


def test_no_linked_core_is_noted(tmp_path: Path) -> None:
    outputs = run(tools(tmp_path, "declarative", behaviour={"keep-no-elf": True}), tmp_path)
    assert outputs.cores == ()
    assert "were not checked" in outputs.notes[0]


def test_further_parsers_have_the_last_word(tmp_path: Path) -> None:
    def refuse(content: bytes) -> None:
        raise ValueError("no AIE_PARTITION")

    with pytest.raises(ToolError, match="cannot build mm") as caught:
        run(tools(tmp_path, "declarative"), tmp_path, parsers={"xclbin": refuse})
    assert "no AIE_PARTITION" in (caught.value.why or "")


def test_the_package_is_normalised_if_asked(tmp_path: Path) -> None:
    built = build(tools(tmp_path, "declarative"), tmp_path, normalise=lambda content: content[::-1])
    assert built.xclbin.read_bytes()[:4] != b"xclb"


def test_several_kernels_are_archived_and_checked_together(tmp_path: Path) -> None:
    toolchain = tools(tmp_path, "declarative")
    (tmp_path / "design.mlir").write_text(DESIGN)
    (tmp_path / "kernel.cc").write_text(KERNEL + f"// standin: call {SYMBOL} helper\n")
    (tmp_path / "helper.cc").write_text('extern "C" {\nvoid helper(float *a) {\n}\n}\n')

    def attempt(work: str) -> Any:
        return build_xclbin(
            tmp_path / "design.mlir",
            [tmp_path / "kernel.cc", tmp_path / "helper.cc"],
            "mm",
            toolchain=toolchain,
            work=tmp_path / work,
            arch="aie2",
            symbols=[SYMBOL],
            limits=LIMITS,
            link_name=OBJECT,
        )

    built = attempt("w1")
    assert (tmp_path / "w1" / "a" / OBJECT).read_bytes().startswith(b"!<arch>\n")
    assert len(built.kernels) == 2
    (tmp_path / "helper.cc").write_text('extern "C" {\nvoid other(float *a) {\n}\n}\n')
    with pytest.raises(NpukbuildError) as caught:
        attempt("w2")
    assert "helper is used and nowhere defined" in caught.value.details
