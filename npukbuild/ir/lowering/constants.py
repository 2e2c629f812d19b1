"""Values that are known while lowering: constants, and arithmetic on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import Operation

from npukbuild.ir.dialects.base import DesignOp, attribute_int

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xdsl.ir import Block, SSAValue


def constant(op: Operation | Block) -> int | None:
    """Return the integer of an ``arith.constant`` or ``index.constant``, None of anything else."""
    if isinstance(op, arith.ConstantOp):
        return int(op.value.value.data) if isinstance(op.value, IntegerAttr) else None
    if isinstance(op, DesignOp) and op.name == "index.constant":
        return attribute_int(op.attributes["value"])
    return None


def evaluate(value: SSAValue, known: Mapping[SSAValue, int]) -> int | None:
    """Return an integer that depends on constants and ``known`` values alone, else None."""
    if value in known:
        return known[value]
    owner = value.owner
    if not isinstance(owner, Operation):
        return None
    found = constant(owner)
    if found is not None:
        return found
    if owner.name in _CASTS:
        return evaluate(owner.operands[0], known)
    function = _BINARY.get(owner.name)
    if function is None:
        return None
    left, right = (evaluate(operand, known) for operand in owner.operands)
    if left is None or right is None:
        return None
    return function(left, right)


_CASTS = frozenset(
    ("arith.index_cast", "arith.extsi", "arith.extui", "arith.trunci", "index.casts", "index.castu")
)

_BINARY: dict[str, Callable[[int, int], int | None]] = {
    "arith.addi": lambda a, b: a + b,
    "arith.subi": lambda a, b: a - b,
    "arith.muli": lambda a, b: a * b,
    "arith.divui": lambda a, b: a // b if b else None,
    "arith.divsi": lambda a, b: int(a / b) if b else None,
    "arith.remui": lambda a, b: a % b if b else None,
    "arith.remsi": lambda a, b: a - b * int(a / b) if b else None,
    "index.add": lambda a, b: a + b,
    "index.sub": lambda a, b: a - b,
    "index.mul": lambda a, b: a * b,
    "index.divu": lambda a, b: a // b if b else None,
    "index.remu": lambda a, b: a % b if b else None,
}
