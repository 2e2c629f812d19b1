"""The runtime sequence becomes what the controller does: pushes, waits, writes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

from xdsl.dialects import memref, scf
from xdsl.ir import Block, Operation, SSAValue

from npukbuild.errors import DesignError
from npukbuild.ir.design import (
    Allocation,
    Array,
    Sequence,
    SequenceOp,
    TileId,
)
from npukbuild.ir.dialects import aie_ops, aiex_ops, configure_ops, task_ops, trace_ops
from npukbuild.ir.dialects.base import DesignOp, location_of
from npukbuild.ir.lowering import raw, stages, task_calls, transfers
from npukbuild.ir.lowering.constants import constant, evaluate
from npukbuild.ir.lowering.host_buffers import declared
from npukbuild.ir.lowering.values import array_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from npukbuild.ir.design import Buffer, Location
    from npukbuild.ir.lowering.stages import Configured, OpenStage
    from npukbuild.ir.lowering.state import State
    from npukbuild.ir.lowering.tasks import Task

_MOST_OPERATIONS = 1_000_000
"""Unrolled loops beyond this are surely not meant."""


def lower_sequences(
    configured: Configured, configure: Callable[[str, DesignOp], Configured]
) -> tuple[dict[str, Sequence], dict[str, list[OpenStage]]]:
    """Lower every runtime sequence of the device, by name.

    Args:
        configured: The device.
        configure: Gives another device of the module, for sequences that load it.

    Returns:
        The sequences up to where they load another configuration, and what follows there.
    """
    state = configured.state
    found: dict[str, Sequence] = {}
    stages: dict[str, list[OpenStage]] = {}
    for op in state.device.body.blocks[0].ops:
        if isinstance(op, aie_ops.SequenceOp):
            name = op.sym or "sequence"
            if name in found:
                state.problems.error(f"runtime sequence {name} is declared twice", location_of(op))
            if isinstance(op, aiex_ops.OldRuntimeSequenceOp):
                state.problems.warn(
                    "aiex.runtime_sequence is the spelling before November 2025",
                    location_of(op),
                    why="today's mlir-aie knows aie.runtime_sequence only",
                )
            run = Sequencer(configured, configure)
            found[name] = run.run(name, op)
            stages[name] = run.stages
    return found, stages


@dataclass(frozen=True)
class View:
    """A host buffer, or a part of it that a subview or a cast names."""

    argument: str
    type: Array
    offset: int = 0


@dataclass
class Sequencer:
    """Walks one runtime sequence, on one configuration; loops with constant bounds are unrolled.

    The outermost sequencer walks the whole sequence. From where it loads another configuration on
    (``latest``), operations are lowered by a sequencer for that one.
    """

    configured: Configured
    configure: Callable[[str, DesignOp], Configured]
    views: dict[SSAValue, View] = field(default_factory=dict)
    """The host buffers in order, by the value that names them."""
    known: dict[SSAValue, int] = field(default_factory=dict)
    found: list[SequenceOp] = field(default_factory=list)
    tasks: dict[SSAValue, Task] = field(default_factory=dict)
    alive: dict[TileId, set[int]] = field(default_factory=dict)
    registers: raw.Registers = field(default_factory=raw.Registers)
    count: int = 0
    outer: Sequencer | None = None
    called_from: Location | None = None
    stages: list[OpenStage] = field(default_factory=list)
    latest: Sequencer | None = None
    within: Location | None = None
    closed: bool = False

    def __post_init__(self) -> None:
        self.state: State = self.configured.state
        self.allocations: Mapping[str, Allocation] = self.configured.allocations
        self.placed: dict[str, Buffer] = self.configured.placed

    def run(self, name: str, op: aie_ops.SequenceOp) -> Sequence:
        """Return the lowered sequence."""
        block = op.body.blocks[0]
        for number, value in enumerate(block.args):
            label = value.name_hint or f"arg{number}"
            try:
                self.views[value] = View(label, declared(value.type))
            except ValueError as error:
                raise DesignError(f"argument {label}: {error}", where=str(location_of(op))) from None
        self.block(block)
        arguments = tuple((view.argument, view.type) for view in self.views.values())
        return Sequence(name, arguments, tuple(self.found), location_of(op))

    @property
    def outermost(self) -> Sequencer:
        """The sequencer that walks the sequence from its start."""
        return self.outer or self

    def on(self, configured: Configured) -> Sequencer:
        """Return a sequencer for the same sequence on another configuration."""
        return Sequencer(configured, self.configure, self.views, self.known, outer=self)

    def calling(self, op: DesignOp, views: dict[SSAValue, View]) -> Sequencer:
        """Return a sequencer for another sequence of this configuration, which ``op`` executes."""
        return replace(self, views=views, tasks={}, count=0, called_from=location_of(op), latest=None)

    def block(self, block: Block) -> None:
        """Lower the operations of a block."""
        for op in block.ops:
            self.count += 1
            if self.count > _MOST_OPERATIONS:
                raise DesignError(
                    "the runtime sequence is too long",
                    where=str(location_of(op)),
                    why=f"more than {_MOST_OPERATIONS} operations",
                )
            self._operation(op)

    def _operation(self, op: Operation) -> None:
        target = self.latest or self
        handler = _HANDLERS.get(type(op))
        if handler is not None:
            if self.closed and type(op) not in _OPENING:
                raise DesignError(
                    f"{op.name} behind aiex.configure, outside of it",
                    where=str(location_of(op)),
                    why="the array holds the configuration that was loaded last",
                    hint="move it into the block",
                )
            handler(target, op)
        elif isinstance(op, scf.ForOp):
            self._loop(op)
        elif not target.harmless(op):
            raise DesignError(
                f"operation {op.name} is not supported in a runtime sequence", where=str(location_of(op))
            )

    def harmless(self, op: Operation) -> bool:
        """Whether an operation does nothing by itself, or has a value that is known."""
        if isinstance(op, _HARMLESS):
            return True
        return constant(op) is not None or (
            len(op.results) == 1 and evaluate(op.results[0], self.known) is not None
        )

    def _loop(self, op: scf.ForOp) -> None:
        bounds = [evaluate(value, self.known) for value in (op.lb, op.ub, op.step)]
        if any(bound is None for bound in bounds) or op.iter_args or bounds[2] == 0:
            raise DesignError(
                "a loop in a runtime sequence needs constant bounds and carries no values",
                where=str(location_of(op)),
            )
        first, last, step = (bound or 0 for bound in bounds)
        for index in range(first, last, step):
            self.known[op.body.blocks[0].args[0]] = index
            self.block(op.body.blocks[0])

    def view(self, value: SSAValue) -> View | None:
        """Return the host buffer behind a value, following subviews and casts with constant offsets."""
        found = self.views.get(value)
        if found is not None:
            return found
        op = value.owner
        if isinstance(op, memref.CastOp | memref.AssumeAlignmentOp):
            return self.view(op.operands[0])
        if not isinstance(op, memref.SubviewOp | memref.ReinterpretCastOp):
            return None
        source = self.view(op.operands[0])
        if source is None:
            return None
        try:
            kind = array_of(value.type)
        except ValueError as error:
            raise DesignError(f"{op.name}: {error}", where=str(location_of(op))) from None
        offsets = tuple(int(offset) for offset in op.static_offsets.get_values())
        if any(offset < 0 for offset in offsets):
            raise DesignError(f"the offset of {op.name} must be a constant", where=str(location_of(op)))
        if isinstance(op, memref.ReinterpretCastOp):
            return View(source.argument, kind, source.offset + sum(offsets))
        steps = [prod(source.type.shape[place + 1 :]) for place in range(len(source.type.shape))]
        moved = sum(offset * step for offset, step in zip(offsets, steps, strict=True))
        return View(source.argument, kind, source.offset + moved)

    def number(self, value: int | SSAValue | None, op: Operation, what: str) -> int:
        """Return a value that must be known now."""
        found = evaluate(value, self.known) if isinstance(value, SSAValue) else value
        if found is None:
            raise DesignError(f"{what} of {op.name} must be a constant", where=str(location_of(op)))
        return found

    def allocation(self, name: str, op: Operation) -> Allocation | None:
        """Return the shim channel that a symbol means, or note that it means none."""
        found = self.allocations.get(name) or self.allocations.get(name.removesuffix("_shim_alloc"))
        if found is not None:
            return found
        if name in self.state.fifos:
            self.state.problems.error(
                f"objectfifo {name} has no end on a shim tile",
                location_of(op),
                why="a runtime sequence moves data through shim tiles only",
                hint="name the objectfifo between the shim tile and the array",
            )
        else:
            self.state.problems.error(
                f"no objectfifo or shim_dma_allocation is named {name}",
                location_of(op),
                hint=f"known: {', '.join(sorted(self.allocations)) or 'none'}",
            )
        return None

    def task_of(self, op: DesignOp) -> Task:
        """Return the task that an operation's operand names."""
        task = self.tasks.get(op.operands[0])
        if task is None:
            raise DesignError(f"{op.name} needs a configured task", where=str(location_of(op)))
        return task

    def take_id(self, tile: TileId, channel: int, explicit: int | None) -> int:
        """Return a descriptor id for a task: the given one or the lowest free one.

        A memtile's even channels use the lower half of its ids, odd ones the upper half. When none is free
        the number passes the limit, and the account reports it.
        """
        used = self.alive.setdefault(tile, self._static_ids(tile))
        if explicit is not None:
            used.add(explicit)
            return explicit
        limits = self.state.target.limits(self.state.kind(tile))
        first, last = 0, limits.bds
        if limits.bds_per_parity:
            first = (channel % 2) * limits.bds_per_parity
            last = first + limits.bds_per_parity
        free = next((number for number in range(first, last) if number not in used), None)
        if free is None:
            free = max(limits.bds, max(used, default=0) + 1)
        used.add(free)
        return free

    def _static_ids(self, tile: TileId) -> set[int]:
        return {
            descriptor.id
            for channel in self.state.channels
            if channel.tile == tile
            for descriptor in channel.descriptors
            if descriptor.id is not None
        }


