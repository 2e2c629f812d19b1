"""The documented rules by which objectfifos become buffers, locks, descriptors and streams."""

# ruff: noqa: E501 - MLIR reads better unbroken

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import DesignError
from npukbuild.ir import load_design, take_account
from npukbuild.ir.design import LockUse, Port, TileId
from npukbuild.ir.lowering.order import introsort

if TYPE_CHECKING:
    from npukbuild.ir import Design
    from npukbuild.ir.design import Channel


def tiles(*places: tuple[int, int]) -> str:
    return "".join(f"%t{c}{r} = aie.tile({c}, {r})\n" for c, r in places)


def tile(place: tuple[int, int]) -> str:
    return f"%t{place[0]}{place[1]}"


def load(body: str, *places: tuple[int, int], name: str = "npu1") -> Design:
    return load_design(f"module {{ aie.device({name}) {{\n{tiles(*places)}{body}\n}} }}")


def fifo(
    name: str, producer: str, consumers: str, depth: str = "2 : i32", more: str = "", size: int = 16
) -> str:
    return f"aie.objectfifo @{name}({producer}, {{{consumers}}}, {depth}) {more} : !aie.objectfifo<memref<{size}xi32>>\n"


def acquire(tile: str, name: str, port: str, count: int = 1, size: int = 16) -> str:
    return (
        f"aie.core(%{tile}) {{\n%v = aie.objectfifo.acquire @{name}({port}, {count}) : "
        f"!aie.objectfifosubview<memref<{size}xi32>>\naie.objectfifo.release @{name}({port}, {count})\naie.end\n}}\n"
    )


def channel(design: Design, tile: tuple[int, int], direction: str, index: int = 0) -> Channel:
    (found,) = [
        one
        for one in design.channels
        if (one.tile, one.direction, one.index) == (TileId(*tile), direction, index)
    ]
    return found


@pytest.mark.parametrize(
    ("producer", "consumer", "home"),
    [
        ((0, 2), (1, 2), (0, 2)),  # the consumer sees its west neighbour
        ((1, 2), (0, 2), (0, 2)),  # the producer sees its west neighbour
        ((0, 2), (0, 3), (0, 2)),  # both see both
        ((0, 3), (0, 2), (0, 3)),
        ((0, 2), (0, 2), (0, 2)),
    ],
)
def test_neighbours_share_memory(
    producer: tuple[int, int], consumer: tuple[int, int], home: tuple[int, int]
) -> None:
    design = load(fifo("f", tile(producer), tile(consumer), "3 : i32"), *{producer, consumer})
    assert [(one.name, one.tile) for one in design.buffers.values()] == [
        (f"f_buff_{n}", TileId(*home)) for n in range(3)
    ]
    assert [(lock.name, lock.init) for lock in design.locks.values()] == [
        ("f_prod_lock_0", 3),
        ("f_cons_lock_0", 0),
    ]
    assert not design.channels
    assert not design.flows


@pytest.mark.parametrize(
    ("producer", "consumer"),
    [((0, 2), (0, 4)), ((0, 2), (1, 3)), ((0, 1), (0, 2)), ((0, 0), (0, 1)), ((2, 2), (0, 2))],
)
def test_others_are_joined_by_dma(producer: tuple[int, int], consumer: tuple[int, int]) -> None:
    design = load(fifo("f", tile(producer), tile(consumer)), producer, consumer)
    (flow,) = design.flows
    assert flow.source == Port(TileId(*producer), "DMA", 0)
    assert flow.destinations == (Port(TileId(*consumer), "DMA", 0),)


@pytest.mark.parametrize(
    "more",
    ["{via_DMA = true}", "{repeat_count = 1 : i32}", "{aie_stream = 0 : i32, aie_stream_port = 0 : i32}"],
)
def test_attributes_that_force_dma(more: str) -> None:
    assert len(load(fifo("f", "%t02", "%t03", more=more), (0, 2), (0, 3)).flows) == 1


def test_layouts_force_dma() -> None:
    layout = "dimensionsToStream [<size = 4, stride = 4>, <size = 4, stride = 1>]"
    assert load(fifo("f", f"%t02 {layout}", "%t03"), (0, 2), (0, 3)).flows
    other = layout.replace("ToStream", "FromStream")
    design = load(fifo("f", "%t02", f"%t03 {other}"), (0, 2), (0, 3))
    assert channel(design, (0, 3), "S2MM").descriptors[0].dims != ()
    assert channel(design, (0, 2), "MM2S").descriptors[0].dims == ()


