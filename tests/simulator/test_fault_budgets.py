"""Whatever a design does, its simulation ends, with a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from npukbuild.errors import SimulationFault
from npukbuild.simulator import Simulator
from tests.simulator.designs import one_core
from tests.simulator.faulty import NothingKernels, broken, fault_of

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("timed", [False, True])
def test_a_core_that_spins_for_ever_ends_with_the_budget(timed: bool) -> None:
    core = """
      %c0 = arith.constant 0 : index
      %b1 = arith.constant true
      scf.while () : () -> () { scf.condition(%b1) } do { scf.yield }
    """
    fault = fault_of(one_core(core=core), timed=timed, max_us=200.0, max_events=20_000)
    assert "budget ran out" in fault.what
    assert "core (0,2)" in (fault.hint or "")
    assert "waits for (0,0) S2MM 0" in (fault.why or "")


def test_a_core_function_that_does_not_return(compile_cc: Callable[[str], Any]) -> None:
    kernels = compile_cc(
        'extern "C" void spin(int *x, int *y) { volatile int stop = 0; while (!stop) { } y[0] = x[0]; }'
    )
    text = one_core(
        "func.call @spin(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()",
        extra="func.func private @spin(memref<64xi32>, memref<64xi32>)",
    )
    fault = fault_of(text, kernels, max_seconds=0.3)
    assert fault.what == "core function spin on core (0,2) does not return"
    assert "given 0.3 s of real time; after 1 s of grace" in (fault.why or "")


def test_a_fault_stops_the_simulator_for_good() -> None:
    simulator = Simulator(broken("X9_short_input"), NothingKernels())
    args = [np.ones(8192, ml_dtypes.bfloat16), np.ones(8192, ml_dtypes.bfloat16)]
    with pytest.raises(SimulationFault):
        simulator.run(args)
    with pytest.raises(SimulationFault, match="stopped with a fault before"):
        simulator.run(args)
