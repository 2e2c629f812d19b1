"""The array as a picture: tiles with what they do, streams as lines, DDR below."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npukbuild.ir.design import Design, TileId
    from npukbuild.simulator.result import RunResult
    from npukbuild.targets.model import Target

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _LEFT, _TOP = 196, 62, 46, 34, 130, 14
_PIXELS_PER_LETTER = 5.9
_DDR_WIDTH = 420


def array_svg(design: Design, target: Target, result: RunResult) -> str:
    """Return the picture of the array with the busy share of every core and stream.

    Row 0 (shim tiles, the doors to DDR) is at the bottom, as the array is usually drawn.
    """
    used = set(design.tiles) | set(design.cores)
    columns = max([tile.column for tile in used], default=0) + 1
    rows = max(target.first_core_row + 1, max([tile.row for tile in used], default=0) + 1)
    width = _LEFT + max(columns * (_WIDTH + _GAP_X), _DDR_WIDTH)
    height = _TOP + rows * (_HEIGHT + _GAP_Y) + 46
    parts = [
        f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="array map">',
        (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" '
            'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" class="tip"/></marker></defs>'
        ),
    ]
    for row in range(rows):
        _, y = _place(0, row, rows)
        name = {"shim": "shim", "mem": "memtile (L2)", "core": "core"}[target.kind(row)]
        parts.append(f'<text x="0" y="{y + _HEIGHT / 2 + 4}" class="row">row {row}: {name}</text>')
    parts.extend(_streams(design, result, rows))
    parts.extend(_tile(design, target, result, tile, rows) for tile in sorted(used))
    y = _TOP + rows * (_HEIGHT + _GAP_Y)
    share = f"{result.ddr:.0%} busy, {_bytes(result.ddr_bytes)} moved" if result.timed else ""
    parts.append(
        f'<rect x="{_LEFT}" y="{y}" width="{width - _LEFT - _GAP_X}" height="34" rx="6" class="ddr"/>'
        f'<text x="{_LEFT + 12}" y="{y + 22}" class="name">DDR (host memory) {share}</text></svg>'
    )
    return "".join(parts)


def _place(column: int, row: int, rows: int) -> tuple[float, float]:
    return _LEFT + column * (_WIDTH + _GAP_X), _TOP + (rows - 1 - row) * (_HEIGHT + _GAP_Y)


def _tile(design: Design, target: Target, result: RunResult, tile: TileId, rows: int) -> str:
    x, y = _place(tile.column, tile.row, rows)
    kind = target.kind(tile.row)
    share = result.cores.get(f"core {tile}") if kind == "core" else None
    buffers = [buffer for buffer in design.buffers.values() if buffer.tile == tile]
    used = sum(buffer.type.bytes for buffer in buffers)
    limit = target.limits(kind).data_bytes
    lines = []
    if kind == "shim":
        lines.append("door to DDR")
    elif limit:
        lines.append(f"buffers: {used / 1024:.1f} of {limit // 1024} KB")
    functions = sorted(_functions(design, tile))
    if functions:
        lines.append(", ".join(functions))
    elif kind == "mem":
        lines.append(f"{len(buffers)} buffers, DMA only")
    bar = ""
    if share is not None:
        bar = (
            f'<rect x="{x}" y="{y + _HEIGHT - 6}" width="{_WIDTH}" height="6" class="track"/>'
            f'<rect x="{x}" y="{y + _HEIGHT - 6}" width="{_WIDTH * share:.1f}" height="6" class="busy"/>'
        )
    heading = f"{kind if kind != 'mem' else 'memtile'} {tile}" + (
        f"  {share:.0%}" if share is not None else ""
    )
    texts = "".join(
        f'<text x="{x + 8}" y="{y + 32 + 14 * place}" class="small">{escape(_fit(line))}</text>'
        for place, line in enumerate(lines[:2])
    )
    tooltip = escape("\n".join([heading, *(f"{b.name}: {b.type} ({b.type.bytes} B)" for b in buffers[:24])]))
    return (
        f'<g><title>{tooltip}</title><rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" '
        f'class="tile {kind}"/>{bar}<text x="{x + 8}" y="{y + 17}" '
        f'class="name">{escape(heading)}</text>{texts}</g>'
    )


def _fit(text: str) -> str:
    most = int((_WIDTH - 14) / _PIXELS_PER_LETTER)
    return text if len(text) <= most else text[: most - 1] + "…"


def _functions(design: Design, tile: TileId) -> set[str]:
    from npukbuild.simulator.core.functions import callee_of

    core = design.cores.get(tile)
    return {callee_of(op) for op in core.body.walk() if op.name == "func.call"} if core is not None else set()


def _streams(design: Design, result: RunResult, rows: int) -> list[str]:
    """Lines from tile to tile; one per source and destination, wider where more bytes moved."""
    drawn: dict[tuple[TileId, TileId], list[str]] = {}
    for flow in design.flows:
        for end in flow.destinations:
            drawn.setdefault((flow.source.tile, end.tile), []).append(flow.fifo or "stream")
    for shared in shared_fifos(design):
        drawn.setdefault(shared[:2], []).append(f"{shared[2]} (shared memory)")
    busy: dict[tuple[str, str], float] = {}
    for name, share in result.streams.items():
        sender, _, receivers = name.partition(" to ")
        for receiver in receivers.split(", ("):
            key = (sender.split(" ")[0], "(" + receiver.removeprefix("(").split(" ")[0])
            busy[key] = max(busy.get(key, 0.0), share)
    parts = []
    for (source, target), names in drawn.items():
        share = busy.get((str(source), str(target)), 0.0)
        parts.append(_line(source, target, rows, share, ", ".join(dict.fromkeys(names))))
    shims = {tile for pair in drawn for tile in pair if tile.row == 0}
    for tile in shims:
        x, y = _place(tile.column, tile.row, rows)
        parts.append(
            f'<path d="M{x + _WIDTH / 2} {y + _HEIGHT}v{_GAP_Y}" class="flow" stroke-width="3" '
            'marker-start="url(#tip)" marker-end="url(#tip)"/>'
        )
    return parts


def shared_fifos(design: Design) -> list[tuple[TileId, TileId, str]]:
    """Fifos whose both ends use the same buffers."""
    ends: dict[str, dict[str, TileId]] = {}
    for core in design.cores.values():
        for (fifo, port), end in core.fifo_ends.items():
            ends.setdefault(fifo, {})[port] = end.tile
    flows = {flow.fifo for flow in design.flows}
    return [
        (both["Produce"], both["Consume"], fifo)
        for fifo, both in ends.items()
        if len(both) == 2 and fifo not in flows
    ]


def _line(source: TileId, target: TileId, rows: int, share: float, names: str) -> str:
    x1, y1 = _place(source.column, source.row, rows)
    x2, y2 = _place(target.column, target.row, rows)
    up = target.row > source.row
    shift = -18 if up else 18
    if source.column == target.column and abs(source.row - target.row) == 1:
        start = (x1 + _WIDTH / 2 + shift, y1 if up else y1 + _HEIGHT)
        end = (x2 + _WIDTH / 2 + shift, y2 + _HEIGHT if up else y2)
        path = f"M{start[0]} {start[1]}L{end[0]} {end[1]}"
    else:
        side = -1 if up else 1
        start = (x1 + _WIDTH / 2 + shift, y1 if up else y1 + _HEIGHT)
        edge = x2 if side < 0 else x2 + _WIDTH
        end = (edge, y2 + _HEIGHT / 2 + (6 if side < 0 else -6))
        lane = edge + side * (10 + 3 * (source.column % 4))
        turn = start[1] + (-8 - 3 * (source.column % 4) if up else 8)
        path = f"M{start[0]} {start[1]}V{turn}H{lane}V{end[1]}H{end[0]}"
    return (
        f'<path d="{path}" class="flow" stroke-width="{1.2 + 3 * share:.1f}" marker-end="url(#tip)">'
        f"<title>{escape(names)}: {source} to {target}, busy {share:.0%}</title></path>"
    )


def _bytes(count: int) -> str:
    for unit, size in (("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
