"""The objectfifos, links and allocations of a device, as written."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ArrayAttr

from npukbuild.ir.dialects import fifo_ops
from npukbuild.ir.dialects.aie_types import ObjectFifoType
from npukbuild.ir.dialects.base import DesignOp, location_of
from npukbuild.ir.lowering.state import BufferSpec, Fifo, Link, State
from npukbuild.ir.lowering.values import dense_bytes, tile_of, typed

if TYPE_CHECKING:
    from xdsl.ir import Attribute

    from npukbuild.ir.design import Array


def read_fifo(state: State, op: DesignOp, position: int) -> None:
    """Read an ``aie.objectfifo``."""
    del position
    assert isinstance(op, fifo_ops.ObjectFifoOp)
    kind = typed(_unwrapped(op.attributes.get("elemType")), op)
    consumer = op.attributes.get("consumerElemType")
    name = op.sym or ""
    initial = op.attributes.get("initValues", op.attributes.get("init_values"))
    consumers = tuple(tile_of(state, value, op) for value in op.operands[1:])
    layouts = op.data("dimensionsFromStreamPerConsumer") or ()
    fifo = Fifo(
        name=name,
        producer=tile_of(state, op.operands[0], op),
        consumers=consumers,
        depth=op.depths,
        type=kind,
        consumer_type=kind if consumer is None else typed(_unwrapped(consumer), op),
        to_stream=tuple(op.data("dimensionsToStream") or ()),
        from_stream=tuple(layouts) + ((),) * (len(consumers) - len(layouts)),
        pads=tuple(op.data("padDimensions") or ()),
        pad_value=op.number("pad_value") or 0,
        repeat=op.number("repeat_count") or op.number("memtile_repeat"),
        iter_count=op.number("iter_count"),
        initial=_initials(initial, kind),
        via_dma=op.flag("via_DMA"),
        unsynchronized=op.flag("disable_synchronization"),
        stream=op.number("aie_stream"),
        stream_port=op.number("aie_stream_port") or 0,
        via_shared_mem=op.number("via_shared_mem"),
        packet=op.data("packet"),
        loc=location_of(op),
    )
    for known in set(op.attributes) - _FIFO_ATTRIBUTES:
        state.problems.error(f"attribute {known} of an objectfifo is not supported", fifo.loc)
    if op.flag("plio"):
        state.problems.error(f"objectfifo {name} uses plio", fifo.loc, why="an NPU has no programmable logic")
    if name in state.fifos:
        state.problems.error(f"objectfifo {name} is declared twice", fifo.loc)
    state.fifos[name] = fifo


def _unwrapped(kind: Attribute | None) -> Attribute | None:
    inner = getattr(kind, "type", None)
    return kind if isinstance(kind, ObjectFifoType) or inner is None else inner


def _initials(value: Attribute | None, kind: Array) -> tuple[bytes, ...] | None:
    if not isinstance(value, ArrayAttr):
        return None
    return tuple(dense_bytes(item, kind) or b"" for item in value.data)


def read_allocate(state: State, op: DesignOp, position: int) -> None:
    """Read an ``aie.objectfifo.allocate``."""
    del position
    name = op.text("objFifo_name") or ""
    if name in state.delegates:
        state.problems.error(f"objectfifo {name} has more than one allocate", location_of(op))
    state.delegates[name] = tile_of(state, op.operands[0], op)


def read_register(state: State, op: DesignOp, position: int) -> None:
    """Read an ``aie.objectfifo.register_external_buffers``."""
    del position
    name = op.text("objFifo_name") or ""
    tile = tile_of(state, op.operands[0], op)
    specs = state.registered.setdefault((name, tile), [])
    for value in op.operands[1:]:
        spec = state.values.get(value)
        if isinstance(spec, BufferSpec) and spec.external:
            spec.tile = tile
            specs.append(spec)
        else:
            state.problems.error("only an aie.external_buffer can be registered", location_of(op))


def read_links(state: State) -> None:
    """Read the links after all fifos are known."""
    seen: dict[tuple[str, str], object] = {}
    for op in state.device.body.blocks[0].ops:
        if not isinstance(op, fifo_ops.ObjectFifoLinkOp):
            continue
        loc = location_of(op)
        ins, outs = op.names("fifoIns"), op.names("fifoOuts")
        missing = [name for name in ins + outs if name not in state.fifos]
        if missing or not ins or not outs:
            state.problems.error(f"link names no objectfifo {', '.join(missing)}", loc)
            continue
        for side, names in (("input", ins), ("output", outs)):
            for name in names:
                if (side, name) in seen:
                    state.problems.error(f"objectfifo {name} is the {side} of two links", loc)
                seen[side, name] = op
        shared = set(state.fifos[ins[0]].consumers)
        for name in ins[1:]:
            shared &= set(state.fifos[name].consumers)
        shared &= {state.fifos[name].producer for name in outs}
        if len(shared) != 1 or len({state.fifos[name].producer for name in outs}) != 1:
            state.problems.error(
                "a link needs one tile where its inputs end and its outputs begin",
                loc,
                why=f"{', '.join(ins)} and {', '.join(outs)} share none",
            )
            continue
        repeat = next((state.fifos[name].repeat for name in outs if state.fifos[name].repeat), None)
        source, dest = _offsets(state, op, ins, outs)
        state.links.append(Link(ins, outs, source, dest, shared.pop(), repeat, loc))


def _offsets(
    state: State, op: fifo_ops.ObjectFifoLinkOp, ins: tuple[str, ...], outs: tuple[str, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the slices' offsets; the spelling before offsets existed lays them one behind the other."""
    source, dest = op.offsets("src_offsets"), op.offsets("dst_offsets")
    if not op.flag("implied"):
        return source, dest
    if len(ins) > 1:
        source = tuple(accumulate((state.fifos[name].consumer_type.elements for name in ins[:-1]), initial=0))
    elif len(outs) > 1:
        dest = tuple(accumulate((state.fifos[name].type.elements for name in outs[:-1]), initial=0))
    return source, dest


_FIFO_ATTRIBUTES = {
    "sym_name",
    "elemNumber",
    "elemType",
    "consumerElemType",
    "dimensionsToStream",
    "packet",
    "dimensionsFromStreamPerConsumer",
    "padDimensions",
    "pad_value",
    "repeat_count",
    "memtile_repeat",
    "iter_count",
    "initValues",
    "init_values",
    "via_DMA",
    "plio",
    "disable_synchronization",
    "aie_stream",
    "aie_stream_port",
    "via_shared_mem",
    "sym_visibility",
}
