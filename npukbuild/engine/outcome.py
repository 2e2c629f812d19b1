"""What becomes of an action, and who is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from npukbuild.engine.graph import Node
    from npukbuild.engine.store import Blob
    from npukbuild.errors import NpukbuildError

Status = Literal["built", "hit", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a node.

    Attributes:
        status: ``built`` ran now, ``hit`` was kept, ``failed``, ``skipped`` because something it needs
            failed.
        base: What the key was made of beforehand.
        found: Inputs found on the way and their states.
        outputs: Name -> verified content.
        key: The full key, empty when it has none.
        seconds: Wall time of its run; for a hit, of the run that made it.
        source: ``local`` or ``shared`` for hits.
        error: Why it failed.
        folder: Where a failed action's work folder and log are.
    """

    status: Status
    base: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Blob] = field(default_factory=dict)
    key: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    source: str = ""
    error: NpukbuildError | None = None
    folder: Path | None = None
    steady: bool = True


class Reporter(Protocol):
    """Told of everything that a person may want to see."""

    def begin(self, expected: Mapping[str, float]) -> None:
        """Tell every node's name with its expected seconds, before anything runs."""

    def started(self, node: Node, expected_seconds: float) -> None:
        """Tell that an action began to run."""

    def ended(self, node: Node, outcome: Outcome) -> None:
        """Tell that a node has its outcome."""

    def waiting(self, node: Node, who: str) -> None:
        """Tell that another process works on the same action."""

    def tick(self) -> None:
        """Be called now and then."""


class Silent:
    """A reporter that says nothing."""

    def begin(self, expected: Mapping[str, float]) -> None:
        """Say nothing."""

    def started(self, node: Node, expected_seconds: float) -> None:
        """Say nothing."""

    def ended(self, node: Node, outcome: Outcome) -> None:
        """Say nothing."""

    def waiting(self, node: Node, who: str) -> None:
        """Say nothing."""

    def tick(self) -> None:
        """Say nothing."""
