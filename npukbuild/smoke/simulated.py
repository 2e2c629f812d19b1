"""The simulator as a device of the check harness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from npukbuild.ir.design import Design
    from npukbuild.simulator.kernel_library import KernelLibrary


class SimulatedKernel:
    """A design loaded on the embedded simulator with its core functions compiled for the host."""

    device = "simulator"

    def __init__(self, design: Design, library: KernelLibrary) -> None:
        from npukbuild.simulator import Simulator

        self._simulator = Simulator(design, library)

    def call(self, arguments: Sequence[NDArray[Any]]) -> float:
        """Run the whole design once and return the simulated microseconds."""
        return float(self._simulator.run(list(arguments)).microseconds)
