"""Core functions that the kernels have not, and libraries that are none, are named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.errors import SimulationFault
from npukbuild.simulator import Simulator
from npukbuild.simulator.kernel_library import KernelLibrary
from tests.simulator.designs import call, load, one_core
from tests.simulator.faulty import NothingKernels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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


@pytest.mark.parametrize("beside", [False, True])
def test_a_core_function_that_uses_a_cascade_which_nobody_connected(
    beside: bool, compile_cc: Callable[[str], Any]
) -> None:
    kernels = compile_cc(
        '#include <aie_api/aie.hpp>\nextern "C" void give(int *x, int *y) { put_mcd(aie::load_v<16>(x)); }\n'
    )
    text = one_core(
        "func.call @give(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()",
        extra="func.func private @give(memref<64xi32>, memref<64xi32>)",
    )
    with pytest.raises(SimulationFault, match="uses a cascade that is not connected") as caught:
        call(text, kernels, beside=beside, differential=False)
    assert "core (0,2)" in caught.value.what
    assert "aie.cascade_flow" in (caught.value.hint or "")


def test_a_function_that_a_library_does_not_have_is_named_with_those_it_has(
    compile_cc: Callable[[str], Any],
) -> None:
    with pytest.raises(SimulationFault, match="the kernels define no function nope") as caught:
        compile_cc('extern "C" void one() {}\nextern "C" void two() {}').call("nope")
    assert "they define one, two" in (caught.value.why or "")


def test_a_library_that_is_none_and_one_for_another_machine(
    tmp_path: Path, compile_cc: Callable[[str], Any]
) -> None:
    text = tmp_path / "text.so"
    text.write_text("no library")
    with pytest.raises(SimulationFault, match="cannot read the kernel library"):
        KernelLibrary(text)
    good = compile_cc('extern "C" void k() {}')
    data = bytearray(good.path.read_bytes())
    data[18] = 0x28  # e_machine: 32-bit ARM
    other = tmp_path / "other.so"
    other.write_bytes(data)
    with pytest.raises(SimulationFault, match="cannot load the kernel library"):
        KernelLibrary(other)
    with pytest.raises(SimulationFault, match="takes too many arguments") as caught:
        good.bind("k", ["ptr"] * 17)
    assert "17 pointers and integers and 0 floats; at most 16 and 8" in (caught.value.why or "")


def test_a_core_function_with_a_c_plus_plus_name_is_named(compile_cc: Callable[[str], Any]) -> None:
    text = one_core(
        "func.call @kern(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()",
        extra="func.func private @kern(memref<64xi32>, memref<64xi32>)",
    )
    with pytest.raises(SimulationFault, match="kern is in the kernels under its C\\+\\+ name only") as caught:
        Simulator(load(text), compile_cc("void kern(int *x, int *y) { y[0] = x[0]; }"))
    assert "_Z4kern" in (caught.value.why or "")
    assert 'extern "C"' in (caught.value.hint or "")


def test_a_sequence_that_the_design_has_not_and_one_of_several() -> None:
    with pytest.raises(SimulationFault, match="no runtime sequence nosuch") as caught:
        Simulator(load(one_core()), sequence="nosuch")
    assert caught.value.why == "it has sequence"
    with pytest.raises(SimulationFault, match="the design has 0 runtime sequences"):
        Simulator(replace(load(one_core()), sequences={}))
