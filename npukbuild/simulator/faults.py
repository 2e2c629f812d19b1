"""Making of faults: what, where in the design, why, hint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.errors import SimulationFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.ir.design import Location


def fault(
    what: str,
    *,
    loc: Location | None = None,
    why: str | None = None,
    hint: str | None = None,
    details: Sequence[str] = (),
) -> SimulationFault:
    """Return a fault that names its place in the design."""
    return SimulationFault(what, where=str(loc) if loc else None, why=why, hint=hint, details=details)


def at(loc: Location | None) -> str:
    """Return `` (design:12)``, or nothing when the place is unknown."""
    return f" ({loc})" if loc else ""
