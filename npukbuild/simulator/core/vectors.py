"""Writers for operations on vectors: ``vector``, and ``arith`` and ``math`` element by element.

A vector is a numpy array of its element type. Arithmetic on bfloat16 and float16 rounds every result to
nearest even, as the dialects say; integers wrap.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

from npukbuild.simulator.core.types import attribute

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdsl.ir import Attribute, Operation

    from npukbuild.simulator.core.program import Emitter

_REGISTER_BYTES = 64


def is_vector(kind: Attribute) -> bool:
    """Whether a type is a vector."""
    return kind.name == "vector"


def write(out: Emitter, op: Operation, dialect: str, name: str) -> bool:
    """Write one operation on vectors; False when it is none, or none that we know."""
    kinds = [value.type for value in (*op.results, *op.operands)]
    if dialect not in ("vector", "arith", "math") or not any(is_vector(kind) for kind in kinds):
        return False
    if name == "arith":
        name = attribute(op, "of").data.removeprefix("arith.")
    from npukbuild.simulator.core import vector_math

    maker: Any = _MAKERS.get(name) if dialect == "vector" else None
    try:
        function = maker(op) if maker is not None else vector_math.elementwise(op, name)
        if function is None:
            return False
        fits = _reaches(op, name) if name in _ACCESSES else vector_math.fits(op, function)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise out.unsupported(op, "its types or attributes do not fit each other")
    out.charge(_cycles(out, op, name))
    operands = [out.use(value) for value in op.operands]
    if dialect == "vector" and name in _ACCESSES:
        operands.append(out.place(op))
    call = f"{out.constant(function, 'vec')}({', '.join(operands)})"
    if op.results:
        out.define(op.results[0], call)
    else:
        out.emit(call)
    return True


def _reaches(op: Operation, name: str) -> bool:
    """Whether an access has an index per dimension of its memory and vectors of its elements."""
    writes = name in ("store", "transfer_write")
    vector: Any = op.operands[0].type if writes else op.results[0].type
    memory: Any = op.operands[1 if writes else 0].type
    rank, lanes = len(memory.get_shape()), len(vector.get_shape())
    others = len(op.operands) - (2 if writes else 1) - (name == "transfer_read")
    dims = (
        [dim for dim in _dims(op) or () if dim is not None] if name.startswith("transfer") else range(lanes)
    )
    return (
        others == rank
        and lanes <= rank + (name == "transfer_read") * lanes
        and all(dim < rank for dim in dims)
        and vector.element_type == memory.element_type
        and (not name.startswith("transfer") or len(_dims(op) or ()) == lanes)
    )


def _cycles(out: Emitter, op: Operation, name: str) -> float:
    """A bundle per 512-bit register, a load's latency, a contraction's products at the core's rate."""
    from npukbuild.simulator.core.blocks import DTYPES

    kinds = [value.type for value in (*op.results, *op.operands) if is_vector(value.type)]
    registers: int = max(
        -(-prod(kind.get_shape()) * DTYPES[str(kind.element_type)].itemsize // _REGISTER_BYTES)
        for kind in kinds
    )
    if name == "contract":
        return float(registers) + products(op) / out.context.products_per_cycle(str(kinds[1].element_type))
    cycles = registers * float(out.context.scalar_cycles)
    return cycles + (float(out.context.load_cycles) if name in ("load", "transfer_read") else 0.0)


def products(op: Operation) -> int:
    """Return the multiply-accumulates of a contraction."""
    extents: dict[int, int] = {}
    for given, value in zip(attribute(op, "indexing_maps").data, op.operands, strict=True):
        kind: Any = value.type
        shape = kind.get_shape() if is_vector(kind) else ()
        for expr, size in zip(given.data.results, shape, strict=True):
            extents[expr.position] = size
    return prod(extents.values())


def _shape(op: Operation) -> tuple[int, ...]:
    kind: Any = op.results[0].type
    return tuple(kind.get_shape())


def _load(op: Operation) -> Callable[..., Any]:
    from npukbuild.simulator.core import vector_memory

    return partial(vector_memory.load, _shape(op))


def _store(_op: Operation) -> Callable[..., Any]:
    from npukbuild.simulator.core import vector_memory

    return vector_memory.store


def _dims(op: Operation) -> tuple[int | None, ...] | None:
    """The memory's dimension behind each of the vector's, None where it is repeated."""
    from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr

    found: list[int | None] = []
    for expr in attribute(op, "permutation_map").data.results:
        if isinstance(expr, AffineDimExpr):
            found.append(expr.position)
        elif isinstance(expr, AffineConstantExpr) and expr.value == 0:
            found.append(None)
        else:
            return None
    return tuple(found)


def _transfer_read(op: Operation) -> Callable[..., Any] | None:
    from npukbuild.simulator.core import vector_memory

    source: Any = op.operands[0].type
    rank, dims = len(source.get_shape()), _dims(op)
    if dims is None or len(op.operands) != rank + 2:  # a mask
        return None
    return partial(vector_memory.transfer_read, _shape(op), dims)


def _transfer_write(op: Operation) -> Callable[..., Any] | None:
    from npukbuild.simulator.core import vector_memory

    target: Any = op.operands[1].type
    rank, dims = len(target.get_shape()), _dims(op)
    if dims is None or None in dims or len(op.operands) != rank + 2:
        return None
    return partial(vector_memory.transfer_write, dims)


def _plain(name: str) -> Callable[[Operation], Any]:
    def make(op: Operation) -> Any:
        from npukbuild.simulator.core import vector_math

        return getattr(vector_math, name)(op)

    return make


_ACCESSES = ("load", "store", "transfer_read", "transfer_write")

_MAKERS: dict[str, Any] = {
    "load": _load,
    "store": _store,
    "transfer_read": _transfer_read,
    "transfer_write": _transfer_write,
    **{
        name: _plain(name)
        for name in (
            "bitcast", "broadcast", "contract", "extract", "fma", "insert", "reduction", "shape_cast",
            "shuffle", "transpose",
        )
    },
}  # fmt: skip
