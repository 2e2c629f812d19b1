"""Peano through its stand-in: the object is checked before anything links it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import CompileError, FolderError, NpukbuildError, ToolError
from npukbuild.toolchain import CompiledKernel, Toolchain, compile_kernel, find_toolchain
from npukbuild.toolchain.objects import exclude_stack_section, read_object, soft_calls, stack_depth
from npukbuild.toolchain.peano import peano_command, read_depfile
from tests.standins.aie_elf import Function, build_core, build_object
from tests.standins.layout import make_install

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """#include <aie_api/aie.hpp>
extern "C" {
void mm(float *a) {
}
}
"""


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    found = find_toolchain(make_install(tmp_path_factory.mktemp("tools") / "env"))
    assert found is not None
    return found


def build(toolchain: Toolchain, tmp_path: Path, text: str, **options: object) -> CompiledKernel:
    source = tmp_path / "kernel.cc"
    source.write_text(text)
    settings: dict[str, object] = {"arch": "aie2", "symbols": ["mm"], "timeout": 30.0, **options}
    return compile_kernel(source, toolchain=toolchain, work=tmp_path / "work", **settings)  # type: ignore[arg-type]


def test_a_good_kernel_gives_a_checked_object(toolchain: Toolchain, tmp_path: Path) -> None:
    text = GOOD + "// standin: frame mm 1000\n// standin: data 4096\n// standin: size mm 512\n"
    kernel = build(toolchain, tmp_path, text)
    assert kernel.object == tmp_path / "work" / "kernel.o"
    assert kernel.headers == (toolchain.include / "aie_api" / "aie.hpp",)
    assert kernel.frames == {"mm": 1000}
    assert kernel.stack_bytes == 1280  # 1000 and the margin of 256, up to a multiple of 64
    assert (kernel.text_bytes, kernel.data_bytes) == (512, 4096)
    record = json.loads((tmp_path / "work" / "peano.step.json").read_text())
    assert record["state"] == "ok"


@pytest.mark.parametrize("arch", ["aie2", "aie2p"])
def test_the_command_has_the_documented_flags(toolchain: Toolchain, arch: str) -> None:
    words = peano_command(toolchain, arch=arch, source="k.cc", output="k.o", depfile="k.d", defines=["A=1"])
    assert words[0] == str(toolchain.peano / "bin" / "clang++")
    documented = ["-O2", "-std=c++20", "-Wno-parentheses", "-Wno-attributes", "-Wno-macro-redefined"]
    documented += ["-Wno-empty-body", "-Wno-missing-template-arg-list-after-template-kw", "-DNDEBUG", "-DA=1"]
    documented += [
        f"--target={arch}-none-unknown-elf",
        f"-I{toolchain.include}",
        "-fstack-size-section",
        "-MD",
    ]
    assert set(documented) <= set(words)


def test_the_environment_of_a_tool_has_nothing_of_ours(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "PYTHONHOME", "VIRTUAL_ENV", "XILINX_XRT", "CPATH"):
        monkeypatch.setenv(name, "/nowhere")
    build(toolchain, tmp_path, GOOD)
    environment = json.loads((tmp_path / "work" / "peano.step.json").read_text())["environment"]
    assert not {"PYTHONPATH", "LD_LIBRARY_PATH", "PYTHONHOME", "XILINX_XRT", "CPATH"} & environment.keys()
    assert environment["PYTHONNOUSERSITE"] == "1"
    assert environment["PEANO_INSTALL_DIR"] == str(toolchain.peano)
    assert str(toolchain.peano) not in environment["PATH"]


def refused(toolchain: Toolchain, tmp_path: Path, text: str, **options: object) -> NpukbuildError:
    with pytest.raises(NpukbuildError) as caught:
        build(toolchain, tmp_path, text, **options)
    return caught.value


def test_a_missing_symbol_is_refused(toolchain: Toolchain, tmp_path: Path) -> None:
    error = refused(toolchain, tmp_path, GOOD, symbols=["mm", "zero"])
    assert isinstance(error, CompileError)
    assert error.details == ("zero is not defined",)


def test_a_mangled_symbol_is_refused_with_its_remedy(toolchain: Toolchain, tmp_path: Path) -> None:
    error = refused(toolchain, tmp_path, "void mm(float *a) {\n}\n")
    assert any('declare it extern "C"' in line and "_Z2mm" in line for line in error.details)


def test_an_undefined_symbol_is_refused(toolchain: Toolchain, tmp_path: Path) -> None:
    error = refused(toolchain, tmp_path, GOOD + "// standin: call mm helper\n")
    assert error.details == ("helper is used and nowhere defined",)


@pytest.mark.parametrize("callee", ["__mulsf3", "__addsf3", "expf", "__adddf3", "sqrtf", "__floatsisf"])
def test_soft_float_is_an_error_with_the_function_that_pulls_it_in(
    toolchain: Toolchain, tmp_path: Path, callee: str
) -> None:
    text = (
        GOOD.replace("}\n}\n", "}\nvoid helper(float *b) {\n}\n}\n") + f"// standin: call helper {callee}\n"
    )
    error = refused(toolchain, tmp_path, text)
    assert isinstance(error, CompileError)
    assert "helper" in (error.where or "")
    assert any(line.startswith(f"helper calls {callee}: ") for line in error.details)
    assert json.loads((tmp_path / "work" / "peano.step.json").read_text())["state"] == "failed"


def test_soft_float_is_only_noted_in_a_family_that_does_not_promise_vectors(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    kernel = build(toolchain, tmp_path, GOOD + "// standin: call mm __mulsf3\n", vector=False)
    assert [(call.function, call.callee) for call in kernel.soft_calls] == [("mm", "__mulsf3")]
    assert any("__mulsf3" in note for note in kernel.notes)


def test_integer_division_is_reported_and_no_error(toolchain: Toolchain, tmp_path: Path) -> None:
    kernel = build(toolchain, tmp_path, GOOD + "// standin: call mm __divsi3\n")
    assert [call.group for call in kernel.soft_calls] == ["integer division"]


def test_another_machine_is_refused(toolchain: Toolchain, tmp_path: Path) -> None:
    error = refused(toolchain, tmp_path, GOOD + "// standin: machine 62\n")
    assert isinstance(error, ToolError)
    assert error.why == "its ELF machine is 62, an AIE core's is 264"


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("exit-zero-without-output", "kernel.o was not written"),
        ("empty", "kernel.o is empty"),
        ("old", "kernel.o is older than this step"),
    ],
)
def test_exit_code_zero_is_no_evidence(toolchain: Toolchain, tmp_path: Path, order: str, words: str) -> None:
    error = refused(toolchain, tmp_path, GOOD + f"// standin: {order}\n")
    assert words in (error.why or "")
    assert "exit code 0, but" in (error.why or "")


def test_half_an_object_is_refused(toolchain: Toolchain, tmp_path: Path) -> None:
    error = refused(toolchain, tmp_path, GOOD + "// standin: half\n")
    assert error.what == "kernel.o is not a readable ELF file"


def test_a_crash_in_mid_write_is_reported_as_one(toolchain: Toolchain, tmp_path: Path) -> None:
    error = refused(toolchain, tmp_path, GOOD + "// standin: crash\n")
    assert isinstance(error, ToolError)
    assert "was ended by SIGSEGV" in (error.why or "")


def test_a_hang_is_ended_at_the_deadline(toolchain: Toolchain, tmp_path: Path) -> None:
    started = time.monotonic()
    error = refused(toolchain, tmp_path, GOOD + "// standin: hang\n", timeout=1.0)
    assert time.monotonic() - started < 30
    assert "did not finish within" in (error.why or "")


def test_a_compiler_error_is_shown_with_its_place_and_line(toolchain: Toolchain, tmp_path: Path) -> None:
    error = refused(toolchain, tmp_path, GOOD + "#error K must be a multiple of 8\n")
    assert isinstance(error, CompileError)
    assert error.where == "kernel.cc:6:2"
    assert "K must be a multiple of 8" in (error.why or "")
    assert "| #error K must be a multiple of 8" in error.details
    assert any("npukbuild replay" in line for line in error.details)


def test_headers_that_are_not_there_are_explained(toolchain: Toolchain, tmp_path: Path) -> None:
    error = refused(toolchain, tmp_path, "#include <aie_api/nosuch.hpp>\n" + GOOD)
    assert "come with mlir_aie" in (error.why or "")


def test_frames_add_up_along_calls_and_a_circle_is_refused(toolchain: Toolchain, tmp_path: Path) -> None:
    chain = [Function("mm", frame=100, calls=["a", "b"]), Function("a", frame=50, calls=["c"])]
    chain += [Function("b", frame=200, local=True), Function("c", frame=300)]
    path = tmp_path / "k.o"
    path.write_bytes(build_object(chain))
    assert stack_depth(read_object(path), "mm") == (450, ("mm", "a", "c"))
    chain[3].calls.append("mm")
    path.write_bytes(build_object(chain))
    with pytest.raises(ToolError, match="recursive"):
        stack_depth(read_object(path), "mm")


def test_a_loop_at_a_functions_start_is_no_recursion(tmp_path: Path) -> None:
    path = tmp_path / "k.o"
    loop = Function("mm", frame=64, branches=[0, 16], calls=["helper"])
    path.write_bytes(build_object([loop, Function("helper", frame=32, local=True, branches=[0])]))
    assert stack_depth(read_object(path), "mm") == (96, ("mm", "helper"))


def test_a_call_of_a_local_function_without_its_symbol_counts(tmp_path: Path) -> None:
    path = tmp_path / "k.o"
    helper = Function("helper", frame=32, local=True, size=64)  # local ones stand first: at 0
    path.write_bytes(build_object([Function("mm", frame=64, branches=[-64]), helper]))
    assert stack_depth(read_object(path), "mm") == (96, ("mm", "helper"))


def test_a_compiler_without_frame_sizes_is_noted(toolchain: Toolchain, tmp_path: Path) -> None:
    kernel = build(toolchain, tmp_path, GOOD + "// standin: no-frames\n")
    assert kernel.stack_bytes is None
    assert any("stack was not checked" in note for note in kernel.notes)


def test_the_work_folder_must_be_fresh(toolchain: Toolchain, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "old.elf").write_bytes(b"stale")
    assert isinstance(refused(toolchain, tmp_path, GOOD), FolderError)


def test_megabytes_of_warnings_go_to_the_log(toolchain: Toolchain, tmp_path: Path) -> None:
    kernel = build(toolchain, tmp_path, GOOD + "// standin: noise 4\n")
    assert kernel.log.stat().st_size > 4_000_000


def test_a_dependency_file_with_spaces_and_continuations(tmp_path: Path) -> None:
    path = tmp_path / "k.d"
    path.write_text("k.o: k.cc \\\n  /a\\ b/x.h \\\n  sub/../y.h /c$$d.h\n")
    names = {str(p) for p in read_depfile(path, tmp_path)}
    assert names == {str(tmp_path / "k.cc"), "/a b/x.h", str(tmp_path / "y.h"), "/c$d.h"}


def test_soft_calls_of_a_local_function_are_named(tmp_path: Path) -> None:
    path = tmp_path / "k.o"
    path.write_bytes(build_object([Function("mm"), Function("helper", local=True, calls=["__addsf3"])]))
    assert [(c.function, c.callee) for c in soft_calls(read_object(path))] == [("helper", "__addsf3")]


def test_a_linked_core_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "core.elf"
    path.write_bytes(build_core([Function("main", size=100)], data=32, data_at=0x70400))
    facts = read_object(path)
    assert (facts.machine, facts.text_bytes, facts.data_bytes) == (264, 100, 32)
    assert facts.data_span == (0x70400, 0x70420)


@pytest.mark.skipif(shutil.which("as") is None or shutil.which("ld") is None, reason="needs binutils")
def test_the_frame_section_is_dropped_by_a_real_linker(tmp_path: Path) -> None:
    """As aiecc links, orphans are errors: the marked section is left out, an unmarked one stops it."""
    (tmp_path / "k.s").write_text(
        ".text\n.globl mm\n.type mm,@function\nmm:\n ret\n.size mm,.-mm\n"
        '.section .stack_sizes,"o",@progbits,.text\n .quad mm\n .byte 16\n'
    )
    subprocess.run(["as", "k.s", "-o", "k.o"], cwd=tmp_path, check=True)
    (tmp_path / "s.ld").write_text(
        "SECTIONS { .text : {*(.text*)} .data : {*(.data*) *(.bss*)} .note : {*(.note*)} "
        "/DISCARD/ : {*(.eh_frame) *(.rela.got .rela.iplt)} .got : {*(.got .got.plt .iplt .igot.plt)} "
        ".symtab 0 : {*(.symtab)} .strtab 0 : {*(.strtab)} "
        ".shstrtab 0 : {*(.shstrtab)} }\n"
    )
    command = ["ld", "-e", "mm", "--orphan-handling=error", "-T", "s.ld", "k.o", "-o", "k.elf"]
    before = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert before.returncode != 0
    assert ".stack_sizes" in before.stderr
    assert exclude_stack_section(tmp_path / "k.o")
    after = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert after.returncode == 0, after.stderr


def test_marking_changes_one_bit_only(tmp_path: Path) -> None:
    path = tmp_path / "k.o"
    path.write_bytes(build_object([Function("mm", frame=64)]))
    before = path.read_bytes()
    assert exclude_stack_section(path)
    after = path.read_bytes()
    different = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert different == [(0x00, 0x80)]
    assert read_object(path).frames == {"mm": 64}


@pytest.mark.parametrize("cut", [0, 3, 20, 51, 52, 100, 200, 300])
def test_a_damaged_object_is_an_error_not_a_crash(tmp_path: Path, cut: int) -> None:
    content = build_object([Function("mm", frame=64, calls=["expf"])], data=16)
    path = tmp_path / "k.o"
    path.write_bytes(content[:cut])
    with pytest.raises(ToolError, match="not a readable ELF"):
        read_object(path)
    assert path.stat().st_size == min(cut, len(content))
