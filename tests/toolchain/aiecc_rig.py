"""A design and a kernel of one core, built and packed with the stand-in tools of each generation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from npukbuild.errors import NpukbuildError
from npukbuild.toolchain import AieccOutputs, BuiltXclbin, Toolchain, build_xclbin, find_toolchain, run_aiecc
from npukbuild.toolchain.aiecc import CoreLimits
from tests.standins.layout import GOLDEN, make_install

DESIGN = (GOLDEN / "G1_matmul_64x64x512_bf16.mlir").read_text()
OBJECT = "mm_bf16_64x64x64.o"
SYMBOL = "mm_bf16_64x64x64"
KERNEL = f'#include <aie_api/aie.hpp>\nextern "C" {{\nvoid {SYMBOL}(float *a) {{\n}}\n}}\n'
LIMITS = CoreLimits(program_bytes=16384, data_bytes=65536, default_stack=1024, static_room=21248)
GENERATIONS = ["python", "cpp", "declarative"]


def tools(tmp_path: Path, generation: str, **options: Any) -> Toolchain:
    found = find_toolchain(make_install(tmp_path / "env", generation, **options))
    assert found is not None
    return found


def build(
    toolchain: Toolchain, tmp_path: Path, *, limits: CoreLimits = LIMITS, text: str = KERNEL, **options: Any
) -> BuiltXclbin:
    (tmp_path / "design.mlir").write_text(DESIGN)
    (tmp_path / "kernel.cc").write_text(text)
    return build_xclbin(
        tmp_path / "design.mlir",
        [tmp_path / "kernel.cc"],
        "mm",
        toolchain=toolchain,
        work=tmp_path / "w",
        arch="aie2",
        symbols=[SYMBOL],
        limits=limits,
        link_name=OBJECT,
        **options,
    )


def run(toolchain: Toolchain, tmp_path: Path, *, timeout: float = 60.0, **options: Any) -> AieccOutputs:
    (tmp_path / OBJECT).write_bytes(b"\0" + SYMBOL.encode() + b"\0")
    return run_aiecc(
        options.pop("design", DESIGN),
        [tmp_path / OBJECT],
        toolchain=toolchain,
        work=tmp_path / "a",
        name="mm",
        limits=LIMITS,
        timeout=timeout,
        **options,
    )


def failed(tmp_path: Path, generation: str, **options: Any) -> NpukbuildError:
    timeout = options.pop("timeout", 60.0)
    toolchain = tools(tmp_path, generation, **options)
    with pytest.raises(NpukbuildError) as caught:
        run(toolchain, tmp_path, timeout=timeout)
    record = json.loads((tmp_path / "a" / "aiecc.step.json").read_text())
    assert record["state"] == "failed"
    return caught.value


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
