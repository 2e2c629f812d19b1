"""aiecc through stand-ins of its three generations: one command, and checks of everything it should write."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from npukbuild.cli import cli
from npukbuild.errors import (
    DesignError,
    NpukbuildError,
    RequestError,
    ResourceError,
    ToolchainMissingError,
    ToolError,
)
from npukbuild.toolchain import AieccOutputs, Toolchain, build_xclbin, find_toolchain, run_aiecc
from npukbuild.toolchain.aiecc import CoreLimits, aiecc_arguments
from npukbuild.toolchain.environment import clean_environment
from npukbuild.toolchain.known_hashes import KnownHashes
from npukbuild.toolchain.spelling import smallest_stack, spelled_for, with_stack
from tests.standins.layout import GOLDEN, make_install, make_xclbinutil, python_script, site_packages

DESIGN = (GOLDEN / "G1_matmul_64x64x512_bf16.mlir").read_text()
OBJECT = "mm_bf16_64x64x64.o"
SYMBOL = "mm_bf16_64x64x64"
KERNEL = f'#include <aie_api/aie.hpp>\nextern "C" {{\nvoid {SYMBOL}(float *a) {{\n}}\n}}\n'
LIMITS = CoreLimits(program_bytes=16384, data_bytes=65536, default_stack=1024, static_room=21248)
GENERATIONS = ["python", "cpp", "declarative"]


@pytest.fixture(autouse=True)
def _machine_without_xrt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No tool of this machine takes part: the stand-ins' folder is the whole path."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr("npukbuild.toolchain.environment.SYSTEM_PATH", (str(empty),))
    monkeypatch.setattr("npukbuild.toolchain.locate.XRT_BIN", empty)
    monkeypatch.setenv("NPUKBUILD_HOME", str(tmp_path / "home"))
    for name in ("NPUKBUILD_XCLBINUTIL", "NPUKBUILD_MLIR_AIE", "NPUKBUILD_PEANO"):
        monkeypatch.delenv(name, raising=False)


def tools(tmp_path: Path, generation: str, **options: Any) -> Toolchain:
    found = find_toolchain(make_install(tmp_path / "env", generation, **options))
    assert found is not None
    return found


def build(toolchain: Toolchain, tmp_path: Path, *, limits: CoreLimits = LIMITS, text: str = KERNEL) -> Any:
    (tmp_path / "design.mlir").write_text(DESIGN)
    (tmp_path / "kernel.cc").write_text(text)
    return build_xclbin(
        tmp_path / "design.mlir",
        [tmp_path / "kernel.cc"],
        "mm",
        toolchain=toolchain,
        work=tmp_path / "w",
        arch="aie2",
        symbols=[SYMBOL],
        limits=limits,
        link_name=OBJECT,
    )


def run(toolchain: Toolchain, tmp_path: Path, *, timeout: float = 60.0, **options: Any) -> AieccOutputs:
    (tmp_path / OBJECT).write_bytes(b"\0" + SYMBOL.encode() + b"\0")
    return run_aiecc(
        options.pop("design", DESIGN),
        [tmp_path / OBJECT],
        toolchain=toolchain,
        work=tmp_path / "a",
        name="mm",
        limits=LIMITS,
        timeout=timeout,
        **options,
    )


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


def failed(tmp_path: Path, generation: str, **options: Any) -> NpukbuildError:
    timeout = options.pop("timeout", 60.0)
    toolchain = tools(tmp_path, generation, **options)
    with pytest.raises(NpukbuildError) as caught:
        run(toolchain, tmp_path, timeout=timeout)
    record = json.loads((tmp_path / "a" / "aiecc.step.json").read_text())
    assert record["state"] == "failed"
    return caught.value


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
        if not Path(f"/proc/{grandchild}").exists() or _zombie(grandchild):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the grandchild, which ignores SIGTERM, is still alive")


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


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
    toolchain = tools(tmp_path, "declarative")
    (tmp_path / "design.mlir").write_text(DESIGN)
    (tmp_path / "kernel.cc").write_text(KERNEL)
    built = build_xclbin(
        tmp_path / "design.mlir",
        [tmp_path / "kernel.cc"],
        "mm",
        toolchain=toolchain,
        work=tmp_path / "w",
        arch="aie2",
        symbols=[SYMBOL],
        limits=LIMITS,
        link_name=OBJECT,
        normalise=lambda content: content[::-1],
    )
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


# ---- stack ---------------------------------------------------------------------------------------


def test_the_stack_is_raised_when_there_is_room(tmp_path: Path) -> None:
    built = build(
        tools(tmp_path, "declarative"), tmp_path, text=KERNEL + f"// standin: frame {SYMBOL} 5000\n"
    )
    assert built.stack_raised
    assert built.stack_size == 5312
    assert "stack_size = 5312 : i32" in built.aiecc.design.read_text()
    assert any("raised to 5312" in note for note in built.notes)


def test_a_stack_without_room_is_refused_with_the_numbers(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        build(tools(tmp_path, "declarative"), tmp_path, text=KERNEL + f"// standin: frame {SYMBOL} 30000\n")
    assert caught.value.why == (
        "they need 30272 bytes with the margin, stack_size is 3328, and only 21248 bytes are free to raise it"
    )
    assert caught.value.where == SYMBOL


def test_constants_that_do_not_fit_are_refused_before_the_link(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="constants do not fit"):
        build(tools(tmp_path, "declarative"), tmp_path, text=KERNEL + "// standin: data 30000\n")
    assert not (tmp_path / "w" / "a").exists()


def test_an_enough_stack_is_left_alone(tmp_path: Path) -> None:
    built = build(
        tools(tmp_path, "declarative"), tmp_path, text=KERNEL + f"// standin: frame {SYMBOL} 3000\n"
    )
    assert (built.stack_raised, built.stack_size) == (False, 3328)
    assert built.aiecc.design.read_text() == DESIGN


def test_every_core_of_a_golden_design_gets_its_stack() -> None:
    for path in sorted(GOLDEN.glob("G*.mlir")):
        text = path.read_text()
        raised = with_stack(text, 9984, 1024)
        assert smallest_stack(raised, 1024) == 9984, path.name
        assert with_stack(text, 64, 1024) == text
        assert raised.count("aie.core(") == raised.count("stack_size = 9984 : i32"), path.name


def test_a_core_without_attributes_gets_them() -> None:
    text = "aie.core(%t) {\n  // a brace } in a comment\n  aie.end\n}\n"
    text += 'aie.core(%u) {aie.end} {link_with = "a}.o"}\n'
    assert smallest_stack(text, 1024) == 1024
    raised = with_stack(text, 2048, 1024)
    assert "}\n" in raised
    assert raised.count("stack_size = 2048 : i32") == 2
    assert '{stack_size = 2048 : i32, link_with = "a}.o"}' in raised


# ---- spelling ------------------------------------------------------------------------------------


def test_the_python_generation_gets_link_with_on_the_core(tmp_path: Path) -> None:
    toolchain = tools(tmp_path, "python")
    run(toolchain, tmp_path)
    written = (tmp_path / "a" / "design.mlir").read_text()
    assert f'}} {{link_with = "{OBJECT}", stack_size = 3328 : i32}}' in written
    assert "aie.runtime_sequence" in written


def test_without_it_that_generation_fails_as_it_really_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("npukbuild.toolchain.aiecc.spelled_for", lambda text, toolchain: text)
    error = failed(tmp_path, "python")
    assert "no linked object defines it" in (error.why or "")


@pytest.mark.parametrize(
    ("version", "sequence"),
    [
        ("0.0.1.2025100604+abcdef0", "aiex.runtime_sequence"),
        ("1.0", "aiex.runtime_sequence"),
        ("0.0.1.2026010104+abcdef0", "aie.runtime_sequence"),
        ("unknown", "aie.runtime_sequence"),
        ("1.1.1", "aiex.runtime_sequence"),
        ("1.1.3", "aie.runtime_sequence"),
        ("1.2.0", "aie.runtime_sequence"),
    ],
)
def test_the_runtime_sequence_is_spelled_by_release(tmp_path: Path, version: str, sequence: str) -> None:
    toolchain = tools(tmp_path, "python", version=version)
    assert toolchain.mlir_aie_version == version
    assert f"    {sequence} @sequence" in spelled_for(DESIGN, toolchain)


@pytest.mark.parametrize(
    ("version", "linked"),
    [
        ("0.0.1.2026030404+5ff2ab97", True),  # C++ already, and still blind for the function's link_with
        ("0.0.1.2026031304+abcdef0", True),
        ("0.0.1.2026033104+e4f35d6", False),
        ("unknown", True),
        ("1.3.2.dev82+geaa6248", False),
    ],
)
def test_the_first_releases_of_the_cpp_driver_get_link_with_on_the_core_too(
    tmp_path: Path, version: str, linked: bool
) -> None:
    toolchain = replace(tools(tmp_path, "cpp"), mlir_aie_version=version)
    assert (f'}} {{link_with = "{OBJECT}"' in spelled_for(DESIGN, toolchain)) == linked


def test_each_core_gets_the_object_of_the_functions_that_it_calls(tmp_path: Path) -> None:
    toolchain = tools(tmp_path, "python")
    golden = GOLDEN / "G7_chain_ln_softmax_gelu_1024_bf16.mlir"
    spelled = spelled_for(golden.read_text(), toolchain)
    wanted = golden.with_suffix(".corelink.mlir").read_text()
    ends = [line for line in wanted.splitlines() if "} {link_with" in line]
    assert len(ends) == 3
    assert [line for line in spelled.splitlines() if "} {link_with" in line] == ends
    assert spelled_for(wanted, toolchain) == wanted
    two = golden.read_text().replace(
        "call @softmax_bf16", "call @gelu_bf16(%x) : () -> ()\ncall @softmax_bf16"
    )
    with pytest.raises(DesignError, match="one object to a core"):
        spelled_for(two, toolchain)


def test_newer_generations_get_the_design_as_it_is(tmp_path: Path) -> None:
    for generation in ("cpp", "declarative"):
        assert spelled_for(DESIGN, tools(tmp_path / generation, generation)) == DESIGN


def test_braces_in_a_name_and_unknown_schemes_are_refused(tmp_path: Path) -> None:
    toolchain = tools(tmp_path, "cpp")
    with pytest.raises(RequestError):
        aiecc_arguments(toolchain, xclbin="{0}.xclbin")
    with pytest.raises(RequestError):
        aiecc_arguments(toolchain, xclbin="a.xclbin", alloc_scheme="lucky")


# ---- hygiene -------------------------------------------------------------------------------------


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
    assert not Path(f"/proc/{tool}").exists() or _zombie(tool)
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
    assert not Path(f"/proc/{left}").exists() or _zombie(left)


def test_a_tool_that_is_not_there(tmp_path: Path) -> None:
    from npukbuild.toolchain.process import Step, run_step

    with pytest.raises(ToolError, match="cannot be started"):
        run_step(Step(name="x", argv=("/nowhere/x",), cwd=tmp_path, environment={}, timeout=5))


# ---- discovery -----------------------------------------------------------------------------------


def test_an_environment_a_site_packages_or_a_prefix_can_be_named(tmp_path: Path) -> None:
    root = make_install(tmp_path / "env")
    old = make_install(tmp_path / "old", "python")  # its environment has bin/aiecc.py too
    for place, folder in ((root, tmp_path / "env"), (old, tmp_path / "old")):
        for given in (place, place.parent, folder):
            found = find_toolchain(given)
            assert found is not None
            assert (found.mlir_aie, found.origin) == (place.resolve(), "--mlir-aie")
    (old / "include" / "aie_api" / "aie.hpp").unlink()
    with pytest.raises(ToolchainMissingError, match="no aie_api headers") as caught:
        find_toolchain(tmp_path / "old")
    assert caught.value.where == str(old)


@pytest.mark.parametrize("bundled", [False, True])
def test_the_chosen_packer_is_found_and_nothing_else_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundled: bool
) -> None:
    packer = make_xclbinutil(tmp_path / "xrt" / "xclbinutil")
    make_xclbinutil(tmp_path / "xrt" / "bootgen")  # of another release
    monkeypatch.setenv("NPUKBUILD_XCLBINUTIL", str(packer))
    toolchain = tools(tmp_path, "cpp", xclbinutil="good" if bundled else None)
    bootgen = make_xclbinutil(toolchain.mlir_aie / "bin" / "bootgen")
    path = toolchain.environment(tmp_path)["PATH"]
    assert shutil.which("xclbinutil", path=path) == str(packer)
    if not bundled:
        assert shutil.which("bootgen", path=path) == str(bootgen)
    assert toolchain.as_dict()["xclbinutil"] == hashlib.sha256(packer.read_bytes()).hexdigest()


def test_variables_are_recorded_as_the_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_install(tmp_path / "env", peano=False)
    peano = make_install(tmp_path / "other").parent / "llvm-aie"
    monkeypatch.setenv("NPUKBUILD_MLIR_AIE", str(root))
    monkeypatch.setenv("NPUKBUILD_PEANO", str(peano))
    found = find_toolchain()
    assert found is not None
    assert found.origin == "NPUKBUILD_MLIR_AIE"
    assert found.peano == peano.resolve()
    assert found.as_dict()["peano"] == "21.0.0.2026080301+c9c5ecb7"


def test_a_wrong_peano_is_refused_before_aiecc_can_ignore_it(tmp_path: Path) -> None:
    root = make_install(tmp_path / "env", peano=False)
    with pytest.raises(ToolchainMissingError, match="no Peano beside"):
        find_toolchain(root)
    with pytest.raises(ToolchainMissingError, match="no Peano at the place that --peano names"):
        find_toolchain(root, tmp_path)
    incomplete = make_install(tmp_path / "half").parent / "llvm-aie"
    (incomplete / "bin" / "llc").unlink()
    with pytest.raises(ToolchainMissingError) as caught:
        find_toolchain(root, incomplete)
    assert "bin/llc" in (caught.value.why or "")


def test_known_bad_peano_builds_are_refused(tmp_path: Path) -> None:
    from tests.standins.layout import make_peano

    root = make_install(tmp_path / "env", peano=False)
    make_peano(root.parent / "llvm-aie", version="22.0.0.2026081201+046b11f9")
    with pytest.raises(NpukbuildError) as caught:
        find_toolchain(root)
    assert "wrong results on NPU2" in (caught.value.why or "")


def test_a_peano_without_metadata_is_asked_for_its_commit(tmp_path: Path) -> None:
    from tests.standins.layout import make_peano

    root = make_install(tmp_path / "env", peano=False)
    make_peano(tmp_path / "loose" / "peano", commit="fdf257dea0", version=None)
    with pytest.raises(NpukbuildError) as caught:
        find_toolchain(root, tmp_path / "loose" / "peano")
    assert "int -> float -> int" in (caught.value.why or "")


def test_identity_follows_content_not_place(tmp_path: Path) -> None:
    first = tools(tmp_path / "one", "declarative")
    second = tools(tmp_path / "two", "declarative")
    # The stand-in aiecc holds its own path, so its bytes differ: make them the same.
    for found in (first, second):
        found.aiecc.write_bytes(b"#!/bin/sh\necho 'aiecc (mlir-aie declarative driver) 7e00b57'\n")
        found.aiecc.chmod(0o755)
    xclbinutil = make_xclbinutil(tmp_path / "xclbinutil")
    assert xclbinutil.is_file()
    from npukbuild.toolchain.identity import identity_of

    identity_of.cache_clear()
    same = find_toolchain(first.mlir_aie), find_toolchain(second.mlir_aie)
    assert same[0] is not None
    assert same[1] is not None
    assert same[0].identity == same[1].identity
    identity_of.cache_clear()
    header = second.include / "aie_api" / "aie.hpp"
    stamp = header.stat().st_mtime_ns
    header.write_text("#pragma  nce\n")  # the same size and date
    os.utime(header, ns=(stamp, stamp))
    changed = find_toolchain(second.mlir_aie)
    assert changed is not None
    assert changed.identity != same[0].identity


def test_hashes_of_tools_are_kept_and_follow_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPUKBUILD_HOME", str(tmp_path / "home"))
    tool = tmp_path / "tool"
    tool.write_bytes(b"one")
    real = time.time
    monkeypatch.setattr("npukbuild.toolchain.known_hashes.time.time", lambda: real() + 60)
    read: list[Path] = []

    def hashed(path: Path) -> str:
        read.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr("npukbuild.toolchain.known_hashes.hash_file", hashed)
    for _ in range(3):
        known = KnownHashes()
        assert known.of(tool) == hashlib.sha256(b"one").hexdigest()
        known.save()
    assert len(read) == 1
    status = tool.stat()
    tool.write_bytes(b"two")
    os.utime(tool, ns=(status.st_atime_ns, status.st_mtime_ns))  # the same size and date: the ctime tells
    assert KnownHashes().of(tool) == hashlib.sha256(b"two").hexdigest()
    (kept,) = (tmp_path / "home").glob("known-hashes.json")
    kept.write_text('["rubbish"')
    assert KnownHashes().of(tool) == hashlib.sha256(b"two").hexdigest()
    assert KnownHashes().of(tmp_path / "absent") is None


def test_an_aiecc_that_says_nothing_known_is_refused(tmp_path: Path) -> None:
    root = make_install(tmp_path / "env")
    (root / "bin" / "aiecc").write_text("#!/bin/sh\necho Segmentation fault\nexit 139\n")
    for info in root.parent.glob("mlir_aie-*.dist-info"):
        info.rmdir()
    with pytest.raises(ToolchainMissingError) as caught:
        find_toolchain(root)
    assert "Segmentation fault" in (caught.value.why or "")


def test_nothing_installed_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPUKBUILD_HOME", str(tmp_path / "home"))
    assert find_toolchain() is None


# ---- replay --------------------------------------------------------------------------------------


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
