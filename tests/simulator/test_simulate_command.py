"""``npukbuild simulate`` as a user meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from npukbuild.cli import cli
from npukbuild.cli.report import run_guarded
from npukbuild.ir import load_design
from tests.simulator.designs import COPY, PASS, SEQUENCE, one_core

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
KERNELS = str(HERE / "kernels" / "golden.cc")
G1 = str(GOLDEN / "G1_matmul_64x64x512_bf16.mlir")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(5)
    np.save(tmp_path / "a.npy", rng.standard_normal((64, 64)).astype(ml_dtypes.bfloat16))
    np.save(tmp_path / "b.npy", rng.standard_normal((64, 512)).astype(np.float32))
    np.save(tmp_path / "x.npy", np.arange(256, dtype=np.int32))
    (tmp_path / "copy.mlir").write_text(one_core())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def simulate(*words: str) -> int:
    return run_guarded(cli, ["simulate", *words])


def test_a_golden_design_from_npy_to_npy_with_pictures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = simulate(
        *(G1, "--kernels", KERNELS, "--in", "A=a.npy", "--in", "B=b.npy", "--out", "C=c.npy"),
        *("--trace", "t.json", "--timeline", "t.html", "--clock", "1.5"),
    )
    said = capsys.readouterr()
    assert code == 0, said.err
    a, b = np.load("a.npy").view(ml_dtypes.bfloat16), np.load("b.npy").astype(ml_dtypes.bfloat16)
    c = np.load("c.npy").view(ml_dtypes.bfloat16).astype(np.float32)
    expected = a.astype(np.float32) @ b.astype(np.float32)
    assert np.abs(c - expected).max() <= 2**-7 * np.abs(expected).max()
    assert "us per call simulated on npu1_1col at 1.5 GHz" in said.out
    assert "limit" in said.out
    assert json.loads((folder / "t.json").read_text())["traceEvents"]
    assert "<svg" in (folder / "t.html").read_text()


def test_json_reports_times_utilisation_and_bottleneck(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate("copy.mlir", "--in", "X=x.npy", "--out", "Y=y.npy", "--json") == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert said.err == ""
    assert report["simulated_us"] == pytest.approx(report["array_us"] + report["launch_us"])
    assert set(report["cores"]) == {"core (0,2)"}
    assert report["written"] == ["y.npy"]
    assert report["bottleneck"]
    assert (np.load("y.npy") == np.arange(256)).all()


def test_functional_runs_give_no_times(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("copy.mlir", "--in", "X=x.npy", "--out", "1=y.npy", "--functional") == 0
    assert "us" not in capsys.readouterr().out.split()
    assert (
        simulate("copy.mlir", "--in", "X=x.npy", "--out", "Y=y.npy", "--functional", "--trace", "t.json") == 2
    )
    assert not (folder / "t.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--in", "X=x.npy"], 2, "argument Y has neither --in nor --out"),
        (["--in", "X=x.npy", "--out", "Z=z.npy"], 2, "there is no argument Z"),
        (["--in", "X=x.npy", "--out", "Y"], 2, "write ARG=FILE.npy"),
        (["--in", "X=a.npy", "--out", "Y=y.npy"], 28, "has shape 64 x 64"),
        (["--in", "X=nosuch.npy", "--out", "Y=y.npy"], 28, "nosuch.npy does not exist"),
        (["--in", "X=f.npy", "--out", "Y=y.npy"], 28, "holds float32"),
        (["--in", "X=x.npy", "--out", "Y=nosuch/y.npy"], 11, "cannot write"),
        (["--in", "X=x.npy", "--out", "Y=y.npy", "--sequence", "other"], 2, "no runtime sequence other"),
        (["--in", "X=x.npy", "--out", "Y=y.npy", "--kernels", "nosuch.cc"], 28, "nosuch.cc does not exist"),
    ],
)
def test_mistakes_are_explained(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, part: str
) -> None:
    np.save("f.npy", np.zeros(256, np.float32))
    assert simulate("copy.mlir", *words) == code
    assert part in capsys.readouterr().err


def test_all_mistakes_of_a_command_line_are_told_at_once_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("f.npy", np.zeros(256, np.float32))
    np.save("objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (folder / "text.npy").write_text("hello")
    before = sorted(folder.iterdir())
    words = ["--in", "X=f.npy", "--in", "Y=text.npy", "--out", "X=same.npy", "--out", "Y=same.npy"]
    assert simulate("copy.mlir", *words, "--trace", "nosuch/t.json", "--kernels", "nosuch.cc") == 28
    said = capsys.readouterr().err
    assert "5 of the arguments are wrong" in said
    for part in (
        "nosuch.cc does not exist",
        "f.npy holds float32: argument X is i32",
        "text.npy is not a readable .npy file: it does not begin as a .npy file does",
        "two results would be written to same.npy",
        "cannot write nosuch/t.json",
    ):
        assert part in said
    assert simulate("copy.mlir", "--in", "X=objects.npy", "--in", "Q=x.npy", "--out", "Z=z.npy") == 2
    said = capsys.readouterr().err
    for part in ("no argument Q", "no argument Z", "it holds Python objects"):
        assert part in said
    assert "unsafely" not in said
    assert simulate("copy.mlir", "--in", "X=x.npy", "--out", "Y=y.npy", "--out", "X=nosuch/x.npy") == 11
    assert simulate("copy.mlir", "--in", "X=x.npy", "--out", "Y=y.npy", "--trace", ".") == 11
    assert sorted(folder.iterdir()) == before


def test_numbers_in_the_other_byte_order_are_the_same_numbers(folder: Path) -> None:
    np.save("big.npy", np.arange(256, dtype=">i4"))
    assert simulate("copy.mlir", "--in", "X=big.npy", "--out", "Y=y.npy", "--functional") == 0
    assert (np.load("y.npy") == np.arange(256)).all()


def test_a_design_that_does_not_exist_or_does_not_fit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate("nosuch.mlir") == 28
    big = one_core(extra='%big = aie.buffer(%core) {sym_name = "big"} : memref<16384xi32>')
    (folder / "big.mlir").write_text(big)
    assert simulate("big.mlir", "--in", "X=x.npy", "--out", "Y=y.npy") == 6
    assert "does not fit" in capsys.readouterr().err


def test_a_hang_is_an_error_with_its_cause_and_leaves_no_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "ends.mlir").write_text(one_core(core=PASS.replace("2147483640", "3").replace("BODY", COPY)))
    assert simulate("ends.mlir", "--in", "X=x.npy", "--out", "Y=y.npy", "--json") == 9
    said = capsys.readouterr()
    report: dict[str, Any] = json.loads(said.out)
    assert report["error"] == "simulation-fault"
    assert "core (0,2) has ended" in report["what"]
    assert "ends.mlir:" in "".join(report["details"])
    assert not (folder / "y.npy").exists()


def test_the_budget_ends_a_call(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("copy.mlir", "--in", "X=x.npy", "--out", "Y=y.npy", "--budget", "0.5") == 9
    assert "within 0.5 us" in capsys.readouterr().err


def test_a_core_that_never_ends_its_work_ends_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endless = """%true = arith.constant true
    scf.while () : () -> () { scf.condition(%true) } do { scf.yield }"""
    (folder / "endless.mlir").write_text(one_core(core=endless))
    assert simulate("endless.mlir", "--in", "X=x.npy", "--out", "Y=y.npy", "--max-idle", "0.2") == 9
    said = capsys.readouterr().err
    assert "a livelock" in said
    assert "--max-idle" in said


@pytest.mark.parametrize("size", [10**14, 2**61])
def test_an_argument_that_no_memory_holds(
    folder: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    text = one_core().replace("%Y: memref<256xi32>)", f"%Y: memref<256xi32>, %Z: memref<{size}xi32>)")
    (folder / "huge.mlir").write_text(text)
    assert simulate("huge.mlir", "--in", "X=x.npy", "--out", "Y=y.npy", "--out", "Z=z.npy") == 28
    assert "argument Z does not fit into this machine's memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "signal"),
    [
        ("*(volatile int *)8 = 1;", "SIGSEGV"),
        ("volatile int zero = 0; y[0] = x[0] / zero;", "SIGFPE"),
        ("__builtin_trap();", "SIGILL"),
        ("for (int i = 0; i > -(1 << 28); i--) y[i] = 1;", "SIGSEGV"),
        ("for (int i = 0; i < 1 << 28; i++) y[i] = 1;", "SIGSEGV"),
        ("volatile char b[64 << 20]; for (int i = (64 << 20) - 1; i >= 0; i -= 4096) b[i] = 1;", "SIGSEGV"),
    ],
)
def test_a_core_function_that_crashes_is_named_instead_of_ending_the_command_by_a_signal(
    folder: Path, body: str, signal: str
) -> None:
    kind = "(memref<64xi32>, memref<64xi32>)"
    text = one_core(f"func.call @crash(%x, %y) : {kind} -> ()", extra=f"func.func private @crash{kind}")
    (folder / "crash.mlir").write_text(text)
    (folder / "crash.cc").write_text('extern "C" void crash(int *x, int *y) {' + body + "}\n")
    words = [
        "simulate",
        "crash.mlir",
        "--kernels",
        "crash.cc",
        "--in",
        "X=x.npy",
        "--out",
        "Y=y.npy",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "npukbuild", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 9, done.stderr
    assert json.loads(done.stdout)["what"] == f"core function crash on core (0,2) crashed ({signal})"
    assert not (folder / "y.npy").exists()


@pytest.mark.parametrize("thread", ["main", "other"])
def test_a_crash_outside_of_core_functions_ends_the_process_by_its_signal(thread: str) -> None:
    crash = "lambda: ctypes.string_at(8)"
    if thread == "other":
        crash = f"(lambda: [t := threading.Thread(target={crash}), t.start(), t.join()])"
    program = (
        "import ctypes, threading\n"
        "from npukbuild.cli.report import explain_crashes\n"
        f"explain_crashes(as_json=False)\n({crash})()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGSEGV
    assert done.stdout + done.stderr == ""


CASCADE = one_core(
    "func.call @take(%y) : (memref<64xi32>) -> ()",
    fifos="""%two = aie.tile(0, 3)
    aie.objectfifo @x(%shim, {%core}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @y(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>""",
    extra="""func.func private @give(memref<16xi32>)
    func.func private @take(memref<64xi32>)
    aie.cascade_flow(%two, %core)
    %b = aie.buffer(%two) {sym_name = "b"} : memref<16xi32> = dense<1>
    %c2 = aie.core(%two) {
      func.call @give(%b) : (memref<16xi32>) -> ()
      aie.end
    }""",
)


def test_a_function_that_ruins_the_heap_ends_the_command(folder: Path) -> None:
    kind = "(memref<64xi32>, memref<64xi32>)"
    text = one_core(f"func.call @ruin(%x, %y) : {kind} -> ()", extra=f"func.func private @ruin{kind}")
    (folder / "ruin.mlir").write_text(text)
    (folder / "ruin.cc").write_text(
        '#include <cstdlib>\nextern "C" void ruin(int *x, int *y) {\n'
        "  volatile long *p = (volatile long *)malloc(32);\n"
        "  for (int i = -4; i < 4000; i++) p[i] = 0x4141414141414141;\n"
        "  free((void *)p);\n}\n"
    )
    words = ["ruin.mlir", "--kernels", "ruin.cc", "--in", "X=x.npy", "--out", "Y=y.npy"]
    done = subprocess.run(
        [sys.executable, "-m", "npukbuild", "simulate", *words], capture_output=True, check=False, timeout=60
    )
    assert done.returncode in (9, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGALRM)
    assert not (folder / "y.npy").exists()


def test_a_crash_in_a_function_that_uses_the_cascade_is_named_too(folder: Path) -> None:
    (folder / "cascade.mlir").write_text(CASCADE)
    (folder / "cascade.cc").write_text(
        "#include <aie_api/aie.hpp>\n"
        'extern "C" void give(int *x) { put_mcd(aie::load_v<16>(x)); }\n'
        'extern "C" void take(int *y) { aie::store_v(y, get_scd_v16int32()); *(volatile int *)8 = 1; }\n'
    )
    words = ["cascade.mlir", "--kernels", "cascade.cc", "--in", "X=x.npy", "--out", "Y=y.npy", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "npukbuild", "simulate", *words],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 9, done.stderr
    assert json.loads(done.stdout)["what"] == "core function take on core (0,2) crashed (SIGSEGV)"


def test_the_allocation_scheme_places_buffers_as_the_compiler_would(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = """%p = aie.buffer(%core) {sym_name = "p"} : memref<64xi32>
    %q = aie.buffer(%core) {sym_name = "q"} : memref<64xi32> = dense<0>"""
    write = "\naiex.npu.write32 {address = ADDRESS : ui32, column = 0 : i32, row = 2 : i32, value = 5 : ui32}"
    body = """%k = memref.load %q[%c0] : memref<64xi32>
      scf.for %i = %c0 to %n step %c1 {
        %v = memref.load %x[%i] : memref<64xi32>
        %w = arith.addi %v, %k : i32
        memref.store %w, %y[%i] : memref<64xi32>
      }"""
    text = one_core(body, extra=extra, sequence=write + SEQUENCE)
    for scheme in ("basic-sequential", "bank-aware"):
        design = load_design(one_core(extra=extra), allocation=scheme)
        (folder / "d.mlir").write_text(text.replace("ADDRESS", str(design.buffers["q"].address)))
        words = ["d.mlir", "--in", "X=x.npy", "--out", "Y=y.npy", "--alloc-scheme", scheme]
        assert simulate(*words) == 0, capsys.readouterr().err
        assert (np.load("y.npy") == np.arange(256) + 5).all()
        other = "bank-aware" if scheme == "basic-sequential" else "basic-sequential"
        assert simulate(*words[:-1], other) != 0 or (np.load("y.npy") == np.arange(256)).all()
