"""Rules of objectfifos, their links and what cores do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.ir.dialects import fifo_ops
from npukbuild.ir.dialects.base import location_of
from npukbuild.ir.lowering.values import array_of
from npukbuild.ir.rules_cores import check_balance

if TYPE_CHECKING:
    from npukbuild.ir.design import TileId
    from npukbuild.ir.lowering.state import Fifo, Link, State


_ABSURD = 4096
"""Objects times repeats from which on nothing is made of a fifo; below, the account gives the numbers."""


def check_fifos(state: State) -> None:
    """Check every objectfifo and link on its own."""
    for fifo in state.fifos.values():
        _check_ends(state, fifo)
        _check_attributes(state, fifo)
        _check_stream(state, fifo)
    for link in state.links:
        _check_link(state, link)
    _check_delegates(state)


def _check_ends(state: State, fifo: Fifo) -> None:
    error = state.problems.error
    name, loc = f"objectfifo {fifo.name}", fifo.loc
    if not fifo.consumers:
        error(f"{name} has no consumer", loc)
    if fifo.explicit and len(_depths(fifo)) != 1 + len(fifo.consumers):
        error(
            f"{name} has {len(_depths(fifo))} depths for {1 + len(fifo.consumers)} ends",
            loc,
            hint="give the producer's depth first, then one per consumer",
        )
    if any(depth < 0 for depth in _depths(fifo)):
        error(f"{name} has a negative depth", loc)
    most = max(_depths(fifo), default=0) * max(fifo.repeat or 1, 1)
    if most > _ABSURD:
        error(f"{name} has {most} objects to send", loc, why="no tile has that many descriptors")
    shim = state.kind(fifo.producer) == "shim"
    if shim and fifo.to_stream:
        error(
            f"{name}: a layout on the shim's side",
            loc,
            why="dimensionsToStream is not possible on a shim producer",
            hint="put the layout into the runtime sequence's transfer, or on a memtile end",
        )
    if shim and fifo.repeat is not None:
        error(
            f"{name}: repeat_count on a shim producer",
            loc,
            hint="repeat the transfer in the runtime sequence",
        )
    if shim and fifo.initial is not None:
        error(f"{name}: initial values on a shim producer", loc)
    for tile, dims in zip(fifo.consumers, fifo.from_stream, strict=False):
        if dims and state.kind(tile) == "shim":
            error(
                f"{name}: dimensionsFromStream on a shim consumer",
                loc,
                hint="put the layout into the runtime sequence's transfer",
            )
        if shim and state.kind(tile) == "shim":
            error(f"{name} goes from a shim tile to a shim tile", loc)


def _depths(fifo: Fifo) -> tuple[int, ...]:
    return fifo.depth if isinstance(fifo.depth, tuple) else (fifo.depth,)


def _check_attributes(state: State, fifo: Fifo) -> None:
    error = state.problems.error
    name, loc = f"objectfifo {fifo.name}", fifo.loc
    if fifo.initial is not None and len(fifo.initial) != fifo.declared(0):
        error(f"{name} has {len(fifo.initial)} initial values, its depth is {fifo.declared(0)}", loc)
    if fifo.repeat is not None and fifo.repeat < 1:
        error(f"{name}: repeat_count {fifo.repeat} is below 1", loc)
    if fifo.iter_count is not None:
        if not 1 <= fifo.iter_count <= state.target.mem.repeat:
            error(f"{name}: iter_count {fifo.iter_count} is not in 1..{state.target.mem.repeat}", loc)
        tiles = (fifo.producer, *fifo.consumers)
        if not any(state.kind(tile) == "mem" for tile in tiles):
            error(f"{name}: iter_count needs an end on a memtile", loc)
    if fifo.pads:
        if state.kind(fifo.producer) != "mem":
            error(
                f"{name}: padding on {state.kind(fifo.producer)} tile {fifo.producer}",
                loc,
                why="only a memtile pads what it sends",
            )
        if len(fifo.pads) != len(fifo.to_stream):
            error(f"{name} has {len(fifo.pads)} paddings for {len(fifo.to_stream)} dimensions", loc)


def _check_stream(state: State, fifo: Fifo) -> None:
    if fifo.stream is None:
        return
    error = state.problems.error
    name, loc = f"objectfifo {fifo.name}", fifo.loc
    if len(fifo.consumers) != 1:
        error(f"{name}: aie_stream needs exactly one consumer", loc)
    ends = {0: (fifo.producer,), 1: fifo.consumers[:1], 2: (fifo.producer, *fifo.consumers[:1])}
    for tile in ends.get(fifo.stream, ()):
        if state.kind(tile) != "core":
            error(
                f"{name}: aie_stream on {state.kind(tile)} tile {tile}",
                loc,
                why="only cores have stream ports",
            )
    if fifo.stream not in ends:
        error(f"{name}: aie_stream {fifo.stream} is not 0 (producer), 1 (consumer) or 2 (both)", loc)
    if fifo.stream in (0, 2) and (fifo.to_stream or fifo.repeat or fifo.initial):
        error(f"{name}: a stream port has no layout, repeat or initial values", loc)
    if fifo.stream in (1, 2) and any(fifo.from_stream):
        error(f"{name}: a stream port has no layout", loc)


def _check_delegates(state: State) -> None:
    for name in state.delegates:
        fifo = state.fifos.get(name)
        if fifo is None:
            state.problems.error(f"allocate names no objectfifo {name}")
        elif (
            len(fifo.consumers) != 1
            or fifo.via_dma
            or fifo.repeat
            or fifo.stream is not None
            or fifo.to_stream
            or any(fifo.from_stream)
        ):
            state.problems.error(
                f"objectfifo {name} cannot be allocated elsewhere",
                fifo.loc,
                why="allocate is for shared memory: one consumer, no DMA, no layout, no repeat",
            )


def _check_link(state: State, link: Link) -> None:
    error = state.problems.error
    kind = state.kind(link.tile)
    if link.is_join and link.is_distribute:
        error("a link joins or distributes, not both", link.loc)
        return
    if (link.is_join or link.is_distribute) and kind != "mem":
        what = "join" if link.is_join else "distribute"
        error(f"a {what} link on {kind} tile {link.tile}", link.loc, why="only memtiles join and distribute")
    if kind == "shim":
        error(f"a link on shim tile {link.tile}", link.loc, why="a shim has no memory")
    parts = link.ins if link.is_join else link.outs if link.is_distribute else ()
    if parts and len(link.offsets) != len(parts):
        error(
            f"link has {len(link.offsets)} offsets for {len(parts)} objectfifos",
            link.loc,
            hint="offsets of a join stand in the first bracket, of a distribute in the second",
        )
        return
    repeats = {state.fifos[name].repeat or 1 for name in link.outs}
    if link.is_distribute and len(repeats) > 1:
        error("outputs of a distribute have different repeat_count", link.loc)
    if parts:
        _check_slices(state, link, parts)
    else:
        _check_one_to_one(state, link)


def _check_slices(state: State, link: Link, parts: tuple[str, ...]) -> None:
    """Slices follow each other without overlap, and each is as long as its fifo's object."""
    error = state.problems.error
    big = state.fifos[link.outs[0] if link.is_join else link.ins[0]]
    size = (big.type if link.is_join else big.consumer_type).elements
    ends = (*link.offsets[1:], size)
    for number, (name, start, end) in enumerate(zip(parts, link.offsets, ends, strict=True)):
        fifo = state.fifos[name]
        part = (fifo.consumer_type if link.is_join else fifo.type).elements
        if end <= start or start < 0:
            error(
                f"offsets {link.offsets[number]} and {end} of the link overlap",
                link.loc,
                why=f"objectfifo {name} has {part} elements from {start} on",
            )
        elif fifo.pads:
            continue
        elif part != end - start:
            error(
                f"objectfifo {name} has objects of {part} elements, the link gives it {end - start}",
                link.loc,
                why=f"elements {start}..{end - 1} of {size}",
            )


