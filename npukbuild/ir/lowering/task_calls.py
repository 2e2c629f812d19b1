"""What a runtime sequence does with tasks: configure, start, await, free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.errors import DesignError
from npukbuild.ir.design import Allocation, Free, Push, Wait
from npukbuild.ir.dialects import task_ops
from npukbuild.ir.dialects.base import location_of
from npukbuild.ir.lowering import traces
from npukbuild.ir.lowering.bd_chains import configured_chain
from npukbuild.ir.lowering.tasks import configure_task
from npukbuild.ir.lowering.transfers import add_wait

if TYPE_CHECKING:
    from npukbuild.ir.dialects.base import DesignOp
    from npukbuild.ir.lowering.sequence import Sequencer
    from npukbuild.ir.lowering.tasks import Task


def configure(run: Sequencer, op: DesignOp) -> None:
    """Lower ``dma_configure_task`` and ``dma_configure_task_for``."""
    if isinstance(op, task_ops.ConfigureTaskOp):
        tile = run.state.tiles.get(op.operands[0])
        direction: Any = op.text("direction")
        if tile is None:
            raise DesignError("a task needs a tile", where=str(location_of(op)))
        target: Allocation | None = Allocation(
            "", tile, direction, op.number("channel") or 0, location_of(op)
        )
    else:
        target = run.allocation(op.text("alloc") or "", op)
    if target is not None:
        run.tasks[op.results[0]] = configure_task(run, op, target, len(run.tasks))


def start_chain(run: Sequencer, op: DesignOp) -> None:
    """Lower ``dma_start_bd_chain`` and ``dma_start_bd_chain_for``."""
    filled = configured_chain(run.state, op)
    configure(run, filled)
    task = run.tasks.pop(filled.results[0], None)
    if task is not None:
        run.tasks[op.results[0]] = task
        _add_push(run, _push_of(task, op))


def start(run: Sequencer, op: DesignOp) -> None:
    """Lower ``dma_start_task``."""
    task = run.task_of(op)
    _add_push(run, _push_of(task, op))


def _add_push(run: Sequencer, push: Push) -> None:
    target = push.target
    if not traces.leave_out(run.state, target.tile, target.direction, target.channel):
        run.found.append(push)


def _push_of(task: Task, op: DesignOp) -> Push:
    return Push(
        task.target, task.descriptors, task.repeat, task.iteration, task.token, task.name, location_of(op)
    )


def await_(run: Sequencer, op: DesignOp) -> None:
    """Lower ``dma_await_task``."""
    task = run.task_of(op)
    if not task.token:
        run.state.problems.error(
            f"task {task.name} is awaited but issues no token",
            location_of(op),
            hint="configure it with {issue_token = true}",
        )
    task.give_back(run)
    target = task.target
    wait = Wait(target.tile, target.direction, target.channel, 1, task.name, frees=True, loc=location_of(op))
    add_wait(run, op, wait)


def free(run: Sequencer, op: DesignOp) -> None:
    """Lower ``dma_free_task``."""
    task = run.task_of(op)
    task.give_back(run)
    run.found.append(Free(task.name, location_of(op)))
