"""Finding a compiler, compiling kernels and saying what is wrong with them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import CompileError, CompilerMissingError, FolderError, SimulationFault
from npukbuild.simulator import host_compiler
from npukbuild.simulator.hostcc import compile_kernels, dependencies, find_compiler, undefined_or_libm_symbols
from npukbuild.simulator.kernel_library import CoreState, KernelLibrary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.simulator.host_compiler import HostCompiler
    from tests.hostapi.tools import Load

SMALL = 'extern "C" void fill(int *p, int n) { for (int i = 0; i < n; i++) p[i] = i; }\n'


def program(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def build(
    tmp_path: Path, text: str, compiler: HostCompiler, *, arch: str = "aie2", defines: Sequence[str] = ()
) -> Path:
    source = tmp_path / "kernel.cc"
    source.write_text(text)
    output = tmp_path / "out" / "kernel.so"
    return compile_kernels([source], arch=arch, output=output, compiler=compiler, defines=defines)


def failure(tmp_path: Path, text: str, compiler: HostCompiler) -> CompileError:
    with pytest.raises(CompileError) as caught:
        build(tmp_path, text, compiler)
    return caught.value


def test_no_compiler_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_compiler, "_has_ziglang", lambda: False)
    with pytest.raises(CompilerMissingError) as caught:
        find_compiler({"PATH": str(tmp_path)})
    assert "apt-get install g++" in str(caught.value)
    assert "npukbuild[ziglang]" in str(caught.value)
    assert caught.value.exit_code == 7


def test_the_ordered_compiler_is_the_only_one_tried(tmp_path: Path) -> None:
    with pytest.raises(CompilerMissingError, match="NPUKBUILD_CXX") as caught:
        find_compiler({**os.environ, "NPUKBUILD_CXX": "no-such-compiler"})
    assert "no-such-compiler" in str(caught.value)
    old = program(tmp_path, "oldcc", 'echo "oldcc: error: unrecognized option -std=c++20" >&2; exit 1')
    with pytest.raises(CompilerMissingError, match="unrecognized option"):
        find_compiler({**os.environ, "NPUKBUILD_CXX": str(old)})


def test_a_compiler_that_claims_success_without_output_is_not_taken(tmp_path: Path) -> None:
    liar = program(tmp_path, "liar", 'echo "#define __VERSION__ \\"1\\""')
    with pytest.raises(CompilerMissingError, match="writes no output"):
        find_compiler({**os.environ, "NPUKBUILD_CXX": str(liar)})


def test_an_unusable_cxx_is_passed_over(tmp_path: Path) -> None:
    broken = program(tmp_path, "broken", "exit 3")
    found = find_compiler({**os.environ, "CXX": str(broken), "NPUKBUILD_CXX": ""})
    assert found.path != broken
    assert found.identity == find_compiler({**os.environ, "CXX": "", "NPUKBUILD_CXX": ""}).identity


def test_words_of_cxx_are_kept(compiler: HostCompiler) -> None:
    found = find_compiler({**os.environ, "NPUKBUILD_CXX": f"{compiler.path} -DEXTRA=1"})
    assert found.command == (str(compiler.path), "-DEXTRA=1")


def test_an_error_is_named_at_the_place_of_its_line_directive(tmp_path: Path, compiler: HostCompiler) -> None:
    place = '#line 12 "templates/matmul/kernel.cc.j2"'
    text = f"#include <aie_api/aie.hpp>\n{place}\nvoid f() {{\n  undeclared = 3;\n}}\n"
    error = failure(tmp_path, text, compiler)
    assert error.where is not None
    assert error.where.startswith("templates/matmul/kernel.cc.j2:13")
    assert "undeclared" in (error.why or "")
    assert (tmp_path / "out" / "kernel.so.log").read_text().count("undeclared")
    assert not (tmp_path / "out" / "kernel.so").exists()


def test_an_error_inside_our_headers_is_named_at_the_kernel(tmp_path: Path, compiler: HostCompiler) -> None:
    text = """#include <aie_api/aie.hpp>