def test_a_fifo_can_be_allocated_on_a_neighbour_of_both() -> None:
    body = fifo("f", "%t12", "%t12", "1 : i32") + "aie.objectfifo.allocate @f (%t13)"
    (buffer,) = load(body, (1, 2), (1, 3)).buffers.values()
    assert buffer.tile == TileId(1, 3)
    with pytest.raises(DesignError, match="cannot be allocated"):
        load(fifo("f", "%t12", "%t12") + "aie.objectfifo.allocate @f (%t03)", (1, 2), (0, 3))


@pytest.mark.parametrize(
    ("depth", "count", "expected"),
    [("1 : i32", 1, 1), ("2 : i32", 1, 2), ("4 : i32", 1, 2), ("2 : i32", 2, 3), ("4 : i32", 0, 4),
     ("[2, 4]", 1, 4), ("[2, 1]", 1, 1)],
)  # fmt: skip
def test_the_number_of_objects_at_a_core(depth: str, count: int, expected: int) -> None:
    core = acquire("t02", "f", "Consume", count) if count else ""
    design = load(fifo("f", "%t00", "%t02", depth) + core, (0, 0), (0, 2))
    assert len(design.buffers) == expected
    assert design.locks["f_cons_prod_lock_0"].init == expected


def test_a_broadcast_has_one_stream_and_an_end_per_consumer() -> None:
    design = load(fifo("f", "%t01", "%t02, %t03, %t12", "[2, 3, 4, 5]"), (0, 1), (0, 2), (0, 3), (1, 2))
    (flow,) = design.flows
    assert [port.tile for port in flow.destinations] == [TileId(0, 2), TileId(0, 3), TileId(1, 2)]
    names = list(dict.fromkeys(name.rsplit("_", 1)[0] for name in design.buffers))
    assert names == ["f_0_cons_buff", "f_1_cons_buff", "f_2_cons_buff", "f_buff"]
    assert len(design.buffers) == 14


DISTRIBUTE = (
    fifo("big", "%t00", "%t01", size=48)
    + fifo("a", "%t01", "%t02", size=16)
    + fifo("b", "%t01", "%t03", size=32)
    + "aie.objectfifo.link [@big] -> [@a, @b] ([] [0, 16])"
)


def test_a_distribute_moves_slices_with_their_own_locks() -> None:
    design = load(DISTRIBUTE, (0, 0), (0, 1), (0, 2), (0, 3))
    mem = {name for name, one in design.buffers.items() if one.tile == TileId(0, 1)}
    assert mem == {"big_cons_buff_0", "big_cons_buff_1"}
    big = channel(design, (0, 1), "S2MM").descriptors
    assert [(one.buffer[-1], one.offset, one.length, one.next) for one in big] == [
        ("0", 0, 16, 1), ("0", 16, 32, 2), ("1", 0, 16, 3), ("1", 16, 32, 0),
    ]  # fmt: skip
    assert [one.acquires[0].lock for one in big] == ["big_cons_prod_lock_0", "big_cons_prod_lock_1"] * 2
    second = channel(design, (0, 1), "MM2S", 1).descriptors
    assert [(one.offset, one.length) for one in second] == [(16, 32), (16, 32)]
    assert second[0].acquires == (LockUse("big_cons_cons_lock_1", "acquire_ge", 1),)
    assert second[0].releases == (LockUse("big_cons_prod_lock_1", "release", 1),)


def test_a_join_is_the_mirror_image() -> None:
    body = (
        fifo("a", "%t02", "%t01", size=16) + fifo("b", "%t03", "%t01", size=32) + fifo("big", "%t01", "%t00", size=48)
        + "aie.objectfifo.link [@a, @b] -> [@big] ([0, 16] [])"
    )  # fmt: skip
    design = load(body, (0, 0), (0, 1), (0, 2), (0, 3))
    assert [(one.offset, one.length) for one in channel(design, (0, 1), "S2MM", 1).descriptors] == [
        (16, 32)
    ] * 2
    out = channel(design, (0, 1), "MM2S").descriptors
    assert [(one.offset, one.length) for one in out] == [(0, 16), (16, 32)] * 2
    assert out[1].acquires[0].lock == "big_cons_lock_1"


