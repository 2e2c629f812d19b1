"""Rendered text: pinned for two designs, deterministic, and wrong templates named with their line."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from npukbuild import render as renderer
from npukbuild.errors import RenderError
from npukbuild.kernels.matmul import MatmulProblem
from npukbuild.planner import plan_matmul
from npukbuild.planner.plan import make_plan
from npukbuild.planner.scheme import Scheme
from npukbuild.render import data_folder, render
from npukbuild.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion


def scheme(problem: MatmulProblem, target: str, *layout: object) -> Scheme:
    return Scheme(problem, load_target(target), *layout)  # type: ignore[arg-type]


# Fixed schemes, so that a better search does not change what is pinned here.
MAIN_JOB = scheme(MatmulProblem(64, 64, 512), "npu1", 64, 64, 64, 1, 1, "a")
SMALL_GRID = scheme(MatmulProblem(100, 60, 90, "i8", "i8", "col", 7), "npu2_2col", 16, 16, 48, 2, 4, "", 1)


@pytest.mark.parametrize("laid_out", [MAIN_JOB, SMALL_GRID], ids=["main-job", "small-grid"])
def test_designs_are_pinned(laid_out: Scheme, snapshot: SnapshotAssertion) -> None:
    sources = render(make_plan(laid_out))
    assert sources.design == snapshot(name="design")
    assert sources.kernel.split('"kernel.cc"\n')[1] == snapshot(name="kernel")


def test_rendering_is_deterministic() -> None:
    plan = plan_matmul(MatmulProblem(777, 333, 555, "i8", "i16"), load_target("npu2"))
    assert render(plan) == render(plan)


def test_the_kernel_stands_alone() -> None:
    kernel = render(make_plan(MAIN_JOB)).kernel
    assert set(re.findall(r"#include .*", kernel)) == {"#include <aie_api/aie.hpp>", "#include <type_traits>"}
    lines = kernel.split("\n")
    for index, line in enumerate(lines):
        if match := re.fullmatch(r'#line (\d+) "kernel.cc"', line):
            assert int(match.group(1)) == index + 2
        if match := re.fullmatch(r'#line 1 "kernels_src/(.*)"', line):
            source = (data_folder("kernels_src") / match.group(1)).read_text(encoding="utf-8").split("\n")
            for offset in range(3, 12):
                mine, theirs = lines[index + 1 + offset], source[offset]
                assert mine in ("", theirs)


def test_every_called_function_is_declared_and_defined() -> None:
    for laid_out in (MAIN_JOB, SMALL_GRID):
        sources = render(make_plan(laid_out))
        called = set(re.findall(r"func\.call @(\w+)", sources.design))
        assert called == set(re.findall(r"func\.func private @(\w+)", sources.design))
        assert called == set(re.findall(r"^void (\w+)\(", sources.kernel, re.MULTILINE))
        assert set(re.findall(r'link_with = "(.*?)"', sources.design)) == {"kernel.o"}


@pytest.fixture
def own_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("templates", "kernels_src"):
        shutil.copytree(data_folder(name), tmp_path / name)
    monkeypatch.setenv("NPUKBUILD_DATA_DIR", str(tmp_path))
    renderer._environment.cache_clear()
    yield tmp_path
    renderer._environment.cache_clear()


def _break(file: Path, old: str, new: str) -> int:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("matmul/design.mlir.j2", "{{ stack }}", "{{ stak }}", "stak"),
        ("matmul/design.mlir.j2", "{% endfilter %}", "{% endfiltre %}", "endfiltre"),
        ("macros/fifo.j2", "{{ memref }}", "{{ memref.no_such_thing }}", "no_such_thing"),
        ("matmul/kernel.cc.j2", "{{ m * n }}", "{{ m / 0 }}", "division"),
    ],
)
def test_a_wrong_template_is_named_with_its_line(
    own_templates: Path, file: str, old: str, new: str, words: str
) -> None:
    line = _break(own_templates / "templates" / file, old, new)
    with pytest.raises(RenderError) as caught:
        render(make_plan(SMALL_GRID))
    assert caught.value.where == f"templates/{file}:{line}"
    assert words in str(caught.value.why)


def test_a_missing_template_and_a_missing_source_are_named(own_templates: Path) -> None:
    (own_templates / "kernels_src" / "loops.hpp").unlink()
    with pytest.raises(RenderError, match=r"loops\.hpp"):
        render(make_plan(MAIN_JOB))
    (own_templates / "templates" / "macros" / "fifo.j2").unlink()
    with pytest.raises(RenderError, match=r"macros/fifo\.j2 is missing"):
        render(make_plan(MAIN_JOB))


def test_a_missing_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPUKBUILD_DATA_DIR", str(tmp_path))
    with pytest.raises(RenderError, match="the folder templates is missing"):
        data_folder("templates")
