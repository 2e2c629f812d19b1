"""Tiles without a place (``aie.logical_tile``) get one, as mlir-aie's sequential placer gives it.

Cores fill a column from the south before the next. Memtiles and shims go to the column in the middle of the
cores that their objectfifos connect, or the next to the east where the channels suffice; several may become
one tile.
Source: mlir-aie ``AIEPlacer.cpp``, without a limit on cores per column.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from npukbuild.errors import DesignError
from npukbuild.ir.design import TileId
from npukbuild.ir.dialects import aie_ops, fifo_ops
from npukbuild.ir.dialects.base import location_of

if TYPE_CHECKING:
    from xdsl.ir import Operation

    from npukbuild.ir.lowering.state import State

_KINDS = {"CoreTile": "core", "MemTile": "mem", "ShimNOCTile": "shim"}
_MULTIPLIER = 37
_FEWEST = 64
"""LLVM's ``DenseMap`` visits integer keys by their product with 37 modulo its size, which is at least 64."""


def place_logical_tiles(state: State) -> None:
    """Give every logical tile of the device its place.

    Raises:
        DesignError: There is no tile with enough channels, or none that fits the given column and row.
    """
    tiles = [op for op in state.device.body.walk() if isinstance(op, aie_ops.LogicalTileOp)]
    if tiles:
        _Placer(state).place(tiles)


