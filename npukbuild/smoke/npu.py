"""The NPU as a device of the check harness: pyxrt in a child process, with a deadline that holds."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import signal
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from npukbuild.errors import BusyError, DeviceError, DeviceHungError
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
_RECOVERY = (
    "the array may be wedged: sudo modprobe -r amdxdna && sudo modprobe amdxdna, or a power cycle; "
    "then npukbuild doctor"
)


class NpuKernel:
    """An XCLBIN on the NPU. Use as a context manager, or call :meth:`close`.

    It holds a machine-wide lock for as long as it lives: concurrent contexts wedge Phoenix. Buffers and the
    hardware context are kept between calls; outputs are uploaded before a call so that poison stays visible.

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
        call_seconds: float = CALL_SECONDS,
        load_seconds: float = LOAD_SECONDS,
        lock_seconds: float = 1800.0,
    ) -> None:
        self._abi = abi
        self._seconds = call_seconds
        self._cleanup = contextlib.ExitStack()
        try:
            self.runner = runner or find_runner_python()
            self._cleanup.enter_context(_machine_lock(lock_seconds))
            self._folder = Path(self._cleanup.enter_context(_shared_folder()))
            self._log = (self._folder / "stderr.log").open("w+b")
            self._cleanup.callback(self._log.close)
            (self._folder / "kernel.xclbin").write_bytes(xclbin)
            (self._folder / "insts.bin").write_bytes(insts)
            self._shared = [self._map(i, argument.bytes) for i, argument in enumerate(abi.arguments)]
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

    def call(self, arguments: Sequence[NDArray[Any]]) -> float:
        """Run once on C-contiguous buffers in ABI order; return measured microseconds."""
        for shared, array, argument in zip(self._shared, arguments, self._abi.arguments, strict=True):
            if array.nbytes != argument.bytes:
                raise DeviceError(
                    f"buffer {argument.name} has {array.nbytes:,} bytes",
                    why=f"the kernel's has {argument.bytes:,}",
                )
            shared[:] = array.tobytes()  # always C order: pyxrt would ignore strides
        for attempt in range(_ATTEMPTS):
            answer = self._ask({"do": "call", "timeout_ms": int(self._seconds * 1000)}, self._seconds + 2.0)
            if _RETRIED in str(answer.get("error", "")) and attempt + 1 < _ATTEMPTS:
                time.sleep(0.5 * (attempt + 1))
                continue
            break
        self._raise_for(answer)
        import numpy as np

        for shared, array, argument in zip(self._shared, arguments, self._abi.arguments, strict=True):
            if argument.direction != "in":
                array[...] = np.frombuffer(shared, dtype=array.dtype).reshape(array.shape)
        return float(answer["us"])

    def _load(self, seconds: float) -> None:
        request = {
            "do": "load",
            "xclbin": str(self._folder / "kernel.xclbin"),
            "insts": str(self._folder / "insts.bin"),
            "kernel": self._abi.kernel,
            "arguments": [
                {"path": str(self._folder / str(i)), "bytes": a.bytes, "direction": a.direction}
                for i, a in enumerate(self._abi.arguments)
            ],
        }
        self._raise_for(self._ask(request, seconds))

    def _start(self) -> subprocess.Popen[bytes]:
        child = Path(__file__).with_name("npu_child.py")
        return subprocess.Popen(
            [str(self.runner.python), "-I", str(child), *self.runner.search],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            env=dict(self.runner.environment), cwd=self._folder, start_new_session=True,
        )  # fmt: skip

    def _map(self, index: int, size: int) -> mmap.mmap:
        path = self._folder / str(index)
        with path.open("w+b") as file:
            file.truncate(size)
            shared = mmap.mmap(file.fileno(), size)
        self._cleanup.callback(shared.close)
        return shared

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        data = json.dumps(request).encode()
        deadline = time.monotonic() + seconds
        try:
            process.stdin.write(struct.pack(">I", len(data)) + data)
            process.stdin.flush()
            head = self._read(4, deadline)
            answer: dict[str, Any] = json.loads(self._read(struct.unpack(">I", head)[0], deadline))
        except TimeoutError:
            self._stop()
            raise DeviceHungError(
                f"the NPU did not answer within {seconds:g} s; the runner was killed",
                why=f"while it was to {request['do']}",
                details=self._last_words(),
                hint=_RECOVERY,
            ) from None
        except (BrokenPipeError, EOFError, ValueError):
            code = self._stop()
            raise DeviceError(
                f"the NPU runner died while it was to {request['do']}",
                why=f"signal {-code}" if code < 0 else f"exit code {code}",
                details=self._last_words(),
                hint=_RECOVERY if request["do"] == "call" else "npukbuild doctor",
            ) from None
        return answer

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
            hint=found.fix if found else _RECOVERY,
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
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return code


def lock_path() -> Path:
    """Return the file whose lock means "the NPU of this machine is mine"."""
    return Path(
        os.environ.get("NPUKBUILD_NPU_LOCK", "") or Path(tempfile.gettempdir()) / "npukbuild-npu.lock"
    )


@contextlib.contextmanager
def _machine_lock(seconds: float) -> Any:
    from filelock import FileLock, Timeout

    lock = FileLock(lock_path(), mode=0o666)
    try:
        with lock.acquire(timeout=seconds, poll_interval=0.2):
            yield
    except Timeout:
        raise BusyError(
            "another process uses the NPU",
            why=f"its lock {lock_path()} was not free within {seconds:g} s",
            hint="wait for it; concurrent contexts wedge the array",
        ) from None


def _shared_folder() -> tempfile.TemporaryDirectory[str]:
    memory = Path("/dev/shm")  # noqa: S108  buffers are shared in memory where the system has such a place
    return tempfile.TemporaryDirectory(prefix="npukbuild-npu-", dir=memory if memory.is_dir() else None)
