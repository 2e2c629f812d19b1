from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from npukbuild.errors import RequestError
from npukbuild.kernels import families, family
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


def test_families_are_found_by_name() -> None:
    assert families()[0] == "matmul"
    assert family("matmul") is MatmulProblem
    with pytest.raises(RequestError, match="unknown kernel family 'matmull'"):
        family("matmull")


def test_other_packages_bring_families(monkeypatch: pytest.MonkeyPatch) -> None:
    class Softmax:
        family = "softmax"

    module = ModuleType("somebody_elses_kernels")
    module.Softmax = Softmax  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "somebody_elses_kernels", module)
    entries = (
        EntryPoint("softmax", "somebody_elses_kernels:Softmax", "npukbuild.families"),
        EntryPoint("broken", "no_such_module_at_all:X", "npukbuild.families"),
        EntryPoint("matmul", "somebody_elses_kernels:Softmax", "npukbuild.families"),
    )
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: entries)
    assert families() == ("matmul", "broken", "softmax")
    found: object = family("softmax")
    assert found is Softmax
    assert family("matmul") is MatmulProblem, "our own families cannot be replaced"
    with pytest.raises(RequestError, match="'broken' cannot be loaded"):
        family("broken")
