"""How many streams cross each boundary of a column when every stream takes its direct route.

The direct route turns in a core row or in the shim row, never in the memtile row: a memtile's switch passes
a stream north or south only, between ports of the same index (mlir-aie ``AIETargetModel``). A stream from a
shim goes along the shim row to a memtile's column, or up its own column to a core's row; one from a memtile
goes up its column to each row that wants it; one to a memtile or shim goes along the source's row and down
the destination's column.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from npukbuild.ir.account import Crossing

if TYPE_CHECKING:
    from npukbuild.ir.design import Design, Flow, TileId
    from npukbuild.targets import Target


def crossings(design: Design, target: Target) -> tuple[Crossing, ...]:
    """Return the streams across every boundary, column by column from the south."""
    north: Counter[tuple[int, int]] = Counter()
    south: Counter[tuple[int, int]] = Counter()
    packets: set[tuple[bool, int, int, object]] = set()
    for flow in design.flows:
        for up, column, row in segments(flow, target):
            if flow.packet_id is not None:
                key = (up, column, row, flow.source)
                if key in packets:
                    continue
                packets.add(key)
            (north if up else south)[column, row] += 1
    return tuple(
        Crossing(column, row, north[column, row], south[column, row])
        for column in range(target.columns)
        for row in range(target.rows - 1)
    )


def segments(flow: Flow, target: Target) -> set[tuple[bool, int, int]]:
    """Return the boundaries that one stream crosses: (northward, column, row below the boundary)."""
    found: set[tuple[bool, int, int]] = set()
    for port in flow.destinations:
        found |= _direct(flow.source.tile, port.tile, target)
    return found


def _direct(source: TileId, dest: TileId, target: Target) -> set[tuple[bool, int, int]]:
    start, end = target.kind(source.row), target.kind(dest.row)
    if end == "core" and start != "core":
        return {(True, source.column, row) for row in range(source.row, dest.row)}
    if start == "shim":
        return {(True, dest.column, row) for row in range(dest.row)}
    if start == "core" and end == "core":
        up = dest.row > source.row
        rows = range(min(source.row, dest.row), max(source.row, dest.row))
        return {(up, dest.column, row) for row in rows}
    if start == "mem" and end == "mem" and source.column != dest.column:
        return {(True, source.column, source.row), (False, dest.column, dest.row)}
    column = source.column if start == "mem" else dest.column
    return {(False, column, row) for row in range(dest.row, source.row)}
