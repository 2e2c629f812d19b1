"""Unusual forms that designs on real arrays rely on: they run, with the right numbers and no warning."""

from __future__ import annotations

import numpy as np
import pytest

from npukbuild.errors import DesignError
from npukbuild.ir import load_design
from tests.simulator.combined import adder, call, device, fifo, move, wait


def _move(argument: str, name: str, count: int, ident: int, offset: int = 0) -> str:
    return move(argument, name, count, ident, offset).replace("memref<{}x", "memref<64x")


LINKS = [
    "aie.objectfifo.link [@big] -> [@in] ([] [])",
    "aie.objectfifo.link [@out] -> [@all] ([] [])",
]
TOKEN = "issue_token = true, metadata = @"


def _through_memtiles(sizes: tuple[int, int]) -> str:
    """Host to memtile in objects of one size, on to a core and back in objects of another."""
    outer, inner = sizes
    parts = [
        fifo("big", "s0", "%m0", "2 : i32", outer),
        fifo("in", "m0", "%c0_2", "2 : i32", inner),
        fifo("out", "c0_2", "%m0", "2 : i32", inner),
        fifo("all", "m0", "%s0", "2 : i32", outer),
        *LINKS,
        adder("c0_2", "in", "out", inner, 1),
    ]
    moves = [move("X", "big", 64, 0).replace("metadata = @", TOKEN), move("Y", "all", 64, 1), wait("all")]
    return device(parts, moves, {"X": 64, "Y": 64})


@pytest.mark.parametrize("sizes", [(16, 8), (8, 16)], ids=["cut", "merged"])
def test_a_link_cuts_and_merges_objects_and_tokens_nobody_wants_stay(sizes: tuple[int, int]) -> None:
    x, y = np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    call(_through_memtiles(sizes), x, y)
    assert (y == x + 1).all()


def test_tokens_left_on_a_channel_that_is_waited_for_are_told() -> None:
    whole = _move("X", "big", 64, 0).replace("metadata = @", TOKEN)
    halves = [_move("X", "big", 32, 2 * n, 32 * n).replace("metadata = @", TOKEN) for n in range(2)]
    before = _through_memtiles((16, 8))
    text = before.replace(whole, "\n".join(halves)).replace(wait("all"), wait("big", "all"))
    x, y = np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    call(text, x, y, warnings=("1 completion tokens of (0,0) MM2S 0 were not collected",))
    assert whole in before
    assert (y == x + 1).all()


def _reordered(layout: str, kind: str = "i16") -> str:
    parts = [
        fifo("x", "s0", "%m0", "2 : i32", 32, kind=kind),
        fifo("a", f"m0 dimensionsToStream [{layout}]", "%c0_2", "2 : i32", 32, kind=kind),
        "aie.objectfifo.link [@x] -> [@a] ([] [])",
        fifo("y", "c0_2", "%s0", "2 : i32", 32, kind=kind),
        adder("c0_2", "a", "y", 32, 3, kind),
    ]
    moves = [move("X", "x", 64, 0, kind=kind), move("Y", "y", 64, 1, kind=kind), wait("y")]
    return device(parts, moves, {"X": 64, "Y": 64}, kind)


def test_a_layout_that_reorders_nothing_may_end_inside_a_word() -> None:
    layout = "<size = 8, stride = 4>, <size = 4, stride = 1>, <size = 1, stride = 4>, <size = 1, stride = 1>"
    x, y = np.arange(64, dtype=np.int16), np.zeros(64, np.int16)
    call(_reordered(layout), x, y)
    assert (y == x + 3).all()


def test_a_layout_that_splits_words_is_refused() -> None:
    transpose = "<size = 4, stride = 1>, <size = 8, stride = 4>, <size = 1, stride = 1>"
    with pytest.raises(DesignError, match="innermost run of 1 i16 is 2 bytes"):
        load_design(_reordered(transpose))
    six = "<size = 8, stride = 6>, <size = 6, stride = 1>"  # one run, but wraps of 1 and 8 words
    text = _reordered(six, "i8").replace("32xi8", "48xi8").replace("%c32 ", "%c48 ")
    with pytest.raises(DesignError, match="innermost run of 6 i8 is 6 bytes"):
        load_design(text)
