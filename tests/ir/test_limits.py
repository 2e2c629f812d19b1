"""Every limit of the hardware: what just fits is accepted, one more is a violation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import ResourceError
from npukbuild.ir import load_design, take_account
from npukbuild.ir.design import TileId

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.ir import Account

TILES = "%s = aie.tile(0, 0)\n%m = aie.tile(0, 1)\n%c = aie.tile(0, 2)\n"


def device(body: str, name: str = "npu1_1col") -> str:
    return f"module {{ aie.device({name}) {{\n{TILES}{body}\n}} }}"


def account(text: str, **more: object) -> Account:
    return take_account(load_design(text), **more)  # type: ignore[arg-type]


def chain(count: int, bd: str, program: str = "aie.mem(%c)", channel: str = "MM2S, 0") -> str:
    """Return a DMA program with one chain of equal descriptors."""
    blocks = "".join(f"^bd{n}:\n{bd}\naie.next_bd ^bd{(n + 1) % count}\n" for n in range(count))
    return f"{program} {{\naie.dma_start({channel}, ^bd0, ^end)\n{blocks}^end:\naie.end\n}}"


def core_chain(count: int) -> str:
    return "%b = aie.buffer(%c) : memref<4xi32>\n" + chain(count, "aie.dma_bd(%b : memref<4xi32>, 0, 4)")


def mem_chain(count: int) -> str:
    return "%b = aie.buffer(%m) : memref<4xi32>\n" + chain(
        count, "aie.dma_bd(%b : memref<4xi32>, 0, 4)", "aie.memtile_dma(%m)"
    )


def channels(count: int, tile: str, program: str) -> str:
    starts = [
        f"aie.dma_start(S2MM, {n}, ^bd{n}, ^{'next' + str(n + 1) if n + 1 < count else 'end'})\n^bd{n}:\n"
        f"aie.dma_bd(%b : memref<4xi32>, 0, 4)\naie.next_bd ^bd{n}\n"
        for n in range(count)
    ]
    joined = "".join((f"^next{n}:\n" if n else "") + text for n, text in enumerate(starts))
    return f"%b = aie.buffer(%{tile}) : memref<4xi32>\n{program}(%{tile}) {{\n{joined}^end:\naie.end\n}}"


def dims(tile: str, program: str, sizes: list[tuple[int, int]], elements: int, pads: str = "") -> str:
    length = 1
    for size, _ in sizes:
        length *= size
    text = ", ".join(f"<size = {size}, stride = {stride}>" for size, stride in sizes)
    bd = f"aie.dma_bd(%b : memref<{elements}xi32>, 0, {length}, [{text}]{pads})"
    return f"%b = aie.buffer(%{tile}) : memref<{elements}xi32>\n" + chain(1, bd, f"{program}(%{tile})")


def pads(amounts: list[int]) -> str:
    """Return a memtile descriptor of 2 x 2 x 2 x 4 words with padding before each dimension."""
    sizes = [(2, 16), (2, 8), (2, 4), (4, 1)][-len(amounts) :]
    length = 1
    for (size, _), amount in zip(sizes, amounts, strict=True):
        length *= size + amount
    layout = ", ".join(f"<size = {size}, stride = {stride}>" for size, stride in sizes)
    padding = ", ".join(f"<const_pad_before = {amount}, const_pad_after = 0>" for amount in amounts)
    bd = f"aie.dma_bd(%b : memref<32xi32>, 0, {length}, [{layout}], [{padding}])"
    return "%b = aie.buffer(%m) : memref<32xi32>\n" + chain(1, bd, "aie.memtile_dma(%m)")


def sequence(ops: str, arguments: str = "%a: memref<4194304xi32>") -> str:
    allocations = "aie.shim_dma_allocation @in (%s, MM2S, 0)\n"
    return f"{allocations}aie.runtime_sequence @sequence({arguments}) {{\n{ops}\n}}"


def memcpy(sizes: str, strides: str, ident: int = 0) -> str:
    return (
        f"aiex.npu.dma_memcpy_nd(%a[0, 0, 0, 0][{sizes}][{strides}]) "
        f"{{id = {ident} : i64, metadata = @in}} : memref<4194304xi32>"
    )


def task(repeat: int) -> str:
    return (
        "%t = aiex.dma_configure_task_for @in {\naie.dma_bd(%a : memref<4194304xi32>, 0, 16)\naie.end\n} "
        f"{{repeat_count = {repeat} : i32}}\naiex.dma_start_task(%t)"
    )


def locks(tile: str, count: int) -> str:
    return "\n".join(f"%l{n} = aie.lock(%{tile})" for n in range(count))


def shim_channels(count: int) -> str:
    """Return a sequence that starts transfers on ``count`` channels."""
    names = "".join(f"aie.shim_dma_allocation @in{n} (%s, MM2S, {n})\n" for n in range(count))
    ops = "".join(
        "aiex.npu.dma_memcpy_nd(%a[0, 0, 0, 0][1, 1, 1, 16][0, 0, 0, 1]) "
        f"{{id = {n} : i64, metadata = @in{n}}} : memref<64xi32>\n"
        for n in range(count)
    )
    return f"{names}aie.runtime_sequence @sequence(%a: memref<64xi32>) {{\n{ops}}}"


def flows(count: int) -> str:
    """Return ``count`` streams from the memtile and the shim into the cores of one column."""
    cores = "".join(f"%c{n} = aie.tile(0, {n})\n" for n in (3, 4, 5))
    ends = [("%c", 0), ("%c", 1), ("%c3", 0), ("%c3", 1), ("%c4", 0), ("%c4", 1), ("%c5", 0), ("%c5", 1)]
    text = "".join(
        f"aie.flow(%m, DMA : {n}, {ends[n][0]}, DMA : {ends[n][1]})\n" for n in range(min(count, 6))
    )
    if count > 6:
        text += f"aie.flow(%s, DMA : 0, {ends[6][0]}, DMA : {ends[6][1]})\n"
    return cores + text


CASES: list[tuple[str, str, Callable[[int], str], int]] = [
    ("core memory", "bytes", lambda n: f"%b = aie.buffer(%c) : memref<{n}xi8>", 65536),
    ("memtile memory", "bytes", lambda n: f"%b = aie.buffer(%m) : memref<{n}xi8>", 524288),
    ("core locks", "locks", lambda n: locks("c", n), 16),
    ("memtile locks", "locks", lambda n: locks("m", n), 64),
    ("shim locks", "locks", lambda n: locks("s", n), 16),
    ("lock id", "id", lambda n: f"%l = aie.lock(%c, {n})", 15),
    ("lock value", "lock value", lambda n: f"%l = aie.lock(%c, 0) {{init = {n} : i32}}", 63),
    ("core descriptors", "bds", core_chain, 16),
    ("memtile descriptors of one parity", "bds", mem_chain, 24),
    ("core channels", "channels", lambda n: channels(n, "c", "aie.mem"), 2),
    ("memtile channels", "channels", lambda n: channels(n, "m", "aie.memtile_dma"), 6),
    ("shim channels", "channels", shim_channels, 2),
    (
        "core length", "length",
        lambda n: "%b = aie.buffer(%c) : memref<16384xi32>\n"
        + chain(1, f"aie.dma_bd(%b : memref<16384xi32>, 0, {n})"), 16383,
    ),
    (
        "memtile length", "length",
        lambda n: "%b = aie.buffer(%m) : memref<131072xi32>\n"
        + chain(1, f"aie.dma_bd(%b : memref<131072xi32>, 0, {n})", "aie.memtile_dma(%m)"), 131071,
    ),
    ("core D0", "wrap", lambda n: dims("c", "aie.mem", [(2, 512), (n, 1)], 1024), 255),
    ("core D1", "wrap", lambda n: dims("c", "aie.mem", [(n, 2), (2, 1)], 1024), 255),
    ("memtile size", "wrap", lambda n: dims("m", "aie.memtile_dma", [(n, 2), (2, 1)], 2048), 512),
    ("core stride", "stride", lambda n: dims("c", "aie.mem", [(2, n), (2, 1)], 16000), 8192),
    ("memtile stride", "stride", lambda n: dims("m", "aie.memtile_dma", [(2, n), (2, 1)], 140000), 131072),
    ("shim D0", "wrap", lambda n: sequence(memcpy(f"1, 1, 2, {n}", "0, 0, 2048, 1")), 1023),
    ("shim D1", "wrap", lambda n: sequence(memcpy(f"1, 1, {n}, 2", "0, 0, 4, 1")), 1023),
    ("shim stride", "stride", lambda n: sequence(memcpy("1, 1, 2, 2", f"0, 0, {n}, 1")), 1048576),
    ("shim outermost size", "iteration", lambda n: sequence(memcpy(f"{n}, 1, 1, 2", "4, 0, 0, 1")), 64),
    ("shim plain repeat", "iteration", lambda n: sequence(memcpy(f"{n}, 1, 1, 2", "0, 0, 0, 1")), 64),
    ("shim descriptor id", "id", lambda n: sequence(memcpy("1, 1, 1, 2", "0, 0, 0, 1", n)), 15),
    ("task repeat", "repeat", lambda n: sequence(task(n - 1)), 256),
    ("padding D0", "padding", lambda n: pads([0, n]), 63),
    ("padding D1", "padding", lambda n: pads([n, 0]), 31),
    ("padding D2", "padding", lambda n: pads([n, 0, 0]), 15),
    ("padding D3", "padding", lambda n: pads([n, 0, 0, 0]), 0),
    (
        "queue", "queue",
        lambda n: sequence("\n".join(memcpy("1, 1, 1, 2", "0, 0, 0, 1", k) for k in range(n))), 4,
    ),
    (
        "host buffers", "arguments",
        lambda n: sequence("", ", ".join(f"%x{k}: memref<4xi32>" for k in range(n))), 5,
    ),
    ("streams north", "streams", flows, 6),
]  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "make", "limit"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_the_limit_fits_and_one_more_does_not(resource: str, make: Callable[[int], str], limit: int) -> None:
    fits = account(device(make(limit)))
    assert [str(one) for one in fits.violations if one.resource == resource] == []
    over = account(device(make(limit + 1)))
    broken = [one for one in over.violations if one.resource == resource]
    assert [(one.used, one.limit) for one in broken] == [(limit + 1, limit)]
    with pytest.raises(ResourceError, match=str(limit)):
        over.check()


def test_a_wait_makes_room_in_the_queue() -> None:
    def batch(first: int, token: str) -> str:
        moves = [memcpy("1, 1, 1, 2", "0, 0, 0, 1", first + k) for k in range(4)]
        moves[-1] = moves[-1].replace("metadata", f"{token}metadata")
        return "\n".join(moves)

    wait = "\naiex.npu.dma_wait {symbol = @in}\n"
    ops = batch(0, "issue_token = true, ") + wait + batch(4, "")
    assert not account(device(sequence(ops))).violations
    assert account(device(sequence(ops.replace(wait, "\n")))).violations


def test_program_and_constants_have_their_limits() -> None:
    text = device("%b = aie.buffer(%c) {mem_bank = 3 : i32} : memref<1024xi32>\naie.core(%c) { aie.end }")
    core = TileId(0, 2)
    assert not account(text, program_bytes={core: 16384}).violations
    (over,) = account(text, program_bytes={core: 16385}).violations
    assert (over.resource, over.used, over.limit) == ("program", 16385, 16384)
    room = account(text).tile(0, 2).static_room
    assert not account(text, static_bytes={core: room}).violations
    (over,) = account(text, static_bytes={core: room + 1}).violations
    assert (over.resource, over.used, over.limit) == ("static", room + 1, room)
    assert room == 65536 - 49152 - 4096


def test_buffers_at_given_addresses_must_not_meet() -> None:
    def at(address: int) -> str:
        return device(
            "%a = aie.buffer(%m) {address = 0 : i32} : memref<16xi32>\n"
            f"%b = aie.buffer(%m) {{address = {address} : i32}} : memref<16xi32>"
        )

    assert not account(at(64)).violations
    (overlap,) = account(at(60)).violations
    assert overlap.used == 4


def test_both_parities_of_a_memtile_have_their_own_descriptors() -> None:
    first = chain(24, "aie.dma_bd(%b : memref<4xi32>, 0, 4)", "aie.memtile_dma(%m)")
    second = "".join(
        f"^x{n}:\naie.dma_bd(%b : memref<4xi32>, 0, 4)\naie.next_bd ^x{(n + 1) % 24}\n" for n in range(24)
    )
    both = first.replace("^bd0, ^end)", "^bd0, ^more)").replace(
        "^end:", f"^more:\naie.dma_start(MM2S, 1, ^x0, ^end)\n{second}^end:"
    )
    result = account(device("%b = aie.buffer(%m) : memref<4xi32>\n" + both))
    assert not result.violations
    tile = result.tile(0, 1)
    assert (tile.bds, tile.bds_even, tile.bds_odd) == (48, 24, 24)


def test_the_account_says_everything_as_plain_data() -> None:
    result = account(device(core_chain(17) + "\n" + locks("c", 17)))
    data = json.loads(json.dumps(result.as_dict()))
    assert {one["resource"] for one in data["violations"]} == {"bds", "locks"}
    assert data["violations"][0]["line"] is not None
    core = next(tile for tile in data["tiles"] if tile["tile"] == [0, 2])
    assert core["bds"] == 17
    assert core["buffers"][0]["bytes"] == 16
    with pytest.raises(ResourceError) as caught:
        result.check()
    assert len(caught.value.details) == len(result.violations) - 1
