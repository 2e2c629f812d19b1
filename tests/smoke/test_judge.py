"""The check must reject every wrong result that a broken kernel or design is known to give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from npukbuild.kernels.matmul_numerics import BF16_MAX, NUMPY_DTYPES, rounded_shift, trials
from npukbuild.smoke.judge import POISONS, judge, poison
from tests.smoke.results import SHAPES, Shape, passes, right

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[Any]


@pytest.mark.parametrize("name", SHAPES)
def test_right_results_pass(name: str) -> None:
    shape = SHAPES[name]
    assert passes(shape, right(shape))


def _blocks_shifted(result: Array) -> Array:
    return np.roll(result, 16, axis=0)


def _last_block_missing(result: Array) -> Array:
    wrong = result.copy()
    wrong[-16:, -16:] = np.zeros((16, 16), dtype=result.dtype)
    return wrong


def _last_block_poisoned(result: Array) -> Array:
    wrong = result.copy()
    block = np.empty((16, 16), dtype=result.dtype)
    poison(block, 0)
    wrong[-16:, -16:] = block
    return wrong


def _transposed_tiles(result: Array) -> Array:
    rows, columns = result.shape
    tiles = result.reshape(rows // 4, 4, columns // 4, 4)
    return np.ascontiguousarray(tiles.transpose(0, 3, 2, 1)).reshape(rows, columns)


def _one_element_off(result: Array) -> Array:
    wrong = result.copy()
    wrong[5, 7] = wrong[5, 7] + np.asarray(max(1.0, abs(float(wrong[5, 7])) / 16), dtype=result.dtype)
    return wrong


WRONG: dict[str, Callable[[Array], Array]] = {
    "all zeros": np.zeros_like,
    "constant": lambda result: np.full_like(result, result.flat[0]),
    "transposed": lambda result: np.ascontiguousarray(result.T).reshape(result.shape),
    "tiles transposed": _transposed_tiles,
    "blocks shifted": _blocks_shifted,
    "columns shifted": lambda result: np.roll(result, 4, axis=1),
    "last block missing": _last_block_missing,
    "last block never written": _last_block_poisoned,
    "negated": np.negative,
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("fault", WRONG)
def test_wrong_results_are_rejected(name: str, fault: str) -> None:
    shape = SHAPES[name]
    assert not passes(shape, [WRONG[fault](result) for result in right(shape)])


@pytest.mark.parametrize("name", SHAPES)
def test_a_fault_in_one_call_alone_is_rejected(name: str) -> None:
    """Only the second call is wrong: it gives the first one's result again."""
    shape = SHAPES[name]
    results = right(shape)
    results[1] = results[0]
    assert not passes(shape, results)


@pytest.mark.parametrize("name", SHAPES)
def test_results_that_lag_one_call_are_rejected(name: str) -> None:
    shape = SHAPES[name]
    results = right(shape)
    assert not passes(shape, [results[-1], *results[:-1]])


@pytest.mark.parametrize("name", SHAPES)
def test_half_a_matrix_from_the_call_before_is_rejected(name: str) -> None:
    shape = SHAPES[name]
    results = right(shape)
    stale = results[-1].copy()
    stale[32:] = results[-2][32:]
    assert not passes(shape, [*results[:-1], stale])


def _truncated(value: Array) -> Array:
    """Cut a float32 to bf16 towards zero, as hardware does in its reset state."""
    bits = value.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("k", [16, 64, 512, 4096])
def test_truncation_to_bf16_is_rejected_for_any_k(k: int) -> None:
    shape = Shape(m=32, k=k, n=32)
    results = []
    for trial in trials(shape):
        a, b = (array.astype(np.float32) for array in trial.inputs)
        results.append(_truncated(a @ b))
    assert not passes(shape, results)


def test_rerounding_c_per_k_block_is_rejected() -> None:
    shape = Shape(m=32, k=512, n=32)
    results = []
    for trial in trials(shape):
        a, b = (array.astype(np.float32) for array in trial.inputs)
        c = np.zeros((32, 32), dtype=ml_dtypes.bfloat16)
        for start in range(0, 512, 64):
            partial = a[:, start : start + 64] @ b[start : start + 64]
            c = (c.astype(np.float32) + partial).astype(ml_dtypes.bfloat16)
        results.append(c)
    assert not passes(shape, results)


@pytest.mark.parametrize("out_dtype", ["i8", "i16"])
def test_floor_shift_and_wrap_are_rejected(out_dtype: str) -> None:
    shape = Shape(dtype="i8", out_dtype=out_dtype, shift=5)
    sums = [(trial.inputs[0].astype(np.int64) @ trial.inputs[1].astype(np.int64)) for trial in trials(shape)]
    info = np.iinfo(NUMPY_DTYPES[out_dtype])
    floored = [np.clip(value >> 5, info.min, info.max).astype(info.dtype) for value in sums]
    assert not passes(shape, floored)
    if out_dtype == "i8":
        assert not passes(shape, [rounded_shift(value, 5).astype(info.dtype) for value in sums])


def test_nan_is_wrong_and_inf_only_where_it_overflows() -> None:
    value = np.array([[1.0, 4e38, -4e38, 4e38]])
    bound = np.abs(value) * 2.0**-9

    def verdict(*result: float) -> bool:
        got = np.array([result], dtype=np.float32).astype(ml_dtypes.bfloat16)
        return judge("t", got, value, bound, largest=BF16_MAX).passed

    inf = float("inf")
    assert verdict(1.0, inf, -inf, inf)
    assert not verdict(1.0, -inf, -inf, inf)
    assert not verdict(inf, inf, -inf, inf)
    assert not verdict(float("nan"), inf, -inf, inf)


def test_reasons_name_the_usual_suspects() -> None:
    value, bound = np.arange(1.0, 4097.0).reshape(64, 64), np.full((64, 64), 0.5)

    def reason(result: Array, byte: int | None = None) -> str:
        return judge("t", result, value, bound, largest=1e38, poison_byte=byte).reason or ""

    assert "all zeros" in reason(np.zeros((64, 64), dtype=np.float32))
    assert "constant" in reason(np.full((64, 64), 7, dtype=np.float32))
    untouched = value.astype(np.float32)
    byte = poison(untouched[32:], 2)
    assert "2,048 were never written" in reason(untouched, byte)
    shifted = np.roll(value, 1, axis=0).astype(np.float32)
    assert "rows 0..63" in reason(shifted)


def test_poison_differs_from_call_to_call() -> None:
    assert len(set(POISONS)) == len(POISONS) >= 4
    array = np.zeros(8, dtype=np.float32)
    assert poison(array, 1) == array.view(np.uint8)[0] != poison(array, 2)
