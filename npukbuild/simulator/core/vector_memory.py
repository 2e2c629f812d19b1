"""Loads and stores of vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.simulator.core.blocks import DTYPES, window
from npukbuild.simulator.faults import fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.ir.design import Location
    from npukbuild.simulator.core.refs import Ref


def load(shape: tuple[int, ...], ref: Ref, *rest: Any) -> Any:
    """Return ``vector.load``: a part of the last dimensions."""
    *indices, loc = rest
    return _part(ref, indices, shape, loc, writes=False).copy()


def store(value: Any, ref: Ref, *rest: Any) -> None:
    """Do ``vector.store``."""
    *indices, loc = rest
    _part(ref, indices, value.shape, loc, writes=True)[...] = value


def _part(
    ref: Ref, indices: Sequence[int], shape: tuple[int, ...], loc: Location | None, *, writes: bool
) -> Any:
    rank = len(shape)
    for index, size, extent in zip(indices[-rank:], shape, ref.shape[-rank:], strict=True):
        if not 0 <= index <= extent - size:
            raise fault(
                f"a core accesses {ref.memory.name} of {ref.memory.buffer.tile} outside its bounds",
                loc=loc,
                why=f"a vector of {'x'.join(map(str, shape))} at [{', '.join(map(str, indices))}] of a "
                f"block of {'x'.join(map(str, ref.shape))}",
                hint="check the loop's bounds and the index against the block's shape",
            )
    return window(ref, tuple(indices), shape, ref.strides[-rank:], loc, writes=writes)


def transfer_read(shape: tuple[int, ...], dims: tuple[int | None, ...], ref: Ref, *rest: Any) -> Any:
    """Return ``vector.transfer_read``: what lies outside the memory is the padding."""
    *indices, padding, loc = rest
    found = np.full(shape, padding, DTYPES[ref.element])
    inside = _inside(ref, indices, shape, dims)
    if all(inside):
        start, sizes, steps = _walk(ref, indices, inside, dims)
        found[tuple(slice(size) for size in inside)] = window(ref, start, sizes, steps, loc, writes=False)
    return found


def transfer_write(dims: tuple[int | None, ...], value: Any, ref: Ref, *rest: Any) -> None:
    """Do ``vector.transfer_write``: what would lie outside the memory is not written."""
    *indices, loc = rest
    inside = _inside(ref, indices, value.shape, dims)
    if all(inside):
        start, sizes, steps = _walk(ref, indices, inside, dims)
        window(ref, start, sizes, steps, loc, writes=True)[...] = value[tuple(slice(size) for size in inside)]


def _inside(
    ref: Ref, indices: Sequence[int], shape: tuple[int, ...], dims: Sequence[int | None]
) -> list[int]:
    return [
        size if dim is None else max(0, min(size, ref.shape[dim] - indices[dim]))
        for size, dim in zip(shape, dims, strict=True)
    ]


def _walk(
    ref: Ref, indices: Sequence[int], inside: list[int], dims: Sequence[int | None]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    steps = tuple(0 if dim is None else ref.strides[dim] for dim in dims)
    return tuple(indices), tuple(inside), steps
