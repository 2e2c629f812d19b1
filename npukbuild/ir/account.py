"""The account: what a lowered design uses of every tile, against what the tiles have.

Everything is counted from the lowered form alone, so that a planner and a template cannot agree on a mistake.
All limits come from the target's data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.errors import ResourceError
from npukbuild.ir.design import Location, Push, TileId
from npukbuild.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npukbuild.ir.design import Buffer, Design
    from npukbuild.targets import Target


@dataclass(frozen=True, slots=True)
class Violation:
    """One limit that the design exceeds."""

    resource: str
    what: str
    used: int
    limit: int
    tile: TileId | None = None
    loc: Location | None = None

    def __str__(self) -> str:
        where = f"{self.loc}: " if self.loc else ""
        return f"{where}{self.what}: {self.why}"

    @property
    def why(self) -> str:
        """The two numbers in words."""
        if self.resource in _FIELDS:
            return f"{self.used}, at most {self.limit}"
        return f"{self.used} used, {self.limit} exist"


@dataclass(frozen=True, slots=True)
class TileAccount:
    """One tile's use. Bytes include the stack; ``static_room`` is what is left behind the highest buffer."""

    tile: TileId
    kind: str
    bytes: int
    bytes_limit: int
    stack: int
    static_bytes: int
    static_room: int
    program_bytes: int | None
    program_limit: int
    locks: int
    lock_limit: int
    bds: int
    bd_limit: int
    bds_even: int
    bds_odd: int
    s2mm: int
    s2mm_limit: int
    mm2s: int
    mm2s_limit: int
    buffers: tuple[Buffer, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        data = {key: getattr(self, key) for key in self.__slots__ if key not in ("tile", "buffers")}
        data["tile"] = [self.tile.column, self.tile.row]
        data["buffers"] = [
            {"name": one.name, "address": one.address, "bytes": one.type.bytes} for one in self.buffers
        ]
        return data


@dataclass(frozen=True, slots=True)
class Crossing:
    """Streams that cross the boundary between ``row`` and ``row + 1`` of a column on direct routes."""

    column: int
    row: int
    north: int
    south: int


@dataclass(frozen=True)
class Account:
    """A design's use of its array."""

    device: str
    tiles: tuple[TileAccount, ...]
    crossings: tuple[Crossing, ...]
    host_arguments: int
    host_arguments_limit: int
    violations: tuple[Violation, ...]
    warnings: tuple[str, ...]

    def tile(self, column: int, row: int) -> TileAccount:
        """Return one tile's use."""
        return next(one for one in self.tiles if one.tile == TileId(column, row))

    def check(self) -> None:
        """Raise when a limit is exceeded.

        Raises:
            ResourceError: Every violation is in the details, with its numbers.
        """
        if not self.violations:
            return
        first = self.violations[0]
        count = len(self.violations)
        raise ResourceError(
            f"the design does not fit {self.device}: {first.what}",
            where=str(first.loc) if first.loc else None,
            why=first.why,
            details=[str(violation) for violation in self.violations[1:]],
            hint=_HINTS.get(first.resource) if count == 1 or first.resource in _HINTS else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "device": self.device,
            "tiles": [tile.as_dict() for tile in self.tiles],
            "crossings": [asdict(crossing) for crossing in self.crossings],
            "host_arguments": self.host_arguments,
            "host_arguments_limit": self.host_arguments_limit,
            "violations": [_violation_dict(violation) for violation in self.violations],
            "warnings": list(self.warnings),
        }


_FIELDS = frozenset(("length", "wrap", "stride", "iteration", "repeat", "padding", "lock value", "id", "end"))
"""Resources that are a field's largest value, not a number of things."""

_HINTS = {
    "bytes": "use smaller objects or a smaller depth; a memtile holds eight times as much",
    "channels": "join streams on a memtile, pack two inputs into one objectfifo, or use another column",
    "bds": "use a smaller depth or repeat_count; repeat in the runtime sequence",
    "locks": "use fewer objectfifo ends on this tile",
    "queue": "wait for a completion token before queueing more",
    "arguments": "put several tensors into one host buffer",
    "wrap": "split the dimension in two, or move contiguous data in one run",
    "iteration": "split the transfer into several",
    "static": "use packed placement (basic-sequential), or smaller buffers",
}


def _violation_dict(violation: Violation) -> dict[str, Any]:
    tile = violation.tile
    return {
        "resource": violation.resource,
        "what": violation.what,
        "used": violation.used,
        "limit": violation.limit,
        "tile": [tile.column, tile.row] if tile else None,
        "line": violation.loc.line if violation.loc else None,
    }


def take_account(
    design: Design,
    *,
    program_bytes: Mapping[TileId, int] | None = None,
    static_bytes: Mapping[TileId, int] | None = None,
) -> Account:
    """Count what a lowered design uses.

    Args:
        design: The lowered design.
        program_bytes: Size of each core's program, where a compiler or an estimate gives it.
        static_bytes: Size of each core's constants and look-up tables (.data, .rodata, .bss).

    Returns:
        The account with all violations; :meth:`Account.check` raises them.
    """
    from npukbuild.ir import limits, routes

    target = load_target(design.device)
    tiles = tuple(
        _tile(design, target, tile, (program_bytes or {}).get(tile), (static_bytes or {}).get(tile, 0))
        for tile in design.tiles
    )
    crossings = routes.crossings(design, target)
    arguments = max((len(sequence.arguments) for sequence in design.sequences.values()), default=0)
    found = limits.Limits(design, target)
    for tile in tiles:
        found.tile(tile)
    found.descriptors()
    found.sequences(arguments)
    found.crossings(crossings)
    return Account(
        design.device,
        tiles,
        crossings,
        arguments,
        target.host_arguments,
        tuple(found.violations),
        design.warnings + tuple(found.warnings),
    )


def _tile(design: Design, target: Target, tile: TileId, program: int | None, static: int) -> TileAccount:
    kind = target.kind(tile.row)
    has = target.limits(kind)
    buffers = tuple(
        sorted(
            (one for one in design.buffers.values() if one.tile == tile and kind != "shim"),
            key=lambda one: one.address or 0,
        )
    )
    stack = design.stacks.get(tile, 0)
    used = _descriptor_ids(design, tile)
    half = has.bds_per_parity
    end = max([stack, *((one.address or 0) + one.type.bytes for one in buffers)])
    return TileAccount(
        tile=tile,
        kind=kind,
        bytes=stack + static + sum(one.type.bytes for one in buffers if not one.unnamed),
        bytes_limit=has.data_bytes,
        stack=stack,
        static_bytes=static,
        static_room=max(has.data_bytes - end, 0),
        program_bytes=program,
        program_limit=has.program_bytes,
        locks=sum(lock.tile == tile for lock in design.locks.values()),
        lock_limit=has.locks,
        bds=len(used),
        bd_limit=has.bds,
        bds_even=sum(1 for _, parity in used if parity == 0) if half else 0,
        bds_odd=sum(1 for _, parity in used if parity == 1) if half else 0,
        s2mm=_channels(design, tile, "S2MM"),
        s2mm_limit=has.s2mm,
        mm2s=_channels(design, tile, "MM2S"),
        mm2s_limit=has.mm2s,
        buffers=buffers,
    )


def _descriptor_ids(design: Design, tile: TileId) -> set[tuple[int, int]]:
    """Return (id, parity of the channel) of every descriptor a tile ever has."""
    found: set[tuple[int, int]] = set()
    for channel in design.channels:
        if channel.tile == tile:
            found |= {(one.id or 0, channel.index % 2) for one in channel.descriptors}
    for sequence in design.sequences.values():
        for op in sequence.operations:
            if isinstance(op, Push) and op.target.tile == tile:
                found |= {(one.id or 0, op.target.channel % 2) for one in op.descriptors}
    if not load_target(design.device).limits(_kind(design, tile)).bds_per_parity:
        return {(number, 0) for number, _ in found}
    return found


def _kind(design: Design, tile: TileId) -> str:
    return load_target(design.device).kind(tile.row)


def _channels(design: Design, tile: TileId, direction: str) -> int:
    """Return the channels in use: configured ones and those that only the runtime sequence starts."""
    known = {one.index for one in design.channels if one.tile == tile and one.direction == direction}
    pushed = {
        op.target.channel
        for sequence in design.sequences.values()
        for op in sequence.operations
        if isinstance(op, Push) and op.target.tile == tile and op.target.direction == direction
    }
    return len(known | pushed)
