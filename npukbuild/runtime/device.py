"""Choosing where a release runs. Nothing silently falls back to numpy."""

from __future__ import annotations

import logging
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from npukbuild.errors import DeviceError, NpukbuildError
from npukbuild.kernels.abi import Abi

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from npukbuild.publish.release import Release
    from npukbuild.smoke.simulated import SimulatedKernel

DEVICES = ("auto", "npu", "simulator")
log = logging.getLogger("npukbuild.runtime")

_NPU_SLOTS = 2
"""One call runs while the next one's operands are prepared and uploaded."""


class Session(Protocol):
    """A release loaded on a device, with host buffers for one or more calls.

    Fill the buffers of a slot, ``start`` it, prepare another slot meanwhile if there is one, ``finish`` in
    the order of the starts; all while ``turn`` is held.
    """

    @property
    def device(self) -> str:
        """``npu`` or ``simulator``."""

    @property
    def slots(self) -> int:
        """How many calls can be prepared at once."""

    @property
    def turn(self) -> AbstractContextManager[object]:
        """Held while calls are made."""

    def buffers(self, slot: int) -> Sequence[NDArray[Any]]:
        """Return the slot's buffers in ABI order, padded shapes."""

    def start(self, slot: int, *, more: bool = False) -> None:
        """Begin the slot's call; ``more`` says that another one follows before it is finished."""

    def finish(self, slot: int) -> float:
        """Wait for the slot's call; return its microseconds."""

    def close(self) -> None:
        """Give the device back."""


class SimulatorSession:
    """One slot on the embedded simulator, which runs within the call."""

    device = "simulator"
    slots = 1

    def __init__(self, kernel: SimulatedKernel, abi: Abi) -> None:
        from npukbuild.smoke.buffers import new_buffer

        self.turn = threading.RLock()
        self._kernel = kernel
        self._buffers = [new_buffer(argument) for argument in abi.arguments]

    def buffers(self, slot: int) -> list[NDArray[Any]]:
        """Return the buffers."""
        return self._buffers

    def start(self, slot: int, *, more: bool = False) -> None:
        """Do nothing yet: there is nobody else to do it meanwhile."""

    def finish(self, slot: int) -> float:
        """Run the design and return the simulated microseconds."""
        return self._kernel.call(self._buffers)

    def close(self) -> None:
        """Nothing is held."""


def open_session(release: Release, device: str) -> Session:
    """Load ``release`` on ``device``: ``auto`` takes the NPU where there is one, else the simulator.

    Raises:
        DeviceError: The device is not there, or the release lacks what it needs.
    """
    if device not in DEVICES:
        raise DeviceError(f"unknown device {device!r}", why=f"one of {', '.join(DEVICES)}")
    if device in ("auto", "npu"):
        session = _npu(release, required=device == "npu")
        if session is not None:
            return session
    try:
        return _simulator(release)
    except NpukbuildError as error:
        auto = device == "auto"
        raise DeviceError(
            f"{release.id} can run on no device here" if auto else f"{release.id} cannot be simulated",
            why=f"{'there is no NPU for it, and ' if auto else ''}the simulator says: {error.what}",
            hint=error.hint or "npukbuild doctor",
        ) from error


def _npu(release: Release, *, required: bool) -> Session | None:
    from npukbuild.toolchain.runner_python import npu_present

    if "kernel.xclbin" not in release.files:
        if required:
            raise DeviceError(
                f"{release.id} has no XCLBIN", why="it was released from a machine without the toolchain"
            )
        if npu_present():
            log.warning("%s has no XCLBIN: it runs on the simulator although there is an NPU", release.id)
        return None
    if not required and not npu_present():
        return None
    from npukbuild.smoke.npu import NpuKernel

    abi = Abi.from_dict(release.manifest["abi"])
    return NpuKernel(
        release.files["kernel.xclbin"], release.files["insts.bin"], abi, slots=_NPU_SLOTS, poisoned=False
    )


def _simulator(release: Release) -> Session:
    from npukbuild.engine.pipeline import host_library
    from npukbuild.ir import load_design
    from npukbuild.smoke.simulated import SimulatedKernel
    from npukbuild.targets import load_target

    design = load_design(release.files["design.mlir"].decode(), file=f"{release.id}/design.mlir")
    with tempfile.TemporaryDirectory(prefix="npukbuild-load-") as work:
        kernel = Path(work) / "kernel.cc"
        kernel.write_bytes(release.files["kernel.cc"])
        library = host_library(kernel, load_target(release.id.target).arch)
    return SimulatorSession(SimulatedKernel(design, library), Abi.from_dict(release.manifest["abi"]))
