"""Semantic differences of two containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.errors import ContainerError
from npukbuild.xclbin.identity import blank
from npukbuild.xclbin.report import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npukbuild.xclbin.container import Container


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs; None on the side that does not have it."""

    path: str
    left: Any
    right: Any

    def as_dict(self) -> dict[str, Any]:
        """Return the difference as plain data."""
        return {"path": self.path, "left": self.left, "right": self.right}


def diff(left: Container, right: Container, *, identity: bool = False) -> list[Difference]:
    """Compare what two containers hold.

    Args:
        left: One container.
        right: The other.
        identity: Compare UUIDs, unique ids and time stamps as well, which differ from build to build.

    Returns:
        The fields that differ, by path (``kernels[0].arguments[3].type``). Empty means the same in every
        byte that is compared.
    """
    if not identity:
        left, right = _blanked(left), _blanked(right)
    if left.to_bytes() == right.to_bytes():
        return []
    ours, theirs = inspect(left), inspect(right)
    # Offsets and the mirror follow from the rest: they are named only where nothing else differs.
    found = _compare(_meaning(ours), _meaning(theirs)) or _compare(ours, theirs)
    # Nothing described differs, yet the bytes do: reserved fields, or bytes between the sections.
    return found or [Difference("reserved fields or bytes between sections", "differ", "differ")]


def _compare(left: dict[str, Any], right: dict[str, Any]) -> list[Difference]:
    ours, theirs = dict(_flatten(left)), dict(_flatten(right))
    return [
        Difference(path, ours.get(path), theirs.get(path))
        for path in dict.fromkeys([*ours, *theirs])
        if ours.get(path) != theirs.get(path)
    ]


def _meaning(report: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only says where things lie; sections by kind, not by place in the table."""
    out = {key: value for key, value in report.items() if key not in ("mirror", "sections")}
    out["format"] = {k: v for k, v in report["format"].items() if k not in ("file_bytes", "length")}
    sections: dict[str, Any] = {}
    for section in report["sections"]:
        rows = sections.setdefault(section["kind"], [])
        rows.append({"bytes": section["bytes"], "sha256": section["sha256"], "name": section["name"]})
    return out | {"sections": sections}


def _blanked(container: Container) -> Container:
    """Blank the identity, or leave a container as it is that is too damaged for it."""
    try:
        return blank(container)
    except ContainerError:
        return container


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _flatten(inner, f"{path}[{index}]")
    else:
        yield path, value
