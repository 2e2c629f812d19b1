"""Our lowering against the real compiler's memory maps of the golden designs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from npukbuild.ir import load_design
from npukbuild.ir.design import Design, Push, TileId, Wait
from npukbuild.targets import load_target

GOLDEN = Path(__file__).parents[1] / "golden"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "golden.json").read_text())


def golden(name: str) -> Design:
    return load_design((GOLDEN / f"{name}.mlir").read_text(), file=f"{name}.mlir")


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def case(request: pytest.FixtureRequest) -> tuple[dict[str, Any], Design]:
    return EXPECTED[request.param], golden(request.param)


def tile_facts(design: Design, tile: TileId) -> dict[str, Any]:
    """Return a tile's facts in golden.json's form."""
    kind = load_target(design.device).kind(tile.row)
    channels = [channel for channel in design.channels if channel.tile == tile]
    facts: dict[str, Any] = {
        "tile": [tile.column, tile.row],
        "kind": kind,
        "s2mm": sum(channel.direction == "S2MM" for channel in channels),
        "mm2s": sum(channel.direction == "MM2S" for channel in channels),
        "locks": sum(lock.tile == tile for lock in design.locks.values()),
    }
    if kind == "shim":
        pushes = [op for op in design.sequence.operations if isinstance(op, Push) and op.target.tile == tile]
        facts["bd_ids"] = sorted({d.id for push in pushes for d in push.descriptors if d.id is not None})
        return facts
    buffers = [buffer for buffer in design.buffers.values() if buffer.tile == tile]
    stack = design.stacks.get(tile, 0)
    facts["bds"] = sum(len(channel.descriptors) for channel in channels)
    facts["bytes"] = stack + sum(buffer.type.bytes for buffer in buffers)
    facts["buffers"] = sorted(
        ({"name": b.name, "bytes": b.type.bytes, "address": b.address} for b in buffers),
        key=lambda entry: int(entry["address"] or 0),
    )
    if kind == "core":
        ends = [int(entry["address"]) + int(entry["bytes"]) for entry in facts["buffers"]]
        facts["stack"] = stack
        facts["static_room"] = 65536 - max([stack, *ends])
    return facts


def test_every_tile_has_the_compilers_memory_map(case: tuple[dict[str, Any], Design]) -> None:
    expected, design = case
    for tile in expected["tiles"]:
        facts = tile_facts(design, TileId(*tile["tile"]))
        wanted = dict(tile)
        if "buffers" in wanted:
            wanted["buffers"] = sorted(wanted["buffers"], key=lambda entry: entry["address"])
        assert facts == wanted
    assert {(t.column, t.row) for t in design.tiles} == {tuple(t["tile"]) for t in expected["tiles"]}


def test_arguments_transfers_and_kernels_agree(case: tuple[dict[str, Any], Design]) -> None:
    expected, design = case
    operations = design.sequence.operations
    assert design.device == expected["device"]
    assert [[name, str(kind)] for name, kind in design.sequence.arguments] == expected["host_args"]
    assert sum(isinstance(op, Push) for op in operations) == expected["transfers"]
    assert sum(isinstance(op, Wait) for op in operations) == expected["waits"]
    declared = [
        {"symbol": f.name, "args": [str(a) for a in f.arguments], "link_with": f.link_with}
        for f in design.functions.values()
    ]
    assert declared == expected["kernels"]
