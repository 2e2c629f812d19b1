"""Build, simulate, check and publish kernels for AMD Ryzen AI NPUs.

The names an application imports live here; each is loaded when it is first asked for, so that
``import npukbuild`` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # spelled out: importing typing takes as long as half the interpreter's start
if TYPE_CHECKING:
    from typing import Any

    from npukbuild.runtime.matmul import Matmul
    from npukbuild.runtime.select import load

__version__ = "0.1.0"
__all__ = ["Matmul", "__version__", "load"]

_HOMES = {"load": "npukbuild.runtime.select", "Matmul": "npukbuild.runtime.matmul"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
