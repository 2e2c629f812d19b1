"""What a person sees while kernels are built: a live line per job on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Self, TextIO

from npukbuild.engine.outcome import Silent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npukbuild.engine.graph import Node
    from npukbuild.engine.outcome import Outcome
    from npukbuild.engine.pipeline import KernelResult

QUIET_SECONDS = 10.0
"""Plain output names the totals at least this often, so that a log shows life."""


class Totals:
    """Counts, and the time that is left."""

    def __init__(self, kernels: int, jobs: int) -> None:
        self.kernels = kernels
        self.jobs = max(1, jobs)
        self.done = self.built = self.hit = self.failed = 0
        self.began = time.monotonic()
        self._expected: dict[str, float] = {}
        self._left = 0.0

    def begin(self, expected: Mapping[str, float]) -> None:
        """Take the expected seconds of every action."""
        self._expected = dict(expected)
        self._left = sum(self._expected.values())

    def ended(self, name: str) -> None:
        """Take an action off."""
        self._left -= self._expected.pop(name, 0.0)

    def result(self, result: KernelResult) -> None:
        """Count a kernel."""
        self.done += 1
        self.built += result.status == "built"
        self.hit += result.status == "hit"
        self.failed += result.status == "failed"

    def line(self) -> str:
        """Return the totals in one line."""
        parts = [f"{self.done} of {self.kernels} kernels", f"{self.built} built", f"{self.hit} hit"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self._left > 0 and self.done < self.kernels:
            parts.append(f"about {duration(self._left / self.jobs)} left")
        return ", ".join(parts)


class PlainProgress(Silent):
    """Lines for logs: one per kernel that was built or failed, and the totals now and then."""

    def __init__(self, kernels: int, jobs: int, stream: TextIO | None = None) -> None:
        self._totals = Totals(kernels, jobs)
        self._stream = stream or sys.stderr
        self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def begin(self, expected: Mapping[str, float]) -> None:
        """Take the expected times."""
        self._totals.begin(expected)

    def ended(self, node: Node, outcome: Outcome) -> None:
        """Count."""
        self._totals.ended(node.name)

    def waiting(self, node: Node, who: str) -> None:
        """Say who is waited for."""
        self.say(f"{node.group}: waiting for {who}, which builds the same")

    def result(self, result: KernelResult) -> None:
        """Say what became of a kernel; hits are only counted."""
        self._totals.result(result)
        if result.status == "hit" or result.status == "skipped":
            return
        about = f"[{self._totals.done}/{self._totals.kernels}] {result.kernel.group} {result.status}"
        if result.status == "built":
            about += f" in {duration(result.seconds)}: {result.because}"
        elif result.error is not None:
            about += f": {result.error.what}"
        self.say(about)

    def tick(self) -> None:
        """Say the totals when nothing was said for long."""
        if time.monotonic() - self._spoke > QUIET_SECONDS:
            self.say(self._totals.line())

    def say(self, text: str) -> None:
        """Write a line."""
        self._spoke = time.monotonic()
        self._stream.write(f"{text}\n")
        self._stream.flush()


class LiveProgress(PlainProgress):
    """One live line per running job and one with the totals; lines that stay scroll above them."""

    def __init__(self, kernels: int, jobs: int) -> None:
        super().__init__(kernels, jobs)
        from rich.console import Console
        from rich.live import Live

        self._running: dict[str, tuple[Node, float]] = {}
        self._console = Console(stderr=True, highlight=False, soft_wrap=False)
        self._live = Live(
            console=self._console, transient=True, refresh_per_second=8, get_renderable=self._draw
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, node: Node, expected_seconds: float) -> None:
        """Add a line."""
        self._running[node.name] = (node, time.monotonic())

    def ended(self, node: Node, outcome: Outcome) -> None:
        """Remove a line."""
        super().ended(node, outcome)
        self._running.pop(node.name, None)

    def tick(self) -> None:
        """Do nothing: the display draws itself."""

    def say(self, text: str) -> None:
        """Write a line above the live ones."""
        self._console.print(text, markup=False)

    def _draw(self) -> Any:
        from rich.text import Text

        now = time.monotonic()
        lines = [
            f"  {duration(now - began):>6}  {node.action.kind:<13}{node.group}"
            for node, began in list(self._running.values())
        ]
        # A line that wrapped would break the display: cut it at the width.
        width = max(20, self._console.width - 1)
        return Text("\n".join(line[:width] for line in [*lines, self._totals.line()]), no_wrap=True)


def make_progress(kernels: int, jobs: int) -> PlainProgress:
    """Return the progress that suits standard error."""
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
    return LiveProgress(kernels, jobs) if live else PlainProgress(kernels, jobs)


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: int) -> str:
    """Return a number of bytes as a person says it: 512 B, 14 kB, 3.2 MB."""
    if count < 1000:
        return f"{count} B"
    value, unit = count / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 9.95 else f"{value:.1f} {unit}"
