"""All mistakes of a design, gathered and raised together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from npukbuild.errors import DesignError

if TYPE_CHECKING:
    from npukbuild.ir.design import Location


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule: what, where, why with numbers, what to do."""

    what: str
    loc: Location | None = None
    why: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.loc}: {self.what}" if self.loc else self.what
        return f"{text}: {self.why}" if self.why else text


@dataclass
class Problems:
    """A collector; errors stop the lowering at the next :meth:`check`, warnings stay with the design."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(
        self, what: str, loc: Location | None = None, *, why: str | None = None, hint: str | None = None
    ) -> None:
        """Add a mistake."""
        problem = Problem(what, loc, why, hint)
        if problem not in self.errors:
            self.errors.append(problem)

    def warn(self, what: str, loc: Location | None = None, *, why: str | None = None) -> None:
        """Add something that is legal and probably not meant."""
        problem = Problem(what, loc, why)
        if problem not in self.warnings:
            self.warnings.append(problem)

    def check(self) -> None:
        """Raise all mistakes so far.

        Raises:
            DesignError: The first mistake in the text's order, the others in ``details``.
        """
        if not self.errors:
            return
        ordered = sorted(self.errors, key=lambda problem: problem.loc.line if problem.loc else 1 << 30)
        first = ordered[0]
        raise DesignError(
            first.what,
            where=str(first.loc) if first.loc else None,
            why=first.why,
            hint=first.hint,
            details=[str(problem) for problem in ordered[1:]],
        )
