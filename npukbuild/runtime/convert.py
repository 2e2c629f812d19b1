"""Numbers in and out: bf16 conversion, vectorized, to nearest even, and safe for NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from npukbuild.errors import InputError
from npukbuild.kernels.matmul_numerics import NUMPY_DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_bf16(array: NDArray[Any]) -> NDArray[Any]:
    """Round a float array to bfloat16, halves to even; NaN stays NaN (quiet, sign kept), Inf stays Inf.

    Adding 0x7FFF plus the lowest kept bit to a float32 carries into the kept half exactly when the rest is
    above one half, or equal to it with an odd kept bit; a NaN whose mantissa is all ones would overflow
    into another number, so NaN are set apart.
    """
    if array.dtype == ml_dtypes.bfloat16:
        return array
    with np.errstate(over="ignore"):
        bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    if nan.any():
        rounded = np.where(nan, (bits >> np.uint32(16)) | np.uint32(0x0040), rounded)
    return rounded.astype(np.uint16).view(ml_dtypes.bfloat16)


def to_input(array: NDArray[Any], dtype: str, name: str) -> NDArray[Any]:
    """Bring an operand to a kernel's input type.

    Raises:
        InputError: It cannot be done without losing more than a rounding.
    """
    wanted = NUMPY_DTYPES[dtype]
    if array.dtype == wanted:
        return array
    if dtype == "bf16" and array.dtype.kind == "f":
        return to_bf16(array)
    raise InputError(
        f"{name} has dtype {array.dtype}",
        why=f"the kernel takes {dtype}",
        hint="convert it, or publish a kernel for this type",
    )


def input_dtype(array: NDArray[Any]) -> str:
    """Return the kernel input type that serves ``array``: bf16 for floats, i8 and i16 for themselves.

    Raises:
        InputError: No kernel family takes this dtype.
    """
    if array.dtype == ml_dtypes.bfloat16 or array.dtype in (np.float32, np.float64, np.float16):
        return "bf16"
    for name in ("i8", "i16"):
        if array.dtype == NUMPY_DTYPES[name]:
            return name
    raise InputError(f"no kernel takes {array.dtype}", hint="use float32, bfloat16, int8 or int16")
