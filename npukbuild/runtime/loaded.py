"""One release as a function on numpy arrays of its own size."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.errors import InputError
from npukbuild.kernels.abi import Abi
from npukbuild.runtime.convert import to_input
from npukbuild.runtime.device import open_session
from npukbuild.smoke.buffers import crop, new_buffer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from npukbuild.publish.release import Release
    from npukbuild.runtime.device import Session


class LoadedKernel:
    """A release on a device. Call it with arrays up to its logical size; smaller ones are padded.

    It keeps its context and host buffers between calls and may be called from several threads; the device
    takes one call at a time.
    """

    def __init__(self, release: Release, *, device: str = "auto") -> None:
        self.release = release
        self.abi = Abi.from_dict(release.manifest["abi"])
        self.calls = 0
        self._device = device
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._buffers = [new_buffer(argument) for argument in self.abi.arguments]
        self._inputs = [argument for argument in self.abi.arguments if argument.direction == "in"]

    @property
    def device(self) -> str:
        """Where it runs: ``npu`` or ``simulator``."""
        return self._open().device

    def __call__(self, *arrays: NDArray[Any]) -> NDArray[Any]:
        """Run on ``arrays`` (the logical shapes, ABI order) and return a new array.

        Raises:
            InputError: Wrong number, shape or dtype.
        """
        self._check(arrays)
        (output,) = (argument for argument in self.abi.arguments if argument.direction != "in")
        result: NDArray[Any] = np.array(self.run_window(arrays, output.logical), copy=True)
        if output.dtype == "bf16" and all(array.dtype == np.float32 for array in arrays):
            return result.astype(np.float32)
        return result

    def run_window(self, arrays: tuple[NDArray[Any], ...], window: tuple[int, ...]) -> NDArray[Any]:
        """Run on arrays that fill a corner of the inputs and return a copy of that corner of the output.

        What is beyond the arrays is zero; ``window`` is the part of the output that is asked for.
        """
        converted = [
            to_input(np.asarray(array), argument.dtype, argument.name)
            for array, argument in zip(arrays, self._inputs, strict=True)
        ]
        with self._lock:
            session = self._open()
            pending = iter(converted)
            for buffer, argument in zip(self._buffers, self.abi.arguments, strict=True):
                if argument.direction != "in":
                    continue
                array = next(pending)
                corner = tuple(slice(0, size) for size in array.shape)
                if array.shape != buffer.shape:
                    buffer[...] = 0
                buffer[corner] = array
            session.call(self._buffers)
            self.calls += 1
            (place,) = (i for i, argument in enumerate(self.abi.arguments) if argument.direction != "in")
            whole = crop(self._buffers[place], self.abi.arguments[place])
            return np.array(whole[tuple(slice(0, size) for size in window)], copy=True)

    def _open(self) -> Session:
        if self._session is None:
            self._session = open_session(self.release, self._device)
        return self._session

    def _check(self, arrays: tuple[NDArray[Any], ...]) -> None:
        if len(arrays) != len(self._inputs):
            raise InputError(f"{self.release.id} takes {len(self._inputs)} arrays, {len(arrays)} were given")
        wrong = [
            f"{argument.name} is {np.shape(array)}, not {argument.logical}"
            for array, argument in zip(arrays, self._inputs, strict=True)
            if np.shape(array) != argument.logical
        ]
        if wrong:
            raise InputError(
                f"wrong shapes for {self.release.id}", why="; ".join(wrong),
                hint="npukbuild.Matmul takes arrays of any size",
            )  # fmt: skip