#line 40 "kernels/wrong.cc"
extern "C" void f(bfloat16 *a) {
  aie::mmul<5, 8, 4, bfloat16, bfloat16, accfloat> m;
}
"""
    error = failure(tmp_path, text, compiler)
    assert error.where == "kernels/wrong.cc:41"
    assert "no such shape" in (error.why or "")
    assert error.hint


def test_an_excerpt_shows_the_line(tmp_path: Path, compiler: HostCompiler) -> None:
    error = failure(tmp_path, "int f() {\n  return nothing_here;\n}\n", compiler)
    assert any("return nothing_here;" in line for line in error.details)
    assert any("^" in line for line in error.details)


def test_exceptions_are_refused_with_the_reason(tmp_path: Path, compiler: HostCompiler) -> None:
    error = failure(tmp_path, 'extern "C" void f() { throw 1; }', compiler)
    assert error.hint == "AIE programs have no exceptions"


def test_an_undefined_function_is_named(tmp_path: Path, compiler: HostCompiler) -> None:
    error = failure(tmp_path, 'void elsewhere(int); extern "C" void f() { elsewhere(1); }', compiler)
    assert "elsewhere" in (error.why or "")


def test_a_failed_compilation_leaves_the_old_library(tmp_path: Path, compiler: HostCompiler) -> None:
    library = build(tmp_path, SMALL, compiler)
    before = library.read_bytes()
    failure(tmp_path, "syntax error", compiler)
    assert library.read_bytes() == before
    assert sorted(path.name for path in library.parent.iterdir()) == [
        "kernel.so",
        "kernel.so.d",
        "kernel.so.log",
    ]


def test_same_source_same_bytes_wherever_it_lies(tmp_path: Path, compiler: HostCompiler) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    first.mkdir()
    second.mkdir()
    assert build(first, SMALL, compiler).read_bytes() == build(second, SMALL, compiler).read_bytes()


def test_dependencies_name_every_file(tmp_path: Path, compiler: HostCompiler) -> None:
    folder = tmp_path / "with blank"
    folder.mkdir()
    (folder / "part.hpp").write_text("#include <aie_api/aie.hpp>\n")
    source = folder / "kernel.cc"
    source.write_text('#include "part.hpp"\n' + SMALL)
    library = compile_kernels([source], arch="aie2", output=tmp_path / "k.so", compiler=compiler)
    names = dependencies(library)
    assert source in names
    assert folder / "part.hpp" in names
    assert any(name.name == "aie.hpp" for name in names)


def test_a_compiler_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    slow = program(tmp_path, "slow", f"sleep 60 & echo $! > {mark}; wait")
    compiler = host_compiler.HostCompiler(slow, "gcc", "slow", (str(slow),))
    source = tmp_path / "k.cc"
    source.write_text(SMALL)
    with pytest.raises(CompileError, match="did not finish"):
        compile_kernels([source], arch="aie2", output=tmp_path / "k.so", compiler=compiler, timeout=0.5)
    pid = int(mark.read_text())
    deadline = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, compiler: HostCompiler) -> None:
    source = tmp_path / "k.cc"
    source.write_text(SMALL)
    with pytest.raises(FolderError):
        compile_kernels([source], arch="aie2", output=source / "below" / "k.so", compiler=compiler)
    with pytest.raises(CompileError, match="no kernel source"):
        compile_kernels([tmp_path / "none.cc"], arch="aie2", output=tmp_path / "k.so", compiler=compiler)
    with pytest.raises(CompileError, match="aie9"):
        compile_kernels([source], arch="aie9", output=tmp_path / "k.so", compiler=compiler)


def test_several_sources_become_one_library(tmp_path: Path, compiler: HostCompiler) -> None:
    (tmp_path / "a.cc").write_text("int twice(int x) { return 2 * x; }\n#include <aie_api/aie.hpp>\n")
    use = 'int twice(int);\nextern "C" void run(int *p) { *p = twice(21); }\n#include <aie_api/aie.hpp>\n'
    (tmp_path / "b.cc").write_text(use)
    sources = [tmp_path / "a.cc", tmp_path / "b.cc"]
    library = KernelLibrary(
        compile_kernels(sources, arch="aie2p", output=tmp_path / "k.so", compiler=compiler)
    )
    assert library.symbols == ("_Z5twicei", "run")
    assert library.arch == "aie2p"


def test_soft_float_calls_are_seen(tmp_path: Path, compiler: HostCompiler) -> None:
    text = """#include <math.h>
