"""A second, tiny reader of the golden designs: only what their runtime sequences say.

It is independent of ``npukbuild.ir``: the instruction-stream code is tested against it, and against the
real reader.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType

from npukbuild.ir.design import (
    Allocation,
    Array,
    Descriptor,
    Design,
    Dim,
    Location,
    Push,
    Sequence,
    SequenceOp,
    TileId,
    Wait,
)

GOLDEN = Path(__file__).parent.parent / "golden"
NAMES = sorted(path.name.removesuffix(".insts.bin") for path in GOLDEN.glob("*.insts.bin"))

_TILE = re.compile(r"(%\w+) = aie\.tile\((\d+), (\d+)\)")
_FIFO = re.compile(r"aie\.objectfifo @(\w+)\((%\w+)[^,]*?(?: dimensionsToStream \[.*?\])?, \{(.*?)\},")
_ARGUMENT = re.compile(r"%(\w+): (memref<[^>]+>)")
_COPY = re.compile(
    r"dma_memcpy_nd\(%(\w+)\[([^\]]*)\]\[([^\]]*)\]\[([^\]]*)\]\) "
    r"\{id = (\d+) : i64, metadata = @(\w+)(?:, issue_token = (true))?"
)
_WAIT = re.compile(r"dma_wait \{symbol = @(\w+)\}")


def read_sequence(name: str) -> Design:
    """Read a golden design's device, shim channels and runtime sequence."""
    text = (GOLDEN / f"{name}.mlir").read_text()
    device = re.search(r"aie\.device\((\w+)\)", text)
    head = re.search(r"runtime_sequence @(\w+)\((.*)\)", text)
    assert device is not None
    assert head is not None
    arguments = tuple((arg, _array(kind)) for arg, kind in _ARGUMENT.findall(head[2]))
    allocations = _allocations(text)
    operations: list[SequenceOp] = []
    for number, line in enumerate(text.splitlines(), 1):
        if copy := _COPY.search(line):
            operations.append(_push(copy, allocations, Location(number)))
        elif wait := _WAIT.search(line):
            target = allocations[wait[1]]
            operations.append(Wait(target.tile, target.direction, target.channel, loc=Location(number)))
    sequence = Sequence(head[1], arguments, tuple(operations))
    empty: MappingProxyType[str, object] = MappingProxyType({})
    return Design(
        device[1], "main", (), empty, empty, (), (), empty, empty, allocations,  # type: ignore[arg-type]
        {sequence.name: sequence},
    )  # fmt: skip


def _array(kind: str) -> Array:
    *shape, element = kind.removeprefix("memref<").removesuffix(">").split("x")
    return Array(element, tuple(map(int, shape)))


def _allocations(text: str) -> dict[str, Allocation]:
    """Give each shim end of a fifo the lowest free channel, in the order of the text."""
    tiles = {name: TileId(int(column), int(row)) for name, column, row in _TILE.findall(text)}
    used: dict[tuple[TileId, str], int] = {}
    found = {}
    for name, producer, consumers in _FIFO.findall(text):
        ends = [(producer, "MM2S"), *((c, "S2MM") for c in re.findall(r"%\w+", consumers))]
        for end, direction in ends:
            tile = tiles[end]
            if tile.row == 0:
                channel = used.get((tile, direction), 0)
                used[tile, direction] = channel + 1
                found[name] = Allocation(name, tile, direction, channel)  # type: ignore[arg-type]
    return found


def _push(copy: re.Match[str], allocations: dict[str, Allocation], loc: Location) -> Push:
    offsets, sizes, strides = ([int(part) for part in copy[group].split(",")] for group in (2, 3, 4))
    target = allocations[copy[6]]
    descriptor = Descriptor(
        buffer=copy[1],
        offset=sum(o * t for o, t in zip(offsets, strides, strict=True)),
        length=sizes[1] * sizes[2] * sizes[3],
        dims=()
        if sizes[1:3] == [1, 1] and strides[1:] == [0, 0, 1]
        else tuple(Dim(s, t) for s, t in zip(sizes[1:], strides[1:], strict=True)),
        id=int(copy[5]),
    )
    return Push(
        target,
        (descriptor,),
        repeat=sizes[0] - 1,
        iteration=Dim(sizes[0], strides[0]) if sizes[0] > 1 and strides[0] else None,
        token=target.direction == "S2MM" or copy[7] is not None,
        loc=loc,
    )
