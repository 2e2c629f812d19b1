"""Blocks that a core uses wrongly are found: views outside a buffer, no lock, a DMA in the middle of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.errors import SimulationFault
from npukbuild.simulator import Simulator
from npukbuild.simulator.hostcc import compile_kernels
from npukbuild.simulator.kernel_library import KernelLibrary
from tests.simulator.designs import COPY, PASS, load, one_core
from tests.simulator.faulty import TWO_CHANNELS, fault_of, line_of
from tests.simulator.test_simulate_command import CASCADE

if TYPE_CHECKING:
    from collections.abc import Callable

VIEW = "%s = memref.subview %x[{}] [{}] [{}] : memref<64xi32> to memref<{}xi32, strided<[{}], offset: {}>>"
CALL = "func.call @{}(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()"
DECLARED = "func.func private @{}(memref<64xi32>, memref<64xi32>)"
FILLS = {"k": (0, 64), "past": (0, 65), "before": (-3, 64), "far": (0, 200), "over": (96, 97)}


@pytest.fixture(scope="module")
def fills(tmp_path_factory: pytest.TempPathFactory) -> KernelLibrary:
    """Core functions that write from one element of their output to another."""
    folder = tmp_path_factory.mktemp("fills")
    source = folder / "fills.cc"
    source.write_text(
        "".join(
            f'extern "C" void {name}(const int *x, int *y) '
            f"{{ for (int i = {first}; i < {last}; i++) y[i] = x[i & 63]; }}\n"
            for name, (first, last) in FILLS.items()
        )
    )
    return KernelLibrary(compile_kernels([source], arch="aie2", output=folder / "fills.so"))


@pytest.mark.parametrize(
    ("offset", "size", "stride"), [(32, 64, 1), (0, 33, 2), (8, 16, -1)], ids=["long", "strided", "backwards"]
)
def test_a_view_outside_its_block(offset: int, size: int, stride: int) -> None:
    text = one_core(VIEW.format(offset, size, stride, size, stride, offset) + "\n" + COPY)
    fault = fault_of(text)
    assert fault.what == "a subview of x_cons_buff_0 lies outside it"
    assert (fault.where or "").startswith(f"design.mlir:{line_of(text, 'memref.subview')}")
    assert f"offsets [{offset}], sizes [{size}], strides [{stride}] in 64" in (fault.why or "")
    assert "must stay" in (fault.hint or "")


@pytest.mark.parametrize(("stride", "said"), [(1, "elements 8..67"), (-1, "elements -51..8")])
def test_a_cast_to_more_than_there_is(stride: int, said: str) -> None:
    cast = f"%s = memref.reinterpret_cast %x to offset: [8], sizes: [60], strides: [{stride}]"
    text = one_core(f"{cast} : memref<64xi32> to memref<60xi32, strided<[{stride}], offset: 8>>\n{COPY}")
    fault = fault_of(text)
    assert fault.what == "a cast of x_cons_buff_0 reaches outside it"
    assert fault.why == f"it names {said} of i32, the buffer has 256 bytes"


@pytest.mark.parametrize(
    ("fifo", "port", "use"), [("x", "Consume", "memref.load"), ("y", "Produce", "memref.store")]
)
def test_a_block_that_was_given_on(fifo: str, port: str, use: str) -> None:
    release = f"aie.objectfifo.release @{fifo}({port}, 1)\n"
    text = one_core(core=PASS.replace(release, "").replace("BODY", release + COPY))
    fault = fault_of(text)
    assert f"object of fifo {fifo}" in fault.what
    assert "without holding its lock" in fault.what
    assert (fault.where or "").startswith(f"design.mlir:{line_of(text, use)}")


@pytest.mark.parametrize("beside", [False, True])
def test_a_core_function_on_a_block_that_was_given_on(fills: KernelLibrary, beside: bool) -> None:
    release = "aie.objectfifo.release @x(Consume, 1)\n"
    text = one_core(
        core=PASS.replace(release, "").replace("BODY", release + CALL.format("k")), extra=DECLARED.format("k")
    )
    fault = fault_of(text, fills, beside=beside)
    assert "object of fifo x" in fault.what
    assert "without holding its lock" in fault.what
    assert (fault.where or "").startswith(f"design.mlir:{line_of(text, 'func.call')}")


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("past", "past the end: it reached at least 4 bytes behind y_buff_0"),
        ("before", "before the start: it reached at least 12 bytes before y_buff_0"),
        ("far", "past the end: it reached at least 544 bytes behind y_buff_0"),
    ],
)
def test_a_core_function_that_writes_beyond_its_block_says_how_far(
    fills: KernelLibrary, name: str, said: str, beside: bool
) -> None:
    fault = fault_of(one_core(CALL.format(name), extra=DECLARED.format(name)), fills, beside=beside)
    side, _, far = said.partition(": ")
    assert fault.what == f"core function {name} writes {side} of its block"
    assert (fault.why or "").startswith(far)


USE = """%c = aie.core(%core) {
    %c0 = arith.constant 0 : index
    %one = arith.constant 1 : i32
    USE
    aie.end
  }
  %m = aie.mem"""


@pytest.mark.parametrize(
    "use", ["%v = memref.load %b[%c0] : memref<64xi32>", "memref.store %one, %b[%c0] : memref<64xi32>"]
)
def test_a_core_that_uses_a_buffer_while_a_dma_fills_it(use: str) -> None:
    text = TWO_CHANNELS.replace("OFFSET", "32").replace("%m = aie.mem", USE.replace("USE", use))
    text = text.replace("%1 = aie.dma_start(S2MM, 1, ^other, ^end)", "aie.end")
    text = text[: text.index("  ^other")] + text[text.index("  ^end") :]
    fault = fault_of(text)
    assert fault.what == "a core uses buffer b of (0,2) while (0,2) S2MM 0 writes it"
    assert (fault.where or "").startswith(f"design.mlir:{line_of(text, use)}")
    assert f"(design.mlir:{line_of(text, 'aie.dma_bd(%b')}:" in (fault.why or "")
    assert "has begun and is not finished: 0 of 256 bytes" in (fault.why or "")
    assert "acquire the lock that the DMA releases" in (fault.hint or "")


def test_a_core_function_with_an_argument_that_no_core_function_has(fills: KernelLibrary) -> None:
    text = one_core(
        "%z = arith.constant 0.0 : f64\n func.call @k(%x, %z) : (memref<64xi32>, f64) -> ()",
        extra="func.func private @k(memref<64xi32>, f64)",
    )
    with pytest.raises(
        SimulationFault, match="core function k has an argument or result of type f64"
    ) as caught:
        Simulator(load(text), fills)
    assert (caught.value.where or "").startswith(f"design.mlir:{line_of(text, 'func.func')}")


def test_a_dma_channel_that_the_tile_has_not() -> None:
    text = TWO_CHANNELS.replace("OFFSET", "32").replace("%core, DMA : 1)", "%core, DMA : 7)")
    fault = fault_of_making(text)
    assert fault.what == "(0,2) has no DMA channel S2MM 7"
    assert fault.why == "a core tile has 2, numbered from 0"


def test_two_circuits_into_one_channel() -> None:
    text = TWO_CHANNELS.replace("OFFSET", "32").replace("%core, DMA : 1)", "%core, DMA : 0)")
    fault = fault_of_making(text)
    assert fault.what == "two streams end at (0,2) S2MM 0"
    assert (fault.where or "").startswith(f"design.mlir:{line_of(text, 'aie.flow(%shim, DMA : 1')}")


def fault_of_making(text: str) -> SimulationFault:
    with pytest.raises(SimulationFault) as caught:
        Simulator(load(text))
    return caught.value


def test_a_vector_that_reaches_past_its_buffer() -> None:
    load = "%far = arith.constant 56 : index\n %w16 = vector.load %x[%far] : memref<64xi32>, vector<16xi32>\n"
    text = one_core(load + COPY)
    fault = fault_of(text)
    assert fault.what == "a core accesses x_cons_buff_0 of (0,2) outside its bounds"
    assert fault.why == "a vector of 16 at [56] of a block of 64"
    assert (fault.where or "").startswith(f"design.mlir:{line_of(text, 'vector.load')}")


@pytest.mark.parametrize("beside", [False, True])
def test_a_core_function_that_writes_far_from_its_block_is_found_when_the_call_ends(
    fills: KernelLibrary, beside: bool
) -> None:
    text = one_core(
        f"{CALL.format('k')}\n{CALL.format('over')}",
        extra=f"{DECLARED.format('k')}\n{DECLARED.format('over')}",
    )
    fault = fault_of(text, fills, beside=beside)
    assert fault.what.startswith("something wrote outside buffer y_buff_")
    assert "guard bytes around it were overwritten (memref<64xi32>)" in (fault.why or "")


def test_a_core_function_with_a_cascade_that_writes_beyond_its_block(
    compile_cc: Callable[[str], Any],
) -> None:
    kernels = compile_cc(
        "#include <aie_api/aie.hpp>\n"
        'extern "C" void give(int *x) { put_mcd(aie::load_v<16>(x)); }\n'
        'extern "C" void take(int *y) { aie::store_v(y + 56, get_scd_v16int32()); }\n'
    )
    fault = fault_of(CASCADE, kernels)
    assert fault.what == "core function take writes past the end of its block"
    assert (fault.why or "").startswith("it reached at least 32 bytes behind y_buff_0")
