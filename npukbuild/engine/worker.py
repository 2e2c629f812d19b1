"""A worker process: runs one action at a time in a child of its own, and measures it.

Started as ``python -m npukbuild.engine.worker``; requests and replies are lines of JSON on its standard
input and output. Every action gets a fresh child process in its own process group, forked from this small
process, so that a crash, a leak or a leftover state of one action cannot reach another. When the input
closes, which also happens when the builder is killed, the running action's group is killed and the worker
ends: nothing is left behind.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import select
import signal
import sys
import time
from typing import Any

GRACE_SECONDS = 3.0
"""Time between asking a process group to end and killing it."""

EXIT_CANNOT_START = 127


def main() -> None:
    """Serve requests until the input closes."""
    # The real channels move away from 0 and 1, so that no action can write into them.
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    wake_read, wake_write = os.pipe()
    for descriptor in (wake_read, wake_write):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines = _Lines(requests)
    while (line := lines.next()) is not None:
        reply = _Job(json.loads(line), requests, wake_read).run()
        if reply is None:
            return
        os.write(replies, json.dumps(reply).encode() + b"\n")


class _Lines:
    """Whole lines from a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""

    def next(self) -> bytes | None:
        while b"\n" not in self._buffer:
            data = os.read(self._descriptor, 1 << 16)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


class _Job:
    """One action in its child process."""

    def __init__(self, request: dict[str, Any], requests: int, wake: int) -> None:
        self._request = request
        self._requests = requests
        self._wake = wake

    def run(self) -> dict[str, Any] | None:
        """Run the action and return the reply, or None when the builder has gone."""
        if self._request.get("call"):
            _preload(self._request["call"])
        started = time.monotonic()
        error_read, error_write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(error_read)
            _in_child(self._request, error_write)
        os.close(error_write)
        with contextlib.suppress(OSError):
            os.setpgid(child, child)
        timed_out, gone, status, peak = self._wait(child, started)
        _signal_group(child, signal.SIGKILL)
        error = _read_all(error_read)
        if gone:
            return None
        return {
            "returncode": os.waitstatus_to_exitcode(status),
            "timed_out": timed_out,
            "seconds": time.monotonic() - started,
            "peak_bytes": peak,
            "error": json.loads(error) if error else None,
        }

    def _wait(self, child: int, started: float) -> tuple[bool, bool, int, int]:
        """Wait for the child's end; return (timed out, builder gone, status, peak bytes)."""
        timeout = self._request.get("timeout")
        deadline = started + timeout if timeout else None
        kill_at: float | None = None
        timed_out = gone = False
        while True:
            done, status, peak = _reap(child)
            if done:
                return timed_out, gone, status, peak
            now = time.monotonic()
            if kill_at is not None and now >= kill_at:
                _signal_group(child, signal.SIGKILL)
                kill_at = None
            if deadline is not None and now >= deadline:
                timed_out, deadline, kill_at = True, None, now + GRACE_SECONDS
                _signal_group(child, signal.SIGTERM)
            ends = [end for end in (deadline, kill_at) if end is not None]
            watched = [self._wake] if gone else [self._wake, self._requests]
            ready, _, _ = select.select(watched, [], [], max(0.0, min(ends) - now) if ends else None)
            if self._wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            if self._requests in ready:
                # Nothing is sent while an action runs: this is the builder's end.
                gone, deadline, kill_at = True, None, time.monotonic() + GRACE_SECONDS
                _signal_group(child, signal.SIGTERM)


def _reap(child: int) -> tuple[bool, int, int]:
    found, status, used = os.wait4(child, os.WNOHANG)
    scale = 1 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes on Linux, bytes on macOS
    return found == child, status, used.ru_maxrss * scale


def _in_child(request: dict[str, Any], error_pipe: int) -> None:
    """Become the action. Never returns."""
    code = EXIT_CANNOT_START
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(request["work"])
        if request.get("call"):
            code = _call(request, error_pipe)
        else:
            os.execve(request["command"][0], request["command"], request["environment"])  # noqa: S606
    except OSError as error:
        name = request["command"][0] if request.get("command") else request["work"]
        _report(error_pipe, {"start": f"{name}: {error.strerror}", "errno": error.errno})
    finally:
        os._exit(code)


def _call(request: dict[str, Any], error_pipe: int) -> int:
    """Call the function; return the exit code and report what it raised."""
    from npukbuild.errors import NpukbuildError

    def stop(_number: int, _frame: Any) -> None:
        # So that "finally" clauses of the step run, and with them the end of what it started.
        raise SystemExit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    module, _, name = request["call"].partition(":")
    try:
        step = importlib.import_module(module)
        if name in getattr(step, "RUNS_KERNELS", ()):
            from npukbuild.simulator.crash import report_crashes

            report_crashes(
                lambda found: _report(error_pipe, {"class": type(found).__name__, **found.as_dict()})
            )
        getattr(step, name)(request["parameters"])
    except NpukbuildError as error:
        _report(error_pipe, {"class": type(error).__name__, **error.as_dict()})
        return error.exit_code
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _report(
            error_pipe, {"class": "DiskFullError", "what": "no space left on the device", "why": str(error)}
        )
        return 12
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 1
    except BaseException as error:
        import traceback

        traceback.print_exc()
        _report(error_pipe, {"internal": f"{type(error).__name__}: {error}"})
        return 70
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
    return 0


def _preload(call: str) -> None:
    """Import what the step names in ``PRELOAD``, once for all its runs; a failure shows up in the child."""
    with contextlib.suppress(Exception):
        module = importlib.import_module(call.partition(":")[0])
        for name in getattr(module, "PRELOAD", {}).get(call.partition(":")[2], ()):
            importlib.import_module(name)


def _report(pipe: int, value: dict[str, Any]) -> None:
    data = json.dumps(value).encode()
    # A pipe takes 64 KiB without a reader; details beyond that are in the log.
    if len(data) > 60_000:
        data = json.dumps({**value, "details": []}).encode()[:60_000]
    with contextlib.suppress(OSError):
        os.write(pipe, data)


def _read_all(descriptor: int) -> bytes:
    parts = []
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while data := os.read(descriptor, 1 << 16):
            parts.append(data)
    os.close(descriptor)
    return b"".join(parts)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


if __name__ == "__main__":
    main()
