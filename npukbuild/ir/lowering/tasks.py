"""``dma_configure_task``: a chain of descriptors that is started, awaited and freed by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from npukbuild.errors import DesignError
from npukbuild.ir.dialects import aie_ops, dma_ops
from npukbuild.ir.dialects.base import location_of
from npukbuild.ir.lowering.host_buffers import OPEN
from npukbuild.ir.lowering.lowered import bd_descriptor, bd_field
from npukbuild.ir.lowering.state import BufferSpec

if TYPE_CHECKING:
    from xdsl.ir import Block, Operation

    from npukbuild.ir.design import Allocation, Descriptor, Dim
    from npukbuild.ir.dialects.base import DesignOp
    from npukbuild.ir.lowering.sequence import Sequencer


@dataclass
class Task:
    """A configured task: where it runs, its chain, how often."""

    name: str
    target: Allocation
    descriptors: tuple[Descriptor, ...]
    repeat: int
    iteration: Dim | None
    token: bool

    def give_back(self, run: Sequencer) -> None:
        """Free the task's descriptor ids."""
        for descriptor in self.descriptors:
            run.alive.get(self.target.tile, set()).discard(descriptor.id or 0)


def configure_task(run: Sequencer, op: DesignOp, target: Allocation, number: int) -> Task:
    """Return the task that a configure operation describes.

    The outermost of four dims is the iteration: each start advances by its stride.
    """
    descriptors: list[Descriptor] = []
    iterations: list[Dim | None] = []
    order: dict[int, int] = {}
    block: Block | None = op.body.blocks[0]
    following: int | None = None
    while block is not None:
        order[id(block)] = len(descriptors)
        descriptor, iteration = _descriptor(run, list(block.ops), target, op)
        last = block.last_op
        block = last.successors[0] if isinstance(last, dma_ops.NextBdOp) else None
        if block is not None:
            following = order.get(id(block), len(descriptors) + 1)
            if id(block) in order:
                block = None
            elif not any(isinstance(inner, dma_ops.DmaBdOp) for inner in block.ops):
                block, following = None, None
        else:
            following = None
        descriptors.append(replace(descriptor, next=following))
        iterations.append(iteration)
    packet = op.data("packet")
    if packet is not None:
        descriptors = [replace(one, packet=one.packet or packet) for one in descriptors]
    distinct = set(iterations)
    if len(distinct) > 1:
        raise DesignError("descriptors of one task have different iterations", where=str(location_of(op)))
    hint = op.results[0].name_hint or "task"
    return Task(
        f"{hint}#{number}",
        target,
        tuple(descriptors),
        op.number("repeat_count") or 0,
        distinct.pop(),
        op.flag("issue_token"),
    )


def _descriptor(
    run: Sequencer, ops: list[Operation], target: Allocation, task: Operation
) -> tuple[Descriptor, Dim | None]:
    found = [op for op in ops if isinstance(op, dma_ops.DmaBdOp)]
    if len(found) != 1:
        where = str(location_of(ops[0] if ops else task))
        raise DesignError(f"a task's block needs one descriptor, has {len(found)}", where=where)
    op = found[0]
    buffer, elements, base = _memory(run, op)
    offset, length = base + (bd_field(op, "offset") or 0), bd_field(op, "len")
    if length is None and elements >= OPEN:
        raise DesignError(
            f"{op.name} needs a length", where=str(location_of(op)), why="the size of its buffer is open"
        )
    descriptor = bd_descriptor(op, buffer, offset, elements if length is None else length)
    descriptor = replace(
        descriptor,
        id=run.take_id(target.tile, target.channel, descriptor.id),
        acquires=_locks(run, ops[: ops.index(op)], target),
        releases=_locks(run, ops[ops.index(op) + 1 :], target),
    )
    dims, iteration = descriptor.dims, None
    most = run.state.target.limits(run.state.kind(target.tile)).dims
    if len(dims) == most + 1:
        iteration = dims[0] if dims[0].size > 1 else None
        dims = dims[1:]
    while len(dims) > 1 and dims[0].size == 1:
        dims = dims[1:]
    if len(dims) == 1 and dims[0].stride == 1:
        dims = ()
    return replace(descriptor, dims=dims), iteration


def _memory(run: Sequencer, op: dma_ops.DmaBdOp) -> tuple[str, int, int]:
    view = run.view(op.operands[0])
    if view is not None:
        return view.argument, view.type.elements, view.offset
    spec = run.state.values.get(op.operands[0])
    if isinstance(spec, BufferSpec):
        return spec.name, spec.type.elements, 0
    raise DesignError(
        "a task's descriptor needs an argument of the sequence or an aie.buffer", where=str(location_of(op))
    )


def _locks(run: Sequencer, ops: list[Operation], target: Allocation) -> tuple[Any, ...]:
    from npukbuild.ir.lowering.lowered import lock_use

    return tuple(lock_use(run.state, op, target.tile) for op in ops if isinstance(op, aie_ops.UseLockOp))
