"""Between a user's arrays and a kernel's padded host buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.errors import InputError
from npukbuild.kernels.matmul_numerics import NUMPY_DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from npukbuild.kernels.abi import Argument


def new_buffer(argument: Argument) -> NDArray[Any]:
    """Return a zeroed buffer of the argument's padded shape."""
    return np.zeros(argument.shape, dtype=NUMPY_DTYPES[argument.dtype])


def fill(buffer: NDArray[Any], argument: Argument, array: NDArray[Any]) -> None:
    """Put ``array`` into the logical part of ``buffer`` and zeros into the padding.

    Raises:
        InputError: Shape or dtype is not the argument's.
    """
    if array.shape != argument.logical or array.dtype != buffer.dtype:
        raise InputError(
            f"argument {argument.name} has the wrong shape or type",
            why=f"expected {argument.logical} {buffer.dtype}, got {array.shape} {array.dtype}",
        )
    if argument.shape != argument.logical:
        buffer[...] = 0
    window = tuple(slice(0, size) for size in argument.logical)
    buffer[window] = array


def crop(buffer: NDArray[Any], argument: Argument) -> NDArray[Any]:
    """Return a view of the logical part of ``buffer``."""
    return buffer[tuple(slice(0, size) for size in argument.logical)]
