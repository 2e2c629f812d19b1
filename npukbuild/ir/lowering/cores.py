"""Cores: the program region, what its fifo operations mean, what its values name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.ir.design import Core, FifoEnd
from npukbuild.ir.dialects import fifo_ops
from npukbuild.ir.dialects.base import attribute_text, location_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npukbuild.ir.design import Buffer, TileId
    from npukbuild.ir.lowering.state import End, State


def lower_cores(state: State, placed: Mapping[str, Buffer]) -> dict[TileId, Core]:
    """Return every core with the fifo ends that its operations use."""
    values = _values(state, placed)
    found: dict[TileId, Core] = {}
    for tile, op in sorted(state.cores.items()):
        used = {(inner.fifo, inner.port) for inner in op.body.walk() if isinstance(inner, fifo_ops.FifoUseOp)}
        ends = {}
        for name, port in sorted(used):
            end = end_at(state, tile, name, port)
            if end is not None:
                ends[name, port] = _fifo_end(end, port, tile)
        found[tile] = Core(
            tile,
            op.body,
            state.stacks[tile],
            _objects(op),
            ends,
            values,
            op.text("elf_file"),
            location_of(op),
        )
    return found


def end_at(state: State, tile: TileId, name: str, port: str) -> End | None:
    """Return the end of a fifo that a core on ``tile`` uses through ``port``."""
    role = "produce" if port == "Produce" else "consume"
    for end in state.ends:
        if end.fifo.name != name:
            continue
        if end.role == "both":
            at = end.fifo.producer if role == "produce" else end.fifo.consumers[0]
            if at == tile:
                return end
        elif end.role == role and end.tile == tile:
            return end
    return None


def _fifo_end(end: End, port: Any, tile: TileId) -> FifoEnd:
    locks = [lock.name for lock in end.locks[:2]]
    prod, cons = (locks[0], locks[1]) if locks else (None, None)
    scale = (end.fifo.repeat or 1) if port == "Produce" else 1
    return FifoEnd(
        end.fifo.name,
        port,
        tile,
        end.type,
        tuple(spec.name for spec in end.buffers),
        prod,
        cons,
        scale,
        end.loc,
    )


def _objects(op: Any) -> tuple[str, ...]:
    single = op.text("link_with")
    several = op.attributes.get("link_files")
    found = [single] if single else []
    for item in getattr(several, "data", ()):
        text = attribute_text(item)
        if text and text not in found:
            found.append(text)
    return tuple(found)


def _values(state: State, placed: Mapping[str, Buffer]) -> dict[Any, Any]:
    locks = {lock.name: lock for lock in state.locks}
    return {
        value: locks[meaning] if isinstance(meaning, str) else placed[meaning.name]
        for value, meaning in state.values.items()
    }
