"""The part of the NPU runner that talks to pyxrt. It runs under another Python, alone: no import of ours.

Frames on stdin and on the original stdout: four bytes of length (big-endian), then JSON. Data travel in files
that both sides map, named in the ``load`` request. What XRT prints goes to stderr.

A kernel may be loaded with several slots, each with buffers of its own. A call that is said to have ``more``
behind it is started and left running while the next call's inputs are taken and uploaded; that next call is
started before the outputs of the one before it are downloaded. Never are two runs in flight.

It never waits for ever on its own, but ``run.wait`` holds the GIL and may hang inside the driver: the parent
keeps the deadline and kills us.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

OPCODE = 3  # the instruction stream is in a buffer (XRT's DPU calling convention)
FIRST_DATA_ARGUMENT = 3  # after opcode, instructions, and their count
COMPLETED = 4  # ert_cmd_state; compared as numbers because pybind's enum lacks RUNNING
STATES = {
    1: "NEW",
    2: "QUEUED",
    3: "RUNNING",
    4: "COMPLETED",
    5: "ERROR",
    6: "ABORT",
    7: "SUBMITTED",
    8: "TIMEOUT",
    9: "NORESPONSE",
    10: "SKERROR",
    11: "SKCRASHED",
}
OPEN_ATTEMPTS = 5  # upstream's runtime retries opening a busy device five times


class Refused(Exception):
    """A request that cannot be served, in words for the user."""


class Loaded:
    """One XCLBIN on the device with its buffers."""

    def __init__(self, pyxrt: Any, request: dict[str, Any]) -> None:
        self.pyxrt = pyxrt
        self.device = _open_device(pyxrt, request.get("device", 0))
        xclbin = pyxrt.xclbin(request["xclbin"])
        name, count = _find_kernel(xclbin, request.get("kernel"))
        wanted = FIRST_DATA_ARGUMENT + len(request["arguments"])
        if count is not None and count < wanted:
            # pyxrt drops surplus arguments without a word, and the kernel then works on nothing.
            raise Refused(
                f"kernel {name} takes {count} arguments, {wanted} would be passed: "
                f"{wanted - count} buffers are too many"
            )
        self.device.register_xclbin(xclbin)
        self.context = pyxrt.hw_context(self.device, xclbin.get_uuid())
        self.kernel = pyxrt.kernel(self.context, name)
        self.name = name
        self._load_instructions(request["insts"])
        self.poisoned = bool(request.get("poisoned", True))
        self.slots = [
            [self._buffer(index, request["arguments"][index], path) for index, path in enumerate(paths)]
            for paths in request["slots"]
        ]

    def _load_instructions(self, path: str) -> None:
        words = Path(path).read_bytes()
        bo = self.pyxrt.bo(self.device, len(words), self.pyxrt.bo.cacheable, self.kernel.group_id(1))
        bo.write(words, 0)
        bo.sync(self.pyxrt.xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE, len(words), 0)
        self.instructions, self.instruction_bytes = bo, len(words)

    def _buffer(self, index: int, entry: dict[str, Any], path: str) -> dict[str, Any]:
        group = self.kernel.group_id(FIRST_DATA_ARGUMENT + index)
        bo = self.pyxrt.bo(self.device, entry["bytes"], self.pyxrt.bo.host_only, group)
        with Path(path).open("r+b") as file:
            shared = mmap.mmap(file.fileno(), entry["bytes"])
        return {"bo": bo, "shared": shared, "bytes": entry["bytes"], "direction": entry["direction"]}


class Call:
    """One call of a loaded kernel; the first step that fails is its answer, and the others do nothing."""

    def __init__(self, loaded: Any, request: dict[str, Any]) -> None:
        self.loaded = loaded
        self.request = request
        self.answer: dict[str, Any] = {}
        self.failed = loaded is None
        if loaded is None:
            self.answer = {"refused": "no kernel is loaded"}
        self.run: Any = None
        self.started = 0.0

    def upload(self) -> None:
        """Bring the inputs to the device, and the outputs too where they carry the parent's poison."""
        self._try(self._upload)

    def start(self) -> None:
        """Start the run."""
        self._try(self._start)

    def finish(self, start_next: Callable[[], None]) -> dict[str, Any]:
        """Wait for the run, start the next one, download the outputs; return the answer."""
        self._try(self._wait)
        start_next()
        if self.answer.get("state") == COMPLETED:
            self._try(self._download)
        return {**self.answer, "ticket": self.request["ticket"]}

    def _try(self, step: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            step()
        except Exception as error:
            self.failed = True
            self.answer = {"error": f"{type(error).__name__}: {error}"}

    def _buffers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.loaded.slots[self.request["slot"]]
        return found

    def _upload(self) -> None:
        to_device = self.loaded.pyxrt.xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE
        for buffer in self._buffers():
            if buffer["direction"] != "out" or self.loaded.poisoned:
                buffer["bo"].write(buffer["shared"][:], 0)
                buffer["bo"].sync(to_device, buffer["bytes"], 0)

    def _start(self) -> None:
        loaded = self.loaded
        self.started = time.perf_counter()
        self.run = loaded.kernel(
            OPCODE,
            loaded.instructions,
            loaded.instruction_bytes,
            *[buffer["bo"] for buffer in self._buffers()],
        )

    def _wait(self) -> None:
        state = int(self.run.wait(self.request["timeout_ms"]))
        microseconds = (time.perf_counter() - self.started) * 1e6
        self.answer = {"state": state, "name": STATES.get(state, "unknown"), "us": microseconds}

    def _download(self) -> None:
        from_device = self.loaded.pyxrt.xclBOSyncDirection.XCL_BO_SYNC_BO_FROM_DEVICE
        for buffer in self._buffers():
            if buffer["direction"] != "in":
                buffer["bo"].sync(from_device, buffer["bytes"], 0)
                buffer["shared"][:] = bytes(buffer["bo"].read(buffer["bytes"], 0))


def _open_device(pyxrt: Any, index: int) -> Any:
    for attempt in range(OPEN_ATTEMPTS):
        try:
            return pyxrt.device(index)
        except RuntimeError:
            if attempt == OPEN_ATTEMPTS - 1:
                raise
            time.sleep(0.2 * 2**attempt)
    raise AssertionError


def _find_kernel(xclbin: Any, wanted: str | None) -> tuple[str, int | None]:
    kernels = list(xclbin.get_kernels())
    names = [kernel.get_name() for kernel in kernels]
    if not kernels:
        raise Refused("the XCLBIN holds no kernel")
    if wanted and wanted not in names:
        raise Refused(f"the XCLBIN holds the kernels {', '.join(names)}, not {wanted}")
    kernel = kernels[names.index(wanted)] if wanted else kernels[0]
    count = kernel.get_num_arguments() if hasattr(kernel, "get_num_arguments") else None
    if count is None and hasattr(kernel, "get_num_args"):
        count = kernel.get_num_args()
    return kernel.get_name(), count


def read_frame(stream: BinaryIO) -> Any:
    """Return the next request, None at the end."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    (length,) = struct.unpack(">I", head)
    return json.loads(stream.read(length).decode("utf-8"))


def write_frame(stream: BinaryIO, value: Any) -> None:
    """Send one answer."""
    data = json.dumps(value).encode("utf-8")
    stream.write(struct.pack(">I", len(data)) + data)
    stream.flush()


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the parent closes."""
    import pyxrt

    loaded: Any = None
    request = read_frame(requests)
    while request is not None and request["do"] != "close":
        if request["do"] == "load":
            loaded, answer = _load(pyxrt, request)
            write_frame(answers, answer)
            request = read_frame(requests)
        else:
            request = _run(loaded, request, requests, answers)


def _load(pyxrt: Any, request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    try:
        loaded = Loaded(pyxrt, request)
    except Refused as error:
        return None, {"refused": str(error)}
    except Exception as error:
        return None, {"error": f"{type(error).__name__}: {error}"}
    return loaded, {"kernel": loaded.name}


def _run(loaded: Any, request: dict[str, Any], requests: BinaryIO, answers: BinaryIO) -> Any:
    """Serve a call and all that are announced behind it; return the request that follows them."""
    call = Call(loaded, request)
    call.upload()
    call.start()
    while True:
        following = None
        if call.request.get("more"):
            announced = read_frame(requests)
            if announced is None or announced["do"] != "call":
                write_frame(answers, call.finish(lambda: None))
                return announced
            following = Call(loaded, announced)
            following.upload()
        write_frame(answers, call.finish(following.start if following is not None else lambda: None))
        if following is None:
            return read_frame(requests)
        call = following


def main() -> None:
    """Take stdout for ourselves, so that nothing XRT prints can be read as an answer, and serve."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.path[:0] = [path for path in sys.argv[1:] if path]
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
