"""The main job, end to end, through the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Program

MAIN = ("matmul", "--m", "64", "--n", "512")
FOLDER = Path("build/npu1/matmul_bf16_64x64x512")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Program:
    from tests.cli.conftest import Program

    program = Program(tmp_path_factory.mktemp("main"), shared_cache)
    outcome = program(*MAIN)
    assert outcome.code == 0, outcome.err
    assert "passed on the simulator" in outcome.out
    assert "toolchain is not installed" in outcome.out
    assert str(FOLDER) in outcome.out
    return program


def test_the_folder_holds_what_it_should(built: Program) -> None:
    folder = built.folder / FOLDER
    for name in ("design.mlir", "kernel.cc", "plan.json", "manifest.json", "verdict.json", "logs"):
        assert (folder / name).exists(), name
    manifest = json.loads((folder / "manifest.json").read_text())
    arguments = manifest["abi"]["arguments"]
    assert [(a["name"], a["direction"], a["dtype"], a["shape"]) for a in arguments] == [
        ("A", "in", "bf16", [64, 64]), ("B", "in", "bf16", [64, 512]), ("C", "out", "bf16", [64, 512]),
    ]  # fmt: skip
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["status"] == "passed"
    assert len(verdict["inputs"]) >= 4
    assert not list((built.folder / "build" / "npu1").glob(".*part*"))


def test_json_report(built: Program) -> None:
    report = built(*MAIN, "--json").json()
    assert report["target"] == "npu1"
    assert {key: report["problem"][key] for key in ("m", "k", "n", "dtype", "out_dtype")} == {
        "m": 64, "k": 64, "n": 512, "dtype": "bf16", "out_dtype": "bf16",
    }  # fmt: skip
    assert set(report["plan"]["block"]) == {"m", "k", "n"}
    assert report["plan"]["l1_bytes"] <= 65536
    assert report["plan"]["calls"] == 1
    assert report["verdict"]["status"] == "passed"
    assert report["verdict"]["device"] == "simulator"
    assert 0 <= report["verdict"]["max_error"] <= report["verdict"]["bound"]
    assert Path(report["artifact"]) == FOLDER


def test_run_gives_the_right_product_of_ones_own_matrices(built: Program) -> None:
    random = np.random.default_rng(5)
    a = random.standard_normal((64, 64)).astype(np.float32)
    b = random.standard_normal((64, 512)).astype(np.float32)
    np.save(built.folder / "a.npy", a)
    np.save(built.folder / "b.npy", b.astype(ml_dtypes.bfloat16))
    outcome = built("run", FOLDER, "--in", "a.npy", "--in", "b.npy", "--out", "c.npy")
    assert outcome.code == 0, outcome.err
    assert "A: float32 converted to bf16, round to nearest even" in outcome.err
    c = np.load(built.folder / "c.npy")
    exact = a.astype(ml_dtypes.bfloat16).astype(np.float64) @ b.astype(ml_dtypes.bfloat16).astype(np.float64)
    assert c.dtype == np.float32
    assert np.all(np.abs(c - exact) <= np.abs(exact) * 2.0**-8 + 1e-3)


def test_run_refuses_wrong_arrays(built: Program) -> None:
    np.save(built.folder / "small.npy", np.zeros((63, 64), dtype=np.float32))
    np.save(built.folder / "ints.npy", np.zeros((64, 64), dtype=np.int64))
    np.save(built.folder / "right.npy", np.zeros((64, 512), dtype=np.float32))
    (built.folder / "junk.npy").write_bytes(b"not numpy")
    for name, said in {
        "small.npy": "A has shape 63 x 64", "ints.npy": "A has dtype int64",
        "junk.npy": "not a readable .npy file", "missing.npy": "does not exist",
    }.items():  # fmt: skip
        outcome = built("run", FOLDER, "--in", name, "--in", "right.npy", "--out", "no.npy")
        assert outcome.code == 28, outcome.err
        assert said in outcome.err
    assert built("run", FOLDER, "--in", "right.npy", "--out", "no.npy").code == 2
    assert built("run", "build", "--in", "right.npy", "--out", "no.npy").code == 11
    assert not (built.folder / "no.npy").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--m", "0", "--n", "512"), 2, "--m must be at least 1"),
        (("--m", "-3", "--n", "0"), 2, "--n must be at least 1"),
        (("--m", "64", "--n", "banana"), 2, "banana"),
        (("--m", "64"), 2, "--n"),
        (("--m", "64", "--n", "64", "--target", "npu9"), 2, "unknown target"),
        (("--m", "64", "--n", "64", "--dtype", "bf16", "--out-dtype", "i8"), 2, "--out-dtype"),
        (("--m", "64", "--n", "512", "--block", "64x512x512"), 3, "65,536"),
    ],
)
def test_bad_requests(program: Program, arguments: tuple[str, ...], code: int, said: str) -> None:
    outcome = program("matmul", *arguments)
    assert outcome.code == code, outcome.err
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert not list(program.folder.glob("build/*/*/design.mlir"))


def test_sizes_that_do_not_divide_are_padded_and_it_is_said(program: Program) -> None:
    outcome = program("matmul", "--m", "63", "--n", "512")
    assert outcome.code == 0, outcome.err
    assert "padded" in outcome.out
    assert "A 63 x 64 as 64 x 64" in outcome.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_build_folder(program: Program) -> None:
    (program.folder / "build").mkdir(mode=0o500)
    assert program(*MAIN).code == 11


def test_a_build_folder_that_is_a_file(program: Program) -> None:
    (program.folder / "build").write_text("in the way")
    outcome = program(*MAIN)
    assert outcome.code == 11, outcome.err
    assert "cannot write" in outcome.err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes rights that we do not have here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(program: Program, small_disk: Path) -> None:
    outcome = program(*MAIN, "--build-dir", str(small_disk / "build"))
    assert outcome.code == 12, outcome.err
    assert "no space left" in outcome.err
    assert "hint:" in outcome.err
    assert "Traceback" not in outcome.err
    assert not list(small_disk.rglob("design.mlir"))


def wait_for_work(program: Program) -> None:
    """Wait until the program has begun to compile or to simulate."""
    work = Path(program.environment["NPUKBUILD_CACHE_DIR"]) / "v1" / "work"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(work.glob("host-compile-*")):
        time.sleep(0.01)


def test_ctrl_c_leaves_nothing_half_written(program: Program) -> None:
    process = program.start(*MAIN, "--k", "128")
    wait_for_work(program)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert not list(program.folder.glob("build/npu1/*128*/*"))
    assert not list(program.folder.glob("build/npu1/.*part*/*"))


def test_sigkill_leaves_nothing_that_looks_built(program: Program) -> None:
    process = program.start(*MAIN, "--k", "192")
    wait_for_work(program)
    process.kill()
    process.communicate(timeout=60)
    assert not (program.folder / "build/npu1/matmul_bf16_64x192x512").exists()
    outcome = program(*MAIN, "--k", "192")
    assert outcome.code == 0, outcome.err
    assert not list(program.folder.glob("build/npu1/.*part*"))


def test_two_runs_at_once_in_one_folder(program: Program) -> None:
    first, second = (program.start(*MAIN, "--k", "256") for _ in range(2))
    outputs = [process.communicate(timeout=120) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert all("passed on the simulator" in out for out, _ in outputs)


def test_a_broken_template_turns_the_check_red(program: Program, tmp_path: Path) -> None:
    """One wrong stride in B's layout: the check must see it, say where to look, and publish nothing."""
    program.environment["NPUKBUILD_DATA_DIR"] = str(_broken_copy(tmp_path, "templates", _break_template))
    outcome = program(*MAIN)
    assert outcome.code in (5, 6, 9, 10), outcome.err
    assert not (program.folder / FOLDER).exists()


