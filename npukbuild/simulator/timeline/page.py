"""The page around the pictures: words, tables and style, light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from npukbuild.simulator.recording import INLINE
from npukbuild.simulator.timeline.array_map import array_svg, shared_fifos
from npukbuild.simulator.timeline.tracks import COLOURS, colours_of, functions_of, tracks_svg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from npukbuild.ir.design import Design
    from npukbuild.simulator.result import RunResult

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2024;--soft:#667;--line:#d5d9e0;--track:#eef0f4;
--shim:#f3e7d2;
--mem:#dfe9f7;--core:#e0f1e4;--ddr:#ece4f3;--busy:#2f8f57;--flow:#7a8699;--wait:#e3b7a8;--w0:#3a78c2;
--w1:#2f8f57;
--w2:#8a5fb0;--w3:#b7822b;--w4:#1f97a5;--w5:#b8487f;--w6:#7c8a1e;--w7:#5a63c9}
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e6e8eb;--soft:#9aa3b0;--line:#333a44;
--track:#20252c;
--shim:#453823;--mem:#24364d;--core:#213d2b;--ddr:#3a2d47;--busy:#54b87e;--flow:#7f8b9d;--wait:#6d4237;
--w0:#5b9ae4;
--w1:#54b87e;--w2:#ab82d1;--w3:#d6a250;--w4:#4fbfcc;--w5:#dc78a8;--w6:#a9b84a;--w7:#8b93ee}}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1220px;padding:24px 20px;
background:var(--bg);
color:var(--fg)}
h1{font-size:24px;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:18px;margin:34px 0 6px}h3{font-size:15px;margin:18px 0 4px}p{margin:4px 0 10px;max-width:110ch}
.soft{color:var(--soft)}.scroll{overflow-x:auto}svg{display:block}
.cards{display:flex;flex-wrap:wrap;gap:10px;margin:14px 0}.card{border:1px solid var(--line);
border-radius:8px;
padding:8px 14px;min-width:120px}.card b{display:block;font-size:20px}.card span{color:var(--soft);
font-size:13px}
table{border-collapse:collapse;font-size:13.5px;margin:8px 0}th,td{padding:3px 12px 3px 0;
text-align:left;
border-bottom:1px solid var(--line);vertical-align:top}td.n,th.n{text-align:right}th{font-weight:600}
svg text{font:12px system-ui,sans-serif;fill:var(--fg)}svg .small,svg .row{font-size:11px;
fill:var(--soft)}
svg .name{font-weight:600}svg .group{font-weight:600}svg .mid{text-anchor:middle}
.tile{stroke:var(--line)}
.shim{fill:var(--shim)}.mem{fill:var(--mem)}.core{fill:var(--core)}.ddr{fill:var(--ddr);
stroke:var(--line)}
.track{fill:var(--track)}.busy{fill:var(--busy)}.flow{fill:none;stroke:var(--flow)}.tip{fill:var(--flow)}
.grid{stroke:var(--line);stroke-width:1;fill:none}.wait{fill:var(--wait)}.w0{fill:var(--w0)}
.w1{fill:var(--w1)}
.w2{fill:var(--w2)}.w3{fill:var(--w3)}.w4{fill:var(--w4)}.w5{fill:var(--w5)}
.w6{fill:var(--w6)}.w7{fill:var(--w7)}.dot{display:inline-block;width:11px;height:11px;
border-radius:2px;margin-right:6px}.key i{display:inline-block;width:12px;height:12px;border-radius:2px;
margin:0 5px 0 14px;vertical-align:-1px}.meter{display:inline-block;width:90px;height:8px;
background:var(--track);
vertical-align:1px;margin-right:6px}.meter i{display:block;height:8px;background:var(--busy)}
"""


_KEY = (
    '<p class="key">'
    + "".join(f'<i style="background:var(--w{number});margin:0 2px 0 0"></i>' for number in range(COLOURS))
    + ' work (a colour per function or fifo)<i style="background:var(--wait)"></i>waiting'
    '<i style="background:var(--track)"></i>idle</p>'
)


