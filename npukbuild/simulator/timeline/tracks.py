"""The timeline as a picture: a row per host, core, DMA channel and shim task."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from npukbuild.simulator.recording import INLINE, WAITING
from npukbuild.simulator.trace import GROUPS, group_of, tracks_of

if TYPE_CHECKING:
    from npukbuild.ir.design import Design
    from npukbuild.simulator.recording import Interval
    from npukbuild.simulator.result import RunResult

_LEFT, _WIDTH, _ROW, _BAR = 200, 980, 18, 12
_MOST_ROWS = 400
_MOST_BARS = 16_000
COLOURS = 8
_CLOSE = 0.35
"""Intervals of one kind that are closer than this many pixels are drawn as one (twice as many, and so on,
where the page would have more than ``_MOST_BARS`` bars)."""


def tracks_svg(design: Design, result: RunResult) -> str:
    """Return the timeline of a run that was traced."""
    fifos = {
        f"{channel.tile} {channel.direction} {channel.index}": channel.fifo or ""
        for one in design.configurations
        for channel in one.channels
    }
    scale = _WIDTH / max(result.cycles, 1.0)
    colours = colours_of(result)
    by_track: dict[str, list[Interval]] = {}
    for interval in result.intervals:
        if interval.start < result.cycles:
            by_track.setdefault(interval.track, []).append(interval)
    rows: list[str] = []
    y = 24.0
    drawn = 0
    every = tracks_of(interval for intervals in by_track.values() for interval in intervals[:1])
    most = _MOST_BARS // max(1, min(len(every), _MOST_ROWS))
    for group in GROUPS:
        names = [name for name in every if group_of(name) == group]
        if not names:
            continue
        rows.append(f'<text x="0" y="{y + 12}" class="group">{group}</text>')
        y += _ROW
        for name in names:
            if drawn >= _MOST_ROWS:
                break
            drawn += 1
            label = name.removeprefix("tasks of ")
            label = f"{label}  {fifos.get(label, '')}"
            rows.append(f'<text x="0" y="{y + 10}" class="small">{escape(label)}</text>')
            rows.append(f'<rect x="{_LEFT}" y="{y}" width="{_WIDTH}" height="{_BAR}" class="track"/>')
            rows.extend(_bars(by_track[name], y, scale, result, colours, most))
            y += _ROW
        y += 6
    if len(every) > drawn:
        rows.append(
            f'<text x="0" y="{y + 12}" class="group">{len(every) - drawn} more tracks are not drawn; '
            "the trace has them</text>"
        )
        y += _ROW
    height = y + 10
    return (
        f'<svg viewBox="0 0 {_LEFT + _WIDTH + 10} {height}" width="{_LEFT + _WIDTH + 10}" role="img" '
        f'aria-label="timeline">{_axis(result, scale, height)}{"".join(rows)}</svg>'
    )


def _axis(result: RunResult, scale: float, height: float) -> str:
    total = result.array_us
    step = 10.0 ** (len(str(int(total))) - 1) if total >= 1 else 0.1
    while total / step < 5:
        step /= 2
    parts = []
    tick = 0.0
    while tick <= total:
        x = _LEFT + tick * 1e3 * result.clock_ghz * scale
        parts.append(f'<path d="M{x:.1f} 18V{height - 6:.0f}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="12" class="small mid">{tick:g} us</text>')
        tick += step
    return "".join(parts)


def _bars(
    intervals: list[Interval], y: float, scale: float, result: RunResult, colours: dict[str, int], most: int
) -> list[str]:
    ordered = sorted(intervals, key=lambda item: item.start)
    close = _CLOSE
    while len(runs := _runs(ordered, scale, close)) > most:
        close *= 2
    return [_bar(run, y, waits, result, scale, colours) for waits, run in runs]


def _runs(
    intervals: list[Interval], scale: float, close: float
) -> list[tuple[bool, list[float | str | int]]]:
    """Bars: left and right in pixels, name, number of intervals, detail of the first; waiting first."""
    found: list[tuple[bool, list[float | str | int]]] = []
    wide = 2 * close / _CLOSE
    for waits in (True, False):
        run: list[float | str | int] = []
        for interval in intervals:
            if (interval.detail == WAITING or interval.name.startswith("wait for")) is not waits:
                continue
            left, right = interval.start * scale, (interval.start + interval.cycles) * scale
            if run and left - float(run[1]) < close and right - float(run[0]) < wide:
                run[1] = max(float(run[1]), right)
                run[3] = int(run[3]) + 1
                continue
            run = [left, right, interval.name, 1, interval.detail]
            found.append((waits, run))
    return found


def colours_of(result: RunResult) -> dict[str, int]:
    """Return the number of the colour of every name: core functions first, so that they differ."""
    names = [name for name, _, _ in functions_of(result)]
    names += [interval.name for interval in result.intervals if group_of(interval.track) == "DMA channels"]
    names += [interval.name for interval in result.intervals if interval.detail != WAITING]
    return {name: number % COLOURS for number, name in enumerate(dict.fromkeys(names))}


def functions_of(result: RunResult) -> list[tuple[str, int, float]]:
    """Return the core functions of a run: name, number of calls, cycles per call."""
    found: dict[str, list[float]] = {}
    for interval in result.intervals:
        if group_of(interval.track) == "cores" and interval.detail != WAITING and interval.name != INLINE:
            found.setdefault(interval.name, []).append(interval.cycles)
    return [(name, len(cycles), sum(cycles) / len(cycles)) for name, cycles in sorted(found.items())]


def _bar(
    run: list[float | str | int],
    y: float,
    waits: bool,
    result: RunResult,
    scale: float,
    colours: dict[str, int],
) -> str:
    left, right = float(run[0]), min(float(run[1]), float(_WIDTH))
    start = left / scale / result.clock_ghz * 1e-3
    length = (right - left) / scale / result.clock_ghz * 1e-3
    more = f" and {int(run[3]) - 1} more" if int(run[3]) > 1 else ""
    detail = f"\n{run[4]}" if run[4] and run[4] != WAITING else ""
    kind = "wait" if waits else f"work w{colours[str(run[2])]}"
    return (
        f'<rect x="{_LEFT + left:.2f}" y="{y}" width="{max(right - left, 0.4):.2f}" height="{_BAR}" '
        f'class="{kind}">'
        f"<title>{escape(str(run[2]))}{more}: {length:.2f} us from {start:.2f} "
        f"us{escape(detail)}</title></rect>"
    )
