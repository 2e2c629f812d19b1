"""Questions about a core's operations: what a call calls, what may wait, how a loop counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.simulator.core.types import attribute
from npukbuild.simulator.faults import fault

if TYPE_CHECKING:
    from xdsl.ir import Operation, Region

    from npukbuild.ir.design import Location, TileId


def synchronises(op: Operation, within: tuple[Operation, ...] = ()) -> bool:
    """Say whether an operation's regions contain anything that can wait.

    Args:
        op: What is looked at.
        within: The functions that are being looked at already.
    """
    waits = ("aie.use_lock", "aie.objectfifo.acquire", "aie.get_cascade", "aie.put_cascade", "aie.get_stream",
             "aie.put_stream")  # fmt: skip
    for inner in op.walk():
        if inner is not op and inner.name in waits:
            return True
        if inner.name == "func.call" and (body := find_function(op, callee_of(inner))) is not None:
            parent = body.parent_op()
            if parent is not None and parent not in within and synchronises(parent, (*within, parent)):
                return True
    return False


def callee_of(op: Operation) -> str:
    """Return the name that a ``func.call`` calls."""
    from npukbuild.ir.dialects.base import attribute_text

    return attribute_text(attribute(op, "callee")) or ""


def find_function(op: Operation, name: str) -> Region | None:
    """Return the body of a function that the design itself defines."""
    from npukbuild.ir.dialects.base import attribute_text

    scope = op.parent_op()
    while scope is not None:
        if scope.name in ("aie.device", "builtin.module"):
            for other in scope.regions[0].block.ops:
                if other.name == "func.func":
                    found = attribute_text(attribute(other, "sym_name"))
                    if found == name and other.regions and other.regions[0].blocks:
                        body: Region = other.regions[0]
                        return body
        scope = scope.parent_op()
    return None


def counted(tile: TileId, loc: Location | None, low: int, high: int, step: int) -> range:
    """Return the numbers of a loop.

    Raises:
        SimulationFault: Its step is not positive.
    """
    if step > 0:
        return range(low, high, step)
    raise fault(
        f"a loop of core {tile} counts with a step of {step}",
        loc=loc,
        why=f"it goes from {low} to {high}; scf.for needs a step above 0",
        hint="count upwards, and compute the falling index inside the loop",
    )
