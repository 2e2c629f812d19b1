"""Descriptors whose words a runtime sequence writes: which memory, locks and addresses they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.errors import DesignError
from npukbuild.ir.design import ELEMENT_BYTES, Array, Buffer, Descriptor, Dim, Lock, LockUse, Pad, TileId
from npukbuild.ir.lowering.state import BufferSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.ir.design import Direction, Location
    from npukbuild.ir.lowering.bd_words import BdFields
    from npukbuild.ir.lowering.sequence import Sequencer

_WORD = 4


@dataclass(frozen=True)
class Start:
    """One start of a descriptor by a write to a queue: on which channel, how often it runs."""

    tile: TileId
    direction: Direction
    channel: int
    starts: int
    done: int
    """Starts of the descriptor since it was written: its iteration goes on from there."""
    loc: Location | None

    def refuse(self, slot: int, what: str, why: str | None = None) -> DesignError:
        """Return the error that descriptor ``slot`` of the tile is at fault."""
        return DesignError(
            f"descriptor {slot} of {self.tile} {what}", where=str(self.loc) if self.loc else None, why=why
        )


def describe(run: Sequencer, start: Start, slot: int, fields: BdFields) -> tuple[Descriptor, Dim | None]:
    """Return the descriptor that the registers describe, and its iteration, both in elements.

    Raises:
        DesignError: The descriptor is invalid, or means something that the model does not have.
    """
    _check(run, start, slot, fields)
    try:
        runs, pads = walk(fields)
    except ValueError as error:
        raise start.refuse(slot, str(error)) from None
    moved, iteration = _iterated(start, slot, fields)
    reach = 1 + sum((size - 1) * stride for size, stride in runs)
    if iteration is not None:
        reach += (min(iteration.size, start.starts) - 1) * iteration.stride
    name, kind, offset = _memory(run, start, slot, fields, moved, reach)
    width = ELEMENT_BYTES[kind.element]

    def elements(words: int) -> int:
        if words * _WORD % width:
            raise start.refuse(slot, f"moves {words} words", f"{name} has elements of {width} bytes")
        return words * _WORD // width

    if width > _WORD and runs[0][0] > 1 and runs[0][1] > 1:
        raise start.refuse(slot, f"moves single words of {name}", f"its elements have {width} bytes")
    dims, padding = _in_elements(runs, pads, elements, width)
    if offset % width:
        raise start.refuse(slot, f"starts at byte {offset} of {name}", f"its elements have {width} bytes")
    descriptor = Descriptor(
        name,
        offset // width,
        elements(fields.length),
        dims,
        padding,
        acquires=_acquires(run, start, slot, fields),
        releases=_releases(run, start, slot, fields),
        id=None if start.done else slot,  # started again as it is: nothing is overwritten
        packet=fields.packet if start.direction == "MM2S" else None,
        loc=start.loc,
    )
    step = None if iteration is None else Dim(iteration.size, elements(iteration.stride))
    return descriptor, step


def _check(run: Sequencer, start: Start, slot: int, fields: BdFields) -> None:
    limits = run.state.target.limits(run.state.kind(start.tile))
    half = limits.bds_per_parity
    if not fields.valid:
        raise start.refuse(
            slot, "is started while its valid bit is 0", "the channel would stop with an error"
        )
    if fields.compressed:
        raise start.refuse(slot, "compresses its data", "the simulator does not support compression")
    if not fields.length:
        raise start.refuse(slot, "has length 0")
    if half and slot // half != start.channel % 2:
        raise start.refuse(
            slot,
            f"is started on channel {start.direction} {start.channel}",
            f"even channels of a memtile reach descriptors 0..{half - 1}, odd ones {half}..{2 * half - 1}",
        )
    if fields.pads and start.direction != "MM2S":
        raise start.refuse(slot, "pads on a receiving channel", "only sending ones pad")


def walk(fields: BdFields) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the dimensions as (size, stride) and their padding, innermost first, in words.

    The length counts padding too and ends the outermost dimension, which needs no size.

    Raises:
        ValueError: The length is no whole number of runs.
    """
    left = fields.length
    runs: list[tuple[int, int]] = []
    pads: list[tuple[int, int]] = []
    for place, stride in enumerate(fields.strides):
        size = fields.sizes[place] if place < len(fields.sizes) else 0
        before, after = fields.pads[place] if place < len(fields.pads) else (0, 0)
        whole = size + before + after if size else left
        if whole >= left:  # it never comes to this dimension's end
            whole = left
            size = left - before - after
        if left % whole or size < 1:
            raise ValueError(
                f"moves {fields.length} words, which is no whole number of runs of dimension {place} "
                f"({size} words, {before} + {after} padding)"
            )
        runs.append((size, stride))
        pads.append((before, after))
        left //= whole
        if left == 1 and not any(before or after for before, after in fields.pads[place + 1 :]):
            break
    return runs, pads if any(before or after for before, after in pads) else []


