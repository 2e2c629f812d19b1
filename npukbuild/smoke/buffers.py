"""Between a user's arrays and a kernel's padded host buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.errors import InputError
from npukbuild.kernels.matmul_numerics import NUMPY_DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from npukbuild.kernels.abi import Argument


def logical_shape(argument: Argument) -> tuple[int, ...]:
    """Return the shape a user sees: the logical one, turned back for column-major storage."""
    return argument.logical[::-1] if argument.layout == "column-major" else argument.logical


def new_buffer(argument: Argument) -> NDArray[Any]:
    """Return a zeroed buffer of the argument's padded shape."""
    return np.zeros(argument.shape, dtype=NUMPY_DTYPES[argument.dtype])


def fill(buffer: NDArray[Any], argument: Argument, array: NDArray[Any]) -> None:
    """Put ``array`` (user's shape) into the logical part of ``buffer`` and zeros into the padding.

    Raises:
        InputError: Shape or dtype is not the argument's.
    """
    if array.shape != logical_shape(argument) or array.dtype != buffer.dtype:
        raise InputError(
            f"argument {argument.name} has the wrong shape or type",
            why=f"expected {logical_shape(argument)} {buffer.dtype}, got {array.shape} {array.dtype}",
        )
    if argument.shape != argument.logical:
        buffer[...] = 0
    window = tuple(slice(0, size) for size in argument.logical)
    buffer[window] = array.T if argument.layout == "column-major" else array


def crop(buffer: NDArray[Any], argument: Argument) -> NDArray[Any]:
    """Return a view of the logical part of ``buffer`` in the user's shape."""
    view = buffer[tuple(slice(0, size) for size in argument.logical)]
    return view.T if argument.layout == "column-major" else view
