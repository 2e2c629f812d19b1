"""One release as a function on numpy arrays of its own size."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from npukbuild.errors import InputError
from npukbuild.kernels.abi import Abi
from npukbuild.runtime.convert import to_input
from npukbuild.runtime.device import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from npukbuild.publish.release import Release
    from npukbuild.runtime.device import Session


@dataclass(frozen=True, slots=True)
class Job:
    """One call: operands that fill a corner of the inputs, and who takes that corner of the output.

    ``take`` gets a view of ``window``'s size, valid only while it runs.
    """

    arrays: tuple[NDArray[Any], ...]
    window: tuple[int, ...]
    take: Callable[[NDArray[Any]], None]


class LoadedKernel:
    """A release on a device. Call it with arrays of its logical size, any strides.

    It keeps its context and host buffers between calls and may be called from several threads; the device
    takes one call at a time. On the NPU it holds the machine's NPU until :meth:`close`, or until the end of a
    ``with`` block.
    """

    def __init__(self, release: Release, *, device: str = "auto") -> None:
        self.release = release
        self.abi = Abi.from_dict(release.manifest["abi"])
        self.calls = 0
        self._device = device
        self._session: Session | None = None
        self._lock = threading.RLock()
        self._inputs = [argument for argument in self.abi.arguments if argument.direction == "in"]
        (self._place,) = (i for i, argument in enumerate(self.abi.arguments) if argument.direction != "in")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def device(self) -> str:
        """Where it runs: ``npu`` or ``simulator``."""
        with self._lock:
            return self._open().device

    def close(self) -> None:
        """Give the device back; the next call takes it again."""
        with self._lock:
            session, self._session = self._session, None
            if session is not None:
                session.close()

    def __call__(self, *arrays: NDArray[Any]) -> NDArray[Any]:
        """Run on ``arrays`` (the logical shapes, ABI order) and return a new array.

        float32 operands of a bf16 kernel are rounded to nearest even and give a float32 result.

        Raises:
            InputError: Wrong number, shape or dtype.
        """
        arrays = tuple(np.asarray(array) for array in arrays)
        self._check(arrays)
        output = self.abi.arguments[self._place]
        converted = tuple(
            to_input(array, argument.dtype, argument.name)
            for array, argument in zip(arrays, self._inputs, strict=True)
        )
        results: list[NDArray[Any]] = []
        self.run_all([Job(converted, output.logical, lambda view: results.append(np.array(view, copy=True)))])
        if output.dtype == "bf16" and all(array.dtype.kind == "f" for array in arrays):
            return results[0].astype(np.float32)
        return results[0]

    def run_all(self, jobs: Sequence[Job]) -> None:
        """Make the calls in order; where the device has several slots, the next is prepared while one runs.

        A failure gives the device back, so that the call after it starts afresh.

        Raises:
            DeviceError, DeviceHungError, BusyError: The device failed or is taken.
            SimulationFault: The simulated design did something wrong.
        """
        with self._lock:
            session = self._open()
            try:
                with session.turn:
                    self._run_all(session, jobs)
            except BaseException:
                self.close()
                raise

    def _run_all(self, session: Session, jobs: Sequence[Job]) -> None:
        pending: deque[tuple[int, Job]] = deque()
        for number, job in enumerate(jobs):
            slot = number % session.slots
            if len(pending) == session.slots:
                self._finish(session, *pending.popleft())
            self._fill(session.buffers(slot), job.arrays)
            # More than one slot means that this call may run while the next one is prepared.
            session.start(slot, more=session.slots > 1 and number + 1 < len(jobs))
            pending.append((slot, job))
        while pending:
            self._finish(session, *pending.popleft())

    def _finish(self, session: Session, slot: int, job: Job) -> None:
        session.finish(slot)
        self.calls += 1
        job.take(session.buffers(slot)[self._place][tuple(slice(0, size) for size in job.window)])

    def _fill(self, buffers: Sequence[NDArray[Any]], arrays: tuple[NDArray[Any], ...]) -> None:
        """Put each operand into the corner of its buffer; what is beyond it is zero."""
        inputs = (
            buffer
            for buffer, argument in zip(buffers, self.abi.arguments, strict=True)
            if argument.direction == "in"
        )
        for buffer, array in zip(inputs, arrays, strict=True):
            if array.shape != buffer.shape:
                buffer[...] = 0
            buffer[tuple(slice(0, size) for size in array.shape)] = array

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
