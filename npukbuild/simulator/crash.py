"""What a crash inside a compiled core function becomes: a fault that names it, then the end of the process.

A crash (a wild pointer, a division by zero, a stack that ran out) cannot be returned from: the thread stands
in the middle of compiled code. So the handler reports and leaves. It belongs to a process that owns itself,
the command line or an action of a build; the library never installs it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from npukbuild.simulator.faults import fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.errors import SimulationFault
    from npukbuild.ir.design import Location, TileId

_WHY = {
    signal.SIGSEGV: "it touched memory that is not its own (a wild pointer, or its stack ran out)",
    signal.SIGBUS: "it touched memory that does not exist",
    signal.SIGFPE: "it divided an integer by zero",
    signal.SIGILL: "it ran into a trap (an assertion, or code that cannot be reached)",
    signal.SIGABRT: "it called abort (a failed assertion)",
}
_SA_ONSTACK = 0x08000000
_STACK_BYTES = 1 << 20
_MOST_SECONDS = 10
"""How long a report may take before the process ends without it: a crash may have left a lock taken."""

_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)
_here = threading.local()
_kept: list[Any] = []


class _Action(ctypes.Structure):
    """``struct sigaction`` of glibc on 64-bit Linux."""

    _fields_ = (
        ("handler", _HANDLER),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class _Stack(ctypes.Structure):
    """``stack_t``: where a handler runs when the thread's own stack has run out."""

    _fields_ = (("base", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


Running = tuple[str, "TileId", "Location | None"] | None
"""The core function that a thread is in, the core it runs on and the call's place in the design."""


def watch(running: Callable[[], Running]) -> None:
    """Tell the handler how to find out which core function this thread is in.

    Args:
        running: Asked by the handler, in the thread that crashed.
    """
    _here.running = running
    if _kept and not hasattr(_here, "stack"):
        memory = ctypes.create_string_buffer(_STACK_BYTES)
        _here.stack = memory
        stack = _Stack(ctypes.addressof(memory), 0, _STACK_BYTES)
        ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None)


def report_crashes(show: Callable[[SimulationFault], None]) -> None:
    """From now on, end the process with a report when a core function crashes.

    Other crashes end it as they always did. Only the first call counts. Does nothing where the system's
    structures are not known.

    Args:
        show: Prints the fault.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return
    libc = ctypes.CDLL(None)

    def crashed(number: int) -> None:
        # Whatever fails from here on, in a heap that the function has ruined say, ends the process. Python's
        # own signal.signal works in the main thread alone, and this may be any.
        for one, old in before.items():
            libc.sigaction(one, ctypes.byref(old), None)
        running = _here.running() if hasattr(_here, "running") else None
        if running is None:
            signal.pthread_kill(threading.get_ident(), number)
            return
        libc.alarm(_MOST_SECONDS)
        name, tile, loc = running
        found = fault(
            f"core function {name} on core {tile} crashed ({signal.Signals(number).name})",
            loc=loc,
            why=_WHY[signal.Signals(number)],
            hint="check its indices, loop counts and divisors against the blocks that the design gives it",
        )
        try:
            show(found)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(found.exit_code)

    if _kept:
        return
    action = _Action(_HANDLER(crashed), (ctypes.c_ulong * 16)(), _SA_ONSTACK, None)
    before = {int(number): _Action() for number in _WHY}
    _kept[:] = [action, before]
    for number, old in before.items():
        libc.sigaction(number, ctypes.byref(action), ctypes.byref(old))
