"""The builder's side of the worker processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "SYSTEMROOT",
    "CXX",
    "CC",
    "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "LD_LIBRARY_PATH",
)


@dataclass(frozen=True, slots=True)
class Reply:
    """How an action's process ended."""

    returncode: int
    timed_out: bool = False
    seconds: float = 0.0
    peak_bytes: int = 0
    error: Mapping[str, Any] | None = None


def worker_environment() -> dict[str, str]:
    """Return the environment of workers: the user's paths, our variables, one thread per library."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    kept.update({name: value for name, value in os.environ.items() if name.startswith("NPUKBUILD_")})
    # The pool runs one job per core; threads inside of jobs would over-commit both cores and memory.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        kept[name] = "1"
    kept["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    kept["PYTHONSAFEPATH"] = "1"
    kept["PYTHONHASHSEED"] = "0"
    return kept


class Worker:
    """One worker process, started when it is first needed and again when it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    @property
    def descriptor(self) -> int:
        """Readable when a reply, or the worker's end, is there."""
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def send(self, request: Mapping[str, Any]) -> None:
        """Hand over an action. The worker must be idle."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # read() reports the worker's end

    def read(self) -> Reply | None:
        """Return the reply, or None while only a part of it is there. A dead worker gives a failed one."""
        data = os.read(self.descriptor, 1 << 16)
        if not data:
            assert self._process is not None
            code = self._process.wait()
            self._close()
            return Reply(code or 1, error={"start": f"the worker process ended ({code})"})
        self._buffer += data
        if b"\n" not in self._buffer:
            return None
        line, self._buffer = self._buffer.split(b"\n", 1)
        return Reply(**json.loads(line))

    def stop(self) -> None:
        """Close the worker's input: it kills its action and ends."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Wait for the end after :meth:`stop`; kill it after ``seconds``."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _start(self) -> None:
        self._close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "npukbuild.engine.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=worker_environment(),
            start_new_session=True,
        )

    def _close(self) -> None:
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            self._process = None
        self._buffer = b""


class WorkerPool:
    """Up to ``size`` workers; an idle one is used before another is started."""

    def __init__(self, size: int) -> None:
        self._idle: list[Worker] = []
        self._all: list[Worker] = []
        self.size = size

    def take(self) -> Worker | None:
        """Return an idle worker, or None when all are busy."""
        if self._idle:
            return self._idle.pop()
        if len(self._all) < self.size:
            worker = Worker()
            self._all.append(worker)
            return worker
        return None

    def give_back(self, worker: Worker) -> None:
        """Return a worker whose reply was read."""
        self._idle.append(worker)

    def close(self, seconds: float = 5.0) -> None:
        """End all workers together, and what they run."""
        for worker in self._all:
            worker.stop()
        deadline = time.monotonic() + seconds
        for worker in self._all:
            worker.wait(max(0.1, deadline - time.monotonic()))
        self._all.clear()
        self._idle.clear()
