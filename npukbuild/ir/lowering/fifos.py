"""Objectfifos become ends with buffers and locks.

The rules follow mlir-aie's stateful transform of March 2026 as documented: when a fifo needs DMA, how many
objects each end has, who owns the objects of a link, in which order buffers and locks are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.ir.design import Lock, TileId
from npukbuild.ir.dialects import fifo_ops
from npukbuild.ir.lowering.state import BufferSpec, End, Fifo, Link, State

if TYPE_CHECKING:
    from npukbuild.targets import Target


def lower_fifos(state: State) -> None:
    """Split every fifo into its ends, then make their buffers and locks in the compiler's order."""
    _check_delegates(state)
    for fifo in state.fifos.values():
        if needs_dma(state, fifo):
            _split(state, fifo)
        else:
            state.ends.append(_shared(state, fifo))
    owners = {id(link): _link_owner(state, link) for link in state.links}
    for order, end in enumerate(state.ends):
        if end.link is None or owners[id(end.link)] is end:
            _make_buffers(state, end, order)
            _make_locks(state, end)
    for end in state.ends:
        if end.link is not None:
            owner = owners[id(end.link)]
            end.buffers, end.locks = owner.buffers, owner.locks


def reaches(target: Target, core: TileId, memory: TileId) -> bool:
    """Whether ``core`` can load and store in ``memory``: itself, west, north, south (not east).

    A memtile's DMA reaches its own, the west and the east memtile. Source: mlir-aie
    ``AIE2TargetModel::isLegalMemAffinity``.
    """
    kind = target.kind(core.row)
    if kind == "mem":
        return core.row == memory.row and abs(core.column - memory.column) <= 1
    if core.column == memory.column:
        if memory.row == core.row - 1:
            return target.kind(memory.row) == "core"
        return memory.row in (core.row, core.row + 1) and memory.row < target.rows
    return memory == TileId(core.column - 1, core.row)


def share_direction(target: Target, first: TileId, second: TileId) -> int:
    """Return 2 when both can use either's memory, -1 only the first's, 1 only the second's, 0 none."""
    kinds = (target.kind(first.row), target.kind(second.row))
    if kinds[0] != kinds[1] or (kinds[0] == "shim" and first != second):
        return 0
    into_second = reaches(target, first, second)
    into_first = reaches(target, second, first)
    return 2 if into_first and into_second else -1 if into_first else 1 if into_second else 0


def needs_dma(state: State, fifo: Fifo) -> bool:
    """Whether a fifo is moved by DMA instead of living in shared memory."""
    if fifo.via_dma or fifo.repeat is not None or fifo.stream is not None:
        return True
    if fifo.consumer_type != fifo.type or len(fifo.consumers) != 1 or fifo.to_stream:
        return True
    if share_direction(state.target, fifo.producer, fifo.consumers[0]) == 0 or any(fifo.from_stream):
        return True
    link = state.link_of(fifo.name)
    if link is None:
        return False
    if link.is_join or link.is_distribute:
        return True
    delegate = state.delegates.get(fifo.name)
    same = state.fifos[link.ins[0]].type == state.fifos[link.outs[0]].type
    return not (same and delegate is not None and _delegate_fits(state, fifo, delegate))


def _delegate_fits(state: State, fifo: Fifo, delegate: TileId) -> bool:
    return all(
        share_direction(state.target, delegate, tile) in (-1, 2)
        for tile in (fifo.producer, fifo.consumers[0])
    )


def _check_delegates(state: State) -> None:
    for name, tile in state.delegates.items():
        fifo = state.fifos.get(name)
        if fifo is None:
            state.problems.error(f"allocate names no objectfifo {name}")
        elif not _delegate_fits(state, fifo, tile):
            state.problems.error(
                f"objectfifo {name} cannot be allocated on {tile}",
                fifo.loc,
                why=f"{fifo.producer} and {fifo.consumers[0]} do not both reach its memory",
            )


