"""What operations on vectors compute: each function takes an operation and returns what it does to arrays."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, VectorType

from npukbuild.simulator.core import scalars
from npukbuild.simulator.core.blocks import DTYPES
from npukbuild.simulator.core.types import attribute

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdsl.ir import Operation

_QUIET: Any = {"all": "ignore"}


def _type(op: Operation) -> tuple[Any, tuple[int, ...]]:
    kind: Any = op.results[0].type
    if isinstance(kind, VectorType):
        return DTYPES.get(str(kind.element_type)), tuple(kind.get_shape())
    return DTYPES.get(str(kind)), ()


def fits(op: Operation, function: Callable[..., Any]) -> bool:
    """Whether a function takes the types of an operation's operands and gives its result's, tried on ones."""
    values: list[Any] = []
    for value in op.operands:
        kind: Any = value.type
        if isinstance(kind, VectorType):
            values.append(np.ones(kind.get_shape(), DTYPES[str(kind.element_type)]))
        else:
            values.append(0 if str(kind) == "index" else 1)
    found = function(*values)
    dtype, shape = _type(op)
    if not shape:
        return not isinstance(found, np.ndarray) or found.shape == ()
    return (
        isinstance(found, np.ndarray)
        and found.shape == shape
        and (found.dtype == dtype or found.dtype.kind == "u")
    )


def _scalar(value: Any) -> Any:
    """A single element as core programs hold it."""
    if value.dtype.kind == "b":
        return int(value)
    return int(value) if value.dtype.kind in "iu" else float(value)


# Element by element ------------------------------------------------------------------------------------


def elementwise(op: Operation, name: str) -> Callable[..., Any] | None:
    """Return an operation of ``arith`` or ``math`` on whole vectors, None when we do not know it."""
    dtype, shape = _type(op)
    if dtype is None:
        return None
    if name == "constant":
        return _constant(op, dtype, shape)
    if name in ("cmpi", "cmpf"):
        return partial(_compare, attribute(op, "predicate").data, name == "cmpf")
    if name == "select":
        return lambda c, a, b: np.where(c, a, b) if isinstance(c, np.ndarray) else (a if c else b)
    if name in _CASTS:
        return partial(_CASTS[name], dtype)
    integers = _INTEGER.get(name)
    if integers is not None and dtype.kind in "ib":
        return partial(_quiet, integers, dtype)
    floats = _FLOAT.get(name)
    if floats is not None:
        return partial(_quiet, floats, dtype)
    wide = _WIDE.get(name)
    return partial(_in_double, wide, dtype) if wide is not None else None


def _constant(op: Operation, dtype: Any, shape: tuple[int, ...]) -> Callable[..., Any] | None:
    value = attribute(op, "value")
    if not isinstance(value, DenseIntOrFPElementsAttr):
        return None
    numbers = list(value.get_values())
    found = np.array(numbers * (math.prod(shape) if len(numbers) == 1 else 1)).astype(dtype).reshape(shape)
    return lambda: found


def _quiet(function: Callable[..., Any], dtype: Any, *values: Any) -> Any:
    with np.errstate(**_QUIET):
        return np.asarray(function(*values)).astype(dtype, copy=False)


def _in_double(function: Callable[..., Any], dtype: Any, *values: Any) -> Any:
    with np.errstate(**_QUIET):
        return np.asarray(function(*(np.asarray(value).astype(np.float64) for value in values))).astype(dtype)


def _unsigned(value: Any) -> Any:
    return value.view(value.dtype.str.replace("i", "u")) if value.dtype.kind == "i" else value


def _divide(a: Any, b: Any) -> Any:
    if not np.all(b):
        raise ZeroDivisionError
    quotient = a // b
    return quotient + ((a % b != 0) & ((a < 0) != (b < 0)))


def _remainder(a: Any, b: Any) -> Any:
    return a - b * _divide(a, b)


def _floor(a: Any, b: Any) -> Any:
    if not np.all(b):
        raise ZeroDivisionError
    return a // b


def _shifted(shift: Callable[..., Any], a: Any, b: Any) -> Any:
    bits = a.dtype.itemsize * 8
    amount = _unsigned(b)
    over = shift(a, bits - 1) if a.dtype.kind == "i" and shift is np.right_shift else np.zeros_like(a)
    return np.where(amount >= bits, over, shift(a, np.minimum(amount, bits - 1).astype(a.dtype)))


_INTEGER: dict[str, Callable[..., Any]] = {
    "addi": np.add,
    "subi": np.subtract,
    "muli": np.multiply,
    "andi": np.bitwise_and,
    "ori": np.bitwise_or,
    "xori": np.bitwise_xor,
    "minsi": np.minimum,
    "maxsi": np.maximum,
    "minui": lambda a, b: np.minimum(_unsigned(a), _unsigned(b)),
    "maxui": lambda a, b: np.maximum(_unsigned(a), _unsigned(b)),
    "divsi": _divide,
    "remsi": _remainder,
    "floordivsi": _floor,
    "divui": lambda a, b: _floor(_unsigned(a), _unsigned(b)),
    "remui": lambda a, b: _unsigned(a) - _unsigned(b) * _floor(_unsigned(a), _unsigned(b)),
    "shli": partial(_shifted, np.left_shift),
    "shrsi": partial(_shifted, np.right_shift),
    "shrui": lambda a, b: _shifted(np.right_shift, _unsigned(a), b),
}


def _number(pick: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, b: np.where(a != a, b, np.where(b != b, a, pick(a, b)))


_FLOAT: dict[str, Callable[..., Any]] = {
    "addf": np.add,
    "subf": np.subtract,
    "mulf": np.multiply,
    "divf": np.divide,
    "negf": np.negative,
    "absf": np.abs,
    "maximumf": np.maximum,
    "minimumf": np.minimum,
    "maxnumf": _number(np.maximum),
    "minnumf": _number(np.minimum),
}

_WIDE: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "log": np.log,
    "log2": np.log2,
    "sqrt": np.sqrt,
    "rsqrt": lambda a: 1.0 / np.sqrt(a),
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "floor": np.floor,
    "ceil": np.ceil,
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "powf": np.power,
    "fma": lambda a, b, c: a * b + c,
}
"""Computed in double precision and rounded once."""


def _to_integer(dtype: Any, value: Any, *, signed: bool) -> Any:
    bits = dtype.itemsize * 8
    each = [scalars.to_integer(float(one), bits, signed) for one in value.reshape(-1)]
    return np.array(each, np.int64).astype(dtype).reshape(value.shape)


_CASTS: dict[str, Callable[..., Any]] = {
    "extf": lambda dtype, a: a.astype(dtype),
    "truncf": lambda dtype, a: _quiet(lambda v: v, dtype, a),
    "extsi": lambda dtype, a: -a.astype(dtype) if a.dtype.kind == "b" else a.astype(dtype),
    "extui": lambda dtype, a: _unsigned(a).astype(dtype),
    "trunci": lambda dtype, a: (a & 1).astype(dtype) if dtype.kind == "b" else a.astype(dtype),
    "sitofp": lambda dtype, a: a.astype(np.float64).astype(dtype),
    "uitofp": lambda dtype, a: _unsigned(a).astype(np.float64).astype(dtype),
    "fptosi": partial(_to_integer, signed=True),
    "fptoui": partial(_to_integer, signed=False),
    "bitcast": lambda dtype, a: a.view(dtype),
}


def _compare(predicate: str, floats: bool, a: Any, b: Any) -> Any:
    if floats:
        if predicate in ("false", "true"):
            return np.full(a.shape, predicate == "true")
        unordered = (a != a) | (b != b)
        if predicate in ("ord", "uno"):
            return unordered if predicate == "uno" else ~unordered
        test = _TESTS[predicate[1:]](a, b)
        return test | unordered if predicate[0] == "u" else test & ~unordered
    if predicate[0] == "u":
        a, b = _unsigned(a), _unsigned(b)
    return _TESTS[predicate[-2:]](a, b)


_TESTS: dict[str, Callable[..., Any]] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}  # fmt: skip


# Shapes and sums ---------------------------------------------------------------------------------------


def broadcast(op: Operation) -> Callable[..., Any] | None:
    """``vector.broadcast``."""
    dtype, shape = _type(op)
    return lambda value: np.broadcast_to(np.asarray(value, dtype), shape).copy()


def shape_cast(op: Operation) -> Callable[..., Any] | None:
    """``vector.shape_cast``."""
    _, shape = _type(op)
    return lambda value: value.reshape(shape)


def transpose(op: Operation) -> Callable[..., Any] | None:
    """``vector.transpose``."""
    order = [int(place) for place in attribute(op, "permutation").get_values()]
    return lambda value: np.ascontiguousarray(value.transpose(order))


def bitcast(op: Operation) -> Callable[..., Any] | None:
    """``vector.bitcast``."""
    dtype, _ = _type(op)
    return lambda value: np.ascontiguousarray(value).view(dtype)


def fma(op: Operation) -> Callable[..., Any] | None:
    """``vector.fma``: one rounding."""
    dtype, _ = _type(op)
    return partial(_in_double, lambda a, b, c: a * b + c, dtype)


def shuffle(op: Operation) -> Callable[..., Any] | None:
    """``vector.shuffle``."""
    places = [int(place) for place in attribute(op, "mask").get_values()]
    return lambda a, b: np.concatenate([a, b])[places] if min(places) >= 0 else None


def _static(op: Operation) -> tuple[int, ...] | None:
    found = tuple(int(place) for place in attribute(op, "static_position").get_values())
    return found if all(place >= 0 for place in found) else None


def extract(op: Operation) -> Callable[..., Any] | None:
    """``vector.extract`` at a constant or computed position."""
    kind: Any = op.results[0].type
    place, whole = _static(op), isinstance(kind, VectorType)
    if place is None and len(op.operands) == 1:
        return None
    if place is None:
        return lambda value, *at: value[at].copy() if whole else _scalar(value[at])
    return lambda value: value[place].copy() if whole else _scalar(value[place])


def insert(op: Operation) -> Callable[..., Any] | None:
    """``vector.insert`` at a constant or computed position."""
    place = _static(op)

    def put(value: Any, target: Any, *at: int) -> Any:
        found = target.copy()
        found[place if place is not None else at] = value
        return found

    return put


def reduction(op: Operation) -> Callable[..., Any] | None:
    """``vector.reduction``: floats one after the other from the first element, in their type."""
    kind = attribute(op, "kind")
    name = str(getattr(getattr(kind, "data", None), "value", getattr(kind, "data", kind))).lower()
    dtype, _ = _type(op)
    step = _COMBINED.get(name)
    if step is None:
        return None

    def fold(value: Any, start: Any = None) -> Any:
        found = None if start is None else np.asarray(start, dtype)[()]
        with np.errstate(**_QUIET):
            for one in value.reshape(-1):
                found = (
                    one
                    if found is None
                    else np.asarray(step(np.asarray(found), np.asarray(one))).astype(dtype)[()]
                )
        return _scalar(np.asarray(found))

    return fold


_COMBINED: dict[str, Callable[..., Any]] = {
    "add": np.add, "mul": np.multiply, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "minsi": np.minimum, "maxsi": np.maximum, "minui": _INTEGER["minui"], "maxui": _INTEGER["maxui"],
    "minimumf": np.minimum, "maximumf": np.maximum, "minnumf": _FLOAT["minnumf"],
    "maxnumf": _FLOAT["maxnumf"],
}  # fmt: skip


def contract(op: Operation) -> Callable[..., Any] | None:
    """``vector.contract``: products summed in the accumulator's type, floats in single precision at least."""
    dtype, _ = _type(op)
    kind = attribute(op, "kind")
    if kind is not None and "add" not in str(kind):
        return None
    maps = [given.data for given in attribute(op, "indexing_maps").data]
    kinds: list[Any] = [value.type for value in op.operands]
    ranks = [len(kind.get_shape()) if isinstance(kind, VectorType) else 0 for kind in kinds]
    if [len(given.results) for given in maps] != ranks:
        return None
    letters = ["".join(chr(97 + expr.position) for expr in given.results) for given in maps]
    formula = f"{letters[0]},{letters[1]}->{letters[2]}"
    wide = np.int64 if dtype.kind == "i" else np.float32 if dtype.itemsize <= 4 else np.float64

    def multiply(a: Any, b: Any, c: Any) -> Any:
        with np.errstate(**_QUIET):
            product = np.einsum(formula, a.astype(wide), b.astype(wide))
            found = (np.asarray(c).astype(wide) + product).astype(dtype)
        return found if found.shape else _scalar(found)

    return multiply