def test_a_broken_kernel_turns_the_check_red(program: Program, tmp_path: Path) -> None:
    program.environment["NPUKBUILD_DATA_DIR"] = str(_broken_copy(tmp_path, "kernels_src", _break_kernel))
    outcome = program(*MAIN)
    assert outcome.code == 10, outcome.err
    assert "wrong numbers" in outcome.err
    assert not (program.folder / FOLDER).exists()
    assert (program.folder / f"{FOLDER}.failed" / "verdict.json").exists()


def test_blocks_of_operands_rounded_down_turn_the_check_red(program: Program, tmp_path: Path) -> None:
    """Each element stays within its bound then; the mean of their errors does not."""
    request = ("matmul", "--m", "64", "--k", "512", "--n", "64",
               "--dtype", "bfp16", "--out-dtype", "f32", "--target", "npu2")  # fmt: skip
    right = program(*request)
    assert right.code == 0, right.err
    assert re.search(r"largest error \d+% of its bound, bias \d+%\n", right.out)
    program.environment["NPUKBUILD_DATA_DIR"] = str(_broken_copy(tmp_path, "kernels_src", _floor_blocks))
    outcome = program(*request, "--json")
    assert outcome.code == 10, outcome.err
    said = outcome.json()
    assert "'positive': the errors of 4,096 elements have a bias" in said["why"]
    assert said["details"][0].startswith("bias -")
    failed = program.folder / "build/npu2/matmul_bfp16_f32_64x512x64.failed/verdict.json"
    verdict = json.loads(failed.read_text())
    assert verdict["max_error"] < verdict["bound"]
    assert -verdict["bias"] > verdict["bias_bound"]


