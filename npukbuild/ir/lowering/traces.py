"""The hardware's event trace: read, told and left out, since it changes nothing of what a design computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.errors import DesignError
from npukbuild.ir.dialects import trace_ops
from npukbuild.ir.dialects.base import location_of
from npukbuild.targets.dma_registers import dma_registers

if TYPE_CHECKING:
    from xdsl.ir import Operation

    from npukbuild.ir.design import Direction, Location, TileId
    from npukbuild.ir.lowering.state import State

TRACE = "Trace"
"""The port of a tile where its trace leaves."""

_DECLARATIONS = (trace_ops.TraceDeclarationOp, trace_ops.TraceConfigOp)


def find_traced(state: State) -> None:
    """Note the channels that nothing but traces come to, and warn once of any trace."""
    ports = {
        traced: all(flow.source.bundle == TRACE for flow in state.flows if traced in flow.destinations)
        for flow in state.flows
        if flow.source.bundle == TRACE
        for traced in flow.destinations
    }
    state.traced = {(port.tile, "S2MM", port.index) for port, alone in ports.items() if alone}
    declared = {op.sym for op in state.device.body.walk() if isinstance(op, _DECLARATIONS)}
    for op in state.device.body.walk():
        if isinstance(op, trace_ops.TraceStartConfigOp) and op.text("trace_config") not in declared:
            state.problems.error(
                f"{op.name} of {op.text('trace_config')}, which is not declared", location_of(op)
            )
    first = next((op for op in state.device.body.walk() if isinstance(op, trace_ops.TraceOp)), None)
    where = location_of(first) if first is not None else None
    if where is None:
        where = next((flow.loc for flow in state.flows if flow.source.bundle == TRACE), None)
    if where is not None or first is not None:
        state.problems.warn(
            "the hardware's event trace is not simulated",
            where,
            why="its host buffer stays as it is, and the time its packets take is not counted",
        )


def leave_out(state: State, tile: TileId, direction: Direction, channel: int) -> bool:
    """Whether a task would move trace data only."""
    return (tile, direction, channel) in state.traced


def refuse_wait(state: State, tile: TileId, direction: Direction, channel: int, op: Operation) -> None:
    """Refuse a wait for trace data, which never come here.

    Raises:
        DesignError: The channel takes nothing but traces.
    """
    if (tile, direction, channel) in state.traced:
        raise DesignError(
            f"{op.name} waits for the event trace on {direction} {channel} of {tile}",
            where=str(location_of(op)),
            why="the event trace is not simulated, so nothing ever comes",
            hint="take the wait out for the simulation",
        )


def observes(state: State, tile: TileId, offset: int, loc: Location | None) -> bool:
    """Whether a register only observes (events, traces, counters); the first such write is warned of."""
    if not dma_registers(state.kind(tile)).observes(offset):
        return False
    what = "writes to registers of events, traces and counters have no effect here"
    if all(problem.what != what for problem in state.problems.warnings):
        state.problems.warn(what, loc, why="they measure what happens and change nothing of it")
    return True
