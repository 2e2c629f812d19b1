"""The NPU runner against a stand-in of pyxrt that behaves as badly as the real one is known to."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from npukbuild.errors import BusyError, DeviceError, DeviceHungError
from npukbuild.kernels import matmul_numerics
from npukbuild.kernels.matmul import MatmulProblem
from npukbuild.planner import plan_matmul
from npukbuild.render import render
from npukbuild.simulator.hostcc import compile_kernels
from npukbuild.smoke.harness import check
from npukbuild.smoke.npu import NpuKernel
from npukbuild.targets import load_target
from npukbuild.toolchain.runner_python import find_runner_python

if TYPE_CHECKING:
    from collections.abc import Callable

STANDIN = Path(__file__).parents[1] / "standins" / "pyxrt"
PROBLEM = MatmulProblem(32, 32, 64)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small matmul: plan, design and compiled core functions."""
    folder = tmp_path_factory.mktemp("kernel")
    plan = plan_matmul(PROBLEM, load_target("npu1"))
    sources = render(plan)
    (folder / "design.mlir").write_text(sources.design)
    (folder / "kernel.cc").write_text(sources.kernel)
    library = compile_kernels([folder / "kernel.cc"], arch="aie2", output=folder / "kernel.so")
    return {"abi": plan.abi, "design": str(folder / "design.mlir"), "library": str(library)}


@pytest.fixture
def load(kernel: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., NpuKernel]:
    """Return a function that loads the kernel on the stand-in with some faults."""
    monkeypatch.setenv("NPUKBUILD_NPU_LOCK", str(tmp_path / "npu.lock"))
    monkeypatch.setenv("NPUKBUILD_PYXRT_PATH", str(STANDIN))

    def start(faults: str = "", *, num_args: int = 8, name: str = "MLIR_AIE", **options: Any) -> NpuKernel:
        content = {
            "kernel": name, "num_args": num_args, "design": kernel["design"], "library": kernel["library"],
            "path": sys.path,
        }  # fmt: skip
        runner = find_runner_python(Path(sys.executable))
        environment = {
            **runner.environment, "PYXRT_STANDIN": faults, "PYXRT_STANDIN_STATE": str(tmp_path / "state"),
        }  # fmt: skip
        runner = type(runner)(runner.python, runner.search, runner.version, runner.pyxrt, environment)
        return NpuKernel(json.dumps(content).encode(), b"\0" * 300, kernel["abi"], runner=runner, **options)

    return start


def verdict_on(loaded: NpuKernel, kernel: dict[str, Any]) -> Any:
    with loaded:
        return check(
            loaded, kernel["abi"], PROBLEM, matmul_numerics, target="npu1", subject={"design.mlir": "0"}
        )


