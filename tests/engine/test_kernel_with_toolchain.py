"""The XCLBIN as an action, with stand-ins for Peano and aiecc, and what a person sees on a terminal."""

from __future__ import annotations

import json
import os
import pty
import sys
from typing import TYPE_CHECKING

from tests.engine.test_build_command import MANIFEST, Place
from tests.standins.layout import make_install

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MAIN = ("matmul", "--m", "64", "--n", "512")


def test_the_xclbin_is_built_kept_and_explained(tmp_path: Path) -> None:
    place = Place(tmp_path / "place")
    for generation in ("cpp", "declarative"):
        make_install(tmp_path / generation, generation)
    assert "not installed" in place(*MAIN).stdout

    old = {"NPUKBUILD_MLIR_AIE": str(tmp_path / "cpp")}
    assert "xclbin  kernel.xclbin" in place(*MAIN, more=old).stdout
    folder = place.folder / "build/npu1/matmul_bf16_64x64x512"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["producer"]["toolchain"]["mlir_aie"] == "1.3.4"
    assert {"kernel.xclbin", "insts.bin"} <= set(manifest["files"])
    verdict = json.loads((folder / "verdict.json").read_text())
    assert set(verdict["subject"]) == {"design.mlir", "kernel.cc"}, "the simulator did not run the XCLBIN"
    first = (folder / "kernel.xclbin").read_bytes()

    assert "up to date" in place("why", "matmul_bf16_64x64x512", more=old).stdout
    new = {"NPUKBUILD_MLIR_AIE": str(tmp_path / "declarative")}
    said = place("why", "matmul_bf16_64x64x512", more=new).stdout
    assert "would be built now: toolchain 1.3.4 -> 1.4.2" in said

    place(*MAIN, more=new)
    place(*MAIN, more=old)
    assert (folder / "kernel.xclbin").read_bytes() == first, "the same inputs give the same bytes"


def test_a_required_toolchain_that_is_missing(tmp_path: Path) -> None:
    place = Place(tmp_path / "place")
    done = place("build", "kernels.toml", "--require-xclbin", code=14)
    assert "npukbuild toolchain install" in done.stderr


def test_the_live_display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path / "place")
    (place.folder / "kernels.toml").write_text(MANIFEST)
    words = [sys.executable, "-m", "npukbuild", "build", "kernels.toml"]
    environment = {**place.environment, "TERM": "xterm", "COLUMNS": "90", "LINES": "20"}
    environment.pop("CI", None)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(place.folder)
        os.execve(words[0], words, environment)
    shown = b""
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:
            break
        shown += part
        if not part:
            break
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)
    text = shown.decode()
    assert "host-compile npu1/matmul_bf16" in text
    assert "0 of 2 kernels" in text
    assert "left" in text
    assert "2 kernels: 2 built, 0 hit, 0 failed" in text
    assert all(
        len(line) <= 90
        for line in text.replace("\x1b[2K", "\r").replace("\r", "\n").splitlines()
        if "\x1b" not in line
    )
