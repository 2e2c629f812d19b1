"""A stand-in for pyxrt, for tests only.

It imitates what the real module is documented to do, the nasty parts included, and executes the *real*
design through the simulator, so that the numbers are real: an XCLBIN of the tests is a JSON file that names
the design and the kernel to run. ``PYXRT_STANDIN`` holds faults, separated by commas:

    hang        run.wait never returns (and holds everything, as the real one holds the GIL)
    die         the process dies in the middle of a run
    zeros       the run "completes" and every output is zero
    stale       the run "completes" and no output is written
    state=N     the run ends in state N
    exec_cmd=N  the first N runs fail with the EXEC_CMD ioctl error
    open=N      the first N device opens fail
    hwctx       no hardware context is free
    trace       writes down runs, waits and transfers in their order
    chatty      prints to stdout, as XRT's warnings do
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

FAULTS = dict(part.partition("=")[::2] for part in os.environ.get("PYXRT_STANDIN", "").split(",") if part)
STATE_FILE = os.environ.get("PYXRT_STANDIN_STATE", "")


def _count(name: str) -> int:
    """Count calls across processes, for faults that go away."""
    path = Path(f"{STATE_FILE}.{name}")
    seen = int(path.read_text()) if path.exists() else 0
    path.write_text(str(seen + 1))
    return seen


def _trace(what: str) -> None:
    if "trace" in FAULTS:
        with Path(f"{STATE_FILE}.trace").open("a") as file:
            file.write(f"{what}\n")


class xclBOSyncDirection:
    XCL_BO_SYNC_BO_TO_DEVICE = 0
    XCL_BO_SYNC_BO_FROM_DEVICE = 1


class device:
    def __init__(self, index: int) -> None:
        if "open" in FAULTS and _count("open") < int(FAULTS["open"]):
            raise RuntimeError("Open /dev/accel/accel0 failed (err=-16): Device or resource busy")
        if "chatty" in FAULTS:
            print("[XRT] WARNING: something on stdout", flush=True)
            os.write(1, b"[XRT] raw words on descriptor 1\n")
        self.registered: Any = None

    def register_xclbin(self, loaded: xclbin) -> str:
        self.registered = loaded
        return loaded.get_uuid()

    def load_xclbin(self, loaded: Any) -> None:
        raise RuntimeError("load_axlf: Operation not supported")


class xclbinkernel:
    def __init__(self, name: str, arguments: int) -> None:
        self._name, self._arguments = name, arguments

    def get_name(self) -> str:
        return self._name

    def get_num_args(self) -> int:
        return self._arguments


class xclbin:
    def __init__(self, path: str) -> None:
        self.content = json.loads(Path(path).read_text())

    def get_uuid(self) -> str:
        return "00000000-0000-0000-0000-000000000001"

    def get_kernels(self) -> list[xclbinkernel]:
        return [xclbinkernel(self.content["kernel"], self.content.get("num_args", 8))]


class hw_context:
    def __init__(self, opened: device, uuid: str) -> None:
        if "hwctx" in FAULTS:
            raise RuntimeError(
                "DRM_IOCTL_AMDXDNA_CREATE_HWCTX IOCTL failed (err=-2): No such file or directory"
            )
        self.device = opened


class bo:
    normal, cacheable, host_only = 0, 1, 2

    def __init__(self, opened: device, size: int, flags: int, group: int) -> None:
        if flags not in (bo.cacheable, bo.host_only):
            raise RuntimeError("unsupported buffer type: none flag (err=95)")
        self.host, self.device_side = bytearray(size), bytearray(size)
        self.group, self.flags = group, flags

    def write(self, data: Any, seek: int) -> None:
        raw = bytes(data)
        self.host[seek : seek + len(raw)] = raw

    def read(self, size: int, skip: int) -> bytes:
        return bytes(self.host[skip : skip + size])

    def sync(self, direction: int, size: int = 0, offset: int = 0) -> None:
        _trace("up" if direction == xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE else "down")
        if direction == xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE:
            self.device_side[:] = self.host
        else:
            self.host[:] = self.device_side


class kernel:
    def __init__(self, context: hw_context, name: str) -> None:
        content = context.device.registered.content
        if name != content["kernel"]:
            raise RuntimeError(f"No such kernel '{name}'")
        self.content = content
        self.simulated: Any = None

    def group_id(self, index: int) -> int:
        return 131071 if index in (0, 2) else 65537 if index == 1 else 65536

    def __call__(self, *arguments: Any) -> run:
        # The real one swallows set_arg's exceptions: what is too much is dropped without a word.
        return run(self, list(arguments)[: self.content.get("num_args", 8)])


class run:
    def __init__(self, of: kernel, arguments: list[Any]) -> None:
        self.kernel, self.arguments = of, arguments
        _trace("run")

    def wait(self, timeout_ms: int) -> int:
        _trace("wait")
        if "exec_cmd" in FAULTS and _count("exec_cmd") < int(FAULTS["exec_cmd"]):
            raise RuntimeError("DRM_IOCTL_AMDXDNA_EXEC_CMD IOCTL failed (err=-5): Input/output error")
        if "hang" in FAULTS:
            while True:
                time.sleep(60)
        if "die" in FAULTS:
            os.kill(os.getpid(), 9)
        if "state" in FAULTS:
            return int(FAULTS["state"])
        if self.arguments[0] != 3 or not isinstance(self.arguments[1], bo):
            return 5
        buffers = self.arguments[3:]
        if "zeros" in FAULTS:
            buffers[-1].device_side[:] = bytes(len(buffers[-1].device_side))
        elif "stale" not in FAULTS:
            self._execute(buffers)
        return 4

    def _execute(self, buffers: list[bo]) -> None:
        import numpy as np

        sys.path[:0] = self.kernel.content["path"]
        from npukbuild.ir import load_design
        from npukbuild.kernels.matmul_numerics import NUMPY_DTYPES
        from npukbuild.simulator import Simulator
        from npukbuild.simulator.kernel_library import KernelLibrary

        if self.kernel.simulated is None:
            design = load_design(Path(self.kernel.content["design"]).read_text())
            self.kernel.simulated = design, Simulator(design, KernelLibrary(self.kernel.content["library"]))
        design, simulator = self.kernel.simulated
        arrays = [
            np.frombuffer(bytes(buffer.device_side), dtype=NUMPY_DTYPES[kind.element])
            .reshape(kind.shape)
            .copy()
            for buffer, (_, kind) in zip(buffers, design.sequence.arguments, strict=True)
        ]
        simulator.run(arrays)
        for buffer, array in zip(buffers, arrays, strict=True):
            buffer.device_side[:] = array.tobytes()
