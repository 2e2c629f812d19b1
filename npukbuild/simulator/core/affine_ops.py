"""Writers for ``affine`` operations: loops, loads and stores whose indices are affine maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.simulator.core.scf_ops import loop
from npukbuild.simulator.core.types import attribute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xdsl.ir import Operation

    from npukbuild.simulator.core.program import Emitter


def write(out: Emitter, op: Operation, name: str) -> bool:
    """Write one operation; False when it is none that we know."""
    writer = _WRITERS.get(name)
    if writer is None:
        return False
    writer(out, op)
    return True


def expression(expr: Any, dims: Sequence[str], symbols: Sequence[str]) -> str:
    """Return an affine expression as Python's, whose ``%`` and ``//`` are ``mod`` and ``floordiv``."""
    from xdsl.ir.affine import AffineBinaryOpExpr, AffineBinaryOpKind, AffineConstantExpr, AffineDimExpr

    if isinstance(expr, AffineConstantExpr):
        return str(expr.value)
    if isinstance(expr, AffineBinaryOpExpr):
        left, right = (expression(side, dims, symbols) for side in (expr.lhs, expr.rhs))
        if expr.kind is AffineBinaryOpKind.CeilDiv:
            return f"-(-({left}) // ({right}))"
        sign = {
            AffineBinaryOpKind.Add: "+",
            AffineBinaryOpKind.Mul: "*",
            AffineBinaryOpKind.Mod: "%",
            AffineBinaryOpKind.FloorDiv: "//",
        }[expr.kind]
        return f"(({left}) {sign} ({right}))"
    return dims[expr.position] if isinstance(expr, AffineDimExpr) else symbols[expr.position]


def mapped(out: Emitter, given: Any, operands: Sequence[str]) -> list[str]:
    """Return the results of a map applied to its dimensions and symbols; each costs its scalar operations."""
    found = given.data
    dims, symbols = operands[: found.num_dims], operands[found.num_dims :]
    texts = [expression(result, dims, symbols) for result in found.results]
    for text in texts:
        out.charge(out.context.scalar_cycles * sum(text.count(sign) for sign in ("+", "*", "%", "//")))
    return texts


def _for(out: Emitter, op: Operation) -> None:
    lows, highs, initial = _segments(op, 3)
    low = mapped(out, attribute(op, "lowerBoundMap"), [out.use(value) for value in lows])
    high = mapped(out, attribute(op, "upperBoundMap"), [out.use(value) for value in highs])
    step = str(attribute(op, "step").value.data)
    loop(out, op, _one("max", low), _one("min", high), step, [out.use(value) for value in initial])


def _segments(op: Operation, count: int) -> list[list[Any]]:
    sizes = [int(size) for size in attribute(op, "operandSegmentSizes").get_values()]
    found, start = [], 0
    for size in sizes[:count]:
        found.append(list(op.operands[start : start + size]))
        start += size
    return found


def _one(pick: str, texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{pick}({', '.join(texts)})"


def _apply(out: Emitter, op: Operation) -> None:
    operands = [out.use(value) for value in op.operands]
    out.define(op.results[0], mapped(out, attribute(op, "map"), operands)[0])


def _least(out: Emitter, op: Operation) -> None:
    operands = [out.use(value) for value in op.operands]
    out.define(op.results[0], _one("min", mapped(out, attribute(op, "map"), operands)))


def _load(out: Emitter, op: Operation) -> None:
    from npukbuild.simulator.core.memrefs import tuple_of

    ref, *indices = [out.use(value) for value in op.operands]
    places = mapped(out, attribute(op, "map"), indices)
    out.charge(out.context.load_cycles)
    out.define(op.results[0], f"{ref}.load({tuple_of(places)}, {out.place(op)})")


def _store(out: Emitter, op: Operation) -> None:
    from npukbuild.simulator.core.memrefs import tuple_of

    value, ref, *indices = [out.use(value) for value in op.operands]
    places = mapped(out, attribute(op, "map"), indices)
    out.charge(out.context.scalar_cycles)
    out.emit(f"{ref}.store({value}, {tuple_of(places)}, {out.place(op)})")


_WRITERS = {
    "for": _for,
    "apply": _apply,
    "min": _least,
    "load": _load,
    "store": _store,
}
