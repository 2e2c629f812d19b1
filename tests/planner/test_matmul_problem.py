from __future__ import annotations

import pytest

from npukbuild.errors import RequestError
from npukbuild.kernels.matmul import DTYPE_PAIRS, MatmulProblem


def test_names_say_what_departs_from_the_defaults() -> None:
    assert MatmulProblem(64, 64, 512).name == "matmul_bf16_64x64x512"
    assert MatmulProblem(64, 64, 512, "bf16", "f32", "col").name == "matmul_bf16_f32_64x64x512_bcol"
    assert MatmulProblem(1, 2, 3, "i8", shift=7).name == "matmul_i8_1x2x3_s7"


def test_names_are_unique() -> None:
    problems = [
        MatmulProblem(m, k, 3, dtype, out, layout, shift)
        for m in (1, 2)
        for k in (1, 2)
        for dtype, outs in DTYPE_PAIRS.items()
        for out in outs
        for layout in ("row", "col")
        for shift in ((0, 1) if out in ("i8", "i16") else (0,))
    ]
    assert len({problem.name for problem in problems}) == len(problems)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(RequestError) as caught:
        MatmulProblem(0, -1, 5, "i8", "f32", "diagonal", 40)
    text = str(caught.value)
    for part in ("--m must be at least 1, not 0", "--k must be at least 1", "f32", "diagonal", "40"):
        assert part in text
    assert "5 mistakes" in text


@pytest.mark.parametrize(("dtype", "out"), [("bf16", "f32"), ("i8", "i32"), ("bf16", "bf16")])
def test_a_shift_needs_a_narrow_integer(dtype: str, out: str) -> None:
    with pytest.raises(RequestError, match="--shift applies to i8 and i16 results"):
        MatmulProblem(8, 8, 8, dtype, out, shift=3)


def test_the_abi_tells_padding_and_a_transposed_b() -> None:
    a, b, c = MatmulProblem(3, 5, 7, "i8", "i32", "col").abi(16, 8, 32).arguments
    assert (a.shape, a.logical) == ((16, 8), (3, 5))
    assert (b.shape, b.logical, b.layout) == ((32, 8), (7, 5), "transposed row-major")
    assert (c.shape, c.logical, c.direction, c.dtype) == ((16, 32), (3, 7), "out", "i32")


def test_bfp16_matrices_are_bf16_in_memory() -> None:
    problem = MatmulProblem(16, 16, 16, "bfp16")
    assert problem.name == "matmul_bfp16_bf16_16x16x16"
    assert {argument.dtype for argument in problem.abi(16, 16, 16).arguments} == {"bf16"}
