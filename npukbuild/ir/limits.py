"""Every limit of the hardware, checked against an account. All figures come from the target's data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.ir.account import Violation
from npukbuild.ir.design import ELEMENT_BYTES, Push, Wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npukbuild.ir.account import Crossing, TileAccount
    from npukbuild.ir.design import Descriptor, Design, Location, Sequence, TileId
    from npukbuild.targets import Target, TileLimits


class Limits:
    """Collects violations and warnings of one design."""

    def __init__(self, design: Design, target: Target) -> None:
        self.design = design
        self.target = target
        self.violations: list[Violation] = []
        self.warnings: list[str] = []

    def over(
        self,
        resource: str,
        what: str,
        used: int,
        limit: int,
        tile: TileId | None = None,
        loc: Location | None = None,
    ) -> None:
        """Add a violation when ``used`` exceeds ``limit``."""
        violation = Violation(resource, what, used, limit, tile, loc)
        if used > limit and violation not in self.violations:
            self.violations.append(violation)

    def tile(self, use: TileAccount) -> None:
        """Check one tile's memory, locks, descriptors and channels."""
        name = f"{use.kind} {use.tile}"
        if use.kind != "shim":
            self._memory(use, name)
        self.over("locks", f"locks of {name}", use.locks, use.lock_limit, use.tile, self._lock_loc(use.tile))
        self._lock_values(use)
        for direction, used, limit in (
            ("S2MM", use.s2mm, use.s2mm_limit),
            ("MM2S", use.mm2s, use.mm2s_limit),
        ):
            indices = [
                channel.index
                for channel in self.design.channels
                if channel.tile == use.tile and channel.direction == direction
            ]
            loc = self._channel_loc(use.tile, direction, limit)
            word = "input" if direction == "S2MM" else "output"
            most = max(used, max(indices, default=-1) + 1)
            self.over("channels", f"{word} channels ({direction}) of {name}", most, limit, use.tile, loc)
        self._descriptor_counts(use, name)
        if use.program_bytes is not None:
            self.over("program", f"program bytes of {name}", use.program_bytes, use.program_limit, use.tile)

    def _memory(self, use: TileAccount, name: str) -> None:
        loc = max(use.buffers, key=lambda one: one.type.bytes).loc if use.buffers else None
        parts = " + ".join(
            [f"stack {use.stack}"] * bool(use.stack)
            + [f"{one.name} {one.type.bytes}" for one in use.buffers if not one.unnamed]
            + [f"constants {use.static_bytes}"] * bool(use.static_bytes)
        )
        self.over("bytes", f"bytes of {name} ({parts})", use.bytes, use.bytes_limit, use.tile, loc)
        if use.bytes > use.bytes_limit:
            return
        if use.static_bytes:
            what = f"bytes of constants behind the highest buffer of {name}"
            self.over("static", what, use.static_bytes, use.static_room, use.tile, loc)
        end, last = use.stack, "the stack"
        for buffer in use.buffers:
            if buffer.unnamed:  # words that a descriptor moves, whatever else lies there
                continue
            start = buffer.address or 0
            if start < end:
                what = f"{buffer.name} overlaps {last} on {name}: shared bytes"
                self.over("end", what, end - start, 0, use.tile, buffer.loc)
            end, last = max(end, start + buffer.type.bytes), buffer.name
        self.over("end", f"end of {last} on {name}", end, use.bytes_limit, use.tile, loc)
        if use.kind == "core":
            self._core_warnings(use, name)

    def _core_warnings(self, use: TileAccount, name: str) -> None:
        core = self.design.cores.get(use.tile)
        if core is None:
            return
        if use.static_room < self.target.memory_alignment and use.buffers:
            self.warnings.append(
                f"{core.loc}: {name} has {use.static_room} bytes left behind its highest buffer: "
                "constants and look-up tables have no room"
            )
        if use.stack < self.target.core.default_stack:
            self.warnings.append(
                f"{core.loc}: {name} has a stack of {use.stack} bytes: less than the compiler's default of "
                f"{self.target.core.default_stack}; an overflow silently overwrites buffers"
            )
        for buffer in use.buffers:
            if buffer.fifo and (buffer.address or 0) % self.target.memory_alignment:
                self.warnings.append(
                    f"{buffer.loc}: {buffer.name} on {name} starts at {buffer.address}, not a multiple of "
                    f"{self.target.memory_alignment}: vector loads and stores go wrong"
                )

    def _lock_loc(self, tile: TileId) -> Location | None:
        locks = [lock for lock in self.design.locks.values() if lock.tile == tile]
        return max(locks, key=lambda lock: lock.id).loc if locks else None

    def _lock_values(self, use: TileAccount) -> None:
        has = self.target.limits(use.kind)
        for lock in self.design.locks.values():
            if lock.tile != use.tile:
                continue
            what = f"initial value of lock {lock.name} on {use.tile}"
            self.over("lock value", what, lock.init, has.lock_max, use.tile, lock.loc)
            if use.locks <= has.locks:
                self.over(
                    "id", f"id of lock {lock.name} on {use.tile}", lock.id, has.locks - 1, use.tile, lock.loc
                )

    def _channel_loc(self, tile: TileId, direction: str, limit: int) -> Location | None:
        return next(
            (
                channel.loc
                for channel in self.design.channels
                if channel.tile == tile and channel.direction == direction and channel.index >= limit
            ),
            None,
        )

    def _descriptor_counts(self, use: TileAccount, name: str) -> None:
        half = self.target.limits(use.kind).bds_per_parity
        loc = self._descriptor_loc(use.tile, use.bd_limit)
        for parity, used in (("even", use.bds_even), ("odd", use.bds_odd)):
            if half:
                self.over("bds", f"descriptors of the {parity} channels of {name}", used, half, use.tile, loc)
        self.over("bds", f"descriptors of {name}", use.bds, use.bd_limit, use.tile, loc)
        if use.bds <= use.bd_limit and max(use.bds_even, use.bds_odd) <= (half or use.bds):
            for tile, one, _ in self._descriptors():
                if tile == use.tile:
                    what = f"id of a descriptor of {one.buffer} on {name}"
                    self.over("id", what, one.id or 0, use.bd_limit - 1, use.tile, one.loc)

    def _descriptor_loc(self, tile: TileId, limit: int) -> Location | None:
        return next(
            (one.loc for at, one, _ in self._descriptors() if at == tile and (one.id or 0) >= limit), None
        )

    def _descriptors(self) -> Iterator[tuple[TileId, Descriptor, Push | str | None]]:
        """Yield every descriptor with its tile and the push or objectfifo that it belongs to."""
        for channel in self.design.channels:
            for descriptor in channel.descriptors:
                yield channel.tile, descriptor, channel.fifo
        for sequence in self.design.sequences.values():
            for op in sequence.operations:
                if isinstance(op, Push):
                    for descriptor in op.descriptors:
                        yield op.target.tile, descriptor, op

    def descriptors(self) -> None:
        """Check lengths, sizes, strides, padding, repeats and iterations of every descriptor."""
        for tile, descriptor, owner in self._descriptors():
            push = owner if isinstance(owner, Push) else None
            kind = self.target.kind(tile.row)
            has = self.target.limits(kind)
            width = self._width(descriptor.buffer)
            what = f"of a descriptor of {descriptor.buffer} on {kind} {tile}"
            if isinstance(owner, str):
                what = f"of objectfifo {owner} on {kind} {tile}"
            loc = descriptor.loc
            self.over(
                "length", f"words {what}", -(-descriptor.length * width // 4), has.length_words, tile, loc
            )
            self._dims(descriptor, has, width, tile, kind, what)
            self._pads(descriptor, has, width, tile, what)
            for use in descriptor.acquires + descriptor.releases:
                self.over("lock value", f"lock value {what}", abs(use.value), has.lock_max, tile, loc)
            if push is not None and push.iteration is not None:
                iteration = push.iteration
                self.over("iteration", f"outermost size {what}", iteration.size, has.iteration, tile, loc)
                self.over(
                    "stride",
                    f"outermost stride in words {what}",
                    iteration.stride * width // 4,
                    has.stride_words,
                    tile,
                    loc,
                )
            if push is not None:
                self.over("repeat", f"runs {what}", push.repeat + 1, has.repeat, tile, push.loc)
        for channel in self.design.channels:
            has = self.target.limits(self.target.kind(channel.tile.row))
            name = f"runs of channel {channel.direction} {channel.index} of {channel.tile}"
            self.over("repeat", name, channel.repeat + 1, has.repeat, channel.tile, channel.loc)

    def _dims(
        self, descriptor: Descriptor, has: TileLimits, width: int, tile: TileId, kind: str, what: str
    ) -> None:
        inward = tuple(reversed(descriptor.dims))
        for number, dim in enumerate(inward):
            size = -(-dim.size * width // 4) if number == 0 else dim.size
            unit = " in words" if number == 0 else ""
            if kind == "shim":
                limit = has.wrap[number] if number < len(has.wrap) else None
            else:
                limit = has.wrap[min(number, len(has.wrap) - 1)]
            if limit is not None:
                self.over(
                    "wrap", f"size of dimension {number}{unit} {what}", size, limit, tile, descriptor.loc
                )
            if kind != "shim":
                self.over(
                    "wrap", f"size of dimension {number} {what}", dim.size, has.dim_size, tile, descriptor.loc
                )
            if (dim.size > 1 and number > 0) or dim.stride * width > 4:
                words = dim.stride * width // 4
                self.over(
                    "stride",
                    f"stride of dimension {number} in words {what}",
                    words,
                    has.stride_words,
                    tile,
                    descriptor.loc,
                )

    def _pads(self, descriptor: Descriptor, has: TileLimits, width: int, tile: TileId, what: str) -> None:
        for number, pad in enumerate(reversed(descriptor.pads)):
            if number == 0:
                most, amounts = has.pad_words, (pad.before * width // 4, pad.after * width // 4)
            else:
                most = has.pad_runs[number - 1] if number <= len(has.pad_runs) else 0
                amounts = (pad.before, pad.after)
            unit = "words" if number == 0 else "runs"
            for amount in amounts:
                self.over(
                    "padding",
                    f"padding {unit} in dimension {number} {what}",
                    amount,
                    most,
                    tile,
                    descriptor.loc,
                )

    def _width(self, name: str) -> int:
        if name in self.design.buffers:
            return ELEMENT_BYTES[self.design.buffers[name].type.element]
        for sequence in self.design.sequences.values():
            for argument, kind in sequence.arguments:
                if argument == name:
                    return ELEMENT_BYTES[kind.element]
        return 4

    def sequences(self, arguments: int) -> None:
        """Check the host arguments and how many starts wait in a queue."""
        sequence = next(iter(self.design.sequences.values()), None)
        loc = sequence.loc if sequence else None
        self.over("arguments", "host buffers of the kernel", arguments, self.target.host_arguments, None, loc)
        for one in self.design.sequences.values():
            self._queues(one)

    def _queues(self, sequence: Sequence) -> None:
        """Count starts on a channel with no wait of any kind between them."""
        queued: dict[tuple[TileId, str, int], int] = {}
        most: dict[tuple[TileId, str, int], tuple[int, Location | None]] = {}
        for op in sequence.operations:
            if isinstance(op, Wait):
                queued.clear()
            elif isinstance(op, Push):
                key = (op.target.tile, op.target.direction, op.target.channel)
                queued[key] = queued.get(key, 0) + 1
                depth = self.target.limits(self.target.kind(op.target.tile.row)).queue
                if queued[key] > max(depth, most.get(key, (0, None))[0]):
                    most[key] = (queued[key], most.get(key, (0, op.loc))[1])
        for (tile, direction, channel), (count, loc) in most.items():
            depth = self.target.limits(self.target.kind(tile.row)).queue
            name = f"transfers queued on channel {direction} {channel} of {tile}"
            self.over("queue", name, count, depth, tile, loc)

    def crossings(self, crossings: tuple[Crossing, ...]) -> None:
        """Check streams north and south.

        More than all columns together have is impossible; more than one column has needs a detour through
        another one, which only the router can judge.
        """
        for direction in ("north", "south"):
            each = self.target.streams[direction]
            for row in range(self.target.rows - 1):
                counts = {one.column: getattr(one, direction) for one in crossings if one.row == row}
                total = sum(counts.values())
                what = f"streams {direction} between rows {row} and {row + 1}"
                self.over("streams", what, total, each * self.target.columns)
                if total <= each * self.target.columns:
                    self.warnings.extend(
                        f"{count} streams {direction} between rows {row} and {row + 1} of column {column}, "
                        f"it has {each}: the router must take a detour"
                        for column, count in counts.items()
                        if count > each
                    )
