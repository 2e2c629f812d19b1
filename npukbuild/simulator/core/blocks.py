"""Whole blocks of memory at once: the elements behind a reference as a numpy array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from npukbuild.simulator.core.refs import check_dma, not_held
from npukbuild.simulator.faults import fault

if TYPE_CHECKING:
    from npukbuild.ir.design import Location
    from npukbuild.simulator.core.refs import Ref

DTYPES: dict[str, Any] = {
    "i1": np.dtype(np.bool_),
    "i8": np.dtype(np.int8),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "index": np.dtype(np.int64),
    "ui8": np.dtype(np.uint8),
    "ui16": np.dtype(np.uint16),
    "ui32": np.dtype(np.uint32),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "f16": np.dtype(np.float16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}
"""numpy's type of each element type; arithmetic on bfloat16 rounds each result to nearest even."""


def window(
    ref: Ref,
    start: tuple[int, ...],
    shape: tuple[int, ...],
    steps: tuple[int, ...],
    loc: Location | None,
    *,
    writes: bool,
) -> Any:
    """Return a view of a part of a block, after the checks that a single access makes.

    Args:
        ref: The memory.
        start: Index of the first element, one per dimension of ``ref``.
        shape: Elements per dimension of the view; the caller sees to it that they lie inside the block.
        steps: Elements of the buffer from one to the next, per dimension of the view.
        loc: The access in the design.
        writes: Whether the view is written to.

    Raises:
        SimulationFault: The part lies outside, is not held, or holds words that were never written.
    """
    first = ref.place(start, loc)
    if not ref.live:
        raise not_held(ref, loc)
    if ref.memory.active:
        check_dma(ref, loc, writes=writes)
    dtype = DTYPES[ref.element]
    data = ref.memory.data
    base = data[: len(data) // dtype.itemsize * dtype.itemsize].view(dtype)
    view = np.lib.stride_tricks.as_strided(base[first:], shape, [step * dtype.itemsize for step in steps])
    if not writes and not ref.memory.clean:
        _check_written(ref, view, loc)
    return view


def _check_written(ref: Ref, view: Any, loc: Location | None) -> None:
    from npukbuild.simulator.memory import poison_words

    ref.memory.look()
    if ref.memory.clean:
        return
    unwritten = poison_words(ref.memory.data) * 4
    start = ref.memory.data.ctypes.data
    places = np.indices(view.shape).reshape(view.ndim, -1).T @ np.array(view.strides, np.int64)
    bytes_at = (view.ctypes.data - start + places) // 4 * 4
    found = np.flatnonzero(np.isin(bytes_at, unwritten))
    if len(found):
        element = (view.ctypes.data - start + int(places[found[0]])) // view.itemsize
        raise fault(
            f"a core reads {ref.memory.name}[{element}] of {ref.memory.buffer.tile}, which was never written",
            loc=loc,
            why=f"{len(found)} of the {view.size} elements that it reads hold nothing yet",
            hint="give the buffer an initial value, or write it before it is read",
        )


def whole(ref: Ref, loc: Location | None, *, writes: bool) -> Any:
    """Return a view of all that a reference names."""
    return window(ref, (0,) * len(ref.shape), ref.shape, ref.strides, loc, writes=writes)