def timeline_html(design: Design, result: RunResult, *, title: str | None = None) -> str:
    """Return the page.

    Args:
        design: The design that ran.
        result: A timed run made with ``trace=True``.
        title: Heading; the device's name when absent.
    """
    from npukbuild.ir import take_account
    from npukbuild.targets import load_target

    target = load_target(design.device)
    configurations = design.configurations
    name = title or design.name or design.device
    parts = [
        _head(name, design.device),
        (
            f"<h1>{escape(name)}</h1><p class='soft'>One call on the simulated {escape(design.device)} at "
            f"{result.clock_ghz:g} GHz. All times are simulated estimates, nothing here was measured on "
            "hardware.</p>"
        ),
        _cards(result),
        f"<p><b>What limits it:</b> {escape(result.bottleneck)}.</p>",
        *(f"<p><b>Warning:</b> {escape(warning)}</p>" for warning in result.warnings),
        (
            "<h2>The array</h2><p>Data enter from host memory (DDR) at the bottom through shim tiles, are "
            "staged in "
            "memtiles (L2) and arrive in the cores' own memory (L1), where the named C++ functions or the "
            "design's own code run. A "
            "thicker line is "
            "a busier stream; the bar below a core is the share of time it computes. Point at anything for "
            "details.</p>"
        ),
        *_each(configurations, lambda one: f"<div class='scroll'>{array_svg(one, target, result)}</div>"),
        (
            "<h2>Streams</h2><p>Every stream moves 4 bytes per cycle at most. A stream that is busy all the "
            "time is a "
            "bottleneck; one that is idle waits for its sender or its receiver. <b>MM2S</b> (memory to "
            "stream) is a DMA channel that sends, <b>S2MM</b> (stream to memory) one that receives.</p>"
        ),
        *_each(configurations, lambda one: _streams(one, result)),
        (
            "<h2>Timeline</h2><p>Time runs to the right. <b>host</b> is the controller that starts transfers "
            "and waits for "
            "them; <b>cores</b> run functions; <b>DMA channels</b> move blocks; <b>shim tasks</b> are whole "
            "transfers "
            "between DDR and the array.</p>"
        ),
        _KEY,
        f"<div class='scroll'>{tracks_svg(design, result)}</div>",
        "<h2>Core functions</h2>",
        _functions(result),
        "<h2>Account</h2><p>What the design uses of what each tile has.</p>",
        *_each(configurations, lambda one: _account(take_account(one))),
        "</body></html>",
    ]
    return "\n".join(parts)


def _each(configurations: Sequence[Design], picture: Callable[[Design], str]) -> list[str]:
    """Return a picture of the design, or one per configuration that the sequence loads, under its name."""
    if len(configurations) == 1:
        return [picture(configurations[0])]
    return [f"<h3>Configuration {escape(one.name)}</h3>{picture(one)}" for one in configurations]


def _head(name: str, device: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(name)} on {escape(device)}, simulated</title><style>{_STYLE}</style></head><body>"
    )


def _cards(result: RunResult) -> str:
    first = "none" if result.first_output_us is None else f"{result.first_output_us:,.1f} us"
    busy = max(result.cores.values(), default=0.0)
    cards = (
        (f"{result.microseconds:,.1f} us", "one call, launch included"),
        (f"{result.array_us:,.1f} us", "of it on the array"),
        (f"{result.launch_us:,.0f} us", "launch: driver and firmware"),
        (first, "until the first output"),
        (f"{busy:.0%}", "busiest core"),
        (f"{result.ddr:.0%}", "of DDR bandwidth"),
    )
    items = "".join(f"<div class='card'><b>{value}</b><span>{label}</span></div>" for value, label in cards)
    return f"<div class='cards'>{items}</div>"


def _streams(design: Design, result: RunResult) -> str:
    fifos: dict[str, str] = {}
    for flow in design.flows:
        fifos[f"{flow.source.tile} MM2S {flow.source.index}"] = flow.fifo or ""
    rows = []
    for name, share in sorted(result.streams.items(), key=lambda item: -item[1]):
        source, _, ends = name.partition(" to ")
        if source not in fifos and " core stream " not in source:  # of another configuration
            continue
        meter = f"<span class='meter'><i style='width:{share:.0%}'></i></span>{share:.0%}"
        rows.append((escape(fifos.get(source, "")), escape(source), escape(ends), meter))
    rows.extend(
        (escape(fifo), f"core {source}", f"core {end}", "shared memory of neighbours, no stream")
        for source, end, fifo in shared_fifos(design)
    )
    heads = ("fifo", "from", "to", "busy")
    first = 0 if any(row[0] for row in rows) else 1  # a lowered design has no fifos
    return _table(heads[first:], [row[first:] for row in rows])


def _functions(result: RunResult) -> str:
    colours = colours_of(result)
    rows = [
        (
            f"<i class='dot' style='background:var(--w{colours[name]})'></i>{escape(name)}",
            f"{calls:,}",
            f"{cycles:,.0f}",
            f"{cycles / result.clock_ghz * 1e-3:,.2f} us",
        )
        for name, calls, cycles in functions_of(result)
    ]
    if not rows:
        return (
            "<p>No C++ function is called: the cores execute the operations that stand in the design itself "
            f"(<b>{INLINE}</b> in the timeline).</p>"
        )
    return "<p>Cycles are the model's estimate of the compiled function, not a measurement.</p>" + _table(
        ("function", "calls", "cycles per call", "time per call"), rows
    )


def _account(account: object) -> str:
    data = account.as_dict()  # type: ignore[attr-defined]
    rows = []
    for tile in data["tiles"]:
        kind = {"mem": "memtile"}.get(tile["kind"], tile["kind"])
        memory = f"{tile['bytes']:,} of {tile['bytes_limit']:,}" if tile["bytes_limit"] else ""
        rows.append(
            (
                f"{kind} ({tile['tile'][0]},{tile['tile'][1]})",
                memory,
                f"{tile['stack']:,}" if tile["stack"] else "",
                f"{tile['locks']} of {tile['lock_limit']}",
                f"{tile['bds']} of {tile['bd_limit']}",
                f"{tile['s2mm']} of {tile['s2mm_limit']}",
                f"{tile['mm2s']} of {tile['mm2s_limit']}",
            )
        )
    heads = ("tile", "bytes (stack included)", "stack", "locks", "descriptors", "channels in", "channels out")
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
