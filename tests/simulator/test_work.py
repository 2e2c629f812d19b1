"""Copies and core functions beside the event loop: the same results as one after the other, and faults."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.errors import SimulationFault
from npukbuild.ir import load_design
from npukbuild.kernels.matmul import MatmulProblem
from npukbuild.planner import plan_matmul
from npukbuild.render import render
from npukbuild.simulator import Simulator
from npukbuild.simulator.agenda import Agenda
from npukbuild.simulator.work import Work
from npukbuild.targets import load_target
from tests.simulator.designs import BOTH, SEQUENCE, X, load, one_core
from tests.simulator.golden_reference import GOLDEN

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN_DIR = Path(__file__).parent.parent / "golden"
BESIDE = pytest.mark.parametrize("beside", [False, True])
KIND = "(memref<64xi32>, memref<64xi32>)"
DOUBLE = 'extern "C" void f(int *x, int *y) { for (int i = 0; i < 64; i++) y[i] = 2 * x[i]; '


def one_function(after: str = "") -> str:
    """A core that calls @f(%x, %y), and then does what ``after`` says."""
    return one_core(f"func.call @f(%x, %y) : {KIND} -> ()\n{after}", extra=f"func.func private @f{KIND}")


def calls(design: Any, kernels: Any, make: Callable[[int], list[Any]], **options: Any) -> list[Any]:
    """Return everything that three calls with different data show."""
    simulator = Simulator(design, kernels, **options)
    found = []
    for seed in range(3):
        args = make(seed)
        result = simulator.run(args)
        found.append([args[-1].tobytes(), result.cycles, dict(result.counts), result.warnings, result.cores])
    return found


@pytest.mark.parametrize("name", ["G1_", "G7_", "G8_", "G9b_"])
@BOTH
def test_golden_designs_show_the_same_beside_and_at_once(
    name: str, timed: bool, golden_kernels: Callable[[str], Any]
) -> None:
    golden = next(golden for golden in GOLDEN if golden.name.startswith(name))
    design = load_design((GOLDEN_DIR / f"{golden.name}.mlir").read_text())
    kernels = golden_kernels(load_target(design.device).arch)

    def make(seed: int) -> list[Any]:
        return list(golden.make(np.random.default_rng(seed)))

    assert calls(design, kernels, make, timed=timed, beside=True) == calls(
        design, kernels, make, timed=timed, beside=False
    )


@pytest.mark.parametrize(
    ("problem", "target"),
    [
        (MatmulProblem(m=200, k=96, n=136, dtype="bf16"), "npu1_2col"),
        (MatmulProblem(m=64, k=256, n=64, dtype="i8", out_dtype="i32", b_layout="col"), "npu2_1col"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
@BOTH
def test_our_own_designs_show_the_same_beside_and_at_once(
    problem: MatmulProblem, target: str, timed: bool, compile_cc: Callable[..., Any]
) -> None:
    plan = plan_matmul(problem, load_target(target))
    sources = render(plan)
    kernels = compile_cc(sources.kernel, load_target(target).arch)

    def make(seed: int) -> list[Any]:
        rng = np.random.default_rng(seed)
        kinds = {"bf16": ml_dtypes.bfloat16, "i8": np.int8, "i32": np.int32}
        return [
            rng.integers(-9, 9, argument.shape).astype(kinds[argument.dtype])
            for argument in plan.abi.arguments
        ]

    design = load_design(sources.design)
    assert calls(design, kernels, make, timed=timed, beside=True) == calls(
        design, kernels, make, timed=timed, beside=False
    )


@st.composite
def views(draw: st.DrawFn) -> tuple[Any, Any]:
    """Two views of one shape and item size, each anywhere and in any order of its dimensions."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    width = draw(st.sampled_from([1, 2, 4, 8, 16]))
    kind = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}[width]

    def view(fill: int) -> Any:
        order = draw(st.permutations(range(len(shape))))
        gaps = draw(st.lists(st.integers(0, 2), min_size=len(shape), max_size=len(shape)))
        sizes = [shape[place] + gap for place, gap in zip(order, gaps, strict=True)]
        whole = (np.arange(int(np.prod(sizes)) * width, dtype=np.int64) * 7 + fill).astype(np.uint8)
        placed: Any = whole.view(kind).reshape(sizes)[tuple(slice(0, shape[place]) for place in order)]
        return placed.transpose(np.argsort(order))

    return view(1), view(100)


@settings(max_examples=150, deadline=None)
@given(pair=views())
def test_a_copy_is_what_numpy_does(pair: tuple[Any, Any], copier: Work) -> None:
    target, origin = pair
    copier.begin(float("inf"))
    job = copier.prepare_copies([(target, None, origin, None)])
    assert job is not None
    copier.give(copier.address, job)
    copier.settle()
    assert target.tobytes() == origin.tobytes()
    copier.end()


@pytest.fixture(scope="module")
def copier(golden_kernels: Callable[[str], Any]) -> Work:
    return Work(golden_kernels("aie2"), Agenda(timed=False, max_cycles=1, max_events=1))