def _check_one_to_one(state: State, link: Link) -> None:
    """An object may be cut into several smaller ones, or several merged, but none may be left over."""
    came, goes = state.fifos[link.ins[0]], state.fifos[link.outs[0]]
    first, second = came.consumer_type.bytes, goes.type.bytes
    if first == second or goes.pads:
        return
    if max(first, second) % min(first, second):
        state.problems.error(
            f"link of objectfifo {came.name} ({first} bytes) to {goes.name} ({second} bytes)",
            link.loc,
            why="an objectfifo can neither drop nor add elements",
            hint="use equal objects, or padDimensions on a memtile's output",
        )


def check_uses(state: State) -> None:
    """Check acquires, releases and accesses of every core."""
    for tile, core in state.cores.items():
        for op in core.body.walk():
            if isinstance(op, fifo_ops.FifoUseOp):
                _check_use(state, tile, op)
            elif isinstance(op, fifo_ops.ObjectFifoSubviewAccessOp):
                _check_access(state, op)
        check_balance(state, tile, core)
        _check_unused(state, tile)
    for op in state.device.body.walk():
        if isinstance(op, fifo_ops.FifoUseOp) and not _inside_core(op):
            state.problems.error(f"{op.name} must be inside a core", location_of(op))


def _check_unused(state: State, tile: TileId) -> None:
    """Note fifo ends of a core that its program never acquires: their other end stalls once they are full."""
    core = state.cores[tile]
    if core.text("elf_file") is not None:
        return
    used = {(op.fifo, op.port) for op in core.body.walk() if isinstance(op, fifo_ops.FifoUseOp)}
    for fifo in state.fifos.values():
        ends = [("Produce", fifo.producer == tile), ("Consume", tile in fifo.consumers)]
        for port, here in ends:
            stream = fifo.stream in (2, 0 if port == "Produce" else 1)
            if (
                here
                and not stream
                and (fifo.name, port) not in used
                and state.link_of(fifo.name, tile) is None
            ):
                state.problems.warn(
                    f"core {tile} never acquires objectfifo {fifo.name} ({port})", location_of(core)
                )