def test_repeat_count_sends_every_object_again() -> None:
    body = fifo("in", "%t00", "%t01") + fifo("out", "%t01", "%t02", more="{repeat_count = 3 : i32}")
    design = load(body + "aie.objectfifo.link [@in] -> [@out] ([] [])", (0, 0), (0, 1), (0, 2))
    out = channel(design, (0, 1), "MM2S").descriptors
    assert [one.buffer[-1] for one in out] == list("000111")
    assert design.locks["in_cons_prod_lock_0"].init == 6
    assert channel(design, (0, 1), "S2MM").descriptors[0].acquires[0].value == 3
    assert out[0].acquires[0].value == 1


def test_repeat_count_scales_what_a_core_produces() -> None:
    body = fifo("f", "%t02", "%t01", more="{repeat_count = 4 : i32}") + acquire("t02", "f", "Produce")
    design = load(body, (0, 1), (0, 2))
    end = design.cores[TileId(0, 2)].fifo_ends["f", "Produce"]
    assert (end.lock_scale, design.locks[end.prod_lock or ""].init) == (4, 8)
    assert len(channel(design, (0, 2), "MM2S").descriptors) == 8


def test_iter_count_ends_the_chain() -> None:
    design = load(fifo("f", "%t01", "%t02", more="{iter_count = 5 : i32}"), (0, 1), (0, 2))
    sent = channel(design, (0, 1), "MM2S")
    assert (sent.repeat, sent.descriptors[-1].next) == (4, None)
    assert channel(design, (0, 2), "S2MM").descriptors[-1].next == 0


def test_initial_values_are_there_at_the_start() -> None:
    body = (
        "aie.objectfifo @f(%t02, {%t03}, 2 : i32) : !aie.objectfifo<memref<2xi32>> = "
        "[dense<[1, 2]> : memref<2xi32>, dense<7> : memref<2xi32>]\n"
    )
    design = load(body, (0, 2), (0, 3))
    assert [one.initial for one in design.buffers.values()] == [
        b"\1\0\0\0\2\0\0\0", b"\7\0\0\0\7\0\0\0",
    ]  # fmt: skip
    assert [lock.init for lock in design.locks.values()] == [0, 2]


def test_no_locks_without_synchronisation() -> None:
    design = load(fifo("f", "%t01", "%t02", more="{disable_synchronization = true}"), (0, 1), (0, 2))
    assert not design.locks
    assert channel(design, (0, 1), "MM2S").descriptors[0].acquires == ()


def test_a_full_memtile_spills_to_its_neighbours_on_the_low_channels() -> None:
    big = 65536
    body = "".join(fifo(f"x{n}", "%t11", f"%t1{2 + n}", "2 : i32", size=2 * 256) for n in range(2)) + fifo(
        "f", "%t11", "%t12", "3 : i32", size=big
    )
    design = load(body, (1, 1), (1, 2), (1, 3))
    homes = {one.name: one.tile for one in design.buffers.values() if one.name.startswith("f_buff")}
    assert homes == {"f_buff_0": TileId(1, 1), "f_buff_1": TileId(0, 1), "f_buff_2": TileId(0, 1)}
    assert channel(design, (1, 1), "MM2S", 0).fifo == "f"
    assert TileId(0, 1) in design.tiles


def test_a_one_to_one_link_keeps_the_bigger_object() -> None:
    body = fifo("in", "%t00", "%t01", size=32) + fifo("out", "%t01", "%t02", size=16)
    design = load(body + "aie.objectfifo.link [@in] -> [@out] ([] [])", (0, 0), (0, 1), (0, 2))
    assert {name for name, one in design.buffers.items() if one.tile.row == 1} == {
        "in_cons_buff_0",
        "in_cons_buff_1",
    }
    assert [one.length for one in channel(design, (0, 1), "MM2S").descriptors] == [32, 32]
    assert not design.warnings