def arrays(kernel: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    dtype = matmul_numerics.NUMPY_DTYPES["bf16"]
    return [np.zeros(argument.shape, dtype=dtype) for argument in kernel["abi"].arguments]


def test_right_numbers_pass_and_are_called_measured(
    load: Callable[..., NpuKernel], kernel: dict[str, Any]
) -> None:
    verdict = verdict_on(load("chatty"), kernel)
    assert verdict.passed
    assert verdict.device == "npu"
    assert verdict.timing["kind"] == "measured"


@pytest.mark.parametrize("fault", ["zeros", "stale"])
def test_outputs_that_were_not_computed_fail(
    load: Callable[..., NpuKernel], kernel: dict[str, Any], fault: str
) -> None:
    verdict = verdict_on(load(fault), kernel)
    assert not verdict.passed
    expected = "all zeros" if fault == "zeros" else "never written"
    assert expected in verdict.judgements[0].reason


@pytest.mark.parametrize(("state", "name"), [(5, "ERROR"), (6, "ABORT"), (8, "TIMEOUT"), (11, "SKCRASHED")])
def test_wrong_states_are_errors(
    load: Callable[..., NpuKernel], kernel: dict[str, Any], state: int, name: str
) -> None:
    with load(f"state={state}") as loaded, pytest.raises(DeviceError, match=name):
        loaded.call(arrays(kernel))


def test_a_hang_is_ended_by_killing_the_child(load: Callable[..., NpuKernel], kernel: dict[str, Any]) -> None:
    loaded = load("hang", call_seconds=0.5)
    child = loaded._process.pid
    with loaded, pytest.raises(DeviceHungError, match="did not answer") as caught:
        loaded.call(arrays(kernel))
    assert "modprobe" in str(caught.value.hint)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    verdict = verdict_on(load(), kernel)
    assert verdict.passed, "the lock is free again and the next run works"


def test_a_child_that_dies_in_mid_run_is_said(load: Callable[..., NpuKernel], kernel: dict[str, Any]) -> None:
    with load("die") as loaded, pytest.raises(DeviceError, match="died") as caught:
        loaded.call(arrays(kernel))
    assert "signal 9" in str(caught.value)


def test_surplus_arguments_are_refused_before_the_call(load: Callable[..., NpuKernel]) -> None:
    with pytest.raises(DeviceError, match="does not fit its manifest") as caught:
        load(num_args=5)
    assert "1 buffers are too many" in str(caught.value)


def test_another_kernel_name_is_refused(load: Callable[..., NpuKernel]) -> None:
    with pytest.raises(DeviceError, match="does not fit its manifest"):
        load(name="SOMETHING_ELSE")


def test_transient_errors_are_retried_and_no_others(
    load: Callable[..., NpuKernel], kernel: dict[str, Any], tmp_path: Path
) -> None:
    with load("exec_cmd=2") as loaded:
        loaded.call(arrays(kernel))
    with load("open=3"):
        pass
    for path in tmp_path.glob("state.*"):
        path.unlink()
    with load("exec_cmd=9") as loaded, pytest.raises(DeviceError):
        loaded.call(arrays(kernel))
    assert (tmp_path / "state.exec_cmd").read_text() == "3"


def test_known_errors_are_explained(load: Callable[..., NpuKernel]) -> None:
    with pytest.raises(DeviceError) as caught:
        load("hwctx")
    assert "context" in str(caught.value)
    assert caught.value.hint


HOLD = """
import fcntl, os, sys, time
handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o666)
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_owner_gives_the_npu_back(load: Callable[..., NpuKernel], tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "npu.lock")]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"held\n"
    with pytest.raises(BusyError, match="another process uses the NPU"):
        load(lock_seconds=0.3)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    load(lock_seconds=5).close()


def test_a_runner_that_outlives_its_parent_keeps_the_npu(
    load: Callable[..., NpuKernel], kernel: dict[str, Any], tmp_path: Path
) -> None:
    """The descriptor that holds the lock is the runner's too."""
    with load() as loaded:
        held = [str(path.readlink()) for path in Path(f"/proc/{loaded._process.pid}/fd").iterdir()]
        assert str(tmp_path / "npu.lock") in held


def test_kernels_of_one_process_share_the_npu(
    load: Callable[..., NpuKernel], kernel: dict[str, Any], tmp_path: Path
) -> None:
    with load() as first, load(lock_seconds=0.3) as second:
        for loaded in (first, second, first):
            loaded.call(arrays(kernel))
    handle = os.open(tmp_path / "npu.lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free again
    os.close(handle)


def test_the_shared_folders_of_killed_processes_are_cleared(load: Callable[..., NpuKernel]) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    place = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
    left = place / f"npukbuild-npu-{gone.pid}-left"
    left.mkdir()
    with load():
        assert not left.exists()


def pipelined(loaded: NpuKernel, calls: int, inputs: list[list[Any]]) -> list[Any]:
    """Make calls as the runtime does: one runs while the next is prepared."""
    results = []

    def finish(slot: int) -> None:
        loaded.finish(slot)
        results.append(np.array(loaded.buffers(slot)[-1]))

    with loaded.turn:
        for number in range(calls):
            slot = number % loaded.slots
            if number >= loaded.slots:
                finish(slot)
            for buffer, array in zip(loaded.buffers(slot), inputs[number], strict=False):
                buffer[...] = array
            loaded.start(slot, more=number + 1 < calls)
        for number in range(max(0, calls - loaded.slots), calls):
            finish(number % loaded.slots)
    return results


@pytest.mark.parametrize("faults", ["", "exec_cmd=1", "exec_cmd=2"])
@pytest.mark.parametrize("calls", [1, 2, 5])
def test_pipelined_calls_give_each_its_own_numbers(
    load: Callable[..., NpuKernel], kernel: dict[str, Any], calls: int, faults: str
) -> None:
    """Also when a run in the middle is refused at first and made again."""
    random = np.random.default_rng(1)
    dtype = matmul_numerics.NUMPY_DTYPES["bf16"]
    shapes = [argument.shape for argument in kernel["abi"].arguments[:2]]
    inputs = [[random.integers(-4, 5, shape).astype(dtype) for shape in shapes] for _ in range(calls)]
    with load(faults, slots=2, poisoned=False) as loaded:
        results = pipelined(loaded, calls, inputs)
    for (a, b), c in zip(inputs, results, strict=True):
        exact = a.astype(np.float32) @ b.astype(np.float32)
        assert (c == exact.astype(dtype)).all()


def test_the_next_inputs_go_up_while_a_run_is_in_flight(
    load: Callable[..., NpuKernel], kernel: dict[str, Any], tmp_path: Path
) -> None:
    inputs = [arrays(kernel)[:2] for _ in range(3)]
    with load("trace", slots=2, poisoned=False) as loaded:
        pipelined(loaded, 3, inputs)
    events = (tmp_path / "state.trace").read_text().split()
    first = events.index("run")
    assert events[first:] == ["run", "up", "up", "wait", "run", "down", "up", "up", "wait", "run", "down",
                              "wait", "down"]  # fmt: skip


def test_no_pyxrt_anywhere_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NPUKBUILD_PYXRT_PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="pyxrt"):
        find_runner_python()
    with pytest.raises(DeviceError, match="cannot import pyxrt"):
        find_runner_python(Path(sys.executable))


@pytest.mark.slow
def test_many_hung_and_crashed_runners_are_survived(
    load: Callable[..., NpuKernel], kernel: dict[str, Any]
) -> None:
    """After each of them the next run on the same machine works."""
    for turn in range(20):
        fault, error = ("hang", DeviceHungError) if turn % 2 else ("die", DeviceError)
        with load(fault, call_seconds=0.2) as loaded, pytest.raises(error):
            loaded.call(arrays(kernel))
        with load() as loaded:
            loaded.call(arrays(kernel))
