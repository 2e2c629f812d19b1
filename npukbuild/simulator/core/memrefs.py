"""Writers for ``memref`` operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.simulator.core.types import attribute

if TYPE_CHECKING:
    from xdsl.ir import Attribute, Operation

    from npukbuild.simulator.core.program import Emitter

_DYNAMIC = -(1 << 63)


def write(out: Emitter, op: Operation, dialect: str, name: str) -> bool:
    """Write one memory operation; False when it is none that we know."""
    if dialect != "memref":
        return False
    writer = _WRITERS.get(name)
    if writer is None:
        return False
    writer(out, op)
    return True


def _load(out: Emitter, op: Operation) -> None:
    ref, *indices = [out.use(value) for value in op.operands]
    out.charge(out.context.load_cycles)
    out.define(op.results[0], f"{ref}.load({tuple_of(indices)}, {out.place(op)})")


def _store(out: Emitter, op: Operation) -> None:
    value, ref, *indices = [out.use(value) for value in op.operands]
    out.charge(out.context.scalar_cycles)
    out.emit(f"{ref}.store({value}, {tuple_of(indices)}, {out.place(op)})")


def _copy(out: Emitter, op: Operation) -> None:
    source, target = (out.use(value) for value in op.operands)
    words = -(-array_bytes(op.operands[0].type) // 4)
    out.charge(words * (out.context.load_cycles + out.context.scalar_cycles))
    out.emit(f"{target}.fill_from({source}, {out.place(op)})")


def _subview(out: Emitter, op: Operation) -> None:
    source, *dynamic = [out.use(value) for value in op.operands]
    offsets, sizes, strides = (
        _mixed(op, f"static_{part}", dynamic) for part in ("offsets", "sizes", "strides")
    )
    rank = len(shape_of(op.results[0].type))
    drop: list[int] = []
    statics = _values(op, "static_sizes")
    for place, size in enumerate(statics):
        if len(statics) - len(drop) > rank and size == 1:
            drop.append(place)
    out.define(
        op.results[0],
        f"{source}.window({tuple_of(offsets)}, {tuple_of(sizes)}, {tuple_of(strides)}, {tuple(drop)}, "
        f"{out.place(op)})",
    )


def _reinterpret(out: Emitter, op: Operation) -> None:
    source, *dynamic = [out.use(value) for value in op.operands]
    offsets, sizes, strides = (
        _mixed(op, f"static_{part}", dynamic) for part in ("offsets", "sizes", "strides")
    )
    out.define(
        op.results[0],
        f"{source}.recast({source}.element, {tuple_of(sizes)}, {tuple_of(strides)}, {offsets[0]}, "
        f"{out.place(op)})",
    )


def _same(out: Emitter, op: Operation) -> None:
    out.names[op.results[0]] = out.use(op.operands[0])


def _reshape(out: Emitter, op: Operation) -> None:
    from npukbuild.simulator.core.refs import row_major

    source = out.use(op.operands[0])
    shape = shape_of(op.results[0].type)
    out.define(
        op.results[0],
        f"{source}.recast({source}.element, {shape}, {row_major(shape)}, {source}.offset, {out.place(op)})",
    )


def _view(out: Emitter, op: Operation) -> None:
    from npukbuild.simulator.core.refs import row_major
    from npukbuild.simulator.core.types import array_of

    source, shift, *_ = [out.use(value) for value in op.operands]
    array = array_of(op.results[0].type)
    width = array.bytes // max(1, array.elements)
    out.define(
        op.results[0],
        f"{source}.recast({array.element!r}, {array.shape}, {row_major(array.shape)}, "
        f"({source}.offset + {shift}) // {width}, {out.place(op)})",
    )


def _dim(out: Emitter, op: Operation) -> None:
    source, place = (out.use(value) for value in op.operands)
    out.define(op.results[0], f"{source}.shape[{place}]")


def _alloc(out: Emitter, op: Operation) -> None:
    out.names[op.results[0]] = out.context.scratch(out, op.results[0].type)


def _get_global(out: Emitter, op: Operation) -> None:
    from npukbuild.ir.dialects.base import attribute_text

    name = attribute_text(attribute(op, "name")) or ""
    out.names[op.results[0]] = out.context.global_memory(out, op, name)


def _nothing(out: Emitter, op: Operation) -> None:
    for result in op.results:
        out.names[result] = out.use(op.operands[0])


_WRITERS = {
    "load": _load,
    "store": _store,
    "copy": _copy,
    "subview": _subview,
    "reinterpret_cast": _reinterpret,
    "cast": _same,
    "memory_space_cast": _same,
    "collapse_shape": _reshape,
    "expand_shape": _reshape,
    "view": _view,
    "dim": _dim,
    "alloca": _alloc,
    "alloc": _alloc,
    "dealloc": _nothing,
    "assume_alignment": _nothing,
    "get_global": _get_global,
}


def shape_of(kind: Attribute) -> tuple[int, ...]:
    """Return the static shape of a memref type."""
    shape: Any = kind.get_shape()  # type: ignore[attr-defined]
    return tuple(int(size) for size in shape)


def array_bytes(kind: Attribute) -> int:
    """Return the bytes of a memref type's elements."""
    from npukbuild.simulator.core.types import array_of

    return array_of(kind).bytes


def _values(op: Operation, name: str) -> tuple[int, ...]:
    values: Any = attribute(op, name)
    return tuple(int(value) for value in values.get_values()) if values is not None else ()


def _mixed(op: Operation, name: str, dynamic: list[str]) -> list[str]:
    """Merge static numbers and SSA names; consumes the names from the front of ``dynamic``."""
    return [dynamic.pop(0) if value == _DYNAMIC else str(value) for value in _values(op, name)]


def tuple_of(parts: list[str]) -> str:
    """Return a tuple in Python's spelling."""
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
