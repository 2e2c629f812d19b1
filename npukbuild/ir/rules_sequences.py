"""Rules of descriptors and of the runtime sequence's transfers."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from npukbuild.ir.design import ELEMENT_BYTES, Array, Push, Wait
from npukbuild.ir.dialects.base import location_of
from npukbuild.ir.runs import is_unwrapped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npukbuild.ir.design import Descriptor, Sequence, TileId
    from npukbuild.ir.lowering.state import State


def check_descriptors(state: State) -> None:
    """Check the descriptors that the configuration holds."""
    types = {spec.name: spec.type for spec in state.buffers}
    tiles = {spec.name: spec.tile for spec in state.buffers if not spec.external}
    for channel in state.channels:
        for descriptor in channel.descriptors:
            what = f"objectfifo {channel.fifo} on {channel.tile}" if channel.fifo else None
            check_descriptor(state, channel.tile, descriptor, types[descriptor.buffer], what)
            _check_reach(state, channel.tile, channel.index, descriptor, tiles.get(descriptor.buffer))
        if any(descriptor.pads for descriptor in channel.descriptors) and channel.direction != "MM2S":
            state.problems.error("padding on a receiving channel", channel.loc, why="only sending ones pad")


def _check_reach(state: State, tile: TileId, channel: int, descriptor: Descriptor, at: TileId | None) -> None:
    if at is None or at == tile:
        return
    reach = state.target.mem.neighbour_channels
    near = state.kind(tile) == "mem" and at.row == tile.row and abs(at.column - tile.column) == 1
    if not near:
        state.problems.error(
            f"the DMA of {tile} cannot reach buffer {descriptor.buffer} of {at}",
            descriptor.loc,
            why="a core's DMA reaches its own memory, a memtile's also the west and east one",
        )
    elif channel >= reach:
        state.problems.error(
            f"channel {channel} of {tile} cannot reach buffer {descriptor.buffer} of {at}",
            descriptor.loc,
            why=f"only channels 0..{reach - 1} reach a neighbouring memtile",
        )


def check_descriptor(
    state: State, tile: TileId, descriptor: Descriptor, kind: Array, what: str | None = None
) -> None:
    """Check one descriptor against the dialect's rules and the 32-bit granularity of the hardware."""
    error = state.problems.error
    loc, width = descriptor.loc, ELEMENT_BYTES[kind.element]
    limits = state.target.limits(state.kind(tile))
    what = what or f"descriptor of {descriptor.buffer} on {tile}"
    if descriptor.length * width % 4:
        error(
            f"{what}: {descriptor.length} elements are {descriptor.length * width} bytes",
            loc,
            why="a DMA moves words of 4 bytes",
        )
    if descriptor.offset * width % 4:
        error(f"{what}: offset {descriptor.offset * width} bytes is not a multiple of 4", loc)
    if descriptor.offset < 0 or descriptor.length < 0:
        error(f"{what}: negative offset or length", loc)
    if len(descriptor.dims) > limits.dims:
        error(
            f"{what} has {len(descriptor.dims)} dimensions",
            loc,
            why=f"a {state.kind(tile)} tile has {limits.dims}",
        )
    if descriptor.pads:
        _check_pads(state, tile, descriptor, width, what)
    if descriptor.dims:
        _check_dims(state, descriptor, kind, width, what)
    elif descriptor.offset + descriptor.length > kind.elements:
        error(
            f"{what} reaches past its end",
            loc,
            why=f"{descriptor.length} elements from {descriptor.offset} on, it has {kind.elements}",
        )
    if descriptor.packet is not None and not 0 <= descriptor.packet[1] < state.target.streams["packet_ids"]:
        error(
            f"{what}: packet id {descriptor.packet[1]} does not exist",
            loc,
            why=f"ids are 0..{state.target.streams['packet_ids'] - 1}",
        )


def _check_dims(state: State, descriptor: Descriptor, kind: Array, width: int, what: str) -> None:
    error, loc = state.problems.error, descriptor.loc
    dims = descriptor.dims
    pads = descriptor.pads
    if any(dim.size < 1 for dim in dims):
        error(f"{what} has a dimension of size 0", loc)
        return
    sizes = [dim.size for dim in dims]
    if pads and len(pads) == len(dims):
        sizes = [size + pad.before + pad.after for size, pad in zip(sizes, pads, strict=True)]
    if prod(sizes) != descriptor.length:
        text = " x ".join(str(size) for size in sizes)
        error(
            f"{what}: its dimensions give {prod(sizes)} elements, it moves {descriptor.length}",
            loc,
            why=f"{text}{' with padding' if pads else ''}",
        )
    if width < 4 and not is_unwrapped(descriptor, width):
        _check_runs(state, descriptor, kind, width, what)
    last = descriptor.offset + sum((dim.size - 1) * dim.stride for dim in dims)
    first = descriptor.offset + sum(min(0, (dim.size - 1) * dim.stride) for dim in dims)
    if last >= kind.elements or first < 0:
        error(f"{what} reaches past its end", loc, why=f"element {last} of {kind.elements}")


