"""Core functions that the kernels have not are named."""

from __future__ import annotations

import pytest

from npukbuild.errors import SimulationFault
from npukbuild.simulator import Simulator
from tests.simulator.designs import load, one_core
from tests.simulator.faulty import NothingKernels


def test_a_missing_core_function_is_named() -> None:
    text = one_core(
        "func.call @nosuch(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()",
        extra="func.func private @nosuch(memref<64xi32>, memref<64xi32>)",
    )
    with pytest.raises(SimulationFault, match="nosuch is not in the kernels"):
        Simulator(load(text))


def test_all_missing_core_functions_are_named_at_once() -> None:
    call = "func.call {}(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()"
    declared = "func.func private {}(memref<64xi32>, memref<64xi32>)"
    text = one_core(
        "\n".join(call.format(name) for name in ("@nosuch", "@norsuch", "@nosuch", "@kern")),
        extra="\n".join(declared.format(name) for name in ("@nosuch", "@norsuch", "@kern")),
    )
    with pytest.raises(SimulationFault, match="nosuch is not in the kernels") as caught:
        Simulator(load(text), NothingKernels())
    (other,) = caught.value.details
    assert "norsuch is not there either" in other
    assert "core (0,2) calls it" in other
