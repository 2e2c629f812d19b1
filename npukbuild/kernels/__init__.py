"""Kernel families by name: our own, and those that other packages bring along.

A family is the class of its requests: a frozen dataclass with ``family``, ``name`` and ``as_dict``. A package
adds one with an entry point in the group ``npukbuild.families`` whose name is the family's.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

from npukbuild.errors import RequestError

ENTRY_POINT_GROUP = "npukbuild.families"

_BUILT_IN: dict[str, str] = {"matmul": "npukbuild.kernels.matmul:MatmulProblem"}


class Problem(Protocol):
    """What every family's request offers."""

    @property
    def family(self) -> str:
        """Name of the family."""

    @property
    def name(self) -> str:
        """Name of the kernel, also of its folder."""

    def as_dict(self) -> dict[str, Any]:
        """Return the request as plain data."""


def families() -> tuple[str, ...]:
    """Return the names of all families, our own first."""
    return (*_BUILT_IN, *sorted(set(_third_party()) - set(_BUILT_IN)))


def family(name: str) -> type[Problem]:
    """Return the request class of the family ``name``.

    Raises:
        RequestError: No such family, or the package that brings it cannot be imported.
    """
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        return cast("type[Problem]", getattr(import_module(module), attribute))
    entry = _third_party().get(name)
    if entry is None:
        raise RequestError(f"unknown kernel family {name!r}", why=f"known families: {', '.join(families())}")
    try:
        return cast("type[Problem]", entry.load())
    except Exception as error:
        raise RequestError(
            f"the kernel family {name!r} cannot be loaded",
            where=entry.value,
            why=f"{type(error).__name__}: {error}",
            hint="reinstall or remove the package that brings it",
        ) from error


def _third_party() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
