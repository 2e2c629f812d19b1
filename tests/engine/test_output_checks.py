"""What aiecc made is held against the design; what a newer compiler adds is a note."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from npukbuild.engine.xclbin_checks import OutputChecks
from npukbuild.errors import ContainerError

GOLDEN = Path(__file__).parents[1] / "golden"
NAME = "G1_matmul_64x64x512_bf16"


def checks() -> OutputChecks:
    return OutputChecks((GOLDEN / f"{NAME}.mlir").read_text(), "design.mlir")


def stream_of(name: str) -> bytes:
    return (GOLDEN / f"{name}.insts.bin").read_bytes()


def test_the_designs_own_stream_passes_without_a_word() -> None:
    held = checks()
    held.stream(stream_of(NAME))
    assert held.notes == []


def test_the_stream_of_another_design_is_refused() -> None:
    with pytest.raises(ContainerError, match="not this design's"):
        checks().stream(stream_of("G2_matmul_128x512x512_bf16"))


def test_an_operation_of_a_newer_compiler_is_a_note() -> None:
    words = list(struct.unpack(f"<{len(stream_of(NAME)) // 4}I", stream_of(NAME)))
    words[2] += 1
    words[3] += 4
    words.append(77)
    held = checks()
    held.stream(struct.pack(f"<{len(words)}I", *words))
    assert len(held.notes) == 1
    assert "not held against the design" in held.notes[0]