def _shared(state: State, fifo: Fifo) -> End:
    delegate = state.delegates.get(fifo.name)
    direction = share_direction(state.target, fifo.producer, fifo.consumers[0])
    tile = fifo.producer if direction != 1 else fifo.consumers[0]
    if fifo.via_shared_mem is not None and direction == 2:
        tile = (fifo.producer, fifo.consumers[0])[min(fifo.via_shared_mem, 1)]
    link = state.link_of(fifo.name)
    return End(fifo.name, fifo, "both", delegate or tile, fifo.type, fifo.declared(0), link=link)


def _split(state: State, fifo: Fifo) -> None:
    producer_link = next(
        (link for link in state.links if fifo.name in link.outs and link.tile == fifo.producer), None
    )
    producer = End(
        fifo.name, fifo, "produce", fifo.producer, fifo.type, _producer_depth(state, fifo), link=producer_link
    )
    consumers = []
    for index, tile in enumerate(fifo.consumers):
        suffix = f"_{index}_cons" if len(fifo.consumers) > 1 else "_cons"
        link = next((link for link in state.links if fifo.name in link.ins and link.tile == tile), None)
        end = End(fifo.name + suffix, fifo, "consume", tile, fifo.consumer_type, 0, index, link)
        end.depth = _consumer_depth(state, end)
        end.external = tuple(state.registered.get((fifo.name, tile), ()))
        consumers.append(end)
    producer.external = tuple(state.registered.get((fifo.name, fifo.producer), ()))
    _note_distance(state, fifo)
    state.ends.append(producer)
    state.ends.extend(reversed(consumers))
    state.splits.append((producer, tuple(consumers)))


def _note_distance(state: State, fifo: Fifo) -> None:
    """Tell when cores that are no neighbours turn a plain fifo into DMA."""
    kinds = [state.kind(tile) for tile in (fifo.producer, *fifo.consumers)]
    if kinds != ["core", "core"] or share_direction(state.target, fifo.producer, fifo.consumers[0]):
        return
    if not fifo.via_dma and fifo.stream is None:
        state.problems.warn(
            f"objectfifo {fifo.name} is moved by DMA",
            fifo.loc,
            why=f"{fifo.producer} and {fifo.consumers[0]} share no memory",
        )


def acquired(state: State, tile: TileId, fifo: str) -> int:
    """Return the largest number of objects that the core on ``tile`` acquires at once from a fifo."""
    core = state.cores.get(tile)
    if core is None:
        return 0
    sizes = [
        op.size for op in core.body.walk() if isinstance(op, fifo_ops.ObjectFifoAcquireOp) and op.fifo == fifo
    ]
    return max(sizes, default=0)


def found_depth(state: State, tile: TileId, fifo: Fifo, declared: int) -> int:
    """Return the objects of an end with a scalar depth (``findObjectFifoSize``).

    A core's end gets one object more than the core acquires at once, whatever depth was declared; depth 1
    with acquires of 1 stays 1.
    """
    if declared == 0 or state.kind(tile) == "mem":
        return declared
    if state.kind(tile) == "shim":
        registered = state.registered.get((fifo.name, tile))
        return len(registered) if registered else declared
    most = acquired(state, tile, fifo.name)
    if most == 0:
        return declared
    return 1 if most == 1 and declared == 1 else most + 1


def _producer_depth(state: State, fifo: Fifo) -> int:
    if fifo.explicit or fifo.initial is not None:
        return fifo.declared(0)
    return _noted(state, fifo, fifo.producer, fifo.declared(0))


def _consumer_depth(state: State, end: End) -> int:
    """Return the objects at a consumer; an own depth is counted again if the end has a layout or a link."""
    fifo = end.fifo
    declared = fifo.declared(end.consumer + 1)
    if fifo.explicit and not fifo.from_stream[end.consumer] and end.link is None:
        return declared
    return _noted(state, fifo, end.tile, declared)


