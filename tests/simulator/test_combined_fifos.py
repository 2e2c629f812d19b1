"""Objectfifos in unusual combinations, each against a model in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.simulator.combined import adder, adds, call, core, device, fifo, move, wait

RNG = np.random.default_rng(11)


def data(size: int, dtype: type = np.int32) -> np.ndarray:
    info = np.iinfo(dtype)
    return RNG.integers(max(info.min, -1000), min(info.max, 1000), size, endpoint=True).astype(dtype)


def test_distribute_of_unequal_parts_broadcast_with_depths_of_each_end_and_join() -> None:
    text = device(
        [
            fifo("x", "s0", "%m0", "2", 48),
            fifo("a", "m0", "%c0_2", "[2, 3]", 16),
            fifo("b", "m0", "%c0_3, %c0_4", "[2, 1, 4]", 32),
            "aie.objectfifo.link [@x] -> [@a, @b] ([] [0, 16])",
            fifo("oa", "c0_2", "%m0", "1", 16),
            fifo("ob", "c0_3", "%m0", "[3, 2]", 32),
            fifo("oc", "c0_4", "%m0", "2", 32),
            fifo("y", "m0", "%s0", "2", 80),
            "aie.objectfifo.link [@oa, @ob, @oc] -> [@y] ([0, 16, 48] [])",
            adder("c0_2", "a", "oa", 16, 1),
            adder("c0_3", "b", "ob", 32, 100),
            adder("c0_4", "b", "oc", 32, 1000),
        ],
        [move("X", "x", 48 * 7, 0), move("Y", "y", 80 * 7, 1), wait("y")],
        {"X": 48 * 7, "Y": 80 * 7},
    )
    x, y = data(48 * 7), np.zeros(80 * 7, np.int32)
    call(text, x, y)
    rows = x.reshape(7, 48)
    expected = np.concatenate([rows[:, :16] + 1, rows[:, 16:] + 100, rows[:, 16:] + 1000], 1)
    assert (y.reshape(7, 80) == expected).all()


def test_layouts_on_both_sides_of_a_stream() -> None:
    send = "m0 dimensionsToStream [<size = 4, stride = 4>, <size = 8, stride = 16>, <size = 4, stride = 1>]"
    take = "%c0_2 dimensionsFromStream [<size = 16, stride = 1>, <size = 8, stride = 16>]"
    text = device(
        [
            fifo("x", "s0", "%m0", "2", 128),
            fifo("a", send, take, "2", 128),
            "aie.objectfifo.link [@x] -> [@a] ([] [])",
            fifo("y", "c0_2", "%s0", "2", 128),
            adder("c0_2", "a", "y", 128, 0),
        ],
        [move("X", "x", 384, 0), move("Y", "y", 384, 1), wait("y")],
        {"X": 384, "Y": 384},
    )
    x, y = data(384), np.zeros(384, np.int32)
    call(text, x, y)
    stream = x.reshape(3, 8, 4, 4).transpose(0, 2, 1, 3).reshape(3, 128)
    # the core's end writes the stream's runs of 8 words apart: element (i, j) of 16 x 8 lands at i + 16 j
    assert (y.reshape(3, 128) == stream.reshape(3, 16, 8).transpose(0, 2, 1).reshape(3, 128)).all()


def test_two_consumers_with_layouts_of_their_own() -> None:
    ends = "%c0_2 dimensionsFromStream [<size = 4, stride = 1>, <size = 8, stride = 4>], %c0_3"
    text = device(
        [
            fifo("x", "s0", ends, "2", 32),
            fifo("p", "c0_2", "%s0", "2", 32),
            fifo("q", "c0_3", "%s0", "2", 32),
            adder("c0_2", "x", "p", 32, 0),
            adder("c0_3", "x", "q", 32, 5),
        ],
        [move("X", "x", 96, 0), move("P", "p", 96, 1), move("Q", "q", 96, 2), wait("p", "q")],
        {"X": 96, "P": 96, "Q": 96},
    )
    x, p, q = data(96), np.zeros(96, np.int32), np.zeros(96, np.int32)
    call(text, x, p, q)
    assert (p.reshape(3, 32) == x.reshape(3, 4, 8).transpose(0, 2, 1).reshape(3, 32)).all()
    assert (q == x + 5).all()


@pytest.mark.parametrize("repeat", [2, 5])
def test_each_object_is_sent_again_and_met_with_others(repeat: int) -> None:
    text = device(
        [
            fifo("w", "s0", "%m0", "1", 16),
            fifo("w2", "m0", "%c0_2", "[1, 2]", 16, f" {{repeat_count = {repeat} : i32}}"),
            "aie.objectfifo.link [@w] -> [@w2] ([] [])",
            fifo("x", "s0", "%c0_2", "2", 16),
            fifo("y", "c0_2", "%s0", "2", 16),
            core(
                "c0_2",
                [("w2", 16), ("x", 16)],
                [("y", 16)],
                "scf.for %i = %c0 to %c16 step %c1 {\n%a = memref.load %w2[%i] : memref<16xi32>\n"
                "%b = memref.load %x[%i] : memref<16xi32>\n%p = arith.muli %a, %b : i32\n"
                "memref.store %p, %y[%i] : memref<16xi32>\n}",
            ),
        ],
        [move("W", "w", 48, 0), move("X", "x", 48 * repeat, 1), move("Y", "y", 48 * repeat, 2), wait("y")],
        {"W": 48, "X": 48 * repeat, "Y": 48 * repeat},
    )
    w, x, y = data(48), data(48 * repeat), np.zeros(48 * repeat, np.int32)
    call(text, w, x, y)
    assert (y.reshape(3, repeat, 16) == w.reshape(3, 1, 16) * x.reshape(3, repeat, 16)).all()


def test_neighbours_on_all_four_sides_share_memory() -> None:
    places = {"n": "c1_4", "s": "c1_2", "w": "c0_3", "e": "c2_3"}
    columns = {"n": 1, "s": 1, "w": 0, "e": 2}
    parts, body = [], []
    for side, place in places.items():
        parts += [
            fifo(f"i{side}", f"s{columns[side]}", f"%{place}", "2", 8),
            fifo(f"h{side}", place, "%c1_3", "2", 8),
            fifo(f"r{side}", "c1_3", f"%{place}", "2", 8),
            fifo(f"o{side}", place, f"%s{columns[side]}", "2", 8),
        ]
    amounts = {"n": 1, "s": 20, "w": 300, "e": 4000}
    for side, place in places.items():
        body.append(adds(f"h{side}", f"r{side}", 8, amounts[side]))
        parts.append(
            core(
                place,
                [(f"i{side}", 8)],
                [(f"h{side}", 8)],
                adds(f"i{side}", f"h{side}", 8, 0),
            ).replace(
                f"aie.objectfifo.release @h{side}(Produce, 1)",
                f"aie.objectfifo.release @h{side}(Produce, 1)\n"
                f"%r{side} = aie.objectfifo.acquire @r{side}(Consume, 1) : memref<8xi32>\n"
                f"%o{side} = aie.objectfifo.acquire @o{side}(Produce, 1) : memref<8xi32>\n"
                + adds(f"r{side}", f"o{side}", 8, 7)
                + f"\naie.objectfifo.release @r{side}(Consume, 1)\n"
                + f"aie.objectfifo.release @o{side}(Produce, 1)",
            )
        )
    parts.append(
        core("c1_3", [(f"h{s}", 8) for s in places], [(f"r{s}", 8) for s in places], "\n".join(body))
    )
    moves = []
    for number, side in enumerate(places):
        moves += [
            move("X", f"i{side}", 24, 2 * number, 24 * number),
            move("Y", f"o{side}", 24, 2 * number + 1, 24 * number),
        ]
    text = device(parts, [*moves, wait(*[f"o{side}" for side in places])], {"X": 96, "Y": 96})
    x, y = data(96), np.zeros(96, np.int32)
    call(text, x, y)
    expected = x.reshape(4, 24) + np.array([[amounts[side] + 7] for side in places])
    assert (y.reshape(4, 24) == expected).all()


def test_neighbours_that_are_told_to_use_dma_with_layouts_and_bytes() -> None:
    there = (
        "c1_2 dimensionsToStream [<size = 4, stride = 4>, <size = 8, stride = 16>, <size = 4, stride = 1>]"
    )
    text = device(
        [
            fifo("x", "s1", "%c1_2", "2", 128, kind="i8"),
            fifo("h", there, "%c1_3", "[1, 2]", 128, " {via_DMA = true}", kind="i8"),
            fifo("y", "c1_3", "%s1", "2", 128, kind="i8"),
            adder("c1_2", "x", "h", 128, 3, "i8"),
            adder("c1_3", "h", "y", 128, -5, "i8"),
        ],
        [move("X", "x", 512, 0, kind="i8"), move("Y", "y", 512, 1, kind="i8"), wait("y")],
        {"X": 512, "Y": 512},
        "i8",
    )
    x, y = data(512, np.int8), np.zeros(512, np.int8)
    call(text, x, y)
    expected = x.reshape(4, 8, 4, 4).transpose(0, 2, 1, 3).reshape(4, 128) - np.int8(2)
    assert (y.reshape(4, 128) == expected).all()


def test_a_window_that_slides_over_a_broadcast_fifo() -> None:
    window = """aie.core(%c0_2) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c8 = arith.constant 8 : index
      %c14 = arith.constant 14 : index
      %many = arith.constant 1000000 : index
      scf.for %forever = %c0 to %many step %c1 {
        %one, %two = aie.objectfifo.acquire @x(Consume, 2) : memref<8xi32>, memref<8xi32>
        scf.for %row = %c0 to %c14 step %c1 {
          %a, %b, %c = aie.objectfifo.acquire @x(Consume, 3) : memref<8xi32>, memref<8xi32>, memref<8xi32>
          %o = aie.objectfifo.acquire @y(Produce, 1) : memref<8xi32>
          scf.for %i = %c0 to %c8 step %c1 {
            %va = memref.load %a[%i] : memref<8xi32>
            %vb = memref.load %b[%i] : memref<8xi32>
            %vc = memref.load %c[%i] : memref<8xi32>
            %s = arith.addi %va, %vb : i32
            %t = arith.addi %s, %vc : i32
            memref.store %t, %o[%i] : memref<8xi32>
          }
          aie.objectfifo.release @x(Consume, 1)
          aie.objectfifo.release @y(Produce, 1)
        }
        aie.objectfifo.release @x(Consume, 2)
      }
      aie.end
    }"""
    text = device(
        [
            fifo("x", "s0", "%c0_2, %c0_4", "[2, 4, 2]", 8),
            fifo("y", "c0_2", "%s0", "2", 8),
            fifo("z", "c0_4", "%s1", "2", 8),
            window,
            adder("c0_4", "x", "z", 8, 50),
        ],
        [move("X", "x", 128, 0), move("Y", "y", 112, 1), move("Z", "z", 128, 2), wait("y", "z")],
        {"X": 128, "Y": 112, "Z": 128},
    )
    x, y, z = data(128), np.zeros(112, np.int32), np.zeros(128, np.int32)
    call(text, x, y, z)
    rows = x.reshape(16, 8)
    assert (y.reshape(14, 8) == rows[:-2] + rows[1:-1] + rows[2:]).all()
    assert (z == x + 50).all()


def test_padding_around_two_dimensions_of_a_part_of_an_object() -> None:
    pads = (
        " {padDimensions = #aie<bd_pad_layout_array[<const_pad_before = 1, const_pad_after = 2>, "
        "<const_pad_before = 2, const_pad_after = 2>]>}"
    )
    send = "m0 dimensionsToStream [<size = 3, stride = 12>, <size = 8, stride = 1>]"
    text = device(
        [
            fifo("x", "s0", "%m0", "2", 36),
            fifo("p", send, "%c0_2", "2", 72, pads),
            "aie.objectfifo.link [@x] -> [@p] ([] [])",
            fifo("y", "c0_2", "%s0", "2", 72),
            adder("c0_2", "p", "y", 72, 0),
        ],
        [move("X", "x", 108, 0), move("Y", "y", 216, 1), wait("y")],
        {"X": 108, "Y": 216},
    )
    x, y = data(108), np.full(216, -1, np.int32)
    call(text, x, y)
    expected = np.zeros((3, 6, 12), np.int32)
    expected[:, 1:4, 2:10] = x.reshape(3, 3, 12)[:, :, :8]
    assert (y.reshape(3, 6, 12) == expected).all()


def test_initial_objects_that_meet_the_host_and_shared_memory_on_another_tile() -> None:
    text = device(
        [
            fifo("x", "s0", "%c0_2", "2", 4),
            (
                "aie.objectfifo @state(%c0_2, {%c0_3}, 2 : i32) : !aie.objectfifo<memref<4xi32>> = "
                "[dense<[1, 2, 3, 4]> : memref<4xi32>, dense<10> : memref<4xi32>]"
            ),
            "aie.objectfifo.allocate @state (%c0_3)",
            fifo("y", "c0_3", "%s0", "2", 4),
            adder("c0_2", "x", "state", 4, 0),
            adder("c0_3", "state", "y", 4, 100),
        ],
        [move("X", "x", 12, 0), move("Y", "y", 20, 1), wait("y")],
        {"X": 12, "Y": 20},
    )
    from npukbuild.ir import load_design
    from npukbuild.simulator import Simulator

    design = load_design(text)
    assert {b.tile.row for b in design.buffers.values() if b.fifo == "state"} == {3}
    x, y = data(12), np.zeros(20, np.int32)
    Simulator(design).run([x, y])
    assert (y == np.concatenate([[101, 102, 103, 104], [110] * 4, x + 100])).all()


def test_a_fifo_of_a_tile_to_itself_and_a_late_column() -> None:
    text = device(
        [
            fifo("x", "s6", "%m6", "3", 64),
            fifo("a", "m6", "%c7_5", "2", 64),
            "aie.objectfifo.link [@x] -> [@a] ([] [])",
            fifo("o", "c7_5", "%m5", "2", 64),
            fifo("y", "m5", "%s4", "2", 64),
            "aie.objectfifo.link [@o] -> [@y] ([] [])",
            adder("c7_5", "a", "o", 64, 9),
        ],
        [move("X", "x", 640, 0), move("Y", "y", 640, 0), wait("y")],
        {"X": 640, "Y": 640},
        name="npu2",
    )
    x, y = data(640), np.zeros(640, np.int32)
    call(text, x, y)
    assert (y == x + 9).all()


def test_ends_of_a_broadcast_that_finish_and_go_on_at_the_same_moment() -> None:
    """The last words of a transfer must not rest in the switches while one end is about to take them."""
    text = device(
        [
            fifo("x", "s0", "%c0_2, %c0_4, %c0_5", "[2, 4, 2, 3]", 8),
            *(fifo(f"y{row}", f"c0_{row}", f"%s{row - 2}", "2", 8) for row in (2, 4, 5)),
            *(adder(f"c0_{row}", "x", f"y{row}", 8, row) for row in (2, 4, 5)),
        ],
        [
            move("X", "x", 128, 0),
            *(move("Y", f"y{row}", 128, row, 128 * (row - 2)) for row in (2, 4, 5)),
            wait("y2", "y4", "y5"),
        ],
        {"X": 128, "Y": 512},
    )
    x, y = data(128), np.zeros(512, np.int32)
    call(text, x, y)
    for row in (2, 4, 5):
        assert (y.reshape(4, 128)[row - 2] == x + row).all()
