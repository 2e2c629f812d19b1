"""xDSL types as the lowered design's types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.ir.design import Array

if TYPE_CHECKING:
    from xdsl.ir import Attribute, Operation


def array_of(kind: Attribute) -> Array:
    """Return the array that a ``memref`` type says."""
    shape: Any = kind.get_shape()  # type: ignore[attr-defined]
    element: Any = kind.element_type  # type: ignore[attr-defined]
    return Array(str(element), tuple(int(size) for size in shape))


def attribute(op: Operation, name: str) -> Any:
    """Return a property or attribute of an operation, None when absent (one of value 0 is falsy)."""
    value = op.properties.get(name)
    return value if value is not None else op.attributes.get(name)
