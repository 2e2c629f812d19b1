"""Ends become DMA channels with chains of descriptors, and streams between them."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, cast

from npukbuild.ir.design import Allocation, Channel, Descriptor, Direction, Flow, LockUse, Port
from npukbuild.ir.dialects import dma_ops

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npukbuild.ir.design import TileId
    from npukbuild.ir.lowering.state import End, State


def lower_streams(state: State) -> dict[str, Allocation]:
    """Give every split end a channel and its chain, join them by flows, name the shim's channels."""
    _assign_channels(state)
    allocations: dict[str, Allocation] = {}
    for producer, consumers in state.splits:
        for end, direction in ((producer, "MM2S"), *((end, "S2MM") for end in consumers)):
            if end.on_stream_port:
                continue
            direction = cast("Direction", direction)
            assert end.channel is not None
            runs = end.fifo.iter_count if state.kind(end.tile) == "mem" else None
            descriptors = chain(end, direction, endless=runs is None)
            state.channels.append(
                Channel(
                    end.tile, direction, end.channel, descriptors, (runs or 1) - 1, end.fifo.name, end.loc
                )
            )
            if state.kind(end.tile) == "shim":
                _allocate(state, allocations, end, direction)
        source = _port(producer)
        state.flows.append(
            Flow(source, tuple(_port(end) for end in consumers), fifo=producer.fifo.name, loc=producer.loc)
        )
    return allocations


def _allocate(state: State, allocations: dict[str, Allocation], end: End, direction: Direction) -> None:
    name = end.fifo.name
    if name in allocations:
        state.problems.error(
            f"objectfifo {name} ends on more than one shim channel",
            end.loc,
            why="a runtime sequence could not tell them apart",
        )
    assert end.channel is not None
    allocations[name] = Allocation(name, end.tile, direction, end.channel, end.loc)


def _port(end: End) -> Port:
    if end.on_stream_port:
        return Port(end.tile, "Core", end.fifo.stream_port)
    assert end.channel is not None
    return Port(end.tile, "DMA", end.channel)


def _assign_channels(state: State) -> None:
    """Number channels: lowest free, ends with spilled buffers first and on the channels that reach them."""
    used = {(channel.tile, channel.direction, channel.index) for channel in reserved(state)}
    for spilled in (True, False):
        for producer, consumers in state.splits:
            for end, direction in ((producer, "MM2S"), *((end, "S2MM") for end in consumers)):
                if _spills(end) != spilled:
                    continue
                index = next(n for n in count() if (end.tile, direction, n) not in used)
                used.add((end.tile, cast("Direction", direction), index))
                end.channel = index
                reach = state.target.mem.neighbour_channels
                if spilled and index >= reach:
                    state.problems.error(
                        f"objectfifo {end.fifo.name} has buffers on a neighbour of {end.tile}",
                        end.loc,
                        why=f"only its channels 0..{reach - 1} reach them, and they are taken",
                    )


def _spills(end: End) -> bool:
    return any(spec.tile != end.tile for spec in end.buffers)


def reserved(state: State) -> Iterator[Channel]:
    """Yield the channels that DMA programs in the text use."""
    for program in state.device.body.blocks[0].ops:
        if isinstance(program, dma_ops.DmaProgramOp):
            tile = state.tiles[program.operands[0]]
            for op in program.body.walk():
                if isinstance(op, dma_ops.DmaStartOp | dma_ops.DmaOp):
                    yield Channel(
                        tile, cast("Direction", op.text("channel_dir")), op.number("channel_index") or 0
                    )


def chain(end: End, direction: Direction, *, endless: bool = True) -> tuple[Descriptor, ...]:
    """Return the descriptors of one end: every object, its slices, each ``repeat_count`` times.

    The chain is a cycle unless a memtile's ``iter_count`` says how often it runs.
    """
    if not end.buffers:
        return _external_chain(end, direction)
    link = end.link
    slices = _slices(end)
    owner = link is None or end.buffers[0].name.startswith(f"{end.name}_buff_")
    repeat = end.repeat
    acquire = (
        link.repeat or 1 if link is not None and end.fifo.name == link.ins[0] and end.role == "consume" else 1
    )
    big = link is not None and owner and (link.is_join or link.is_distribute)
    total = len(end.buffers) * repeat * len(slices)
    descriptors: list[Descriptor] = []
    for spec in end.buffers:
        for run in range(repeat * len(slices)):
            offset, length, pair = slices[run % len(slices)] if big else slices[0]
            acquires, releases = _lock_uses(end, direction, pair, acquire)
            number = len(descriptors)
            following = number + 1 if number + 1 < total else (0 if endless else None)
            descriptors.append(
                Descriptor(
                    spec.name,
                    offset,
                    length,
                    end.dims,
                    end.fifo.pads if direction == "MM2S" else (),
                    end.fifo.pad_value,
                    acquires,
                    releases,
                    following,
                    None,
                    end.fifo.packet,
                    end.loc,
                )
            )
    return tuple(descriptors)


def _slices(end: End) -> list[tuple[int, int, int]]:
    """Return (offset, length, lock pair) of what this end moves of one object."""
    link = end.link
    if link is None:
        return [(0, end.type.elements, 0)]
    owner = end.buffers[0]
    if not link.is_join and not link.is_distribute:
        held = owner.type.elements
        return [(0, max(held, end.type.elements), 0)]
    offsets = (*link.offsets, owner.type.elements)
    every = [(offsets[n], offsets[n + 1] - offsets[n], n) for n in range(len(link.offsets))]
    names = link.ins if link.is_join else link.outs
    if owner.name.startswith(f"{end.name}_buff_"):
        return every
    return [every[names.index(end.fifo.name)]]


def _lock_uses(
    end: End, direction: Direction, pair: int, acquire: int
) -> tuple[tuple[LockUse, ...], tuple[LockUse, ...]]:
    if not end.locks:
        return (), ()
    prod, cons = end.locks[2 * pair].name, end.locks[2 * pair + 1].name
    first, second = (prod, cons) if direction == "S2MM" else (cons, prod)
    return (LockUse(first, "acquire_ge", acquire),), (LockUse(second, "release", acquire),)


def _external_chain(end: End, direction: Direction) -> tuple[Descriptor, ...]:
    found = []
    for number, spec in enumerate(end.external):
        acquires, releases = _lock_uses(end, direction, 0, 1)
        following = (number + 1) % len(end.external)
        found.append(
            Descriptor(
                spec.name, 0, spec.type.elements, end.dims, (), 0, acquires, releases, following, loc=end.loc
            )
        )
    return tuple(found)


def tiles_of(state: State) -> tuple[TileId, ...]:
    """Return every tile of the design, sorted."""
    return tuple(sorted({*state.tiles.values(), *(spec.tile for spec in state.buffers if not spec.external)}))
