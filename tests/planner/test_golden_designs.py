"""The planner's arithmetic, placement, layouts and sequences against designs that the real tools accepted."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from npukbuild.kernels.matmul import MatmulProblem
from npukbuild.planner.layout import a_dims, b_dims, c_dims
from npukbuild.planner.limits import tile_uses
from npukbuild.planner.memory import core_items, l1_bytes, l2_bytes, static_room
from npukbuild.planner.plan import make_plan
from npukbuild.planner.scheme import STACK_BYTES, Scheme
from npukbuild.render import render
from npukbuild.targets import load_target

GOLDEN = Path(__file__).parents[1] / "golden"


@cache
def golden() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))
    return data


def scheme(problem: MatmulProblem, target: str, *layout: Any) -> Scheme:
    return Scheme(problem, load_target(target), *layout)


SAME_DESIGN = {
    "G1_matmul_64x64x512_bf16": scheme(MatmulProblem(64, 64, 512), "npu1_1col", 64, 64, 64, 1, 1, "a"),
    "G2_matmul_128x512x512_bf16": scheme(MatmulProblem(128, 512, 512), "npu1_1col", 32, 64, 64, 1, 4),
    "G3b_matmul_3008x512x512_bf16_onetask": scheme(MatmulProblem(3008, 512, 512), "npu1", 16, 64, 128, 4, 4),
    "G3c_matmul_3072x512x512_bf16": scheme(MatmulProblem(3072, 512, 512), "npu1", 48, 64, 64, 4, 4),
    "G4_matmul_512x512x512_i8_npu1": scheme(MatmulProblem(512, 512, 512, "i8"), "npu1", 64, 64, 64, 4, 4),
    "G4b_matmul_512x512x512_i8_npu2": scheme(MatmulProblem(512, 512, 512, "i8"), "npu2", 64, 64, 64, 8, 4),
}


@pytest.mark.parametrize("name", SAME_DESIGN)
def test_tiles_use_what_the_golden_design_uses(name: str) -> None:
    mine = SAME_DESIGN[name]
    tiles = golden()[name]["tiles"]
    uses = tile_uses(mine)
    for use in uses[:-1]:
        (tile,) = (one for one in tiles if one["tile"][0] == use.column and one["kind"] == use.kind)
        assert (use.s2mm, use.mm2s, use.locks) == (tile["s2mm"], tile["mm2s"], tile["locks"])
        if use.kind == "mem":
            assert use.bds == tile["bds"]
    cores = [one for one in tiles if one["kind"] == "core"]
    assert len(cores) == mine.cores
    assert {one["bytes"] for one in cores} == {l1_bytes(mine)}
    assert {one["bds"] for one in cores} == {uses[-1].bds}
    assert max(one["bytes"] for one in tiles if one["kind"] == "mem") == l2_bytes(mine)


@pytest.mark.parametrize("name", SAME_DESIGN)
def test_the_room_for_constants_is_what_the_real_placement_leaves(name: str) -> None:
    mine = SAME_DESIGN[name]
    core = mine.target.core
    sizes = [item.bytes for item in core_items(mine) for _ in range(item.count)]
    room = {one["static_room"] for one in golden()[name]["tiles"] if one["kind"] == "core"}
    assert room == {static_room(sizes, STACK_BYTES, core.data_bytes, core.banks)}


def test_placement_falls_back_to_packing() -> None:
    # Three buffers of 17 KB fit no 16 KB bank; packed they leave what the sum leaves.
    assert static_room([17_408] * 3, 3328, 65_536, 4) == 65_536 - 3328 - 3 * 17_408
    assert static_room([16_384] * 3, 3328, 65_536, 4) == 0, "the highest bank is full"
    assert static_room([40_000, 30_000], 0, 65_536, 4) < 0


@pytest.mark.parametrize("name", SAME_DESIGN)
def test_layouts_are_the_golden_ones(name: str) -> None:
    mine = SAME_DESIGN[name]
    text = (GOLDEN / f"{name}.mlir").read_text(encoding="utf-8")
    for dims in (a_dims(mine), b_dims(mine), c_dims(mine)):
        spelled = ", ".join(f"<size = {size}, stride = {stride}>" for size, stride in dims)
        assert f"dimensionsToStream [{spelled}]" in text


def _transfers(text: str) -> list[str]:
    """Transfers and waits with fifo names of one spelling and unused strides set to 0."""
    found = []
    for line in re.findall(r"aiex\.npu\.dma_.*", text):
        match = re.search(r"\]\[([\d, ]+)\]\[([\d, ]+)\]\)", line)
        if match:
            sizes, strides = (group.split(", ") for group in match.groups())
            used = [stride if size != "1" else "0" for size, stride in zip(sizes, strides, strict=True)]
            line = line.replace(f"][{match.group(2)}])", f"][{', '.join(used)}])")
        found.append(re.sub(r"@([abc])(_l\d)", r"@\g<1>0\g<2>", line))
    return found


@pytest.mark.parametrize("name", ["G3b_matmul_3008x512x512_bf16_onetask", "G4_matmul_512x512x512_i8_npu1"])
def test_the_sequence_is_the_golden_one(name: str) -> None:
    text = (GOLDEN / f"{name}.mlir").read_text(encoding="utf-8")
    assert _transfers(render(make_plan(SAME_DESIGN[name])).design) == _transfers(text)


@pytest.mark.parametrize("name", ["G1_matmul_64x64x512_bf16", "G2_matmul_128x512x512_bf16"])
def test_the_sequence_moves_what_the_golden_one_moves(name: str) -> None:
    # Here C goes first and A or B may be spelled as the same walk with other dimensions.
    text = (GOLDEN / f"{name}.mlir").read_text(encoding="utf-8")
    mine, theirs = (
        sorted(re.sub(r"id = \d+", "", line) for line in _transfers(one))
        for one in (render(make_plan(SAME_DESIGN[name])).design, text)
    )
    assert mine == theirs


@pytest.mark.parametrize("name", SAME_DESIGN)
def test_core_programs_are_spelled_like_the_golden_ones(name: str) -> None:
    mine = render(make_plan(SAME_DESIGN[name])).design
    text = (GOLDEN / f"{name}.mlir").read_text(encoding="utf-8")
    assert _core_shape(mine) == _core_shape(text)


def _core_shape(text: str) -> list[str]:
    """Operations of the cores without the names of what they work on."""
    lines = re.findall(
        r"^ *(?:scf\.for|func\.call|aie\.objectfifo\.(?:release)|%\w+ = aie\.\w+).*$", text, re.MULTILINE
    )
    bare = [re.sub(r"[%@]\w+|\"\w+\"", "", line).replace("(memref", " (memref") for line in lines]
    return [re.sub(r"\s+", " ", line).strip() for line in bare if "aie.tile" not in line]