def _check_runs(state: State, descriptor: Descriptor, kind: Array, width: int, what: str) -> None:
    """Check that elements smaller than a word are moved as whole words."""
    error, loc, dims = state.problems.error, descriptor.loc, descriptor.dims
    inner = dims[-1]
    if inner.stride != 1 and inner.size > 1:
        error(
            f"{what}: innermost stride {inner.stride} of {kind.element}",
            loc,
            why="elements below 4 bytes can only be moved as runs; a transpose inside a word is impossible",
        )
    if inner.size * width % 4:
        error(
            f"{what}: innermost run of {inner.size} {kind.element} is {inner.size * width} bytes",
            loc,
            why="a run is a whole number of 4-byte words",
        )
    for dim in dims[:-1]:
        if dim.stride * width % 4 and dim.size > 1:
            error(
                f"{what}: stride {dim.stride} of {kind.element} is {dim.stride * width} bytes",
                loc,
                why="strides are whole 4-byte words",
            )


def _check_pads(state: State, tile: TileId, descriptor: Descriptor, width: int, what: str) -> None:
    error, loc = state.problems.error, descriptor.loc
    if state.kind(tile) != "mem":
        error(f"{what}: padding on a {state.kind(tile)} tile", loc, why="only memtiles pad")
    if len(descriptor.pads) != len(descriptor.dims):
        error(f"{what} has {len(descriptor.pads)} paddings for {len(descriptor.dims)} dimensions", loc)
        return
    inner = descriptor.pads[-1]
    if inner.before * width % 4 or inner.after * width % 4:
        error(f"{what}: inner padding is not a whole number of 4-byte words", loc)


def check_transfers(state: State) -> None:
    """Check every ``dma_memcpy_nd`` as written."""
    for op, kind, sizes, strides in state.transfers:
        loc, width = location_of(op), ELEMENT_BYTES[kind.element]
        error = state.problems.error
        if width > 4:
            error(
                f"transfer of {kind.element} elements",
                loc,
                why="elements have at most 32 bits",
                hint="describe the buffer as i32",
            )
        if any(size < 1 for size in sizes):
            error(f"transfer with sizes {list(sizes)}", loc, why="every size is at least 1")
            continue
        if sizes[3] * width % 4:
            error(
                f"innermost run of {sizes[3]} {kind.element} is {sizes[3] * width} bytes",
                loc,
                why="a DMA moves words of 4 bytes",
            )
        _check_strides(state, op, kind, sizes, strides)


