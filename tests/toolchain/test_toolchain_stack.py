"""The stack of each core: raised where there is room, refused with the numbers where not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import ResourceError
from npukbuild.toolchain.spelling import smallest_stack, with_stack
from tests.standins.layout import GOLDEN
from tests.toolchain.aiecc_rig import DESIGN, KERNEL, SYMBOL, build, tools

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("machine_without_xrt")


def test_the_stack_is_raised_when_there_is_room(tmp_path: Path) -> None:
    built = build(
        tools(tmp_path, "declarative"), tmp_path, text=KERNEL + f"// standin: frame {SYMBOL} 5000\n"
    )
    assert built.stack_raised
    assert built.stack_size == 5312
    assert "stack_size = 5312 : i32" in built.aiecc.design.read_text()
    assert any("raised to 5312" in note for note in built.notes)


def test_a_stack_without_room_is_refused_with_the_numbers(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        build(tools(tmp_path, "declarative"), tmp_path, text=KERNEL + f"// standin: frame {SYMBOL} 30000\n")
    assert caught.value.why == (
        "they need 30272 bytes with the margin, stack_size is 3328, and only 21248 bytes are free to raise it"
    )
    assert caught.value.where == SYMBOL


def test_constants_that_do_not_fit_are_refused_before_the_link(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="constants do not fit"):
        build(tools(tmp_path, "declarative"), tmp_path, text=KERNEL + "// standin: data 30000\n")
    assert not (tmp_path / "w" / "a").exists()


def test_an_enough_stack_is_left_alone(tmp_path: Path) -> None:
    built = build(
        tools(tmp_path, "declarative"), tmp_path, text=KERNEL + f"// standin: frame {SYMBOL} 3000\n"
    )
    assert (built.stack_raised, built.stack_size) == (False, 3328)
    assert built.aiecc.design.read_text() == DESIGN


def test_every_core_of_a_golden_design_gets_its_stack() -> None:
    for path in sorted(GOLDEN.glob("G*.mlir")):
        text = path.read_text()
        raised = with_stack(text, 9984, 1024)
        assert smallest_stack(raised, 1024) == 9984, path.name
        assert with_stack(text, 64, 1024) == text
        assert raised.count("aie.core(") == raised.count("stack_size = 9984 : i32"), path.name


def test_a_core_without_attributes_gets_them() -> None:
    text = "aie.core(%t) {\n  // a brace } in a comment\n  aie.end\n}\n"
    text += 'aie.core(%u) {aie.end} {link_with = "a}.o"}\n'
    assert smallest_stack(text, 1024) == 1024
    raised = with_stack(text, 2048, 1024)
    assert "}\n" in raised
    assert raised.count("stack_size = 2048 : i32") == 2
    assert '{stack_size = 2048 : i32, link_with = "a}.o"}' in raised
