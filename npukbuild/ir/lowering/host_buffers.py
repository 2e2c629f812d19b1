"""Host buffers whose size the type of the sequence's argument leaves open or understates."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import MemRefType, UnrankedMemRefType

from npukbuild.ir.design import Array, Push
from npukbuild.ir.lowering.values import array_of, element_of
from npukbuild.ir.rules_sequences import reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from xdsl.ir import Attribute

    from npukbuild.ir.design import Sequence, SequenceOp

OPEN = 1 << 40
"""The first dimension of a buffer whose size is not known while its transfers are lowered."""


def declared(kind: Attribute) -> Array:
    """Return the array of an argument; one with :data:`OPEN` rows where the type leaves the size open.

    Raises:
        ValueError: The type is no memory, or leaves another dimension than the first open.
    """
    if isinstance(kind, UnrankedMemRefType):
        return Array(element_of(kind.element_type), (OPEN,))
    if isinstance(kind, MemRefType):
        shape = tuple(int(size) for size in kind.get_shape())
        if any(size < 0 for size in shape[1:]):
            raise ValueError(f"{kind}: only the first dimension may be dynamic")
        if shape and shape[0] < 0:
            return Array(element_of(kind.get_element_type()), (OPEN, *shape[1:]))
    return array_of(kind)


def is_open(kind: Array) -> bool:
    """Whether a type leaves the size open."""
    return bool(kind.shape) and kind.shape[0] == OPEN


def settle(
    sequence: Sequence, operations: Iterable[SequenceOp], sizes: Mapping[str, int]
) -> tuple[Sequence, list[str]]:
    """Give arguments of open size what the transfers reach, and those that are too small the size given.

    Args:
        sequence: With arguments as declared.
        operations: All that are executed, in every configuration.
        sizes: Elements of host buffers, by argument name or place, as far as they are known.

    Returns:
        The sequence, and for each argument that the transfers overrun in its declared type why it is larger.
    """
    reached: dict[str, int] = {}
    for push in (op for op in operations if isinstance(op, Push)):
        for descriptor in push.descriptors:
            reached[descriptor.buffer] = max(reached.get(descriptor.buffer, 0), reach(push, descriptor))
    arguments, sized, told = [], [], []
    for place, (name, kind) in enumerate(sequence.arguments):
        given = sizes.get(name, sizes.get(str(place), 0))
        least = reached.get(name, 1)
        if is_open(kind):
            sized.append(name)
            rest = kind.shape[1:]
            arguments.append((name, Array(kind.element, (-(-least // (prod(rest) or 1)), *rest))))
        elif least > kind.elements and given > kind.elements:
            sized.append(name)
            told.append(f"{name} is {kind}, and its transfers reach element {least - 1}")
            arguments.append((name, Array(kind.element, (min(least, given),))))
        else:
            arguments.append((name, kind))
    return replace(sequence, arguments=tuple(arguments), sized=tuple(sized)), told
