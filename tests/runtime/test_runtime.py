"""Released kernels called on numpy arrays: right numbers, counted calls, clear errors."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import npukbuild
from npukbuild.errors import DeviceError, InputError, RegistryError, ReleaseMissingError, SignatureError
from npukbuild.runtime.convert import to_bf16

if TYPE_CHECKING:
    from collections.abc import Callable

BF16 = ml_dtypes.bfloat16
Floats = NDArray[Any]


def operands(m: int, k: int, n: int, seed: int = 0) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    a = random.standard_normal((m, k)).astype(np.float32)
    b = random.standard_normal((k, n)).astype(np.float32)
    return a, b


def is_right(c: Floats, a: Floats, b: Floats, parts: int = 1) -> bool:
    """The bound of one call, once more for every partial sum that was rounded to bf16."""
    left, right = (x.astype(BF16).astype(np.float64) for x in (a, b))
    magnitude = np.abs(left) @ np.abs(right)
    bound = 2.0**-8 * (magnitude if parts > 1 else np.abs(left @ right)) + a.shape[1] * 2.0**-21 * magnitude
    return bool((np.abs(c.astype(np.float64) - left @ right) <= bound).all())


@pytest.mark.parametrize(
    ("size", "calls"),
    [
        pytest.param((64, 64, 64), 3008, marks=pytest.mark.slow),
        pytest.param((64, 64, 512), 376, marks=pytest.mark.slow),
        ((128, 64, 512), 192),
        pytest.param((3001, 512, 512), 1, marks=pytest.mark.slow),
    ],
)
def test_the_encoder_projection(
    registry_with: Callable[..., str], size: tuple[int, int, int], calls: int
) -> None:
    mm = npukbuild.Matmul(registry_with(size), device="simulator")
    a, b = operands(3001, 512, 512)
    c = mm(a, b)
    assert mm.last.calls == calls
    assert mm.last.device == "simulator"
    assert c.shape == (3001, 512)
    assert c.dtype == np.float32
    assert is_right(c, a, b, parts=512 // size[1])


def test_any_size_and_any_view(registry_with: Callable[..., str]) -> None:
    mm = npukbuild.Matmul(registry_with((32, 32, 64), (64, 64, 64)), device="simulator")
    a, b = operands(140, 150, 160)
    for left, right in [(a[3:68, 5:72], b[5:72, 1:70]), (a[::2, ::3], b[::3, ::-1]), (a[:1, :1], b[:1, :1]),
                        (np.asfortranarray(a)[:65, :63], b[:63].T[:67, :63].T)]:  # fmt: skip
        assert is_right(mm(left, right), left, right, parts=4)
    assert mm(a[:2, :3].astype(BF16), b[:3, :4].astype(BF16)).dtype == BF16


def test_load_one_release(registry_with: Callable[..., str]) -> None:
    registry = registry_with((64, 64, 512))
    k = npukbuild.load("matmul", m=64, k=64, n=512, target="npu1", registry=registry, device="simulator")
    a, b = operands(64, 64, 512)
    assert is_right(k(a, b), a, b)
    assert k.device == "simulator"
    a2, b2 = operands(64, 64, 512, seed=1)
    assert is_right(k(a2[:, ::-1], b2[::-1]), a2[:, ::-1], b2[::-1])
    with pytest.raises(InputError, match="wrong shapes"):
        k(a[:3], b)
    with pytest.raises(InputError, match="takes 2 arrays"):
        k(a)
    with pytest.raises(InputError, match="dtype"):
        k(a.astype(np.int32), b)


def test_missing_releases_offer_the_nearest(registry_with: Callable[..., str]) -> None:
    registry = registry_with((64, 64, 512), (64, 64, 64))
    with pytest.raises(ReleaseMissingError) as caught:
        npukbuild.load("matmul", m=64, k=64, n=500, registry=registry)
    assert "matmul_bf16_64x64x512@" in caught.value.details[0]
    assert "--n 500" in str(caught.value.hint)
    mm = npukbuild.Matmul(registry, target="npu2")
    with pytest.raises(ReleaseMissingError):
        mm(*operands(2, 2, 2))
    with pytest.raises(RegistryError):
        npukbuild.Matmul("nowhere")(*operands(2, 2, 2))


def test_numpy_is_used_only_when_asked_for_and_logged(
    registry_with: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    a, b = operands(4, 4, 4)
    mm = npukbuild.Matmul("nowhere", fallback="numpy")
    with caplog.at_level(logging.WARNING):
        assert np.allclose(mm(a, b), a @ b)
    assert "computed with numpy" in caplog.text
    assert mm.last.device == "numpy"
    assert mm.last.calls == 0


def test_wrong_operands_are_refused_even_with_a_fallback(registry_with: Callable[..., str]) -> None:
    mm = npukbuild.Matmul(registry_with((64, 64, 64)), fallback="numpy")
    a, b = operands(4, 5, 6)
    for left, right in [(a, b[:4]), (a[0], b), (a.astype(complex), b), (a, b.astype(np.int8)), (a[:0], b)]:
        with pytest.raises(InputError):
            mm(left, right)


def test_no_npu_is_an_error_when_the_npu_is_asked_for(registry_with: Callable[..., str]) -> None:
    mm = npukbuild.Matmul(registry_with((64, 64, 64)), device="npu")
    with pytest.raises(DeviceError, match="has no XCLBIN"):
        mm(*operands(4, 4, 4))


def test_a_tampered_release_is_not_loaded(registry_with: Callable[..., str]) -> None:
    registry = registry_with((64, 64, 64))
    (kernel,) = Path(registry).glob("*/*/*/kernel.cc")
    kernel.write_text(kernel.read_text() + "\n// changed\n")
    with pytest.raises(SignatureError, match="not what was signed"):
        npukbuild.Matmul(registry)(*operands(4, 4, 4))


def test_integers_are_exact_and_k_is_split_only_in_int32(registry_with: Callable[..., str]) -> None:
    random = np.random.default_rng(3)
    a = random.integers(-128, 128, (70, 150)).astype(np.int8)
    b = random.integers(-128, 128, (150, 90)).astype(np.int8)
    wide = npukbuild.Matmul(registry_with((32, 32, 64), dtype="i8", out_dtype="i32"), device="simulator")
    assert (wide(a, b) == a.astype(np.int32) @ b.astype(np.int32)).all()
    narrow = npukbuild.Matmul(registry_with((32, 32, 64), dtype="i8", out_dtype="i8", shift=6))
    with pytest.raises(ReleaseMissingError):
        narrow(a, b)
    assert narrow(a[:, :32], b[:32]).dtype == np.int8


def test_releases_that_mean_different_things_are_never_mixed(registry_with: Callable[..., str]) -> None:
    registry = registry_with((32, 32, 64), dtype="i8", out_dtype="i8", shift=3)
    registry_with((32, 32, 64), dtype="i8", out_dtype="i8", shift=5, into=registry)
    random = np.random.default_rng(3)
    a, b = (random.integers(-9, 9, shape).astype(np.int8) for shape in ((32, 32), (32, 64)))
    mm = npukbuild.Matmul(registry, device="simulator")
    with pytest.raises(InputError, match="several kinds"):
        mm(a, b)
    exact = a.astype(np.int64) @ b.astype(np.int64)
    for shift in (3, 5):
        got = mm(a, b, shift=shift).astype(np.int64)
        assert (np.abs(got - np.clip(exact / 2**shift, -128, 127)) <= 0.5).all()
    with pytest.raises(ReleaseMissingError):
        mm(a, b, out_dtype="i32")
    registry_with((32, 32, 64), dtype="i8", out_dtype="i32", into=registry)
    assert (npukbuild.Matmul(registry, device="simulator")(a, b) == exact).all()


def test_the_result_type_can_be_chosen_and_b_may_be_stored_transposed(
    registry_with: Callable[..., str],
) -> None:
    registry = registry_with((32, 32, 64), out_dtype="f32", b_layout="col")
    mm = npukbuild.Matmul(registry, device="simulator")
    a, b = operands(40, 50, 70)
    exact = a.astype(BF16).astype(np.float64) @ b.astype(BF16).astype(np.float64)
    wide = mm(a, b, out_dtype="f32")
    assert wide.dtype == np.float32
    assert np.allclose(wide, exact, rtol=0, atol=1e-4)
    assert mm(a, b, out_dtype="bf16").dtype == BF16
    assert mm(a.astype(BF16), b.astype(BF16)).dtype == BF16
    assert mm(a.astype(BF16), b.astype(BF16), out_dtype="f32").dtype == np.float32


def test_load_takes_the_default_problem_or_asks(registry_with: Callable[..., str]) -> None:
    registry = registry_with((32, 32, 64), dtype="i8", out_dtype="i32")
    registry_with((32, 32, 64), dtype="i8", out_dtype="i16", into=registry)
    with pytest.raises(InputError, match="several matmul problems"):
        npukbuild.load("matmul", m=32, k=32, n=64, dtype="i8", registry=registry)
    assert npukbuild.load("matmul", m=32, k=32, n=64, out_dtype="i16", registry=registry).release
    registry_with((32, 32, 64), into=registry)
    chosen = npukbuild.load("matmul", m=32, k=32, n=64, registry=registry)
    assert chosen.release.id.name == "matmul_bf16_32x32x64"


def test_a_session_is_given_back_and_taken_again(registry_with: Callable[..., str]) -> None:
    registry = registry_with((32, 32, 64))
    a, b = operands(32, 32, 64)
    with npukbuild.Matmul(registry, device="simulator") as mm:
        first = mm(a, b)
    assert (mm(a, b) == first).all()


def test_no_more_kernels_stay_open_than_the_driver_has_contexts(
    registry_with: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from npukbuild.runtime import matmul

    monkeypatch.setattr(matmul, "_MOST_OPEN", 1)
    mm = npukbuild.Matmul(registry_with((32, 32, 64), (32, 32, 32)), device="simulator")
    for n in (64, 32, 96, 64):
        a, b = operands(32, 32, n)
        assert is_right(mm(a, b), a, b)
    assert sum(kernel._session is not None for kernel in mm._loaded.values()) <= 2


def test_threads(registry_with: Callable[..., str]) -> None:
    mm = npukbuild.Matmul(registry_with((64, 64, 64)), device="simulator")
    wrong: list[int] = []

    def work(seed: int) -> None:
        for turn in range(4):
            a, b = operands(65 + seed, 70, 64 + turn, seed=seed * 10 + turn)
            if not is_right(mm(a, b), a, b, parts=2) or mm.last.calls < 4:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=64))
def test_bf16_conversion_rounds_to_nearest_even_and_keeps_nan(bits: list[int]) -> None:
    values = np.array(bits, dtype=np.uint32).view(np.float32)
    ours = to_bf16(values)
    with np.errstate(invalid="ignore", over="ignore"):
        theirs = values.astype(BF16)
    nan = np.isnan(values)
    assert (np.isnan(ours.astype(np.float32)) == nan).all()
    assert (ours[~nan].view(np.uint16) == theirs[~nan].view(np.uint16)).all()


def test_importing_costs_nothing() -> None:
    import subprocess
    import sys

    code = "import npukbuild, sys; assert 'numpy' not in sys.modules and 'click' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
