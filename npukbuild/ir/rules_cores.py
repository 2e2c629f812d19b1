"""What a core's acquires and releases add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdsl.dialects import scf

from npukbuild.ir.dialects import fifo_ops
from npukbuild.ir.dialects.base import location_of
from npukbuild.ir.lowering.fifos import needs_dma

if TYPE_CHECKING:
    from xdsl.ir import Block, Operation

    from npukbuild.ir.design import TileId
    from npukbuild.ir.dialects.aie_ops import CoreOp
    from npukbuild.ir.lowering.state import State

_Held = dict[tuple[str, str], int]


def check_balance(state: State, tile: TileId, core: CoreOp) -> None:
    """Refuse releases of objects that are not held, and acquires of more than an end has."""
    for op in core.body.walk():
        if isinstance(op, fifo_ops.ObjectFifoAcquireOp):
            _check_size(state, tile, op)
    if len(core.body.blocks) == 1:
        _Balance(state).block(core.body.blocks[0], {})


def _check_size(state: State, tile: TileId, op: fifo_ops.ObjectFifoAcquireOp) -> None:
    fifo = state.fifos.get(op.fifo)
    if fifo is None or tile not in (fifo.producer, *fifo.consumers):
        return
    end = 0 if op.port == "Produce" or tile not in fifo.consumers else 1 + fifo.consumers.index(tile)
    moved = needs_dma(state, fifo)
    if moved and not fifo.explicit:
        return
    depth = fifo.declared(end if moved else 0)
    if op.size > depth:
        state.problems.error(
            f"acquire of {op.size} objects can never succeed",
            location_of(op),
            why=f"objectfifo {op.fifo} has {depth} on {tile}",
        )


class _Balance:
    """Follows one pass through a core's program with the number of objects held per end."""

    def __init__(self, state: State) -> None:
        self.state = state

    def block(self, block: Block, held: _Held) -> _Held:
        """Return what is held after a block."""
        for op in block.ops:
            held = self._one(op, held)
        return held

    def _one(self, op: Operation, held: _Held) -> _Held:
        if isinstance(op, fifo_ops.ObjectFifoAcquireOp):
            key = (op.fifo, op.port)
            return held | {key: max(held.get(key, 0), op.size)}
        if isinstance(op, fifo_ops.ObjectFifoReleaseOp):
            return self._release(op, held)
        if isinstance(op, scf.ForOp):
            return self._loop(op, held)
        if op.regions:
            branches = [self.block(block, dict(held)) for region in op.regions for block in region.blocks]
            keys = {key for branch in branches for key in branch}
            return {key: max(branch.get(key, 0) for branch in branches) for key in keys} if branches else held
        return held

    def _release(self, op: fifo_ops.ObjectFifoReleaseOp, held: _Held) -> _Held:
        key = (op.fifo, op.port)
        have = held.get(key, 0)
        if op.size > have:
            self.state.problems.error(
                f"release of {op.size} objects of objectfifo {op.fifo}, {have} held",
                location_of(op),
                hint="acquire as many before",
            )
        return held | {key: max(have - op.size, 0)}

    def _loop(self, op: scf.ForOp, held: _Held) -> _Held:
        """Pass twice through a loop's body, so that what one turn leaves counts for the next."""
        body = op.body.blocks[0]
        return self.block(body, self.block(body, dict(held)))
