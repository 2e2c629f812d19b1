"""One fault of a container, as :func:`npukbuild.xclbin.verify` lists them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from npukbuild.errors import ContainerError

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a container.

    ``error``: it cannot be loaded or run as it is, or is damaged. ``warning``: it loads and may misbehave.
    ``note``: worth knowing. ``code`` is stable and names the kind of fault.
    """

    severity: Severity
    code: str
    where: str
    what: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fault as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.what} [{self.code}]"


def one_line(error: ContainerError) -> str:
    """Put an error's parts (but for the hint) on one line."""
    return "; ".join(part for part in (error.what, error.where, error.why) if part)
