"""The mean of all errors: right roundings stay well below its bound, directed ones do not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import pytest

from npukbuild.kernels.block_floating import half_units, product_roundings
from npukbuild.kernels.matmul_numerics import NUMPY_DTYPES, expected, trials
from npukbuild.kernels.mean_error import LEAN, Roundings, Z, mean_bound, one_each
from npukbuild.smoke.judge import judge
from npukbuild.smoke.verdict import Verdict
from tests.smoke.results import Array, Shape, computed, judged, operands, passes, through_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = [(24, 24, 24), (64, 64, 96), (1, 512, 512), (300, 8, 24), (24, 4096, 24)]


DIRECTED: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "towards zero": np.trunc,
}


def _to_bf16(sums: Array, to_whole: Callable[[Array], Array]) -> Array:
    unit = np.ldexp(1.0, np.frexp(sums.astype(np.float64))[1] - 8)
    return np.asarray((to_whole(sums / unit) * unit).astype(np.float32).astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize("which", ["A", "B", "both"])
@pytest.mark.parametrize("mode", DIRECTED)
@pytest.mark.parametrize("out_dtype", ["bf16", "f32"])
@pytest.mark.parametrize("size", SIZES)
def test_conversions_to_blocks_in_a_direction_are_rejected(
    size: tuple[int, int, int], out_dtype: str, mode: str, which: str
) -> None:
    shape = Shape(*size, dtype="bfp16", out_dtype=out_dtype)
    trial = next(iter(trials(shape)))
    a, b = operands(shape, trial)
    a = through_blocks(a, DIRECTED[mode] if which != "B" else np.rint)
    b = through_blocks(b.T, DIRECTED[mode] if which != "A" else np.rint).T
    result = (a @ b).astype(np.float32).astype(NUMPY_DTYPES[out_dtype])
    found = judged(shape, trial, result)
    assert found.wrong == 0  # single elements do not show it
    assert not found.passed
    assert abs(found.bias) > found.bias_bound
    assert "bias" in (found.reason or "")


@pytest.mark.parametrize("mode", ["floor", "ceil", "towards zero"])
@pytest.mark.parametrize("dtype", ["bf16", "bfp16"])
@pytest.mark.parametrize("size", [(2, 8, 8), *SIZES])
def test_results_rounded_in_a_direction_are_rejected(
    size: tuple[int, int, int], dtype: str, mode: str
) -> None:
    shape = Shape(*size, dtype=dtype)
    exact = [computed(replace(shape, out_dtype="f32"), trial) for trial in trials(shape)]
    assert passes(shape, [_to_bf16(sums, np.rint) for sums in exact])
    assert not passes(shape, [_to_bf16(sums, DIRECTED[mode]) for sums in exact])


@pytest.mark.parametrize(
    ("dtype", "out_dtype"), [("bf16", "bf16"), ("bf16", "f32"), ("bfp16", "bf16"), ("bfp16", "f32")]
)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sign", [-1, 1])
def test_offsets_of_half_the_bound_are_rejected(
    size: tuple[int, int, int], dtype: str, out_dtype: str, sign: int
) -> None:
    shape = Shape(*size, dtype=dtype, out_dtype=out_dtype)
    all_trials = list(trials(shape))
    references = [expected(shape, trial) for trial in all_trials]
    sums = [computed(replace(shape, out_dtype="f32"), trial).astype(np.float64) for trial in all_trials]
    relative = min(float((one.bound / np.abs(one.value)).min()) for one in references if one.bound.any())
    scaled = [result * (1 + sign * relative / 2) for result in sums]
    assert not passes(shape, [result.astype(NUMPY_DTYPES[out_dtype]) for result in scaled])
    if (dtype, out_dtype) == ("bf16", "f32"):
        return  # truncated sums may have an offset
    moved = [result + sign * one.bound / 2 for result, one in zip(sums, references, strict=True)]
    assert not passes(shape, [result.astype(NUMPY_DTYPES[out_dtype]) for result in moved])


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 5), (8, 8, 8), (33, 65, 17), (1, 700, 90), (200, 1, 300)])
@pytest.mark.parametrize("dtype", ["bf16", "bfp16"])
@pytest.mark.parametrize("out_dtype", ["bf16", "f32"])
def test_right_results_stay_well_below_the_bound(
    size: tuple[int, int, int], dtype: str, out_dtype: str
) -> None:
    shape = Shape(*size, dtype=dtype, out_dtype=out_dtype, b_layout="col")
    for seed in range(6):
        for trial in trials(shape, seed=seed):
            found = judged(shape, trial, computed(shape, trial))
            assert found.passed, (seed, found)
            assert abs(found.bias) <= 0.6 * found.bias_bound, (seed, found)


def test_bound_of_the_mean_by_hand() -> None:
    assert one_each(np.array([[3.0, 4.0]])) == Roundings(7.0, 25.0)
    assert mean_bound(2, [Roundings(7.0, 25.0)], 1.0) == (Z * 5 + LEAN * 7 + 1) / 2
    # Units of blocks whose largest are 1.5, 100 and 255: 2^-6, 1 and, as 255 rounds to 128 units of 2, 4.
    rows = np.zeros((3, 8))
    rows[:, 0], rows[:, 1] = (1.5, 100.0, 255.0), 0.25
    assert half_units(rows)[:, :2].tolist() == [[2.0**-7] * 2, [0.5] * 2, [2.0] * 2]
    assert not half_units(rows)[:, 2:].any()
    # One product 1.5 x 100: da weighs 100, db 1.5 and at most da.
    found = product_roundings(rows[:1, :1], rows[1:2, :1])
    weights = 100 * 2.0**-7, (1.5 + 2.0**-7) / 2
    assert found == Roundings(sum(weights), sum(weight**2 for weight in weights))


def test_the_bias_counts_what_is_finite_and_is_reported() -> None:
    value = np.full((8, 8), 2.0)
    result = (value + 0.25).astype(np.float32)
    found = judge("t", result, value, np.ones_like(value), largest=1e38, mean_bound=0.2)
    assert not found.passed
    assert (found.wrong, found.bias, found.bias_bound) == (0, 0.25, 0.2)
    assert judge("t", result, value, np.ones_like(value), largest=1e38, mean_bound=0.25).passed
    value[0, 0], result[0, 0] = 4e38, np.inf
    assert judge("t", result, value, np.ones_like(value), largest=1e38, mean_bound=0.25).passed
    lower = judge("u", np.full((8, 8), 1.5), np.full((8, 8), 2.0), value, largest=1e38, mean_bound=0.6)
    said = Verdict("simulator", "npu1", (found, lower), {}).as_dict()
    assert said["status"] == "failed"
    assert (said["bias"], said["bias_bound"]) == (found.bias, 0.2)
    assert said["inputs"][1]["bias"] == lower.bias