def _inside_core(op: fifo_ops.FifoUseOp) -> bool:
    parent = op.parent_op()
    while parent is not None:
        if parent.name == "aie.core":
            return True
        parent = parent.parent_op()
    return False


def _check_use(state: State, tile: TileId, op: fifo_ops.FifoUseOp) -> None:
    loc = location_of(op)
    fifo = state.fifos.get(op.fifo)
    if fifo is None:
        known = ", ".join(state.fifos) or "none"
        state.problems.error(f"no objectfifo is named {op.fifo}", loc, hint=f"known: {known}")
        return
    if op.port not in ("Produce", "Consume"):
        state.problems.error(f"port {op.port} is neither Produce nor Consume", loc)
        return
    at = (fifo.producer,) if op.port == "Produce" else fifo.consumers
    if tile not in at:
        what = "producer" if op.port == "Produce" else "consumer"
        state.problems.error(
            f"core {tile} is no {what} of objectfifo {op.fifo}",
            loc,
            why=f"its {what} is {', '.join(str(one) for one in at)}",
        )
    if not 0 <= op.size <= _ABSURD:
        state.problems.error(f"{op.name} of {op.size} objects", loc)
    if state.link_of(op.fifo, tile) is not None:
        state.problems.error(f"core {tile} uses objectfifo {op.fifo}, which is linked on its tile", loc)
    stream = fifo.stream
    if stream == 2 or stream == (0 if op.port == "Produce" else 1):
        state.problems.error(
            f"objectfifo {op.fifo} ends on a stream port", loc, why="a stream port has no objects to acquire"
        )
    if isinstance(op, fifo_ops.ObjectFifoAcquireOp):
        _check_acquire(state, op, fifo)


def _check_acquire(state: State, op: fifo_ops.ObjectFifoAcquireOp, fifo: Fifo) -> None:
    loc = location_of(op)
    expected = fifo.type if op.port == "Produce" else fifo.consumer_type
    try:
        given = array_of(op.element)
    except ValueError as error:
        state.problems.error(f"acquire of objectfifo {op.fifo}: {error}", loc)
        return
    if given != expected:
        state.problems.error(
            f"acquire of objectfifo {op.fifo} as {given}", loc, why=f"its objects are {expected}"
        )
    if not op.subview and len(op.results) != op.size:
        state.problems.error(f"acquire of {op.size} objects has {len(op.results)} results", loc)


def _check_access(state: State, op: fifo_ops.ObjectFifoSubviewAccessOp) -> None:
    owner = op.operands[0].owner
    if not isinstance(owner, fifo_ops.ObjectFifoAcquireOp):
        state.problems.error("subview.access needs the result of an acquire", location_of(op))
        return
    if not 0 <= op.index < owner.size:
        state.problems.error(
            f"object {op.index} of a subview of {owner.size}", location_of(op), why=f"objectfifo {owner.fifo}"
        )
    try:
        same = array_of(op.results[0].type) == array_of(owner.element)
    except ValueError as error:
        state.problems.error(f"subview.access: {error}", location_of(op))
        return
    if not same:
        state.problems.error(
            f"subview.access gives {array_of(op.results[0].type)}",
            location_of(op),
            why=f"objects of objectfifo {owner.fifo} are {array_of(owner.element)}",
        )
