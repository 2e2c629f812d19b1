"""Choosing where a release runs. Nothing silently falls back to numpy."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from npukbuild.errors import DeviceError, NpukbuildError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from npukbuild.publish.release import Release

DEVICES = ("auto", "npu", "simulator")


class Session(Protocol):
    """A release loaded on a device."""

    @property
    def device(self) -> str:
        """``npu`` or ``simulator``."""

    def call(self, arguments: Sequence[NDArray[Any]]) -> float:
        """Run once in place; return microseconds."""


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
        raise DeviceError(
            f"{release.id} can run on no device here",
            why=f"there is no NPU, and the simulator says: {error.what}",
            hint=error.hint or "npukbuild doctor",
        ) from error


def _npu(release: Release, *, required: bool) -> Session | None:
    from npukbuild.toolchain.runner_python import npu_present

    if "kernel.xclbin" not in release.files:
        if required:
            raise DeviceError(
                f"{release.id} has no XCLBIN", why="it was released from a machine without the toolchain"
            )
        return None
    if not required and not npu_present():
        return None
    from npukbuild.kernels.abi import Abi
    from npukbuild.smoke.npu import NpuKernel

    abi = Abi.from_dict(release.manifest["abi"])
    return NpuKernel(release.files["kernel.xclbin"], release.files["insts.bin"], abi)


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
    return SimulatedKernel(design, library)