def _noted(state: State, fifo: Fifo, tile: TileId, declared: int) -> int:
    found = found_depth(state, tile, fifo, declared)
    if found < declared and state.kind(tile) == "core":
        state.problems.warn(
            f"objectfifo {fifo.name} has {found} objects on {tile}, not {declared}",
            fifo.loc,
            why="a depth given as one number is replaced by one more than the core acquires at once; "
            "give one depth per end to keep it",
        )
    return found


def _link_owner(state: State, link: Link) -> End:
    """Return the end whose objects a link's fifos share."""
    ins = [_end(state, name, "consume", link.tile) for name in link.ins]
    outs = [_end(state, name, "produce", link.tile) for name in link.outs]
    if link.is_join:
        return outs[0]
    if link.is_distribute:
        return ins[0]
    if outs[0].fifo.initial is not None:
        return outs[0]
    bigger_in = ins[0].type.elements >= outs[0].type.elements
    return ins[0] if bigger_in or outs[0].fifo.pads else outs[0]


def _end(state: State, name: str, role: str, tile: TileId) -> End:
    return next(
        end
        for end in state.ends
        if end.fifo.name == name and (end.role == "both" or (end.role == role and end.tile == tile))
    )


def _make_buffers(state: State, end: End, order: int) -> None:
    """Give an end its buffers; later ends' stand before earlier ones' behind the last tile."""
    if end.depth == 0 or end.on_stream_port or state.kind(end.tile) == "shim":
        return
    if end.fifo.initial is not None and end.role != "consume" and len(end.fifo.initial) != end.depth:
        state.problems.error(
            f"objectfifo {end.fifo.name} has {len(end.fifo.initial)} initial values for {end.depth} objects",
            end.loc,
        )
    for index in range(end.depth):
        initial = None
        if end.fifo.initial is not None and end.role != "consume" and index < len(end.fifo.initial):
            initial = end.fifo.initial[index]
        spec = BufferSpec(
            f"{end.name}_buff_{index}",
            _home(state, end),
            end.type,
            (state.tile_order, len(state.ends) - order, index),
            initial=initial,
            fifo=end.fifo.name,
            loc=end.loc,
        )
        end.buffers.append(spec)
        state.buffers.append(spec)


def _home(state: State, end: End) -> TileId:
    """Return the tile for the next object: a full memtile spills to the west, then to the east."""
    if state.kind(end.tile) != "mem":
        return end.tile
    limit = state.target.mem.data_bytes
    for column in (end.tile.column, end.tile.column - 1, end.tile.column + 1):
        tile = TileId(column, end.tile.row)
        if not 0 <= column < state.target.columns:
            continue
        used = sum(spec.type.bytes for spec in state.buffers if spec.tile == tile and spec.fifo is not None)
        if used + end.type.bytes <= limit:
            return tile
    return end.tile


def _make_locks(state: State, end: End) -> None:
    """Give an end its pairs of locks: objects free (prod) and objects filled (cons)."""
    fifo = end.fifo
    if fifo.unsynchronized or end.depth == 0 or end.on_stream_port:
        return
    depth = len(end.external) if state.kind(end.tile) == "shim" else end.depth
    repeat = fifo.repeat or 1 if end.role != "consume" else 1
    pairs = 1
    if end.link is not None:
        repeat = end.link.repeat or repeat
        pairs = max(len(end.link.ins), len(end.link.outs))
    filled = len(fifo.initial) if fifo.initial is not None and end.role != "consume" else 0
    for pair in range(pairs):
        for what, value in (("prod", depth - filled), ("cons", filled)):
            lock = Lock(
                f"{end.name}_{what}_lock_{pair}",
                end.tile,
                free_lock(state, end.tile),
                value * repeat,
                fifo.name,
                end.loc,
            )
            end.locks.append(lock)
            state.locks.append(lock)


def free_lock(state: State, tile: TileId) -> int:
    """Return the lowest lock id of a tile that nothing uses; past the limit the account complains."""
    used = {lock.id for lock in state.locks if lock.tile == tile}
    return next(number for number in range(len(used) + 1) if number not in used)
