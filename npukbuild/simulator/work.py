"""A second hand for the event loop: copies and core functions are done in another thread, in order.

What happens next on the array depends on locks and counts, hardly ever on data. So the event loop need not
wait until a copy or a core function is done: it *gives* it to a queue and goes on. One thread does all jobs
of a simulator in the order in which they were given, so every job finds the data that it would have found
had each been done at once, and a run has one result only. Whatever looks at data (a core program's own loads
and stores, checks for data never written, the end of a call) first waits until all jobs are done
(:meth:`Work.settle`); memories see to that themselves.

The thread runs compiled code (``include/aie_api/host/work.hpp``) and never needs the interpreter.
"""

from __future__ import annotations

import ctypes
import os
import threading
from array import array
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.simulator.agenda import BudgetExceededError
from npukbuild.simulator.crash import watch
from npukbuild.simulator.memory import GUARD_NEAR, GUARD_PATTERN, HostMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from npukbuild.errors import SimulationFault
    from npukbuild.simulator.agenda import Agenda
    from npukbuild.simulator.crash import Running
    from npukbuild.simulator.kernel_library import KernelLibrary
    from npukbuild.simulator.memory import BufferMemory

_LINE = 64
_GIVEN, _DONE, _RUNNING, _FAILED = 0, 8, 9, 16
"""Words of ``npuk::work::queue``: two counts of jobs, two addresses of jobs."""
_STOP_BYTE = 17 * 8
_FULL = 1
_HALF = 1024
_COPY, _CALL = 0, 1
_SLICE_MS = 50
MOST_ARGUMENTS = 6
"""Integers and pointers that a job can pass to a core function."""
_MOST_JOBS = 1 << 16


def second_processor() -> bool:
    """Say whether this process may use more than one processor."""
    return len(os.sched_getaffinity(0)) > 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) > 1


