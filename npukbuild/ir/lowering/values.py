"""Types and constants of a design's text as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, MemRefType

from npukbuild.errors import DesignError
from npukbuild.ir.design import ELEMENT_BYTES, Array
from npukbuild.ir.dialects.aie_types import ObjectFifoSubviewType, ObjectFifoType
from npukbuild.ir.dialects.base import location_of

if TYPE_CHECKING:
    from xdsl.ir import Attribute, Operation, SSAValue

    from npukbuild.ir.design import TileId
    from npukbuild.ir.lowering.state import State


def array_of(kind: Attribute | None) -> Array:
    """Return the :class:`Array` of a memref or fifo type.

    Raises:
        ValueError: The type has a dynamic shape or elements we do not know.
    """
    if isinstance(kind, ObjectFifoType | ObjectFifoSubviewType):
        kind = kind.element
    if not isinstance(kind, MemRefType):
        raise ValueError(f"{kind} is not a memref")  # noqa: TRY004 - a wrong design, not a wrong call
    shape = tuple(int(size) for size in kind.get_shape())
    if any(size < 0 for size in shape):
        raise ValueError(f"{kind} has a dynamic shape")
    return Array(element_of(kind.get_element_type()), shape)


def element_of(kind: Attribute) -> str:
    """Return the name of an element type.

    Raises:
        ValueError: We do not know it.
    """
    element = {"si8": "i8", "si16": "i16", "si32": "i32", "index": "i64"}.get(str(kind), str(kind))
    if element not in ELEMENT_BYTES:
        raise ValueError(f"elements of type {element} are not supported")
    return element


_MOST_INITIAL = 1 << 20
"""Bytes of an initial value: more than any memory of the array."""


def dense_bytes(value: Attribute | None, kind: Array) -> bytes | None:
    """Return the bytes of an initial value, little-endian as the array holds them."""
    if not isinstance(value, DenseIntOrFPElementsAttr):
        return None
    if kind.bytes > _MOST_INITIAL:
        return None
    raw = bytes(value.data.data)
    if len(raw) == kind.bytes:
        return raw
    return raw * (kind.bytes // len(raw)) if raw else None


def dense_words(value: Attribute | None) -> tuple[int, ...]:
    """Return the 32-bit words of a dense value."""
    if not isinstance(value, DenseIntOrFPElementsAttr):
        return ()
    return tuple(int(number) & 0xFFFFFFFF for number in value.get_values())


def tile_of(state: State, value: SSAValue, op: Operation) -> TileId:
    """Return the tile that an operand names."""
    tile = state.tiles.get(value)
    if tile is None:
        raise DesignError(f"{op.name} needs a tile", where=str(location_of(op)))
    return tile


def typed(kind: Attribute | None, op: Operation) -> Array:
    """Return the type of an operation's memory, or refuse it with the line."""
    try:
        return array_of(kind)
    except ValueError as error:
        raise DesignError(f"{op.name}: {error}", where=str(location_of(op))) from None