def test_a_kernel_that_crashes_is_named_and_the_build_goes_on(program: Program, tmp_path: Path) -> None:
    program.environment["NPUKBUILD_DATA_DIR"] = str(_broken_copy(tmp_path, "kernels_src", _crash_kernel))
    outcome = program(*MAIN, "--json")
    assert outcome.code == 9, outcome.err
    said = json.loads(outcome.out)
    assert said["what"].startswith("core function ")
    assert said["what"].endswith("crashed (SIGSEGV)")
    assert "design.mlir (npu1):" in said["where"]
    assert "wild pointer" in said["why"]
    assert not (program.folder / FOLDER).exists()


def _crash_kernel(sources: Path) -> None:
    path = sources / "matmul.hpp"
    text = path.read_text()
    start = "inline void store_tile(Out *__restrict at, const Tile &tile, int shift = 0) {\n"
    assert start in text
    path.write_text(text.replace(start, f"{start}  *(volatile int *)8 = 1;\n"))


def _broken_copy(folder: Path, which: str, breaker: object) -> Path:
    root = Path(__file__).parents[2]
    place = folder / "data"
    for name in ("templates", "kernels_src"):
        shutil.copytree(root / name, place / name)
    assert callable(breaker)
    breaker(place / which)
    return place


def _break_template(templates: Path) -> None:
    path = next(path for path in templates.rglob("*.j2") if "dimensionsToStream" in path.read_text())
    text = path.read_text()
    assert "stride = " in text
    path.write_text(text.replace("stride = {{", "stride = 2 * {{ 0 }}{{", 1) if "stride = {{" in text else "")


def _floor_blocks(sources: Path) -> None:
    path = sources / "matmul.hpp"
    text = path.read_text()
    line = "aie::set_rounding(aie::rounding_mode::conv_even); // blocks"
    assert line in text
    path.write_text(text.replace(line, line.replace("conv_even", "floor")))


def _break_kernel(sources: Path) -> None:
    path = sources / "matmul.hpp"
    text = path.read_text()
    assert "conv_even" in text
    path.write_text(text.replace("rounding_mode::conv_even", "rounding_mode::floor"))


def test_no_compiler(program: Program) -> None:
    outcome = program(*MAIN, "--k", "320", PATH="/nonexistent", NPUKBUILD_CXX="")
    assert outcome.code == 7, outcome.err
    assert "ziglang" in outcome.err


def test_help_and_version_name_every_command(program: Program) -> None:
    from npukbuild.cli import COMMANDS

    text = program("--help").out
    assert all(name in text for name in COMMANDS)
    assert program("--version").out.startswith("npukbuild ")
    for name in COMMANDS:
        outcome = program(name, "--help")
        assert outcome.code == 0, (name, outcome.err)