class Work:
    """The queue of one simulator.

    Args:
        library: Compiled kernels; they hold the thread's code, too.
        agenda: Its ``cancelled`` ends a wait.

    Attributes:
        address: Where the queue lies, the first argument of :attr:`give`.
        give: ``give(address, job)`` queues a job; not 0 when :meth:`refused` has to be called with it.
        deadline: Until when a call may take, in seconds of :func:`time.monotonic`.
    """

    __slots__ = (
        "_agenda",
        "_calls",
        "_fault",
        "_kept",
        "_memory",
        "_serve",
        "_stop",
        "_thread",
        "_wait",
        "_words",
        "address",
        "deadline",
        "give",
    )

    def __init__(self, library: KernelLibrary, agenda: Agenda) -> None:
        code = library.code
        code.npuk_work_bytes.restype = ctypes.c_uint64
        size = int(code.npuk_work_bytes())
        self._memory = np.zeros(size + _LINE, np.uint8)
        start = -self._memory.ctypes.data % _LINE
        self.address: int = self._memory.ctypes.data + start
        self._words = memoryview(self._memory.data)[start : start + size].cast("Q")
        self._serve = code["npuk_work_serve"]
        self._serve.argtypes = [ctypes.c_void_p]
        self._wait = code["npuk_work_wait"]
        self._wait.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int64]
        self._stop = code["npuk_work_stop"]
        self._stop.argtypes = [ctypes.c_void_p]
        # Too short to be worth letting other threads have the interpreter: PyDLL keeps it.
        give: Any = ctypes.PyDLL(None, handle=library.handle)["npuk_work_give"]
        give.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self.give: Callable[[int, int], int] = give
        self._agenda = agenda
        self._thread: threading.Thread | None = None
        self._kept: list[Any] = []
        self._calls: dict[int, tuple[Running, Callable[[], SimulationFault]]] = {}
        self._fault: SimulationFault | None = None
        self.deadline = float("inf")

    # A call of the simulator ---------------------------------------------------------------------------

    def begin(self, deadline: float) -> None:
        """Start a call that may take until ``deadline``; the thread starts when there is anything to do."""
        self.deadline = deadline
        if self._kept:
            self._start()

    def end(self) -> None:
        """End the thread, unless it is inside a core function that does not return."""
        if self._thread is not None:
            self._stop(self.address)
            self._thread.join(0.0 if self.running() is not None else 1.0)
            self._thread = None

    def _start(self) -> None:
        self._words[_GIVEN] = self._words[_DONE]  # what a call that failed has left is not for this one
        ctypes.c_uint32.from_address(self.address + _STOP_BYTE).value = 0

        def work() -> None:
            watch(self.running)
            self._serve(self.address)

        self._thread = threading.Thread(target=work, name="npu simulator, work", daemon=True)
        self._thread.start()

    def running(self) -> Running:
        """Return which core function the thread is in: (name, tile, place), or None."""
        call = self._calls.get(self._words[_RUNNING])
        return call[0] if call is not None else None

    @property
    def done(self) -> int:
        """How many jobs are done."""
        return self._words[_DONE]

    # Jobs ----------------------------------------------------------------------------------------------

    def prepare_call(
        self,
        addresses: tuple[int, int, int],
        arguments: Sequence[int],
        blocks: Sequence[BufferMemory],
        here: Running,
        broken: Callable[[], SimulationFault],
    ) -> int | None:
        """Return a job that calls a core function and then looks at the guards of its blocks.

        Args:
            addresses: Of ``npuk_call``, of the function and of the core's registers.
            arguments: Up to :data:`MOST_ARGUMENTS` integers and addresses.
            blocks: The buffers among the arguments.
            here: What is called: name, tile, place in the design.
            broken: Makes the fault when a guard was written.
        """
        words = [value & 0xFFFF_FFFF_FFFF_FFFF for value in arguments]
        words += [0] * (MOST_ARGUMENTS - len(words))
        guards = [place for memory in blocks for place in memory.guard_addresses()]
        pattern = int.from_bytes(GUARD_PATTERN[:8], "little")
        job = self._keep([_CALL, 0, *addresses, *words, len(guards), GUARD_NEAR, pattern, *guards])
        if job is not None:
            self._calls[job] = (here, broken)
        return job

    def prepare_copies(self, copies: Sequence[tuple[Any, Any, Any, Any]]) -> int | None:
        """Return a job that does several copies, one after the other.

        Args:
            copies: (target, its memory, origin, its memory): views of one shape and item size; a memory is
                None when the view is of neither a buffer nor a host argument.
        """
        following = 0
        for target, target_memory, origin, origin_memory in reversed(copies):
            run, dims = _walk(target, origin)
            places = [*_place(target, target_memory), *_place(origin, origin_memory)]
            walk = [run, len(dims), *(step for dim in dims for step in dim)]
            job = self._keep([_COPY, following, *places, *walk])
            if job is None:
                return None
            if origin_memory is None:
                self._kept.append(origin)
            if target_memory is None:
                self._kept.append(target)
            following = job
        return following

    def _keep(self, words: list[int]) -> int | None:
        if len(self._kept) >= _MOST_JOBS:
            return None
        job = array("Q", [word & 0xFFFF_FFFF_FFFF_FFFF for word in words])
        self._kept.append(job)
        if self._thread is None:
            self._start()
        return job.buffer_info()[0]

    def refused(self, job: int) -> None:
        """Give a job for which the queue had no room, or find out why nothing is done any more."""
        while (answer := self.give(self.address, job)) != 0:
            if answer == _FULL:
                self._until(_HALF)
            else:
                self.settle()

    # Waiting -------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until all jobs are done.

        Raises:
            SimulationFault: A core function wrote outside its blocks.
            BudgetExceededError: The call was cancelled, or its real time is over and jobs go on.
        """
        words = self._words
        if words[_GIVEN] != words[_DONE]:
            self._until(0)
        if words[_FAILED]:
            if self._fault is None:
                self._fault = self._calls[words[_FAILED]][1]()
            raise self._fault

    def _until(self, left: int) -> None:
        done = self._words[_DONE]
        while not self._wait(self.address, left, _SLICE_MS):
            if self._agenda.cancelled:
                raise BudgetExceededError("cancelled")
            if monotonic() > self.deadline and self._words[_DONE] != done:
                raise BudgetExceededError("wall")  # else it is stuck in one core function, and run() says so
            done = self._words[_DONE]


def _place(view: Any, memory: BufferMemory | HostMemory | None) -> tuple[int, int]:
    """Return (address, 0), or (offset, where the address stands) for a host argument."""
    address: int = view.__array_interface__["data"][0]
    if not isinstance(memory, HostMemory):
        return address, 0
    return address - memory.address[0], memory.address.buffer_info()[0]


def _walk(target: Any, origin: Any) -> tuple[int, list[tuple[int, int, int]]]:
    """Return (bytes of a run, [(count, step in target, step in origin), ...]), outermost first."""
    run: int = target.itemsize
    dims = [dim for dim in zip(target.shape, target.strides, origin.strides, strict=True) if dim[0] != 1]
    while dims and dims[-1][1] == run and dims[-1][2] == run:
        run *= dims.pop()[0]
    joined: list[tuple[int, int, int]] = []
    for count, to, origin_step in reversed(dims):
        if joined and to == joined[0][0] * joined[0][1] and origin_step == joined[0][0] * joined[0][2]:
            joined[0] = (count * joined[0][0], *joined[0][1:])
        else:
            joined.insert(0, (count, to, origin_step))
    return run, joined
