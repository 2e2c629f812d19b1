"""Designs whose flows are routed: the connections of the stream switches become flows again.

Every port of a tile that can send (DMA, core, control, trace) is followed from switch to switch until it
comes to ports that can receive. What a packet-switched port sends is followed per packet id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from npukbuild.ir.design import Flow, Port, TileId
from npukbuild.ir.dialects import switch_ops
from npukbuild.ir.dialects.base import DesignOp, location_of
from npukbuild.ir.lowering.values import tile_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xdsl.ir import SSAValue

    from npukbuild.ir.design import Location
    from npukbuild.ir.lowering.state import State

_STEPS = {
    "North": (0, 1, "South"),
    "South": (0, -1, "North"),
    "East": (1, 0, "West"),
    "West": (-1, 0, "East"),
}
"""Direction of an output: columns and rows to the next switch, and the input there."""

_BUNDLES = ("Core", "DMA", "FIFO", "South", "West", "North", "East", "PLIO", "NOC", "Trace", "TileControl")
_SHIM_MUX = "mux"


@dataclass(frozen=True)
class _In:
    """An input of a switch; ``box`` is empty, or ``mux`` for a shim's multiplexer."""

    tile: TileId
    box: str
    bundle: str
    index: int


@dataclass
class _Switches:
    """All connections: (input) -> outputs, and the packet rules of inputs."""

    circuits: dict[_In, list[tuple[str, int]]] = field(default_factory=dict)
    rules: dict[_In, list[tuple[int, int, SSAValue]]] = field(default_factory=dict)
    masters: dict[SSAValue, list[tuple[str, int, bool]]] = field(default_factory=dict)
    places: dict[_In, Location | None] = field(default_factory=dict)


def lower_routes(state: State) -> None:
    """Add the flows that the stream switches make."""
    switches = _Switches()
    for op in state.device.body.blocks[0].ops:
        if isinstance(op, switch_ops.SwitchOp):
            tile = tile_of(state, op.operands[0], op)
            box = _SHIM_MUX if isinstance(op, switch_ops.ShimMuxOp) else ""
            if box and state.kind(tile) != "shim":
                state.problems.error(f"{op.name} on {state.kind(tile)} tile {tile}", location_of(op))
            _read(state, switches, tile, box, op)
    known = {(flow.source, flow.packet_id) for flow in state.flows}
    for start in sorted(switches.circuits.keys() | switches.rules.keys(), key=str):
        if not _begins(state, start):
            continue
        source = Port(start.tile, start.bundle, start.index)
        if start in switches.circuits:
            _add(state, switches, start, source, None, known)
        for ident in range(state.target.streams["packet_ids"]) if start in switches.rules else ():
            _add(state, switches, start, source, ident, known)


def _begins(state: State, start: _In) -> bool:
    """Whether an input comes from its own tile and not from another switch."""
    if start.bundle in _STEPS or start.bundle in ("PLIO", "NOC"):
        return False
    return start.bundle != "DMA" or start.box == _SHIM_MUX or state.kind(start.tile) != "shim"


def _read(state: State, switches: _Switches, tile: TileId, box: str, switch: DesignOp) -> None:
    for op in switch.body.blocks[0].ops:
        if isinstance(op, switch_ops.ConnectOp):
            start = _In(tile, box, *_port(op, "source"))
            switches.circuits.setdefault(start, []).append(_port(op, "dest"))
            switches.places[start] = location_of(op)
        elif isinstance(op, switch_ops.PacketRulesOp):
            start = _In(tile, box, *_port(op, "source"))
            switches.places[start] = location_of(op)
            switches.rules[start] = [
                (rule.number("mask") or 0, rule.number("value") or 0, rule.operands[0])
                for rule in op.body.blocks[0].ops
                if isinstance(rule, switch_ops.PacketRuleOp)
            ]
        elif isinstance(op, switch_ops.MastersetOp):
            keep = op.text("keep_pkt_header") == "true" or op.flag("keep_pkt_header")
            for amsel in op.operands:
                switches.masters.setdefault(amsel, []).append((*_port(op, "dest"), keep))
        elif not isinstance(op, switch_ops.AmselOp) and op.name != "aie.end":
            state.problems.error(f"operation {op.name} is not supported in {switch.name}", location_of(op))


def _port(op: DesignOp, prefix: str) -> tuple[str, int]:
    bundle = op.text(f"{prefix}_bundle")
    if bundle is None:
        bundle = _BUNDLES[op.number(f"{prefix}_bundle") or 0]
    return bundle, op.number(f"{prefix}_channel") or 0


def _add(
    state: State,
    switches: _Switches,
    start: _In,
    source: Port,
    ident: int | None,
    known: set[tuple[Port, int | None]],
) -> None:
    if (source, ident) in known:
        return
    ends = dict.fromkeys(_follow(state, switches, start, ident, False, set()))
    for keep in (False, True):
        ports = tuple(port for port, kept in ends if kept is keep)
        if ports:
            state.flows.append(Flow(source, ports, ident, keep, loc=switches.places[start]))


def _follow(
    state: State, switches: _Switches, at: _In, ident: int | None, keep: bool, seen: set[_In]
) -> Iterator[tuple[Port, bool]]:
    """Yield the ports that data at an input come to, and whether a packet's header comes with them."""
    if at in seen:
        state.problems.error(
            f"a stream goes round in a circle at {at.tile} {at.bundle} {at.index}", switches.places.get(at)
        )
        return
    seen = seen | {at}
    outputs = [(*port, keep) for port in switches.circuits.get(at, ())]
    if ident is not None:
        rule = next((r for r in switches.rules.get(at, ()) if ident & r[0] == r[1]), None)
        outputs += switches.masters.get(rule[2], []) if rule is not None else []
    for bundle, index, kept in outputs:
        yield from _leave(state, switches, at, (bundle, index), ident, kept, seen)


def _leave(
    state: State,
    switches: _Switches,
    at: _In,
    port: tuple[str, int],
    ident: int | None,
    keep: bool,
    seen: set[_In],
) -> Iterator[tuple[Port, bool]]:
    bundle, index = port
    shim = state.kind(at.tile) == "shim"
    if bundle not in _STEPS:
        yield Port(at.tile, bundle, index), keep
        return
    if at.box == _SHIM_MUX:  # north of the multiplexer is the switch's south side
        following = _In(at.tile, "", "South", index)
    elif shim and bundle == "South":
        following = _In(at.tile, _SHIM_MUX, "North", index)
    else:
        columns, rows, side = _STEPS[bundle]
        following = _In(TileId(at.tile.column + columns, at.tile.row + rows), "", side, index)
    if following in switches.circuits or following in switches.rules:
        yield from _follow(state, switches, following, ident, keep, seen)
    elif shim and bundle == "South":  # completion tokens for the controller
        yield Port(at.tile, "South", index), keep
    else:
        state.problems.error(
            f"the stream from {at.tile} {bundle} {index} ends at {following.tile}",
            switches.places.get(at),
            why="the switch there connects it to nothing",
        )