def _in_elements(
    runs: list[tuple[int, int]], pads: list[tuple[int, int]], convert: Callable[[int], int], width: int
) -> tuple[tuple[Dim, ...], tuple[Pad, ...]]:
    (size, stride), outer = runs[0], runs[1:]
    dims = [Dim(count, convert(step)) for count, step in outer]
    if stride == 1 or size == 1:
        dims.insert(0, Dim(convert(size), 1))
    elif width < _WORD:  # words apart from each other are runs of their elements
        dims[:0] = [Dim(_WORD // width, 1), Dim(size, convert(stride))]
    else:
        dims.insert(0, Dim(size, convert(stride)))
    if not pads:
        return (() if len(dims) == 1 and dims[0].stride == 1 else tuple(reversed(dims))), ()
    padding = [Pad(before, after) for before, after in pads]
    padding[0] = Pad(convert(pads[0][0]), convert(pads[0][1]))
    padding[:0] = [Pad(0, 0)] * (len(dims) - len(padding))
    return tuple(reversed(dims)), tuple(reversed(padding))


def _iterated(start: Start, slot: int, fields: BdFields) -> tuple[int, Dim | None]:
    """Return the words that the iteration has advanced by already, and the iteration in words."""
    size, stride = fields.iteration_size, fields.iteration_stride
    if size == 1:
        return 0, None
    now = (fields.iteration_current + start.done) % size
    if now and now + start.starts > size:
        raise start.refuse(
            slot,
            f"wraps in its iteration: {start.starts} starts from {now} of {size}",
            "the simulator supports a wrap only for an iteration that begins at 0",
        )
    return now * stride, Dim(size, stride) if start.starts > 1 else None


# Memory ------------------------------------------------------------------------------------------------


def _memory(
    run: Sequencer, start: Start, slot: int, fields: BdFields, moved: int, reach: int
) -> tuple[str, Array, int]:
    """Return the buffer, its type and the byte where the descriptor begins."""
    if run.state.kind(start.tile) == "shim":
        patched = run.registers.patched.get((start.tile, slot))
        views = list(run.views.values())
        if patched is None or patched[0] >= len(views):
            raise start.refuse(slot, "has no host buffer", "npu.address_patch did not name one")
        view = views[patched[0]]
        first = view.offset * ELEMENT_BYTES[view.type.element] + patched[1]
        return view.argument, view.type, first + moved * _WORD
    tile, address = _addressed(run, start, slot, fields.address * _WORD)
    address += moved * _WORD
    if tile != start.tile and start.channel >= run.state.target.mem.neighbour_channels:
        raise start.refuse(
            slot,
            f"reaches memory of {tile} on channel {start.channel}",
            f"only channels 0..{run.state.target.mem.neighbour_channels - 1} reach a neighbouring memtile",
        )
    for buffer in run.placed.values():
        at = buffer.address
        if buffer.tile == tile and at is not None and at <= address < at + buffer.type.bytes:
            if buffer.unnamed and address + reach * _WORD > at + buffer.type.bytes:
                continue
            return buffer.name, buffer.type, address - at
    buffer = _unnamed(run, start, slot, tile, address, reach)
    return buffer.name, buffer.type, 0


def _addressed(run: Sequencer, start: Start, slot: int, address: int) -> tuple[TileId, int]:
    """Return whose memory an address of a tile's DMA is in, and the address there.

    A memtile's DMA sees its west neighbour's memory first, then its own, then its east neighbour's
    (AM020). mlir-aie writes addresses of the own memory from 0 on for AIE2 (AIEDMATasksToNPU), which is
    followed here, with a warning.
    """
    tile = start.tile
    if run.state.kind(tile) == "core":
        return tile, address
    window, inside = divmod(address, run.state.target.mem.data_bytes)
    if window == 0 and run.state.target.arch == "aie2":
        what = f"descriptors of {tile} address its memory from 0 on"
        first = next((one.loc for one in run.state.problems.warnings if one.what == what), start.loc)
        run.state.problems.warn(
            what,
            first,
            why="taken as the tile's own memory, as mlir-aie does on AIE2; the architecture manual has the "
            f"west neighbour's memory there and its own from {run.state.target.mem.data_bytes:#x} on",
        )
        window = 1
    owner = TileId(tile.column + window - 1, tile.row)
    if not 0 <= owner.column < run.state.target.columns or window > 2:
        raise start.refuse(slot, f"addresses {address:#x}", f"no memtile is there ({owner})")
    return owner, inside


def _unnamed(run: Sequencer, start: Start, slot: int, tile: TileId, address: int, reach: int) -> Buffer:
    """Return a buffer of words for memory that the design gives no name to."""
    size = run.state.target.limits(run.state.kind(tile)).data_bytes
    if address + reach * _WORD > size:
        raise start.refuse(slot, f"reaches past the memory of {tile}", f"it has {size} bytes")
    stack = run.state.stacks.get(tile, 0) if tile in run.state.cores else 0
    if address < stack:
        raise start.refuse(
            slot, f"moves the stack of core {tile}", f"address {address:#x} is below {stack:#x}"
        )
    name = f"memory_{tile.column}_{tile.row}_{address:x}"
    known = run.placed.get(name)
    words = max(reach, known.type.elements if known is not None else 0)
    kind = Array("i32", (words,))
    buffer = run.placed[name] = Buffer(name, tile, kind, address, loc=start.loc, unnamed=True)
    spec = BufferSpec(name, tile, kind, (0, 0, 0), address, loc=start.loc)
    run.state.buffers = [*(one for one in run.state.buffers if one.name != name), spec]
    return buffer


# Locks -------------------------------------------------------------------------------------------------


def _lock(run: Sequencer, start: Start, slot: int, number: int) -> str:
    """Return the lock that a number means: a memtile's DMA has its own behind its west neighbour's."""
    tile = start.tile
    if run.state.kind(tile) == "mem":
        window, number = divmod(number, run.state.target.mem.locks)
        tile = TileId(tile.column + window - 1, tile.row)
    if not 0 <= tile.column < run.state.target.columns:
        raise start.refuse(slot, f"uses a lock of {tile}", f"{run.state.target.name} has no such tile")
    for lock in run.state.locks:
        if (lock.tile, lock.id) == (tile, number):
            return lock.name
    # The lock exists whether the design names it or not; it is 0 after reset.
    lock = Lock(f"lock_{tile.column}_{tile.row}_{number}", tile, number, 0, loc=start.loc)
    run.state.locks.append(lock)
    return lock.name


def _acquires(run: Sequencer, start: Start, slot: int, fields: BdFields) -> tuple[LockUse, ...]:
    """A negative value waits for at least that many, a positive one for exactly that many (aie-rt)."""
    if fields.acquire is None:
        return ()
    number, value = fields.acquire
    name = _lock(run, start, slot, number)
    return (LockUse(name, "acquire_ge" if value < 0 else "acquire_eq", abs(value)),)


def _releases(run: Sequencer, start: Start, slot: int, fields: BdFields) -> tuple[LockUse, ...]:
    if fields.release is None:
        return ()
    number, value = fields.release
    if value < 0:
        raise start.refuse(
            slot, f"takes {-value} from a lock when it releases it", "only adding is supported"
        )
    return (LockUse(_lock(run, start, slot, number), "release", value),)
