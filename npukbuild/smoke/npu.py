"""The NPU as a device of the check harness: pyxrt in a child process, with a deadline that holds."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from npukbuild.errors import DeviceError, DeviceHungError
from npukbuild.smoke.npu_lock import npu_lock
from npukbuild.toolchain.runner_python import find_runner_python

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from npukbuild.kernels.abi import Abi
    from npukbuild.toolchain.runner_python import RunnerPython

LOAD_SECONDS = 60.0
"""Opening the device and loading an XCLBIN takes 33-60 ms; a cold firmware start takes seconds."""

CALL_SECONDS = 20.0
"""The driver's own hang detection ends a run after 2 s by default; this is for when it does not."""

_ATTEMPTS = 3
_RETRIED = "EXEC_CMD"  # the only failure that upstream retries: a transient refusal of a command
_COMPLETED = 4
_KILL_SECONDS = 10.0
_PREFIX = "npukbuild-npu-"
_PARAMETERS = Path("/sys/module/amdxdna/parameters")


class NpuKernel:
    """An XCLBIN on the NPU. Use as a context manager, or call :meth:`close`.

    It holds a machine-wide lock for as long as it lives, which all kernels of one process share: concurrent
    contexts wedge Phoenix. Buffers and the hardware context are kept between calls.

    A call is :meth:`call`, or for several in a row: fill :meth:`buffers` of a slot, :meth:`start` it with
    ``more=True`` when another follows, prepare the next slot meanwhile, then :meth:`finish` in the order of
    the starts, all while :attr:`turn` is held.

    Args:
        slots: Calls that may be prepared at once; each has buffers of its own.
        poisoned: Upload outputs before a call too, so that the poison in them stays visible.

    Raises:
        DeviceError: pyxrt or the driver refused.
        DeviceHungError: No answer within the deadline; the child was killed.
        BusyError: Another process kept the NPU for too long.
    """

    device = "npu"

    def __init__(
        self,
        xclbin: bytes,
        insts: bytes,
        abi: Abi,
        *,
        runner: RunnerPython | None = None,
        slots: int = 1,
        poisoned: bool = True,
        call_seconds: float = CALL_SECONDS,
        load_seconds: float = LOAD_SECONDS,
        lock_seconds: float = 1800.0,
    ) -> None:
        self.slots = slots
        self._abi = abi
        self._poisoned = poisoned
        self._seconds = call_seconds
        self._tickets = 0
        self._in_flight: dict[int, int] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self._cleanup = contextlib.ExitStack()
        try:
            self.runner = runner or find_runner_python()
            self.turn, self._held = self._cleanup.enter_context(npu_lock(lock_seconds))
            self._folder = Path(self._cleanup.enter_context(_shared_folder()))
            self._log = (self._folder / "stderr.log").open("w+b")
            self._cleanup.callback(self._log.close)
            (self._folder / "kernel.xclbin").write_bytes(xclbin)
            (self._folder / "insts.bin").write_bytes(insts)
            self._shared = [[self._map(slot, i) for i in range(len(abi.arguments))] for slot in range(slots)]
            self._process = self._start()
            self._cleanup.callback(self._stop)
            self._load(load_seconds)
        except BaseException:
            self._cleanup.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child and give the NPU to others."""
        self._cleanup.close()

    def buffers(self, slot: int) -> list[NDArray[Any]]:
        """Return the buffers of ``slot`` in ABI order and padded shape, in memory that the runner shares."""
        return self._shared[slot]

    def start(self, slot: int, *, more: bool = False) -> None:
        """Send the call of ``slot``.

        With ``more``, the next one must be started before this one is finished.
        """
        self._tickets += 1
        self._in_flight[slot] = self._tickets
        request = {"do": "call", "slot": slot, "ticket": self._tickets, "more": more}
        self._send({**request, "timeout_ms": int(self._seconds * 1000)})

    def finish(self, slot: int) -> float:
        """Wait for the call of ``slot``; its outputs are in its buffers. Return measured microseconds."""
        answer = self._answer(slot)
        for attempt in range(_ATTEMPTS - 1):
            if _RETRIED not in str(answer.get("error", "")):
                break
            time.sleep(0.5 * (attempt + 1))
            self.start(slot)
            answer = self._answer(slot)
        self._raise_for(answer)
        return float(answer["us"])

    def call(self, arguments: Sequence[NDArray[Any]]) -> float:
        """Run once on buffers in ABI order; return measured microseconds."""
        with self.turn:
            for shared, array, argument in zip(self._shared[0], arguments, self._abi.arguments, strict=True):
                if array.nbytes != argument.bytes:
                    raise DeviceError(
                        f"buffer {argument.name} has {array.nbytes:,} bytes",
                        why=f"the kernel's has {argument.bytes:,}",
                    )
                shared[...] = array  # always C order there: pyxrt would ignore strides
            self.start(0)
            microseconds = self.finish(0)
            for shared, array, argument in zip(self._shared[0], arguments, self._abi.arguments, strict=True):
                if argument.direction != "in":
                    array[...] = shared
        return microseconds

    def _answer(self, slot: int) -> dict[str, Any]:
        """Return the answer to the slot's call; those of other calls that come first are kept."""
        ticket = self._in_flight.pop(slot)
        while ticket not in self._answers:
            answer = self._receive("call", self._seconds + 2.0)
            self._answers[int(answer["ticket"])] = answer
        return self._answers.pop(ticket)

    def _load(self, seconds: float) -> None:
        request = {
            "do": "load",
            "xclbin": str(self._folder / "kernel.xclbin"),
            "insts": str(self._folder / "insts.bin"),
            "kernel": self._abi.kernel,
            "poisoned": self._poisoned,
            "arguments": [{"bytes": a.bytes, "direction": a.direction} for a in self._abi.arguments],
            "slots": [
                [str(self._path(slot, i)) for i in range(len(self._abi.arguments))]
                for slot in range(self.slots)
            ],
        }
        self._send(request)
        self._raise_for(self._receive("load", seconds))

    def _start(self) -> subprocess.Popen[bytes]:
        child = Path(__file__).with_name("npu_child.py")
        return subprocess.Popen(
            [str(self.runner.python), "-I", str(child), *self.runner.search],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            env=dict(self.runner.environment), cwd=self._folder, start_new_session=True,
            pass_fds=(self._held,),
        )  # fmt: skip

    def _path(self, slot: int, index: int) -> Path:
        return self._folder / f"{slot}-{index}"

    def _map(self, slot: int, index: int) -> NDArray[Any]:
        import numpy as np

        from npukbuild.kernels.matmul_numerics import NUMPY_DTYPES

        argument = self._abi.arguments[index]
        with self._path(slot, index).open("w+b") as file:
            file.truncate(argument.bytes)
            shared = mmap.mmap(file.fileno(), argument.bytes)
        # The map lives as long as an array over it does.
        return np.frombuffer(shared, dtype=NUMPY_DTYPES[argument.dtype]).reshape(argument.shape)

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        data = json.dumps(request).encode()
        try:
            self._process.stdin.write(struct.pack(">I", len(data)) + data)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise self._died(request["do"]) from None

    def _receive(self, doing: str, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        try:
            (length,) = struct.unpack(">I", self._read(4, deadline))
            answer: dict[str, Any] = json.loads(self._read(length, deadline))
        except TimeoutError:
            self._stop()
            raise DeviceHungError(
                f"the NPU did not answer within {seconds:g} s; the runner was killed",
                why=f"while it was to {doing}",
                details=self._last_words(),
                hint=_recovery(),
            ) from None
        except (EOFError, ValueError):
            raise self._died(doing) from None
        return answer

    def _died(self, doing: str) -> DeviceError:
        code = self._stop()
        return DeviceError(
            f"the NPU runner died while it was to {doing}",
            why=f"signal {-code}" if code < 0 else f"exit code {code}",
            details=self._last_words(),
            hint=_recovery() if doing == "call" else "npukbuild doctor",
        )

    def _read(self, count: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        data = b""
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError
            part = os.read(descriptor, count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _raise_for(self, answer: dict[str, Any]) -> None:
        if "refused" in answer:
            raise DeviceError("the XCLBIN does not fit its manifest", why=answer["refused"])
        if "error" in answer:
            raise self._explained("pyxrt failed", answer["error"])
        if answer.get("state", _COMPLETED) != _COMPLETED:
            state = f"ERT_CMD_STATE_{answer['name']}"
            raise self._explained(f"the run ended in state {answer['state']} ({answer['name']})", state)

    def _explained(self, what: str, text: str) -> DeviceError:
        from npukbuild.toolchain.diagnosis import diagnose_text

        found = diagnose_text("\n".join([text, *self._last_words()])).first
        return DeviceError(
            what,
            why=found.cause if found else text,
            details=[text] if found else self._last_words(),
            hint=found.fix if found else _recovery(),
        )

    def _last_words(self) -> list[str]:
        self._log.flush()
        lines = (self._folder / "stderr.log").read_bytes()[-8192:].decode("utf-8", "replace").splitlines()
        return [line for line in lines if line.strip()][-5:]

    def _stop(self) -> int:
        process = self._process
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        try:
            code = process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL  # stuck inside the driver; it keeps the machine's lock until it is gone
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return code


def _recovery() -> str:
    """Say what to do after a hang, with the driver's own limit where this machine tells it."""
    limits = tdr_parameters()
    known = "".join(f" ({name} is {value})" for name, value in limits.items())
    return (
        "the array may be wedged: sudo modprobe -r amdxdna && sudo modprobe amdxdna, or a power cycle; then "
        f"npukbuild doctor. A run longer than the driver's limit{known} is ended by it: raise timeout_in_sec "
        "(out-of-tree driver) or tdr_timeout_ms (in-tree)"
    )


def tdr_parameters() -> dict[str, str]:
    """Return the driver's hang limits that exist here; the two lineages of amdxdna name them differently."""
    found = {}
    for name in ("timeout_in_sec", "tdr_timeout_ms"):
        with contextlib.suppress(OSError):
            found[name] = (_PARAMETERS / name).read_text(encoding="utf-8").strip()
    return found


def _shared_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for the shared buffers, and remove what processes that were killed left behind."""
    memory = Path("/dev/shm")  # noqa: S108  buffers are shared in memory where the system has such a place
    place = memory if memory.is_dir() else Path(tempfile.gettempdir())
    for old in place.glob(f"{_PREFIX}*"):
        owner = old.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(old, ignore_errors=True)
    return tempfile.TemporaryDirectory(
        prefix=f"{_PREFIX}{os.getpid()}-", dir=place, ignore_cleanup_errors=True
    )
