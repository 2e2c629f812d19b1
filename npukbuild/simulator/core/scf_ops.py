"""Writers for ``scf`` operations: loops and branches, whose regions may wait and may carry values."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from npukbuild.simulator.core.functions import counted, synchronises
from npukbuild.simulator.core.types import attribute

if TYPE_CHECKING:
    from xdsl.ir import Operation, Region

    from npukbuild.simulator.core.program import Emitter


def write(out: Emitter, op: Operation, dialect: str, name: str) -> bool:
    """Write one operation; False when it is none that we know."""
    if dialect != "scf":
        return False
    if name == "yield":
        return not op.operands
    writer = _WRITERS.get(name)
    if writer is None:
        return False
    writer(out, op)
    return True


def _execute_region(out: Emitter, op: Operation) -> None:
    out.region(op.regions[0], out.assign(out.results(op)))


def _for(out: Emitter, op: Operation) -> None:
    low, high, step, *initial = [out.use(value) for value in op.operands]
    loop(out, op, low, high, step, initial)


def loop(out: Emitter, op: Operation, low: str, high: str, step: str, initial: list[str]) -> None:
    """Write a counted loop that may carry values."""
    count = _count(out, op, low, high, step)
    carried = out.results(op)
    for name, value in zip(carried, initial, strict=True):
        out.emit(f"{name} = {value}")
    block = op.regions[0].block
    index, *inner = block.args
    for argument, name in zip(inner, carried, strict=True):
        out.names[argument] = name
    out.settle()
    counter = out.names[index] = out.fresh("i")
    out.emit(f"for {counter} in {count}:")
    out.depth += 1
    out.charge(out.context.loop_cycles)
    out.block(block, out.assign(carried))
    out.tick()
    out.depth -= 1


def _count(out: Emitter, op: Operation, low: str, high: str, step: str) -> str:
    """Return what a loop counts through; its step must be positive, as ``scf.for`` says."""
    if step.isdecimal() and int(step):
        return f"range({low}, {high}, {step})"
    counting = out.constant(partial(counted, out.core.tile, out.loc(op)), "counted")
    return f"{counting}({low}, {high}, {step})"


def _while(out: Emitter, op: Operation) -> None:
    before, after = op.regions[0].block, op.regions[1].block
    results = out.results(op)
    arguments = [out.fresh() for _ in before.args]
    for argument, name, value in zip(before.args, arguments, op.operands, strict=True):
        out.names[argument] = name
        out.emit(f"{name} = {out.use(value)}")
    out.settle()
    out.emit("while True:")
    out.depth += 1
    out.charge(out.context.loop_cycles)

    def leave_before(condition: Operation) -> None:
        test, *values = [out.use(value) for value in condition.operands]
        if results:
            out.emit(f"{', '.join(results)} = {', '.join(values)}")
        out.emit(f"if not {test}: break")

    out.block(before, leave_before)
    for argument, name in zip(after.args, results, strict=True):
        out.names[argument] = name
    out.block(after, out.assign(arguments))
    if synchronises(op):
        out.tick()
    else:  # it may look at memory until the host or a neighbour writes there
        out.emit(f"yield {'t; t = 0.0' if out.timed else 'None'}")
    out.depth -= 1


def _branches(out: Emitter, op: Operation, branches: list[tuple[str, Region]]) -> None:
    results = out.results(op)
    out.settle()
    entry = dict(out.held)
    merged = dict(entry)
    for head, region in branches:
        out.emit(head)
        out.depth += 1
        out.held = dict(entry)
        out.region(region, out.assign(results))
        out.depth -= 1
        for key, count in out.held.items():
            merged[key] = max(merged.get(key, 0), count) if count > entry.get(key, 0) else min(
                merged.get(key, count), count
            )  # fmt: skip
    out.held = merged


def _if(out: Emitter, op: Operation) -> None:
    branches = [(f"if {out.use(op.operands[0])}:", op.regions[0])]
    if len(op.regions) > 1 and op.regions[1].blocks:
        branches.append(("else:", op.regions[1]))
    _branches(out, op, branches)


def _index_switch(out: Emitter, op: Operation) -> None:
    cases = attribute(op, "cases")
    subject = out.use(op.operands[0])
    default, *regions = op.regions
    branches: list[tuple[str, Region]] = []
    for value, region in zip(cases.get_values(), regions, strict=True):
        branches.append((f"{'elif' if branches else 'if'} {subject} == {int(value)}:", region))
    branches.append(("else:" if branches else "if True:", default))
    _branches(out, op, branches)


_WRITERS = {
    "for": _for,
    "while": _while,
    "if": _if,
    "index_switch": _index_switch,
    "execute_region": _execute_region,
}
