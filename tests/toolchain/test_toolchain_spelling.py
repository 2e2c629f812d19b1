"""The design is spelled as the release of aiecc reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import DesignError, RequestError
from npukbuild.toolchain.aiecc import aiecc_arguments
from npukbuild.toolchain.spelling import spelled_for
from tests.standins.layout import GOLDEN
from tests.toolchain.aiecc_rig import DESIGN, OBJECT, failed, run, tools

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("machine_without_xrt")


def test_the_python_generation_gets_link_with_on_the_core(tmp_path: Path) -> None:
    toolchain = tools(tmp_path, "python")
    run(toolchain, tmp_path)
    written = (tmp_path / "a" / "design.mlir").read_text()
    assert f'}} {{link_with = "{OBJECT}", stack_size = 3328 : i32}}' in written
    assert "aie.runtime_sequence" in written


def test_without_it_that_generation_fails_as_it_really_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("npukbuild.toolchain.aiecc.spelled_for", lambda text, toolchain: text)
    error = failed(tmp_path, "python")
    assert "no linked object defines it" in (error.why or "")


@pytest.mark.parametrize(
    ("version", "sequence"),
    [
        ("0.0.1.2025100604+abcdef0", "aiex.runtime_sequence"),
        ("1.0", "aiex.runtime_sequence"),
        ("0.0.1.2026010104+abcdef0", "aie.runtime_sequence"),
        ("unknown", "aie.runtime_sequence"),
        ("1.1.1", "aiex.runtime_sequence"),
        ("1.1.3", "aie.runtime_sequence"),
        ("1.2.0", "aie.runtime_sequence"),
    ],
)
def test_the_runtime_sequence_is_spelled_by_release(tmp_path: Path, version: str, sequence: str) -> None:
    toolchain = tools(tmp_path, "python", version=version)
    assert toolchain.mlir_aie_version == version
    assert f"    {sequence} @sequence" in spelled_for(DESIGN, toolchain)


@pytest.mark.parametrize(
    ("version", "linked"),
    [
        ("0.0.1.2026030404+5ff2ab97", True),  # C++ already, and still blind for the function's link_with
        ("0.0.1.2026031304+abcdef0", True),
        ("0.0.1.2026033104+e4f35d6", False),
        ("unknown", True),
        ("1.3.2.dev82+geaa6248", False),
    ],
)
def test_the_first_releases_of_the_cpp_driver_get_link_with_on_the_core_too(
    tmp_path: Path, version: str, linked: bool
) -> None:
    toolchain = replace(tools(tmp_path, "cpp"), mlir_aie_version=version)
    assert (f'}} {{link_with = "{OBJECT}"' in spelled_for(DESIGN, toolchain)) == linked


def test_each_core_gets_the_object_of_the_functions_that_it_calls(tmp_path: Path) -> None:
    toolchain = tools(tmp_path, "python")
    golden = GOLDEN / "G7_chain_ln_softmax_gelu_1024_bf16.mlir"
    spelled = spelled_for(golden.read_text(), toolchain)
    wanted = golden.with_suffix(".corelink.mlir").read_text()
    ends = [line for line in wanted.splitlines() if "} {link_with" in line]
    assert len(ends) == 3
    assert [line for line in spelled.splitlines() if "} {link_with" in line] == ends
    assert spelled_for(wanted, toolchain) == wanted
    two = golden.read_text().replace(
        "call @softmax_bf16", "call @gelu_bf16(%x) : () -> ()\ncall @softmax_bf16"
    )
    with pytest.raises(DesignError, match="one object to a core"):
        spelled_for(two, toolchain)


def test_newer_generations_get_the_design_as_it_is(tmp_path: Path) -> None:
    for generation in ("cpp", "declarative"):
        assert spelled_for(DESIGN, tools(tmp_path / generation, generation)) == DESIGN


def test_braces_in_a_name_and_unknown_schemes_are_refused(tmp_path: Path) -> None:
    toolchain = tools(tmp_path, "cpp")
    with pytest.raises(RequestError):
        aiecc_arguments(toolchain, xclbin="{0}.xclbin")
    with pytest.raises(RequestError):
        aiecc_arguments(toolchain, xclbin="a.xclbin", alloc_scheme="lucky")