extern "C" void k(float *p) { p[0] = sqrtf(p[1]) + expf(p[2]); }"""
    assert undefined_or_libm_symbols(build(tmp_path, text, compiler)) == ("expf", "sqrtf")
    clean = "#include <lut_based_ops.h>\n" + SMALL
    assert undefined_or_libm_symbols(build(tmp_path, clean, compiler)) == ()


@pytest.mark.parametrize("call", ["exit(0)", "_exit(0)", "pthread_exit(nullptr)", "raise(9)", "sleep(1000)"])
def test_a_kernel_that_would_end_or_stop_the_simulator_is_refused(
    tmp_path: Path, compiler: HostCompiler, call: str
) -> None:
    heads = "#include <pthread.h>\n#include <signal.h>\n#include <cstdlib>\n#include <unistd.h>\n"
    error = failure(tmp_path, f'{heads}// exit(1)\nextern "C" void k() {{\n  {call};\n}}\n', compiler)
    assert error.what == f"a kernel calls {call.partition('(')[0]}"
    assert error.where == f"{tmp_path / 'kernel.cc'}:7"
    assert error.hint == "return from the core function instead"
    assert not (tmp_path / "out" / "kernel.so").exists()


CALLS = """
#include <initializer_list>
static int counter;
extern "C" void count(int *out) { *out = ++counter; }
extern "C" void mixed(float *out, int a, float b, short c, float d) { out[0] = a * b; out[1] = c * d; }
extern "C" void many(long *out, int a, int b, int c, int d, int e, int f, int g, int h, int i) {
  long sum = 0;
  for (int digit : {i, h, g, f, e, d, c, b, a}) sum = 10 * sum + digit;
  *out = sum;
}
extern "C" int answer(int x) { return x + 1; }
extern "C" float half(float x) { return x / 2; }
extern "C" void spin(volatile int *flag) { flag[1] = 1; while (!flag[0]) { } }
"""


def test_arguments_of_all_kinds(load: Load) -> None:
    import numpy as np

    library = load(CALLS)
    out = np.zeros(2, np.float32)
    library.call("mixed", out, -3, 2.5, -7, 0.5)
    assert list(out) == [-7.5, -3.5]
    wide = np.zeros(1, np.int64)
    library.call("many", wide, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert wide[0] == 987654321
    assert library.bind("answer", ["int"], returns="int")(-5) == -4
    assert library.bind("half", ["float"], returns="float")(5.0) == 2.5


def test_instances_do_not_share_static_data(load: Load) -> None:
    import numpy as np

    first, second = load(CALLS), load(CALLS)
    out = np.zeros(1, np.int32)
    for library, expected in ((first, 1), (first, 2), (second, 1), (first, 3)):
        library.call("count", out)
        assert out[0] == expected


def test_instances_do_not_share_what_templates_and_inline_functions_keep(load: Load) -> None:
    text = """
