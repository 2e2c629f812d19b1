"""Tiles without a place: where the compiler's sequential placer puts them, and what has no place."""

from __future__ import annotations

import numpy as np
import pytest

from npukbuild.errors import DesignError
from npukbuild.ir import load_design, read_design
from npukbuild.ir.dialects.aie_ops import LogicalTileOp
from npukbuild.ir.lowering.collect import collect
from npukbuild.simulator import Simulator


def tile(name: str, kind: str, place: str = "?, ?") -> str:
    return f"%{name} = aie.logical_tile<{kind}>({place})\n"


def fifo(name: str, source: str, *targets: str) -> str:
    ends = ", ".join(f"%{target}" for target in targets)
    return f"aie.objectfifo @{name}(%{source}, {{{ends}}}, 2 : i32) : !aie.objectfifo<memref<16xi32>>\n"


def link(sources: str, targets: str, offsets: str = "([] [])") -> str:
    return f"aie.objectfifo.link [{sources}] -> [{targets}] {offsets}\n"


def places(text: str, device: str = "npu2") -> dict[str, str]:
    module = read_design(f"aie.device({device}) {{\n{text}}}")
    state = collect(module)
    return {
        op.results[0].name_hint or "": str(state.tiles[op.results[0]])
        for op in module.walk()
        if isinstance(op, LogicalTileOp)
    }


def test_cores_fill_columns_and_the_given_places_are_kept_free() -> None:
    text = "".join(
        tile(f"c{n}", "CoreTile", place)
        for n, place in enumerate(("?, ?", "0, 3", "?, ?", "?, ?", "?, ?", "2, ?", "?, 4", "?, ?"))
    )
    assert list(places(text).values()) == [
        "(0,2)", "(0,3)", "(0,4)", "(0,5)", "(1,2)", "(2,2)", "(1,4)", "(1,5)",
    ]  # fmt: skip


def test_others_go_to_the_middle_of_their_cores_and_share_a_tile() -> None:
    text = tile("a", "CoreTile", "0, 2") + tile("b", "CoreTile", "3, 2")
    text += "".join(tile(name, "ShimNOCTile") for name in ("s", "t")) + tile("m", "MemTile")
    text += fifo("x", "s", "m") + fifo("y", "m", "a", "b") + link("@x", "@y") + fifo("z", "b", "t")
    assert places(text) == {"a": "(0,2)", "b": "(3,2)", "s": "(2,0)", "m": "(2,1)", "t": "(3,0)"}


def test_a_tile_without_channels_left_makes_way_to_the_east() -> None:
    text = "".join(tile(f"c{n}", "CoreTile") for n in range(3))
    text += "".join(tile(f"s{n}", "ShimNOCTile") for n in range(3))
    text += "".join(fifo(f"x{n}", f"s{n}", f"c{n}") for n in range(3))
    # fifos are visited in the order of a hash table: 0, 2, 1
    assert [places(text)[f"s{n}"] for n in range(3)] == ["(0,0)", "(1,0)", "(0,0)"]


def test_a_column_that_is_given_is_where_the_search_begins() -> None:
    text = tile("c", "CoreTile") + tile("m", "MemTile", "2, ?") + tile("s", "ShimNOCTile", "3, ?")
    text += fifo("x", "s", "m") + fifo("y", "m", "c") + link("@x", "@y")
    assert places(text) == {"c": "(0,2)", "m": "(2,1)", "s": "(3,0)"}


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("".join(tile(f"c{n}", "CoreTile") for n in range(5)), 6, "no core tile is left for it"),
        (tile("c", "CoreTile", "0, 7"), 2, "npu1_1col has no core tile (0,7)"),
        (tile("m", "MemTile", "0, 2"), 2, "npu1_1col has no mem tile (0,2)"),
        (tile("c", "CoreTile", "1, ?"), 2, "no core tile is left for it"),
        (tile("p", "ShimPLTile"), 2, "tiles of type ShimPLTile have no place"),
        (
            tile("c", "CoreTile")
            + "".join(tile(f"s{n}", "ShimNOCTile") for n in range(3))
            + "".join(fifo(f"x{n}", f"s{n}", "c") for n in range(3)),
            2,
            "tile (0,2) has too few DMA channels",
        ),
        (
            "".join(tile(f"c{n}", "CoreTile") for n in range(3))
            + "".join(tile(f"s{n}", "ShimNOCTile") for n in range(3))
            + "".join(fifo(f"x{n}", f"s{n}", f"c{n}") for n in range(3)),
            6,
            "no shim tile has enough DMA channels for it",
        ),
    ],
)
def test_what_has_no_place_is_told_with_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(DesignError, match=r"aie\.logical_tile gets no place") as caught:
        places(text, "npu1_1col")
    assert why in str(caught.value.why)
    assert f":{line}:" in str(caught.value.where)


def test_a_design_of_logical_tiles_runs() -> None:
    body = """%c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %many = arith.constant 1000000 : index
  scf.for %n = %c0 to %many step %c1 {
    %i = aie.objectfifo.acquire @y(Consume, 1) : memref<16xi32>
    %o = aie.objectfifo.acquire @z(Produce, 1) : memref<16xi32>
    scf.for %j = %c0 to %c16 step %c1 {
      %v = memref.load %i[%j] : memref<16xi32>
      %w = arith.addi %v, %v : i32
      memref.store %w, %o[%j] : memref<16xi32>
    }
    aie.objectfifo.release @y(Consume, 1)
    aie.objectfifo.release @z(Produce, 1)
  }
  aie.end"""
    text = tile("s", "ShimNOCTile") + tile("m", "MemTile") + tile("c", "CoreTile") + tile("t", "ShimNOCTile")
    text += fifo("x", "s", "m") + fifo("y", "m", "c") + link("@x", "@y") + fifo("z", "c", "t")
    text += f"aie.core(%c) {{\n{body}\n}}\n"
    text += """aie.runtime_sequence(%a: memref<64xi32>, %b: memref<64xi32>) {
  %u = aiex.dma_configure_task_for @x { aie.dma_bd(%a : memref<64xi32>, 0, 64) aie.end }
  %v = aiex.dma_configure_task_for @z { aie.dma_bd(%b : memref<64xi32>, 0, 64) aie.end } {issue_token = true}
  aiex.dma_start_task(%u)
  aiex.dma_start_task(%v)
  aiex.dma_await_task(%v)
}
"""
    design = load_design(f"aie.device(npu1) {{\n{text}}}")
    assert [str(one) for one in design.tiles] == ["(0,0)", "(0,1)", "(0,2)"]
    given, got = np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    assert Simulator(design).run([given, got]).warnings == ()
    assert (got == 2 * given).all()
