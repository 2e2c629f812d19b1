"""The embedded NPU: executes lowered designs with core functions compiled for the host.

``Simulator(design, kernels).run(args)`` is the whole of it; see :mod:`npukbuild.simulator.simulator`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npukbuild.simulator.result import RunResult
    from npukbuild.simulator.simulator import Simulator

__all__ = ["RunResult", "Simulator"]


def __getattr__(name: str) -> Any:
    """Import the engine only when it is used."""
    if name == "Simulator":
        from npukbuild.simulator.simulator import Simulator

        return Simulator
    if name == "RunResult":
        from npukbuild.simulator.result import RunResult

        return RunResult
    raise AttributeError(name)
