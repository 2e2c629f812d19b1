"""Scalar operations of ``arith``, ``index`` and ``math`` as Python expressions.

Integers are Python ints in signed form (``i1`` is 0 or 1); floats are Python floats that hold a value of
their type exactly, so every result is rounded to its type (to nearest, ties to even, as ``arith`` says).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

INDEX_BITS = 64
"""``index`` becomes a 64-bit integer in a core's code (MLIR's default, which mlir-aie keeps).

Loops to 0xFFFFFFFF and to the largest 64-bit number, which designs write for "forever", depend on it.
"""

_CMPI = ("==", "!=", "<", "<=", ">", ">=", "<", "<=", ">", ">=")
_UNSIGNED_FROM = 6
_CMPI_NAMES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
_CMPF_NAMES = ("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule",
               "une", "uno", "true")  # fmt: skip
_CMPF = {"eq": "==", "gt": ">", "ge": ">=", "lt": "<", "le": "<=", "ne": "!="}

_WRAPPED = {"addi": "+", "subi": "-", "muli": "*", "add": "+", "sub": "-", "mul": "*"}
_PLAIN = {"andi": "&", "ori": "|", "xori": "^", "and": "&", "or": "|", "xor": "^"}
_SIGNED = {
    "divsi": "_div",
    "divs": "_div",
    "remsi": "_rem",
    "rems": "_rem",
    "floordivsi": "_floordiv",
    "floordivs": "_floordiv",
    "ceildivsi": "_ceildiv",
    "ceildivs": "_ceildiv",
    "minsi": "min",
    "mins": "min",
    "maxsi": "max",
    "maxs": "max",
}
_UNSIGNED = {
    "divui": "_floordiv",
    "divu": "_floordiv",
    "remui": "_rem",
    "remu": "_rem",
    "ceildivui": "_ceildiv",
    "ceildivu": "_ceildiv",
    "minui": "min",
    "minu": "min",
    "maxui": "max",
    "maxu": "max",
}
_FLOAT = {
    "addf": "{} + {}",
    "subf": "{} - {}",
    "mulf": "{} * {}",
    "divf": "_divf({}, {})",
    "remf": "_fmod({}, {})",
    "maximumf": "_maximum({}, {})",
    "minimumf": "_minimum({}, {})",
    "maxnumf": "_maxnum({}, {})",
    "minnumf": "_minnum({}, {})",
    "powf": "_powf({}, {})",
    "copysign": "_copysign({}, {})",
}
_FLOAT_ONE = {
    "negf": "-{}",
    "absf": "abs({})",
    "exp": "_exp({})",
    "exp2": "_exp2({})",
    "log": "_log({})",
    "log2": "_log2({})",
    "sqrt": "_sqrt({})",
    "rsqrt": "_divf(1.0, _sqrt({}))",
    "tanh": "_tanh({})",
    "sin": "_sin({})",
    "cos": "_cos({})",
    "floor": "_floor({})",
    "ceil": "_ceil({})",
    "erf": "_erf({})",
}


def wrap(expression: str, bits: int) -> str:
    """Return ``expression`` reduced to a signed value of ``bits`` bits."""
    if bits == 1:
        return f"({expression}) & 1"
    half, mask = 1 << (bits - 1), (1 << bits) - 1
    return f"((({expression}) + {half:#x}) & {mask:#x}) - {half:#x}"


def unsigned(expression: str, bits: int) -> str:
    """Return ``expression`` as an unsigned value."""
    return f"({expression} & {(1 << bits) - 1:#x})"


def integer_binary(name: str, a: str, b: str, bits: int) -> str | None:
    """Return the expression of an integer operation, None when ``name`` is none."""
    if name in _WRAPPED:
        return wrap(f"{a} {_WRAPPED[name]} {b}", bits)
    if name in _PLAIN:
        return f"{a} {_PLAIN[name]} {b}"
    if name in _SIGNED:
        return wrap(f"{_SIGNED[name]}({a}, {b})", bits)
    if name in _UNSIGNED:
        return wrap(f"{_UNSIGNED[name]}({unsigned(a, bits)}, {unsigned(b, bits)})", bits)
    shift = unsigned(b, bits)
    if name in ("shli", "shl"):
        return wrap(f"{a} << min({shift}, {bits})", bits)
    if name in ("shrsi", "shrs"):
        return f"{a} >> min({shift}, {bits})"
    if name in ("shrui", "shru"):
        return wrap(f"{unsigned(a, bits)} >> min({shift}, {bits})", bits)
    return None


def float_operation(name: str, operands: list[str], kind: str) -> str | None:
    """Return the rounded expression of a float operation, None when ``name`` is none."""
    form = _FLOAT.get(name) if len(operands) == 2 else _FLOAT_ONE.get(name)
    return round_to(form.format(*operands), kind) if form is not None else None


def round_to(expression: str, kind: str) -> str:
    """Return ``expression`` rounded to the float type ``kind``."""
    return expression if kind == "f64" else f"_{kind}({expression})"


def compare_integers(predicate: int | str, a: str, b: str, bits: int) -> str:
    """Return the expression of ``arith.cmpi``."""
    number = _CMPI_NAMES.index(predicate) if isinstance(predicate, str) else predicate
    if number >= _UNSIGNED_FROM:
        a, b = unsigned(a, bits), unsigned(b, bits)
    return f"int({a} {_CMPI[number]} {b})"


def compare_floats(predicate: int | str, a: str, b: str) -> str:
    """Return the expression of ``arith.cmpf``."""
    name = predicate if isinstance(predicate, str) else _CMPF_NAMES[predicate]
    if name in ("false", "true"):
        return str(int(name == "true"))
    nan = f"({a} != {a} or {b} != {b})"
    if name in ("ord", "uno"):
        return f"int({nan})" if name == "uno" else f"int(not {nan})"
    test = f"{a} {_CMPF[name[1:]]} {b}"
    return f"int({nan} or {test})" if name[0] == "u" else f"int(not {nan} and {test})"


def bits_of(kind: str) -> int:
    """Return the width of an integer type (``index``: :data:`INDEX_BITS`)."""
    return INDEX_BITS if kind == "index" else int(kind.lstrip("usi"))


def float32(value: float) -> float:
    """Round to float32."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def bf16_bits(value: float) -> int:
    """Return the bits of ``value`` rounded to bfloat16."""
    if value != value:
        return 0x7FC0
    bits: int = struct.unpack("<I", struct.pack("<f", float32(value)))[0]
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 & 0xFFFF


