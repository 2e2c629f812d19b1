"""What holds for every topology of objectfifos."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.errors import DesignError
from npukbuild.ir import load_design, take_account
from npukbuild.ir.lowering.order import introsort

CORES = [(column, row) for column in range(3) for row in range(2, 6)]
MEMS = [(column, 1) for column in range(3)]


@st.composite
def topologies(
    draw: st.DrawFn,
) -> tuple[str, list[tuple[tuple[int, int], list[tuple[int, int]], list[int], int]]]:
    """Draw up to eight objectfifos between cores and memtiles, with a depth per end."""
    fifos = []
    for _ in range(draw(st.integers(1, 8))):
        producer = draw(st.sampled_from(CORES + MEMS))
        others = [tile for tile in CORES + MEMS if tile != producer]
        consumers = draw(st.lists(st.sampled_from(others), min_size=1, max_size=3, unique=True))
        depths = [draw(st.integers(1, 4)) for _ in range(1 + len(consumers))]
        fifos.append((producer, consumers, depths, draw(st.sampled_from([4, 16, 600, 4096]))))
    used = sorted({tile for producer, consumers, *_ in fifos for tile in [producer, *consumers]})
    lines = [f"%t{c}_{r} = aie.tile({c}, {r})" for c, r in used]
    for number, (producer, consumers, depths, size) in enumerate(fifos):
        ends = ", ".join(f"%t{c}_{r}" for c, r in consumers)
        lines.append(
            f"aie.objectfifo @f{number}(%t{producer[0]}_{producer[1]}, {{{ends}}}, {depths}) "
            f": !aie.objectfifo<memref<{size}xi32>>"
        )
    return "module { aie.device(npu1) {\n" + "\n".join(lines) + "\n} }", fifos


@settings(max_examples=60, deadline=None)
@given(topologies())
def test_every_topology_keeps_the_invariants(
    drawn: tuple[str, list[tuple[tuple[int, int], list[tuple[int, int]], list[int], int]]],
) -> None:
    text, fifos = drawn
    design = load_design(text)
    account = take_account(design)

    # Locks: a pair per end, ids unique per tile; objects free + objects filled = objects there are.
    for tile in design.tiles:
        ids = [lock.id for lock in design.locks.values() if lock.tile == tile]
        assert sorted(ids) == list(range(len(ids)))
    for number, (_, _, depths, size) in enumerate(fifos):
        buffers = [one for one in design.buffers.values() if one.fifo == f"f{number}"]
        ends = Counter(one.name.rsplit("_buff_", 1)[0] for one in buffers)
        for end, count in ends.items():
            locks = [design.locks[f"{end}_{kind}_lock_0"].init for kind in ("prod", "cons")]
            assert sum(locks) == count
        assert sum(ends.values()) in (depths[0], sum(depths))
        assert {one.type.elements for one in buffers} == {size}

    # Channels: one per end, numbered without gaps; every flow joins two that exist.
    sent = {(c.tile, c.index) for c in design.channels if c.direction == "MM2S"}
    taken = {(c.tile, c.index) for c in design.channels if c.direction == "S2MM"}
    for group in (sent, taken):
        for tile in design.tiles:
            numbers = sorted(index for at, index in group if at == tile)
            assert numbers == list(range(len(numbers)))
    assert {(flow.source.tile, flow.source.index) for flow in design.flows} == sent
    assert {(port.tile, port.index) for flow in design.flows for port in flow.destinations} == taken

    # Descriptors: a cycle over the end's buffers, each once, ids unique per tile and of the right half.
    for channel in design.channels:
        order, at = [], 0
        for _ in channel.descriptors:
            order.append(at)
            at = channel.descriptors[at].next or 0
        assert sorted(order) == list(range(len(channel.descriptors)))
        assert at == 0
    for use in account.tiles:
        numbered = [d.id for c in design.channels if c.tile == use.tile for d in c.descriptors]
        assert len(set(numbered)) == len(numbered)

    # Placement: no two buffers of a tile meet when the account says that they fit.
    over = {violation.tile for violation in account.violations if violation.resource == "bytes"}
    for use in account.tiles:
        if use.tile in over:
            assert use.bytes > use.bytes_limit
            continue
        top = use.stack
        for buffer in use.buffers:
            assert buffer.address is not None
            assert buffer.address >= top
            top = buffer.address + buffer.type.bytes
        assert top <= use.bytes_limit

    # Counting: what does not fit is said, and only that.
    for use in account.tiles:
        named = {violation.resource for violation in account.violations if violation.tile == use.tile}
        assert ("locks" in named) == (use.locks > use.lock_limit)
        assert ("channels" in named) == (use.s2mm > use.s2mm_limit or use.mm2s > use.mm2s_limit)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=80))
def test_the_sort_sorts(sizes: list[int]) -> None:
    items = list(enumerate(sizes))
    found = introsort(items, lambda first, second: first[1] > second[1])
    assert [size for _, size in found] == sorted(sizes, reverse=True)
    assert sorted(found) == items


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.text(max_size=8))
def test_a_damaged_design_is_refused_and_never_crashes(at: int, dirt: str) -> None:
    text = (
        "module { aie.device(npu1) {\n%s = aie.tile(0, 0)\n%c = aie.tile(0, 2)\n"
        "aie.objectfifo @x(%s, {%c}, 2 : i32) : !aie.objectfifo<memref<64xi32>>\n"
        "aie.runtime_sequence @sequence(%A: memref<64xi32>) {\n"
        "aiex.npu.dma_memcpy_nd(%A[0, 0, 0, 0][1, 1, 1, 64][0, 0, 0, 1]) "
        "{id = 0 : i64, metadata = @x} : memref<64xi32>\n}\n} }"
    )
    damaged = text[:at] + dirt + text[at + len(dirt) :]
    with suppress(DesignError):
        take_account(load_design(damaged))
