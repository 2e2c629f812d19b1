"""Results as a right device gives them, and the check's word on results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npukbuild.kernels.matmul_numerics import NUMPY_DTYPES, Trial, expected, rounded_shift, trials
from npukbuild.smoke.harness import largest_finite
from npukbuild.smoke.judge import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.smoke.judge import Judgement

Array = NDArray[Any]


@dataclass(frozen=True)
class Shape:
    m: int = 64
    k: int = 64
    n: int = 96
    dtype: str = "bf16"
    out_dtype: str = "bf16"
    shift: int = 0
    b_layout: str = "row"


SHAPES = {
    "bf16": Shape(),
    "bf16_f32": Shape(out_dtype="f32"),
    "bf16_col": Shape(b_layout="col"),
    "bf16_k512": Shape(k=512),
    "bfp16": Shape(dtype="bfp16"),
    "bfp16_f32_col": Shape(dtype="bfp16", out_dtype="f32", b_layout="col"),
    "i8_i32": Shape(dtype="i8", out_dtype="i32"),
    "i8_i8": Shape(dtype="i8", out_dtype="i8", shift=9),
    "i8_i16": Shape(dtype="i8", out_dtype="i16", shift=3),
    "i16_i32": Shape(dtype="i16", out_dtype="i32"),
}


def through_blocks(rows: Array, to_whole: Callable[[Array], Array] = np.rint) -> Array:
    """Bring every 8 neighbours of a row to one exponent with 8-bit mantissas, rounded by ``to_whole``."""
    count, length = rows.shape
    padded = np.zeros((count, -(-length // 8) * 8))
    padded[:, :length] = rows
    blocks = padded.reshape(count, -1, 8)
    unit = np.ldexp(1.0, np.frexp(np.abs(blocks).max(axis=2, keepdims=True))[1] - 7)
    mantissas = to_whole(blocks / unit)
    unit = np.where(((mantissas > 127) | (mantissas < -128)).any(axis=2, keepdims=True), 2 * unit, unit)
    return np.asarray((to_whole(blocks / unit) * unit).reshape(count, -1)[:, :length])


def operands(shape: Shape, trial: Trial) -> tuple[Array, Array]:
    """A[M, K] and B[K, N] of a floating-point product, in float32."""
    a, b = (array.astype(np.float32) for array in trial.inputs)
    return a, b.T if shape.b_layout == "col" else b


def computed(shape: Shape, trial: Trial) -> Array:
    """What a right device gives: float32 accumulation (in numpy's order), one rounding."""
    if shape.dtype in ("bf16", "bfp16"):
        a, b = operands(shape, trial)
        if shape.dtype == "bfp16":
            a, b = through_blocks(a).astype(np.float32), through_blocks(b.T).T.astype(np.float32)
        return (a @ b).astype(NUMPY_DTYPES[shape.out_dtype])
    a, b = trial.inputs
    if shape.b_layout == "col":
        b = b.T
    wrapped = (a.astype(np.int64) @ b.astype(np.int64)).astype(np.int32)
    if shape.out_dtype == "i32":
        return wrapped
    info = np.iinfo(NUMPY_DTYPES[shape.out_dtype])
    return np.clip(rounded_shift(wrapped.astype(np.int64), shape.shift), info.min, info.max).astype(
        NUMPY_DTYPES[shape.out_dtype]
    )


def judged(shape: Shape, trial: Trial, result: Array) -> Judgement:
    """Judge the result of one trial as the harness does."""
    reference = expected(shape, trial)
    return judge(
        trial.name,
        result,
        reference.value,
        reference.bound,
        largest=largest_finite(shape.out_dtype),
        mean_bound=reference.mean_bound,
    )


def passes(shape: Shape, results: list[Array]) -> bool:
    """Judge one result per trial; the kernel passes when all do."""
    verdicts = [
        judged(shape, trial, result).passed for trial, result in zip(trials(shape), results, strict=True)
    ]
    return all(verdicts)


def right(shape: Shape) -> list[Array]:
    """Return right results of all trials."""
    return [computed(shape, trial) for trial in trials(shape)]