@dataclass
class _Placer:
    state: State
    places: dict[Operation, TileId] = field(default_factory=dict)
    used: Counter[tuple[TileId, str]] = field(default_factory=Counter)

    def place(self, tiles: list[aie_ops.LogicalTileOp]) -> None:
        fifos = [op for op in self.state.device.body.walk() if isinstance(op, fifo_ops.ObjectFifoOp)]
        links = [op for op in self.state.device.body.walk() if isinstance(op, fifo_ops.ObjectFifoLinkOp)]
        needs = _channels(fifos, links)
        self._fixed_and_cores(tiles, needs)
        for group, members in _groups(fifos, links):
            column = self._middle(group)
            for op in members:
                if op not in self.places:
                    self._near(op, column, needs)
        for op in tiles:
            if op not in self.places:
                self._near(op, 0, Counter())
        self.state.tiles.update({op.results[0]: tile for op, tile in self.places.items()})

    def _fixed_and_cores(
        self, tiles: list[aie_ops.LogicalTileOp], needs: Counter[tuple[Operation, str]]
    ) -> None:
        target = self.state.target
        free = [
            TileId(column, row)
            for column in range(target.columns)
            for row in range(target.rows)
            if target.kind(row) == "core"
        ]
        following = 0
        for op in tiles:
            column, row = op.number("col"), op.number("row")
            if column is not None and row is not None:
                tile = TileId(column, row)
                if not (column < target.columns and row < target.rows) or target.kind(row) != _kind(op):
                    raise _error(op, f"{target.name} has no {_kind(op)} tile {tile}")
                if tile in free[following:]:
                    free.remove(tile)
            elif _kind(op) == "core":
                fits = (
                    number
                    for number in range(following, len(free))
                    if column in (None, free[number].column) and row in (None, free[number].row)
                )
                found = next(fits, None)
                if found is None:
                    raise _error(op, "no core tile is left for it")
                free[found], free[following] = free[following], free[found]
                tile = free[following]
                following += 1
            else:
                continue
            if not self._suffices(op, tile, needs):
                raise _error(op, f"tile {tile} has too few DMA channels")
            self._take(op, tile, needs)

    def _middle(self, group: list[fifo_ops.ObjectFifoOp]) -> int:
        columns = [
            self.places[owner].column
            for fifo in group
            for value in fifo.operands
            if isinstance(owner := value.owner, aie_ops.LogicalTileOp)
            and _kind(owner) == "core"
            and owner in self.places
        ]
        return (sum(columns) + len(columns) // 2) // len(columns) if columns else 0

    def _near(self, op: aie_ops.LogicalTileOp, column: int, needs: Counter[tuple[Operation, str]]) -> None:
        target, given = self.state.target, op.number("col")
        row = next(row for row in range(target.rows) if target.kind(row) == _kind(op))
        for candidate in range(column if given is None else given, target.columns):
            tile = TileId(candidate, row)
            if self._suffices(op, tile, needs):
                self._take(op, tile, needs)
                return
        raise _error(op, f"no {_kind(op)} tile has enough DMA channels for it")

    def _suffices(self, op: Operation, tile: TileId, needs: Counter[tuple[Operation, str]]) -> bool:
        limits = self.state.target.limits(self.state.kind(tile))
        return all(
            self.used[tile, way] + needs[op, way] <= most
            for way, most in (("in", limits.s2mm), ("out", limits.mm2s))
        )

    def _take(self, op: Operation, tile: TileId, needs: Counter[tuple[Operation, str]]) -> None:
        self.places[op] = tile
        for way in ("in", "out"):
            self.used[tile, way] += needs[op, way]


def _kind(op: aie_ops.LogicalTileOp) -> str:
    name = op.text("tile_type") or ""
    if name not in _KINDS:
        raise _error(op, f"tiles of type {name} have no place in an NPU's array")
    return _KINDS[name]


def _error(op: Operation, why: str) -> DesignError:
    return DesignError(
        "aie.logical_tile gets no place",
        where=str(location_of(op)),
        why=why,
        hint="place it: aie.tile(column, row)",
    )


def _channels(
    fifos: list[fifo_ops.ObjectFifoOp], links: list[fifo_ops.ObjectFifoLinkOp]
) -> Counter[tuple[Operation, str]]:
    """Return the DMA channels that tiles need, as the placer counts them: of a link, its own tile's alone."""
    needs: Counter[tuple[Operation, str]] = Counter()
    named = {fifo.sym: fifo for fifo in fifos}
    linked = {name for link in links for way in ("fifoIns", "fifoOuts") for name in link.names(way)}
    for fifo in fifos:
        producer, *consumers = (value.owner for value in fifo.operands)
        if fifo.sym in linked:
            continue
        moved = [one for one in consumers if not (_is_core(producer) and _is_core(one))]
        for one in moved:
            needs[one, "in"] += 1  # type: ignore[index]
        if moved:
            needs[producer, "out"] += 1  # type: ignore[index]
    for link in links:
        first = next((named[name] for name in link.names("fifoIns") if name in named), None)
        if first is not None and len(first.operands) > 1:
            tile = first.operands[1].owner
            needs[tile, "in"] += len(link.names("fifoIns"))  # type: ignore[index]
            needs[tile, "out"] += len(link.names("fifoOuts"))  # type: ignore[index]
    return needs


def _is_core(owner: object) -> bool:
    return isinstance(owner, aie_ops.LogicalTileOp) and _kind(owner) == "core"


def _groups(
    fifos: list[fifo_ops.ObjectFifoOp], links: list[fifo_ops.ObjectFifoLinkOp]
) -> list[tuple[list[fifo_ops.ObjectFifoOp], list[aie_ops.LogicalTileOp]]]:
    """Return fifos that are linked with each other and their memtiles and shims, in the placer's order."""
    number_of = {
        name: number
        for number, link in enumerate(links)
        for way in ("fifoIns", "fifoOuts")
        for name in link.names(way)
    }
    members: dict[int, list[fifo_ops.ObjectFifoOp]] = {}
    tiles: dict[int, list[aie_ops.LogicalTileOp]] = {}
    alone = len(links)
    for fifo in fifos:
        number = number_of.get(fifo.sym or "")
        if number is None:
            number, alone = alone, alone + 1
        members.setdefault(number, []).append(fifo)
        for value in fifo.operands:
            owner = value.owner
            if isinstance(owner, aie_ops.LogicalTileOp) and _kind(owner) != "core":
                tiles.setdefault(number, []).append(owner)
    size = _FEWEST
    while len(tiles) * 4 >= size * 3:
        size *= 2
    order = sorted(tiles, key=lambda number: number * _MULTIPLIER % size)
    return [(members[number], tiles[number]) for number in order]
