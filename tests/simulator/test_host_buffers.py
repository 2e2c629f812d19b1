"""Host buffers whose size the design's types leave open, or understate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from npukbuild.cli import cli
from npukbuild.cli.report import run_guarded
from npukbuild.errors import DesignError, InputError
from npukbuild.simulator import Simulator
from tests.simulator.designs import one_core

if TYPE_CHECKING:
    from collections.abc import Callable

from npukbuild.ir import load_design

MOVES = """
      aiex.npu.dma_memcpy_nd(%X[0,0,0,64][1,1,2,128][0,0,128,1]) {id = 0 : i64, metadata = @x} : TYPE
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,256][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_wait {symbol = @y}
"""
TASKS = """
      %t = aiex.dma_configure_task_for @x { aie.dma_bd(%X : TYPE, 64, 256) aie.end }
      %u = aiex.dma_configure_task_for @y { aie.dma_bd(%Y : memref<256xi32>, 0, 256) aie.end }
        {issue_token = true}
      aiex.dma_start_task(%t)
      aiex.dma_start_task(%u)
      aiex.dma_await_task(%u)
"""


def design(kind: str, sequence: str = MOVES) -> str:
    text = one_core(sequence=sequence.replace("TYPE", kind))
    return text.replace("%X: memref<256xi32>", f"%X: {kind}")


@pytest.fixture
def simulate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, int], tuple[int, str]]:
    monkeypatch.chdir(tmp_path)

    def run(text: str, elements: int) -> tuple[int, str]:
        Path("d.mlir").write_text(text)
        np.save("x.npy", np.arange(elements, dtype=np.int32))
        code = run_guarded(cli, ["simulate", "d.mlir", "--in", "X=x.npy", "--out", "Y=y.npy"])
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize("sequence", [MOVES, TASKS], ids=["transfers", "tasks"])
@pytest.mark.parametrize("kind", ["memref<?xi32>", "memref<*xi32>", "memref<?x16xi32>", "memref<?x7xi32>"])
@pytest.mark.parametrize("elements", [336, 1000])
def test_a_type_that_leaves_the_size_open_takes_what_is_given(
    simulate: Callable[[str, int], tuple[int, str]], kind: str, sequence: str, elements: int
) -> None:
    code, said = simulate(design(kind, sequence), elements)
    assert code == 0, said
    assert (np.load("y.npy") == np.arange(64, 320)).all()


def test_a_buffer_that_is_too_small_for_its_transfers(
    simulate: Callable[[str, int], tuple[int, str]],
) -> None:
    code, said = simulate(design("memref<?xi32>"), 319)
    assert code == InputError.exit_code
    assert "x.npy has 319 elements" in said
    assert "the transfers of X reach 320" in said


def test_a_library_caller_may_give_a_larger_array_only_where_the_size_is_open() -> None:
    opened = load_design(design("memref<?xi32>"))
    assert opened.sequence.sized == ("X",)
    assert opened.sequence.arguments[0][1].elements == 320
    y = np.zeros(256, np.int32)
    Simulator(opened).run([np.arange(400, dtype=np.int32), y])
    assert (y == np.arange(64, 320)).all()
    with pytest.raises(InputError, match="host arrays do not fit"):
        Simulator(opened).run([np.arange(319, dtype=np.int32), y])
    with pytest.raises(InputError, match="host arrays do not fit"):
        Simulator(load_design(one_core())).run([np.arange(400, dtype=np.int32), y])


def test_a_type_that_understates_the_size(simulate: Callable[[str, int], tuple[int, str]]) -> None:
    code, said = simulate(design("memref<256xi32>"), 512)
    assert code == 0, said
    assert "X is memref<256xi32>, and its transfers reach element 319" in said
    assert (np.load("y.npy") == np.arange(64, 320)).all()
    code, said = simulate(design("memref<256xi32>"), 256)
    assert code == DesignError.exit_code
    assert "transfer reaches past the end of X" in said
    assert "hint: if the host's buffer is larger, say so in the argument's type: memref<320xi32>" in said
    code, said = simulate(design("memref<256xi32>"), 300)
    assert code == DesignError.exit_code
    assert "element 319 of a buffer of 300" in said


def test_a_larger_file_is_still_wrong_where_the_type_is_right(
    simulate: Callable[[str, int], tuple[int, str]],
) -> None:
    code, said = simulate(design("memref<320xi32>"), 512)
    assert code == InputError.exit_code
    assert "x.npy has shape 512" in said


def test_only_the_first_dimension_may_be_open() -> None:
    with pytest.raises(DesignError, match="only the first dimension may be dynamic"):
        load_design(design("memref<4x?xi32>"))


def test_a_task_on_an_open_buffer_needs_a_length() -> None:
    with pytest.raises(DesignError, match=r"aie\.dma_bd needs a length"):
        load_design(design("memref<?xi32>", TASKS.replace("TYPE, 64, 256", "TYPE")))
