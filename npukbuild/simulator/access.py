"""How a descriptor walks memory: numpy views of any piece of its byte stream.

A descriptor's stream is the elements at ``offset + sum(index_d * stride_d)``, last dimension fastest, cut at
``length`` elements; the hardware has no size for the outermost dimension, so it runs on until the length is
reached (:mod:`npukbuild.ir.design`, hardware rule of the BD wrap fields). Views use the widest unit (up to
16 bytes) that all runs and strides allow, which is what makes layout changes fast in numpy.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.ir.design import ELEMENT_BYTES

if TYPE_CHECKING:
    from npukbuild.ir.design import Descriptor

_UNITS: dict[int, Any] = {
    1: np.dtype(np.uint8),
    2: np.dtype(np.uint16),
    4: np.dtype(np.uint32),
    8: np.dtype(np.uint64),
    16: np.dtype(np.complex128),
}
_WORD = 4
_PLANS = 4096


class Access:
    """The address pattern of one descriptor, in bytes.

    Attributes:
        size: Bytes on the stream.
        first, last: The range of memory bytes touched, relative to the base: ``[first, last)``.
        shape, strides: Of the walk in units of ``unit`` bytes (strides in bytes), innermost run contiguous.
    """

    __slots__ = (
        "_index",
        "_plans",
        "contiguous",
        "dtype",
        "first",
        "last",
        "pads",
        "shape",
        "size",
        "start",
        "strides",
        "unit",
        "whole",
    )

    def __init__(self, descriptor: Descriptor, element: str) -> None:
        width = ELEMENT_BYTES[element]
        self.start = descriptor.offset * width
        sizes, strides = _walk(descriptor)
        self.pads = descriptor.pads
        self.size = descriptor.length * width
        elements = prod(sizes)
        run = width
        while sizes and strides[-1] * width == run:
            run *= sizes.pop()
            strides.pop()
        byte_strides = [stride * width for stride in strides]
        self.unit = _unit(run, byte_strides, self.start)
        self.dtype = _UNITS[self.unit]
        self.shape = (*sizes, run // self.unit)
        self.strides = (*byte_strides, self.unit)
        self.contiguous = not sizes and not self.pads
        self.whole = elements * width == self.size or bool(self.pads)
        reach = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        self.first = self.start
        self.last = self.start + reach + self.unit
        self._index: Any = None
        self._plans: dict[tuple[int, int], Any] = {}
        if not self.whole:  # the last outer run is cut short: bound by what is really touched
            self.last = int(self._words_of().max()) * _WORD + _WORD + self.start

    def view(self, data: Any, base: int) -> Any:
        """Return the whole walk as a view (only when :attr:`whole`)."""
        return np.ndarray(self.shape, self.dtype, data, self.start + base, self.strides)

    def piece(self, data: Any, base: int, position: int, count: int) -> Any:
        """Return ``count`` stream bytes from ``position`` as a view, None when no view can express them."""
        if self.contiguous:
            return data[self.start + base + position : self.start + base + position + count]
        key = (position, count)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plan(position, count)
            if len(self._plans) < _PLANS:
                self._plans[key] = plan
        shape, offset, strides = plan
        return None if shape is None else np.ndarray(shape, self.dtype, data, offset + base, strides)

    def _plan(self, position: int, count: int) -> Any:
        """Return (shape, offset, strides) of a piece; (None, 0, None) when it is no box of the walk."""
        if not self.whole:
            return None, 0, None
        inner = self.size
        left, offset = position, self.start
        for level, (size, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            inner //= size
            index, left = divmod(left, inner)
            offset += index * stride
            if not left and not count % inner and index + count // inner <= size:
                return (count // inner, *self.shape[level + 1 :]), offset, self.strides[level:]
            if left + count > inner:
                break
        return None, 0, None

    def words(self, base: int, position: int, count: int) -> Any:
        """Return the indices of the 32-bit words behind ``count`` stream bytes from ``position``."""
        first, last = position // _WORD, -(-(position + count) // _WORD)
        return self._words_of()[first:last] + (self.start + base) // _WORD

    def _words_of(self) -> Any:
        if self._index is None:
            index = np.zeros(1, np.int64)
            for size, stride in zip(self.shape, self.strides, strict=True):
                index = (index[:, None] + np.arange(size, dtype=np.int64) * stride).reshape(-1)
            step = max(1, _WORD // self.unit)
            self._index = (index[::step] // _WORD if self.unit <= _WORD else _spread(index, self.unit))[
                : -(-self.size // _WORD)
            ]
        return self._index


def _spread(index: Any, unit: int) -> Any:
    words = np.arange(unit // _WORD, dtype=np.int64)
    return (index[:, None] // _WORD + words).reshape(-1)


def _walk(descriptor: Descriptor) -> tuple[list[int], list[int]]:
    if not descriptor.dims:
        return [descriptor.length], [1]
    sizes = [dim.size for dim in descriptor.dims]
    strides = [dim.stride for dim in descriptor.dims]
    if not descriptor.pads:
        inner = prod(sizes[1:])
        sizes[0] = -(-descriptor.length // inner)
    keep = [place for place, size in enumerate(sizes) if size > 1] or [len(sizes) - 1]
    return [sizes[place] for place in keep], [strides[place] for place in keep]


def _unit(run: int, strides: list[int], start: int) -> int:
    for unit in (16, 8, 4, 2):
        if not run % unit and not start % unit and not any(stride % unit for stride in strides):
            return unit
    return 1


def padded_shape(descriptor: Descriptor) -> tuple[int, ...]:
    """Sizes of the dimensions with their padding, outermost first, in elements."""
    return tuple(
        dim.size + pad.before + pad.after for dim, pad in zip(descriptor.dims, descriptor.pads, strict=True)
    )