def bf16_value(bits: int) -> float:
    """Return the value of bfloat16 bits."""
    return float(struct.unpack("<f", struct.pack("<I", bits << 16))[0])


def bf16(value: float) -> float:
    """Round to bfloat16."""
    return bf16_value(bf16_bits(value))


def float16(value: float) -> float:
    """Round to float16."""
    try:
        return float(struct.unpack("<e", struct.pack("<e", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def to_integer(value: float, bits: int, signed: bool) -> int:
    """Return ``arith.fptosi``/``fptoui``: towards zero, saturating where MLIR leaves it open."""
    if value != value:
        return 0
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    number = low if value < low else high if value > high else int(value)
    return number if signed or number < 1 << (bits - 1) else number - (1 << bits)


def bitcast(value: Any, source: str, target: str) -> Any:
    """Return ``arith.bitcast`` between types of one width."""
    forms = {"f32": "<f", "f16": "<e", "i32": "<i", "i16": "<h"}
    raw = struct.pack("<H", bf16_bits(value)) if source == "bf16" else struct.pack(forms[source], value)
    if target == "bf16":
        return bf16_value(struct.unpack("<H", raw)[0])
    return struct.unpack(forms[target], raw)[0]


def _quotient(a: int, b: int) -> int:
    result = abs(a) // abs(b)
    return result if (a < 0) == (b < 0) else -result


def _remainder(a: int, b: int) -> int:
    return a - b * _quotient(a, b)


def _ceiling(a: int, b: int) -> int:
    return -(-a // b)


def _divide(a: float, b: float) -> float:
    if b:
        return a / b
    return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)


def _guarded(function: Callable[..., float], limit: float) -> Callable[..., float]:
    def call(*values: float) -> float:
        try:
            return function(*values)
        except OverflowError:
            return limit
        except ValueError:
            return math.nan

    return call


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(function(value)) if math.isfinite(value) else value


def _extreme(pick: Callable[[float, float], float], *, propagate: bool) -> Callable[[float, float], float]:
    def call(a: float, b: float) -> float:
        if a != a or b != b:
            return math.nan if propagate else (b if a != a else a)
        return pick(a, b)

    return call


HELPERS: dict[str, Any] = {
    "_div": _quotient, "_rem": _remainder, "_ceildiv": _ceiling, "_floordiv": lambda a, b: a // b,
    "_divf": _divide, "_fmod": _guarded(math.fmod, math.nan), "_f32": float32, "_bf16": bf16, "_f16": float16,
    "_maximum": _extreme(max, propagate=True), "_minimum": _extreme(min, propagate=True),
    "_maxnum": _extreme(max, propagate=False), "_minnum": _extreme(min, propagate=False),
    "_powf": _guarded(math.pow, math.inf), "_copysign": math.copysign, "_exp": _guarded(math.exp, math.inf),
    "_exp2": _guarded(math.exp2, math.inf), "_log": _guarded(math.log, math.inf),
    "_log2": _guarded(math.log2, math.inf), "_sqrt": _guarded(math.sqrt, math.inf), "_tanh": math.tanh,
    "_sin": _guarded(math.sin, math.inf), "_cos": _guarded(math.cos, math.inf), "_floor": _whole(math.floor),
    "_ceil": _whole(math.ceil), "_erf": math.erf, "_to_integer": to_integer, "_bitcast": bitcast,
    "_inf": math.inf, "_nan": math.nan, "_bf16_bits": bf16_bits, "_bf16_value": bf16_value,
}  # fmt: skip