@BESIDE
@BOTH
def test_a_core_program_sees_what_its_function_has_just_written(
    beside: bool, timed: bool, compile_cc: Callable[[str], Any]
) -> None:
    after = """
        %v = memref.load %y[%c1] : memref<64xi32>
        %w = arith.addi %v, %v : i32
        memref.store %w, %y[%c0] : memref<64xi32>
    """
    simulator = Simulator(load(one_function(after)), compile_cc(DOUBLE + "}"), timed=timed, beside=beside)
    for number in range(3):
        args = [X + number, np.zeros(256, np.int32)]
        simulator.run(args)
        expected = (2 * args[0]).reshape(4, 64)
        expected[:, 0] = 2 * expected[:, 1]
        assert np.array_equal(args[1], expected.reshape(-1))


def test_more_calls_than_the_queue_holds(compile_cc: Callable[[str], Any]) -> None:
    text = one_function().replace(SEQUENCE, SEQUENCE.replace("1,256]", "1,256000]"))
    text = text.replace("memref<256xi32>", "memref<256000xi32>")
    simulator = Simulator(load(text), compile_cc(DOUBLE + "}"), timed=False, beside=True)
    for seed in range(2):
        args = [np.random.default_rng(seed).integers(-99, 99, 256000, np.int32), np.zeros(256000, np.int32)]
        simulator.run(args)
        assert np.array_equal(args[1], 2 * args[0])


@BESIDE
def test_a_function_that_writes_past_its_block_in_a_late_call_is_found(
    beside: bool, compile_cc: Callable[[str], Any]
) -> None:
    kernels = compile_cc(DOUBLE + "if (x[0] == 1000 + 128) y[64] = 5; }")
    found = set()
    for _ in range(10):
        simulator = Simulator(load(one_function()), kernels, timed=False, beside=beside)
        simulator.run([np.arange(256, dtype=np.int32), np.zeros(256, np.int32)])
        with pytest.raises(SimulationFault) as caught:
            simulator.run([np.arange(256, dtype=np.int32) + 1000, np.zeros(256, np.int32)])
        fault = caught.value
        found.add((fault.what, fault.where, fault.why, tuple(fault.details)))
    ((what, where, why, details),) = found
    assert what == "core function f writes past the end of its block"
    assert where is not None
    assert where.startswith("design.mlir:")
    assert "it reached at least 4 bytes behind y_buff_0 (memref<64xi32>, 256 bytes)" in (why or "")
    assert details == ()


def test_a_function_that_never_returns_from_a_late_call_is_named(compile_cc: Callable[[str], Any]) -> None:
    kernels = compile_cc(
        "#include <unistd.h>\n"
        + DOUBLE
        + "volatile int stop = 0; while (x[0] == 1128 && !stop) usleep(9999); }"
    )
    simulator = Simulator(load(one_function()), kernels, timed=False, max_seconds=0.3, beside=True)
    simulator.run([np.arange(256, dtype=np.int32), np.zeros(256, np.int32)])
    with pytest.raises(SimulationFault, match=r"core function f on core \(0,2\) does not return"):
        simulator.run([np.arange(256, dtype=np.int32) + 1000, np.zeros(256, np.int32)])


def test_slow_functions_end_with_the_real_time_they_were_given(compile_cc: Callable[[str], Any]) -> None:
    kernels = compile_cc("#include <unistd.h>\n" + DOUBLE + "if (x[0] >= 1000) usleep(150000); }")
    before = set(threading.enumerate())
    simulator = Simulator(load(one_function()), kernels, timed=False, max_seconds=0.3, beside=True)
    simulator.run([np.arange(256, dtype=np.int32), np.zeros(256, np.int32)])
    with pytest.raises(SimulationFault) as caught:
        simulator.run([np.arange(256, dtype=np.int32) + 1000, np.zeros(256, np.int32)])
    assert "has not ended within 0.3 s of real time" in (caught.value.why or "")
    time.sleep(0.5)  # the one in progress ends, the others are not begun
    assert set(threading.enumerate()) <= before


def test_no_thread_outlives_a_call(compile_cc: Callable[[str], Any]) -> None:
    simulator = Simulator(load(one_function()), compile_cc(DOUBLE + "}"), beside=True)
    before = set(threading.enumerate())
    for _ in range(3):
        simulator.run([X, np.zeros(256, np.int32)])
        assert set(threading.enumerate()) <= before


def test_a_crash_in_a_late_call_is_named(tmp_path: Path) -> None:
    (tmp_path / "late.mlir").write_text(one_function())
    (tmp_path / "late.cc").write_text(DOUBLE + "if (x[0] == 192) *(volatile int *)8 = 1; }\n")
    np.save(tmp_path / "x.npy", np.arange(256, dtype=np.int32))
    words = ["late.mlir", "--kernels", "late.cc", "--in", "X=x.npy", "--out", "Y=y.npy", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "npukbuild", "simulate", *words],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 9, done.stderr
    report = json.loads(done.stdout)
    assert report["what"] == "core function f on core (0,2) crashed (SIGSEGV)"
    assert report["where"].startswith("late.mlir:")
