"""The XCLBIN container and the instruction stream: read, verify, normalise, compare, decode.

Everything here works on bytes that may be damaged or hostile: each offset and count is checked against the
bytes that exist, and the only exception that leaves is :class:`~npukbuild.errors.ContainerError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npukbuild.xclbin.compare import Difference, diff
    from npukbuild.xclbin.container import Container, Header, Section, read
    from npukbuild.xclbin.fault import Fault
    from npukbuild.xclbin.identity import Identity, normalise
    from npukbuild.xclbin.report import inspect
    from npukbuild.xclbin.verification import verify

_HOME = {
    "Container": "container",
    "Difference": "compare",
    "Fault": "fault",
    "Header": "container",
    "Identity": "identity",
    "Section": "container",
    "diff": "compare",
    "inspect": "report",
    "normalise": "identity",
    "read": "container",
    "verify": "verification",
}

__all__ = [
    "Container",
    "Difference",
    "Fault",
    "Header",
    "Identity",
    "Section",
    "diff",
    "inspect",
    "normalise",
    "read",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import the module behind ``name`` at its first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"npukbuild.xclbin.{_HOME[name]}"), name)
    globals()[name] = value
    return value