_HARMLESS = (
    aie_ops.EndOp,
    aiex_ops.PreemptOp,
    trace_ops.TraceOp,
    scf.YieldOp,
    memref.GetGlobalOp,
    memref.SubviewOp,
    memref.ReinterpretCastOp,
    memref.CastOp,
    memref.AssumeAlignmentOp,
)

_HANDLERS: dict[type[Any], Any] = {
    aiex_ops.DmaMemcpyNdOp: transfers.memcpy,
    aiex_ops.DmaWaitOp: transfers.wait,
    aiex_ops.SyncOp: transfers.sync,
    aiex_ops.RtpWriteOp: transfers.rtp,
    aiex_ops.SetLockOp: transfers.set_lock,
    task_ops.ConfigureTaskOp: task_calls.configure,
    task_ops.ConfigureTaskForOp: task_calls.configure,
    task_ops.StartBdChainOp: task_calls.start_chain,
    task_ops.StartBdChainForOp: task_calls.start_chain,
    task_ops.StartTaskOp: task_calls.start,
    task_ops.AwaitTaskOp: task_calls.await_,
    task_ops.FreeTaskOp: task_calls.free,
    aiex_ops.Write32Op: raw.write32,
    aiex_ops.MaskWrite32Op: raw.maskwrite32,
    aiex_ops.BlockWriteOp: raw.blockwrite,
    aiex_ops.ControlPacketOp: raw.control_packet,
    aiex_ops.WriteBdOp: raw.writebd,
    aiex_ops.AddressPatchOp: raw.address_patch,
    aiex_ops.PushQueueOp: raw.push_queue,
    configure_ops.ConfigureOp: stages.configure,
    configure_ops.LoadPdiOp: stages.load_pdi,
    configure_ops.RunOp: stages.run_sequence,
}

_OPENING = (configure_ops.ConfigureOp, configure_ops.LoadPdiOp)
