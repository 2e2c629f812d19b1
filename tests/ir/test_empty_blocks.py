"""Braces with nothing between them: read where that means something, else refused with the line."""

from __future__ import annotations

import pytest

from npukbuild.errors import DesignError
from npukbuild.ir import load_design

SHIM = "%t = aie.tile(0, 0)\n"
CORE = "%t = aie.tile(0, 2)\n"


@pytest.mark.parametrize(
    "inside",
    [
        "",
        CORE + "aie.core(%t) { }",
        CORE + "aie.mem(%t) { }",
        "aie.runtime_sequence() { }",
        "aie.bd_chain @x() { }",
        CORE + "aie.trace @t(%t) { }",
    ],
    ids=["device", "core", "DMA program", "sequence", "chain", "trace"],
)
def test_an_empty_block_that_means_nothing_to_do(inside: str) -> None:
    load_design(f"aie.device(npu1) {{\n{inside}\n}}")


def test_the_quoted_form_of_an_empty_device() -> None:
    assert load_design('"aie.device"() ({}) {device = "npu1"} : () -> ()').device == "npu1"


@pytest.mark.parametrize(
    ("inside", "line", "told"),
    [
        (CORE + "aie.mem(%t) { aie.dma(S2MM, 0) [{ }]\naie.end }", 3, "a block of aie.dma has no descriptor"),
        (
            SHIM + "aie.runtime_sequence(%a: memref<4xi32>) {\n"
            "%x = aiex.dma_configure_task(%t, MM2S, 0) { }\n}",
            4,
            "a task's block needs one descriptor, has 0",
        ),
        ("aie.packet_flow(1) { }", 2, "a packet flow needs a source and a destination"),
    ],
)
def test_an_empty_block_that_lacks_something(inside: str, line: int, told: str) -> None:
    with pytest.raises(DesignError, match=told) as caught:
        load_design(f"aie.device(npu1) {{\n{inside}\n}}")
    assert f":{line}:" in str(caught.value.where)