template <class T> T next() { static T n; return ++n; }
inline int total = 100;
extern "C" int count() { return next<int>() + total++; }
"""
    first, second = (load(text).bind("count", [], returns="int") for _ in range(2))
    assert [first(), first(), second()] == [101, 103, 101]


def test_an_unknown_function_is_named_with_those_there_are(load: Load) -> None:
    with pytest.raises(SimulationFault, match="no function cout") as caught:
        load(CALLS).bind("cout", ["ptr"])
    assert "count" in str(caught.value)


def test_what_is_no_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "k.so").write_text("not an ELF file")
    with pytest.raises(SimulationFault, match=r"k\.so"):
        KernelLibrary(tmp_path / "k.so")


def test_calls_let_other_threads_run(load: Load) -> None:
    import numpy as np

    library = load(CALLS)
    flag = np.zeros(2, np.int32)
    state = CoreState()
    run = library.bind("spin", ["ptr"], state=state)
    thread = threading.Thread(target=run, args=(flag.ctypes.data,))
    thread.start()
    while not flag[1]:
        time.sleep(0.001)
    flag[0] = 1
    thread.join(5)
    assert not thread.is_alive()


MISALIGNED = """#include <aie_api/aie.hpp>
extern "C" void copy(const bfloat16 *a, bfloat16 *b) { aie::store_v(b, aie::load_v<16>(a)); }
extern "C" void relay(int *p) { put_mcd(aie::add(get_scd_v16int32(), 1)); }
"""


def test_misaligned_accesses_are_reported_when_asked(load: Load) -> None:
    import numpy as np

    library = load(MISALIGNED, "aie2", ["NPUK_CHECK_ALIGNMENT"])
    memory = np.zeros(256, np.uint8)
    base = -memory.ctypes.data % 64
    state = library.new_core_state()
    copy = library.bind("copy", ["ptr", "ptr"], state=state)
    copy(memory.ctypes.data + base, memory.ctypes.data + base + 64)
    assert state.faults == 0
    copy(memory.ctypes.data + base + 2, memory.ctypes.data + base + 64)
    assert state.faults == 1
    assert state.fault_address == memory.ctypes.data + base + 2


def test_cascade_goes_through_the_core_s_state(load: Load) -> None:
    import numpy as np

    library = load(MISALIGNED)
    state = library.new_core_state()
    relay = library.bind("relay", ["ptr"], state=state)
    relay(0)
    assert state.faults == 2, "no cascade is connected"
    sent: list[bytes] = []
    state.clear_faults()
    state.connect_cascade(put=sent.append, get=lambda: np.arange(16, dtype=np.int32).tobytes())
    relay(0)
    assert state.faults == 0
    np.testing.assert_array_equal(np.frombuffer(sent[0], np.int32), np.arange(1, 17))


@pytest.mark.slow
def test_ctrl_c_kills_the_compiler(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    slow = program(tmp_path, "slow", f"sleep 60 & echo $! > {mark}; wait")
    (tmp_path / "k.cc").write_text(SMALL)
    script = f"""
from pathlib import Path
from npukbuild.simulator.hostcc import HostCompiler, compile_kernels
slow = Path({str(slow)!r})
compile_kernels([Path({str(tmp_path / "k.cc")!r})], arch="aie2", output=Path({str(tmp_path / "k.so")!r}),
                compiler=HostCompiler(slow, "gcc", "slow", (str(slow),)))
"""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(2)
    process.wait(10)
    pid = int(mark.read_text())
    assert not _alive(pid)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".k.so")]


@pytest.mark.skipif(shutil.which("clang++") is None, reason="needs clang++")
def test_loop_hints_of_the_core_s_compiler_are_no_errors_to_clang(tmp_path: Path) -> None:
    text = """extern "C" void fill(int *p, int n) {
      #pragma clang loop min_iteration_count(4)
      #pragma clang loop max_iteration_count(64) unroll_count(2)
      for (int i = 0; i < n; i++) p[i] = i;
    }"""
    clang = find_compiler({**os.environ, "NPUKBUILD_CXX": "clang++"})
    assert build(tmp_path, text, clang).exists()