def test_streams_between_cores_packets_and_cascades() -> None:
    body = (
        "aie.packet_flow(0x5) {\naie.packet_source<%t02, DMA : 0>\naie.packet_dest<%t00, DMA : 1>\n} {keep_pkt_header = true}\n"
        "aie.flow(%t02, Core : 0, %t03, Core : 0)\naie.flow(%t02, Core : 0, %t12, DMA : 1)\naie.cascade_flow(%t02, %t12)\n"
    )
    design = load(body, (0, 0), (0, 2), (0, 3), (1, 2))
    packet, circuit = design.flows
    assert (packet.packet_id, packet.keep_header, packet.destinations) == (
        5,
        True,
        (Port(TileId(0, 0), "DMA", 1),),
    )
    assert circuit.destinations == (Port(TileId(0, 3), "Core", 0), Port(TileId(1, 2), "DMA", 1))
    assert design.cascades[0].destination == TileId(1, 2)
    with pytest.raises(DesignError, match="no cascade"):
        load("aie.cascade_flow(%t02, %t03)", (0, 2), (0, 3))


def test_configured_cascades_are_read_back() -> None:
    body = "aie.configure_cascade(%t02, West, East)\naie.configure_cascade(%t12, West, South)\n"
    (cascade,) = load(body, (0, 2), (1, 2)).cascades
    assert (cascade.source, cascade.destination) == (TileId(0, 2), TileId(1, 2))


def test_channels_of_the_text_are_left_alone() -> None:
    program = (
        "%b = aie.buffer(%t02) : memref<4xi32>\naie.mem(%t02) {\naie.dma_start(S2MM, 0, ^a, ^e)\n^a:\n"
        "aie.dma_bd(%b : memref<4xi32>, 0, 4)\naie.next_bd ^a\n^e:\naie.end\n}\n"
    )
    design = load(program + fifo("f", "%t00", "%t02"), (0, 0), (0, 2))
    assert channel(design, (0, 2), "S2MM", 1).fifo == "f"


def test_tasks_of_one_channel_wait_in_its_queue() -> None:
    program = (
        "%b = aie.buffer(%t02) : memref<4xi32>\naie.mem(%t02) {\naie.dma_start(S2MM, 0, ^a, ^n)\n^a:\n"
        "aie.dma_bd(%b : memref<4xi32>, 0, 4)\naie.next_bd ^e\n^n:\naie.dma_start(S2MM, 0, ^c, ^e, repeat_count = 7)\n^c:\n"
        "aie.dma_bd(%b : memref<4xi32>, 0, 2)\naie.next_bd ^e\n^e:\naie.end\n}\n"
    )
    design = load(program, (0, 2))
    assert [(one.repeat, one.descriptors[0].length, one.descriptors[0].next) for one in design.channels] == [
        (0, 4, None), (7, 2, None),
    ]  # fmt: skip
    assert take_account(design).tile(0, 2).s2mm == 1


def test_a_chain_may_repeat_only_its_tail() -> None:
    program = (
        "%b = aie.buffer(%t02) : memref<4xi32>\naie.mem(%t02) {\naie.dma_start(S2MM, 0, ^a, ^e)\n"
        "^a:\naie.dma_bd(%b : memref<4xi32>, 0, 4)\naie.next_bd ^c\n"
        "^c:\naie.dma_bd(%b : memref<4xi32>, 0, 2)\naie.next_bd ^c\n^e:\naie.end\n}\n"
    )
    (found,) = load(program, (0, 2)).channels
    assert [(one.length, one.next) for one in found.descriptors] == [(4, 1), (2, 1)]


def test_values_of_a_core_name_buffers_and_locks() -> None:
    body = (
        '%b = aie.buffer(%t02) {sym_name = "acc"} : memref<4xi32>\n%l = aie.lock(%t02, 3) {sym_name = "go"}\n'
        'aie.core(%t02) {\naie.use_lock(%l, AcquireGreaterEqual, 1)\naie.end\n} {link_files = ["a.o", "b.o"], stack_size = 2048 : i32}\n'
    )
    core = load(body, (0, 2)).cores[TileId(0, 2)]
    assert {one.name for one in core.values.values()} == {"acc", "go"}
    assert core.link_with == ("a.o", "b.o")
    assert core.stack_size == 2048


def test_equal_buffers_come_in_the_order_of_the_c_library() -> None:
    """Up to 16 equal elements keep their order, more do not (libstdc++'s median of three moves them)."""

    def bigger(first: tuple[int, int], second: tuple[int, int]) -> bool:
        return first[0] > second[0]

    few = [(8, n) for n in range(16)]
    assert introsort(few, bigger) == few
    many = [(8, n) for n in range(20)]
    found = introsort(many, bigger)
    assert sorted(found) == many
    assert found != many
