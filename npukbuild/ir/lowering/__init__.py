"""Lowering: a design as written becomes what the hardware has, by the real compiler's documented rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.ir import rules
from npukbuild.ir.design import Design
from npukbuild.ir.lowering.chains import lower_streams, tiles_of
from npukbuild.ir.lowering.collect import collect
from npukbuild.ir.lowering.cores import lower_cores
from npukbuild.ir.lowering.descriptors import number_descriptors
from npukbuild.ir.lowering.fifos import lower_fifos
from npukbuild.ir.lowering.lowered import assign_lock_ids, lower_flows, lower_programs
from npukbuild.ir.lowering.placement import place
from npukbuild.ir.lowering.sequence import lower_sequences
from npukbuild.ir.lowering.traces import find_traced

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp


def lower(module: ModuleOp, *, allocation: str = "auto", device: str | None = None) -> Design:
    """Lower a design to buffers, locks, descriptors, channels and streams.

    Args:
        module: What :func:`npukbuild.ir.read_design` returns.
        allocation: ``auto``, ``bank-aware`` or ``basic-sequential``, as the compiler's ``--alloc-scheme``.
        device: The device's symbol name, where the design has several.

    Returns:
        The lowered design. It may need more than its tiles have: :func:`npukbuild.ir.take_account` tells.

    Raises:
        DesignError: The design breaks rules of its dialect; all of them, with lines.
    """
    state = collect(module, device)
    rules.check_fifos(state)
    rules.check_uses(state)
    state.problems.check()
    lower_fifos(state)
    assign_lock_ids(state)
    state.problems.check()
    placed = place(state, allocation)
    given, cascades = lower_flows(state)
    find_traced(state)
    allocations = given | lower_streams(state)
    lower_programs(state)
    number_descriptors(state)
    rules.check_descriptors(state)
    sequences = lower_sequences(state, allocations, placed)
    rules.check_transfers(state)
    rules.check_sequences(state, sequences)
    cores = lower_cores(state, placed)
    state.problems.check()
    return Design(
        device=state.target.name,
        name=state.device.sym or "main",
        tiles=tiles_of(state),
        buffers=placed,
        locks={lock.name: lock for lock in state.locks},
        channels=tuple(state.channels),
        flows=tuple(state.flows),
        cores=cores,
        functions=dict(state.functions),
        allocations=allocations,
        sequences=sequences,
        cascades=cascades,
        warnings=tuple(str(problem) for problem in state.problems.warnings),
        stacks=dict(state.stacks),
    )
