"""Core functions that use the cascade: they may have to wait in the middle of a call.

Such a call runs in a thread of its own that takes turns with the simulator: always one of the two runs, so
the order of events stays the same in every run.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from npukbuild.simulator.core.ports import Cascade, Wait


class Turns:
    """A thread for the calls of one core."""

    def __init__(self, source: Cascade | None, sink: Cascade | None) -> None:
        self._in = source
        self._out = sink
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._job: Callable[[], Any] | None = None
        self._wait: Wait | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def connect(self, state: Any) -> None:
        """Give a core's control registers its ends of the cascade."""
        state.connect_cascade(
            self._put if self._out is not None else None, self._get if self._in is not None else None
        )

    def call(self, job: Callable[[], Any]) -> Iterator[Wait]:
        """Run ``job``; yields what it waits for."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="npu core", daemon=True)
            self._thread.start()
        self._job = job
        while True:
            self._go.release()
            self._back.acquire()
            if self._wait is None:
                break
            wait, self._wait = self._wait, None
            yield wait
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _work(self) -> None:
        while True:
            self._go.acquire()
            try:
                assert self._job is not None
                self._job()
            except BaseException as error:
                self._error = error
            self._back.release()

    def _stand(self, wait: Wait) -> None:
        self._wait = wait
        self._back.release()
        self._go.acquire()

    def _put(self, data: bytes) -> None:
        assert self._out is not None
        while not self._out.put(data):
            self._stand(self._out.full)

    def _get(self) -> bytes:
        assert self._in is not None
        while (data := self._in.get()) is None:
            self._stand(self._in.empty)
        return bytes(data)