def _check_strides(
    state: State, op: object, kind: Array, sizes: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    from typing import Any, cast

    loc, width = location_of(cast("Any", op)), ELEMENT_BYTES[kind.element]
    error = state.problems.error
    for number, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        place = f"stride {3 - number}"
        if number == 3:
            if stride != 1 and width < 4:
                error(
                    f"innermost stride {stride} of {kind.element}",
                    loc,
                    why="elements below 4 bytes can only be moved as runs",
                )
            elif stride < 1 and size > 1:
                error(f"{place} is {stride}", loc, why="it must be at least 1")
            continue
        if stride * width % 4:
            hint = "use 0 where the size is 1" if size == 1 else None
            error(
                f"{place} of {stride} {kind.element} is {stride * width} bytes",
                loc,
                why="strides are whole 4-byte words",
                hint=hint,
            )
        if stride < 0 or (stride == 0 and size > 1 and number > 0):
            error(
                f"{place} is {stride} for a size of {size}",
                loc,
                why="only the outermost dimension can repeat with stride 0",
            )


def check_sequences(state: State, sequences: Mapping[str, Sequence]) -> None:
    """Check what every sequence moves against its arguments, and its waits against its tokens."""
    types = {spec.name: spec.type for spec in state.buffers}
    for sequence in sequences.values():
        arguments = dict(sequence.arguments)
        for op in sequence.operations:
            if isinstance(op, Push):
                for descriptor in op.descriptors:
                    _check_push(state, op, descriptor, (arguments | types)[descriptor.buffer])
        _check_tokens(state, sequence)
        _check_ids(state, sequence)
        _check_objects(state, sequence)


def _check_push(state: State, push: Push, descriptor: Descriptor, kind: Array) -> None:
    error, width = state.problems.error, ELEMENT_BYTES[kind.element]
    loc = descriptor.loc
    if push.task is not None:
        check_descriptor(state, push.target.tile, descriptor, kind)
        if push.iteration is not None and push.iteration.stride * width % 4:
            error(f"stride {push.iteration.stride} of {kind.element} is not a whole number of words", loc)
    elif descriptor.offset * width % 4:
        error(
            f"offset of {descriptor.offset} {kind.element} is {descriptor.offset * width} bytes",
            loc,
            why="a transfer starts at a multiple of 4 bytes",
        )
    if state.kind(push.target.tile) != "shim":
        return
    last = reach(push, descriptor) - 1
    if last >= kind.elements or descriptor.offset < 0:
        error(
            f"transfer reaches past the end of {descriptor.buffer}",
            loc,
            why=f"element {last} of a buffer of {kind.elements}",
            hint="if the host's buffer is larger, say so in the argument's type: "
            f"{Array(kind.element, (last + 1,))}"
            if last >= kind.elements
            else None,
        )


def reach(push: Push, descriptor: Descriptor) -> int:
    """Return how many elements a buffer needs for a transfer from or to it."""
    dims = descriptor.dims
    last = descriptor.offset + sum((dim.size - 1) * dim.stride for dim in dims)
    if not dims:
        last += descriptor.length - 1
    if push.iteration is not None:
        last += (min(push.iteration.size, push.repeat + 1) - 1) * push.iteration.stride
    return last + 1


def _check_tokens(state: State, sequence: Sequence) -> None:
    """Every wait needs a token that some earlier push issues; every result needs a wait."""
    tokens: dict[tuple[TileId, str, int], int] = {}
    waits = 0
    for op in sequence.operations:
        if isinstance(op, Push) and op.token:
            key = (op.target.tile, op.target.direction, op.target.channel)
            tokens[key] = tokens.get(key, 0) + 1
        elif isinstance(op, Wait):
            waits += 1
            key = (op.tile, op.direction, op.channel)
            tokens[key] = tokens.get(key, 0) - op.count
            if tokens[key] < 0:
                state.problems.error(
                    f"wait for channel {op.direction} {op.channel} of {op.tile} never ends",
                    op.loc,
                    why="no transfer before it issues a completion token on that channel",
                    hint="give the transfer issue_token = true",
                )
                tokens[key] = 0
    results = [op for op in sequence.operations if isinstance(op, Push) and op.target.direction == "S2MM"]
    if results and not waits:
        state.problems.error(
            "the runtime sequence ends without waiting for its output",
            results[0].loc,
            why="the call returns before the output is written",
            hint="add aiex.npu.dma_wait or dma_await_task",
        )
        return
    for (tile, direction, channel), left in tokens.items():
        if left > 0 and direction == "S2MM":
            state.problems.warn(
                f"{left} transfers of channel S2MM {channel} of {tile} are not awaited", sequence.loc
            )


def _check_ids(state: State, sequence: Sequence) -> None:
    """A descriptor's id used again with no wait at all in between is overwritten while it may be in use."""
    since: dict[tuple[TileId, int], Push] = {}
    for op in sequence.operations:
        if isinstance(op, Wait):
            since.clear()
        elif isinstance(op, Push) and op.task is None:
            for descriptor in op.descriptors:
                key = (op.target.tile, descriptor.id or 0)
                earlier = since.get(key)
                if earlier is not None and descriptor != earlier.descriptors[0]:
                    state.problems.error(
                        f"descriptor {key[1]} of {key[0]} is written while it may still be in use",
                        op.loc,
                        why=f"it was started at {earlier.loc}, with no wait in between",
                        hint="use another id, or wait first",
                    )
                since[key] = op


def _check_objects(state: State, sequence: Sequence) -> None:
    """What the host moves through a fifo should be a whole number of the objects at its other end.

    Draining a part of an object although the host buffer has room for the rest is refused; what ends with the
    host buffer may go on in the next call and is only noted.
    """
    moved: dict[str, tuple[int, Push]] = {}
    types = dict(sequence.arguments)
    for op in sequence.operations:
        if isinstance(op, Push) and op.target.name in state.fifos:
            width = sum(
                descriptor.length * ELEMENT_BYTES[types[descriptor.buffer].element]
                for descriptor in op.descriptors
                if descriptor.buffer in types
            )
            before = moved.get(op.target.name, (0, op))[0]
            moved[op.target.name] = (before + width * (op.repeat + 1), op)
    for name, (count, push) in moved.items():
        fifo = state.fifos[name]
        size = fifo.type.bytes
        if count % size == 0:
            continue
        room = types[push.descriptors[0].buffer].bytes if push.descriptors[0].buffer in types else 0
        if push.target.direction == "S2MM" and count < room:
            state.problems.error(
                f"the host drains {count} bytes of objectfifo {name}",
                push.loc,
                why=f"its objects have {size} bytes: the last one is cut",
            )
        else:
            state.problems.warn(
                f"the host moves {count} bytes through objectfifo {name}",
                push.loc,
                why=f"its objects have {size} bytes: the last one stays incomplete",
            )
