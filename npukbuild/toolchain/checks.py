"""One check of the doctor and its three outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check's outcome: what was found, and one fix when it is not well."""

    name: str
    state: Literal["pass", "warn", "fail"]
    says: str
    fix: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {"name": self.name, "state": self.state, "says": self.says, "fix": self.fix}


def passed(name: str, says: str) -> Check:
    """Return a check that is well."""
    return Check(name=name, state="pass", says=says)


def warned(name: str, says: str, fix: str) -> Check:
    """Return a check that limits what can be done here."""
    return Check(name=name, state="warn", says=says, fix=fix)


def failed(name: str, says: str, fix: str) -> Check:
    """Return a check that stands in the way."""
    return Check(name=name, state="fail", says=says, fix=fix)
