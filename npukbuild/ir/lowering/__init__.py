"""Lowering: a design as written becomes what the hardware has, by the real compiler's documented rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from npukbuild.errors import DesignError
from npukbuild.ir import rules
from npukbuild.ir.design import Design, Stage
from npukbuild.ir.dialects.aie_ops import DeviceOp
from npukbuild.ir.dialects.base import location_of
from npukbuild.ir.lowering.chains import lower_streams, tiles_of
from npukbuild.ir.lowering.collect import collect
from npukbuild.ir.lowering.cores import lower_cores
from npukbuild.ir.lowering.descriptors import number_descriptors
from npukbuild.ir.lowering.fifos import lower_fifos
from npukbuild.ir.lowering.host_buffers import settle
from npukbuild.ir.lowering.lowered import assign_lock_ids, lower_flows, lower_programs
from npukbuild.ir.lowering.placement import place
from npukbuild.ir.lowering.routed import lower_routes
from npukbuild.ir.lowering.sequence import lower_sequences
from npukbuild.ir.lowering.stages import Configured
from npukbuild.ir.lowering.traces import find_traced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xdsl.dialects.builtin import ModuleOp

    from npukbuild.ir.design import Sequence
    from npukbuild.ir.dialects.base import DesignOp
    from npukbuild.ir.lowering.stages import OpenStage


def lower(
    module: ModuleOp,
    *,
    allocation: str = "auto",
    device: str | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Design:
    """Lower a design to buffers, locks, descriptors, channels and streams.

    Args:
        module: What :func:`npukbuild.ir.read_design` returns.
        allocation: ``auto``, ``bank-aware`` or ``basic-sequential``, as the compiler's ``--alloc-scheme``.
        device: The device's symbol name, where the design has several.
        sizes: How many elements the host's buffers have, by name or place of the argument, for designs whose
            transfers go beyond what an argument's type says.

    Returns:
        The lowered design. It may need more than its tiles have: :func:`npukbuild.ir.take_account` tells.

    Raises:
        DesignError: The design breaks rules of its dialect; all of them, with lines.
    """
    devices = _Devices(module, allocation)
    return _design(devices.configure(device), devices, sizes or {})


@dataclass(frozen=True)
class _Devices:
    """The devices of a module."""

    module: ModuleOp
    allocation: str

    def configure(self, name: str | None) -> Configured:
        """Lower a device up to its runtime sequences."""
        state = collect(self.module, name)
        rules.check_fifos(state)
        rules.check_uses(state)
        state.problems.check()
        lower_fifos(state)
        assign_lock_ids(state)
        state.problems.check()
        placed = place(state, self.allocation)
        given, cascades = lower_flows(state)
        lower_routes(state)
        find_traced(state)
        allocations = given | lower_streams(state)
        lower_programs(state)
        number_descriptors(state)
        rules.check_descriptors(state)
        return Configured(state, placed, allocations, cascades)

    def other(self, name: str, op: DesignOp) -> Configured:
        """Lower the device that an operation loads."""
        if not any(isinstance(one, DeviceOp) and one.sym == name for one in self.module.walk()):
            raise DesignError(f"{op.name} of {name}: no device has that name", where=str(location_of(op)))
        return self.configure(name)


def _design(configured: Configured, devices: _Devices, sizes: Mapping[str, int]) -> Design:
    sequences, stages = lower_sequences(configured, devices.other)
    full: dict[str, Sequence] = {}
    for name, sequence in sequences.items():
        operations = (op for stage in stages[name] for op in stage.run.found)
        sequences[name], told = settle(sequence, (*sequence.operations, *operations), sizes)
        for what in told:
            configured.state.problems.warn(
                what, sequence.loc, why="the host's buffer is taken as it is given"
            )
        full[name] = replace(
            sequences[name], stages=tuple(_stage(stage, sequences[name]) for stage in stages[name])
        )
    return replace(_finish(configured, sequences), sequences=full)


def _stage(stage: OpenStage, sequence: Sequence) -> Stage:
    executed = replace(sequence, operations=tuple(stage.run.found))
    return Stage(_finish(stage.configured, {sequence.name: executed}), stage.loc)


def _finish(configured: Configured, sequences: dict[str, Sequence]) -> Design:
    """Check the sequences of a device and return its design."""
    state, placed = configured.state, configured.placed
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
        allocations=configured.allocations,
        sequences=sequences,
        cascades=configured.cascades,
        warnings=tuple(str(problem) for problem in state.problems.warnings),
        stacks=dict(state.stacks),
    )
