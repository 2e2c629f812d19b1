"""Writers for ``arith``, ``index`` and ``math`` operations."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from npukbuild.simulator.core import scalars
from npukbuild.simulator.core.types import attribute
from npukbuild.simulator.faults import fault

if TYPE_CHECKING:
    from xdsl.ir import Attribute, Operation

    from npukbuild.ir.design import Location, TileId
    from npukbuild.simulator.core.program import Emitter

_DIVISIONS = ("div", "rem", "floordiv", "ceildiv")
_INTEGER_CASTS = ("index_cast", "index_castui", "castu", "casts", "extsi", "extui", "trunci")


def write(out: Emitter, op: Operation, dialect: str, name: str) -> bool:
    """Write one scalar operation; False when it is none that we know."""
    if dialect not in ("arith", "index", "math"):
        return False
    if name in ("constant", "bool.constant"):
        return _constant(out, op)
    out.charge(out.context.scalar_cycles)
    operands = [out.use(value) for value in op.operands]
    kind = kind_of(op.results[0].type)
    source = kind_of(op.operands[0].type)
    if kind is None or source is None:
        return False
    expression = _expression(op, name, operands, source, kind)
    if expression is None:
        return False
    if name.startswith(_DIVISIONS) and kind[0] not in "bf" and not operands[1].isdecimal():
        _refuse_zero(out, op, operands[1])
    out.define(op.results[0], expression)
    return True


def _refuse_zero(out: Emitter, op: Operation, divisor: str) -> None:
    check = out.constant(partial(divided_by_zero, out.core.tile, out.loc(op)), "zero")
    out.emit(f"if not {divisor}: {check}()")


def divided_by_zero(tile: TileId, loc: Location | None) -> None:
    """Raise the fault of an integer division by zero."""
    raise fault(
        f"core {tile} divides an integer by zero",
        loc=loc,
        why="the result is undefined: the array has no trap, it goes on with any number",
        hint="check where the divisor comes from: a buffer nobody filled, or a run-time parameter not yet "
        "written",
    )


def _constant(out: Emitter, op: Operation) -> bool:
    value = attribute(op, "value")
    kind = kind_of(op.results[0].type)
    inner = getattr(value, "value", value)
    data = getattr(inner, "data", None)
    if kind is None or data is None:
        return False
    if kind[0] in "bf":
        number = float(data)
        text = (
            "_nan"
            if math.isnan(number)
            else f"{'-' if number < 0 else ''}_inf"
            if math.isinf(number)
            else repr(number)
        )
        out.names[op.results[0]] = text if text[0] != "-" else f"({text})"
    else:
        bits = scalars.bits_of(kind)
        number = int(data) & ((1 << bits) - 1)
        if bits > 1 and number >> (bits - 1):
            number -= 1 << bits
        out.names[op.results[0]] = str(number) if number >= 0 else f"({number})"
    return True


def _expression(op: Operation, name: str, operands: list[str], source: str, kind: str) -> str | None:
    if name in ("cmpi", "cmp"):
        return scalars.compare_integers(_predicate(op), operands[0], operands[1], scalars.bits_of(source))
    if name == "cmpf":
        return scalars.compare_floats(_predicate(op), operands[0], operands[1])
    if name == "select":
        return f"{operands[1]} if {operands[0]} else {operands[2]}"
    if name in _INTEGER_CASTS:
        return _integer_cast(name, operands[0], source, kind)
    if name in ("sitofp", "uitofp"):
        value = operands[0] if name == "sitofp" else scalars.unsigned(operands[0], scalars.bits_of(source))
        return scalars.round_to(f"float({value})", kind)
    if name in ("fptosi", "fptoui"):
        return f"_to_integer({operands[0]}, {scalars.bits_of(kind)}, {name == 'fptosi'})"
    if name in ("extf", "truncf"):
        return scalars.round_to(operands[0], kind)
    if name == "bitcast":
        return f"_bitcast({operands[0]}, {source!r}, {kind!r})"
    if name == "fma":
        return scalars.round_to(f"{operands[0]} * {operands[1]} + {operands[2]}", kind)
    if kind[0] in "bf":
        return scalars.float_operation(name, operands, kind)
    if len(operands) == 2:
        return scalars.integer_binary(name, operands[0], operands[1], scalars.bits_of(kind))
    return None


def _integer_cast(name: str, value: str, source: str, kind: str) -> str:
    if name in ("extui", "index_castui", "castu"):
        value = scalars.unsigned(value, scalars.bits_of(source))
    elif source == "i1" and name in ("extsi", "casts", "index_cast"):
        value = f"-{value}"
    return scalars.wrap(value, scalars.bits_of(kind))


def _predicate(op: Operation) -> int | str:
    from npukbuild.ir.dialects.base import attribute_int, attribute_text

    for name in ("predicate", "pred"):
        value = attribute(op, name)
        if value is not None:
            number = attribute_int(value)
            if number is not None:
                return number
            text = attribute_text(value)
            if text is not None:
                return text
            data = getattr(value, "data", None)
            return str(getattr(data, "value", data))
    raise AssertionError(op.name)


def kind_of(kind: Attribute) -> str | None:
    """Return ``i32``, ``index``, ``bf16``, ... for a scalar type, None for others."""
    text = str(kind)
    if text in ("index", "bf16", "f16", "f32", "f64"):
        return text
    digits = text.lstrip("usi")
    return text if digits.isdigit() and text[0] in "usi" else None
