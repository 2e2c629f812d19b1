"""Checking and timing a built kernel, as a user types it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

NAME = "matmul_bf16_16x32x32"
CALL = "npukbuild::multiply<block>(a, b, c);"


def test_smoke_by_name_and_by_folder(world: Path, npukbuild_cli: Callable[..., Any]) -> None:
    said = npukbuild_cli("smoke", NAME, "--device", "simulator", "--iterations", "3")
    assert said.code == 0, said.err
    assert "passed on the simulator" in said.out
    assert "simulated us per call" in said.out
    assert "estimated" in said.out
    report = npukbuild_cli("smoke", f"build/npu1/{NAME}", "--iterations", "2", "--json").json()
    assert report["timing"]["calls"] == 2
    assert report["verdict"]["status"] == "passed"
    assert json.loads((world / "build" / "npu1" / NAME / "verdict.json").read_text()) == report["verdict"]


def test_wrong_numbers_are_an_error_and_cannot_be_published(
    world: Path, npukbuild_cli: Callable[..., Any]
) -> None:
    kernel = world / "build" / "npu1" / NAME / "kernel.cc"
    text = kernel.read_text()
    assert CALL in text
    kernel.write_text(text.replace(CALL, "npukbuild::multiply<block>(a, a, c);"))
    said = npukbuild_cli("smoke", NAME, "--device", "simulator")
    assert said.code == 10
    assert "wrong numbers on the simulator" in said.err
    kernel.write_text(kernel.read_text() + "\n#error not a kernel\n")
    assert npukbuild_cli("smoke", NAME, "--device", "simulator").code == 8
    npukbuild_cli("keys", "new", "me")
    assert npukbuild_cli("publish", f"build/npu1/{NAME}").code == 24


def test_what_is_not_there_is_said(world: Path, npukbuild_cli: Callable[..., Any]) -> None:
    said = npukbuild_cli("smoke", "matmul_bf16_1x1x1")
    assert (said.code, "no artifact" in said.err) == (11, True)
    said = npukbuild_cli("smoke", NAME, "--device", "npu")
    assert said.code == 22
    assert "has no XCLBIN" in said.err
    assert "toolchain install" in said.err


def test_bench_against_an_earlier_run(world: Path, npukbuild_cli: Callable[..., Any]) -> None:
    said = npukbuild_cli("bench", NAME, "--iterations", "3", "--warmup", "0", "--json")
    assert said.code == 0, said.err
    (world / "before.json").write_text(said.out)
    options = (NAME, "--iterations", "3", "--warmup", "0", "--against", "before.json")
    said = npukbuild_cli("bench", *options)
    assert said.code == 0
    assert "same" in said.out
    rows = json.loads((world / "before.json").read_text())
    for name in ("median_us", "min_us"):
        rows[0]["timing"][name] /= 2
    (world / "before.json").write_text(json.dumps(rows))
    said = npukbuild_cli("bench", *options)
    assert said.code == 1
    assert "slower: +100.0%" in said.out
    (world / "before.json").write_text("[1]")
    assert npukbuild_cli("bench", *options).code == 28


def test_a_runner_python_without_pyxrt_is_said(world: Path, npukbuild_cli: Callable[..., Any],
                                               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("NPUKBUILD_PYXRT_PATH", str(world))
    (world / "build" / "npu1" / NAME / "kernel.xclbin").write_bytes(b"x")
    (world / "build" / "npu1" / NAME / "insts.bin").write_bytes(b"x")
    said = npukbuild_cli("smoke", NAME, "--device", "npu", "--runner-python", sys.executable)
    assert said.code == 22
    assert "cannot import pyxrt" in said.err
