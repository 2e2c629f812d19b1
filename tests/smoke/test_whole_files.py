"""Several results of one command: all of them, or none."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pytest

from npukbuild.cli import cli
from npukbuild.cli.report import run_guarded
from npukbuild.errors import DiskFullError, FolderError
from npukbuild.smoke.arrays import array_writer
from npukbuild.smoke.whole_files import write_together
from tests.small_disk import small_disk

if TYPE_CHECKING:
    from collections.abc import Callable

TWO_OUTPUTS = """module {
  aie.device(npu1_1col) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    aie.objectfifo @x(%shim, {%mem}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @y(%mem, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo.link [@x] -> [@y] ([] [])
    aie.runtime_sequence @sequence(%X: memref<8192xi32>, %Y: memref<8192xi32>, %Z: memref<8192xi32>) {
     aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,8192][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<8192xi32>
     aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,8192][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<8192xi32>
     aiex.npu.dma_wait {symbol = @y}
     aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,8192][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<8192xi32>
     aiex.npu.dma_memcpy_nd(%Z[0,0,0,0][1,1,1,8192][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<8192xi32>
     aiex.npu.dma_wait {symbol = @y}
    }
  }
}
"""


def text(what: bytes) -> Callable[[IO[bytes]], None]:
    def write(file: IO[bytes]) -> None:
        file.write(what)

    return write


def simulate(folder: Path, disk: Path) -> int:
    np.save(folder / "x.npy", np.arange(8192, dtype=np.int32))
    (folder / "two.mlir").write_text(TWO_OUTPUTS)
    words = ["two.mlir", "--in", "X=x.npy"]
    outputs = ["--out", f"Y={disk / 'y.npy'}", "--out", f"Z={disk / 'z.npy'}"]
    with contextlib.chdir(folder):
        return run_guarded(cli, ["simulate", *words, *outputs])


@pytest.mark.parametrize("size", ["size=32k", "size=64k"], ids=["in the first", "in the second"])
def test_a_disk_that_fills_up_leaves_the_older_results_of_a_simulation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: str
) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        for name in ("y.npy", "z.npy"):
            (disk / name).write_bytes(b"older")
        code = simulate(tmp_path, disk)
        said = capsys.readouterr().err
        assert code == DiskFullError.exit_code, said
        assert "cannot write" in said
        assert "none of the results was written" in said
        assert {path.name: path.read_bytes() for path in disk.iterdir()} == {
            "y.npy": b"older",
            "z.npy": b"older",
        }


def test_a_disk_with_room_gets_all_results(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=256k") as disk:
        assert simulate(tmp_path, disk) == 0
        for name in ("y.npy", "z.npy"):
            assert (np.load(disk / name) == np.arange(8192)).all()
        assert sorted(path.name for path in disk.iterdir()) == ["y.npy", "z.npy"]


def test_an_array_that_is_cut_by_the_disk_is_no_result(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=16k") as disk:
        with pytest.raises(DiskFullError, match=r"cannot write .*b\.npy"):
            write_together(
                {disk / "a.npy": array_writer(np.zeros(8)), disk / "b.npy": array_writer(np.zeros(4096))}
            )
        assert list(disk.iterdir()) == []


def test_a_folder_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"older")
    with pytest.raises(FolderError, match=r"cannot write .*nosuch"):
        write_together({tmp_path / "a": text(b"new"), tmp_path / "nosuch" / "b": text(b"new")})
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"older")]


def test_a_name_that_is_taken_by_a_folder_tells_what_is_new_already(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(FolderError, match="cannot write") as caught:
        write_together({tmp_path / "a": text(b"new"), tmp_path / "b": text(b"new")})
    assert caught.value.details == (f"{tmp_path / 'a'} is new already",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_files_get_the_rights_that_others_would(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_together({tmp_path / "a": text(b"new")})
    assert Path(tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
