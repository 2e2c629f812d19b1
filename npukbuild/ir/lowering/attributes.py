"""Attributes of operations: each has its effect, is known to change no result, or is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.ir.dialects import dma_ops
from npukbuild.ir.dialects.base import DesignOp, location_of
from npukbuild.targets.dma_registers import dma_registers

if TYPE_CHECKING:
    from xdsl.ir import Block

    from npukbuild.ir.lowering.state import State

_ANYWHERE = {
    "sym_visibility",  # a symbol's linkage: nothing outside the design refers to it
    "operandSegmentSizes",  # how the quoted generic form counts operands
    "resultSegmentSizes",
}


def _operands(*names: str) -> set[str]:
    """Return the attributes of values that stand as numbers or as operands (their places)."""
    return {*names, *(f"{name}_operand" for name in names)}


_OLD_FIELDS = {f"{dim}_{what}" for dim in ("d0", "d1", "d2", "iteration") for what in ("stepsize", "wrap")}
"""Names of ``npu.writebd`` before 2024-03, refused where they are not 0."""

_READ = {
    "aie.bd_chain": {"sym_name"},
    "aie.buffer": {"sym_name", "address", "mem_bank", "initial_value"},
    "aie.cascade_flow": set(),
    "aie.configure_cascade": {"inputDir", "outputDir"},
    "aie.core": {"stack_size", "link_with", "link_files", "elf_file"},
    "aie.device": {"device", "sym_name"},
    "aie.dma": {"channel_dir", "channel_index", "loop", "repeat_count"},
    "aie.dma_bd": {
        "offset",
        "len",
        "dimensions",
        "pad_dimensions",
        "pad_value",
        "bd_id",
        "next_bd_id",  # see _check_next_id
        "packet",
        "offset_operand",
        "len_operand",
        "pad_value_operand",
    },
    "aie.dma_bd_packet": {"packet_type", "packet_id"},
    "aie.dma_start": {"channel_dir", "channel_index", "repeat_count"},
    "aie.end": set(),
    "aie.external_buffer": {"sym_name"},
    "aie.flow": {"source_bundle", "source_channel", "dest_bundle", "dest_channel"},
    "aie.lock": {"sym_name", "lockID", "init"},
    "aie.logical_tile": {"tile_type", "col", "row"},
    "aie.mem": set(),
    "aie.memtile_dma": set(),
    "aie.next_bd": set(),
    "aie.objectfifo.acquire": {"objFifo_name", "port", "size"},
    "aie.objectfifo.allocate": {"objFifo_name"},
    "aie.objectfifo.link": {"fifoIns", "fifoOuts", "src_offsets", "dst_offsets", "implied"},
    "aie.objectfifo.register_external_buffers": {"objFifo_name"},
    "aie.objectfifo.release": {"objFifo_name", "port", "size"},
    "aie.objectfifo.subview.access": {"index"},
    "aie.packet_dest": {"bundle", "channel"},
    "aie.packet_flow": {"ID", "keep_pkt_header"},
    "aie.packet_source": {"bundle", "channel"},
    "aie.runtime_sequence": {"sym_name"},
    "aie.shim_dma": set(),
    "aie.shim_dma_allocation": {"sym_name", "channel_dir", "channel_index", "col"},
    "aie.tile": {"col", "row"},
    "aie.use_lock": {"action", "value", "blocking", "acq_en"},
    "aiex.dma_await_task": set(),
    "aiex.dma_configure_task": {"direction", "channel", "issue_token", "repeat_count", "packet"},
    "aiex.dma_configure_task_for": {"alloc", "issue_token", "repeat_count", "packet"},
    "aiex.dma_free_task": set(),
    "aiex.dma_start_bd_chain": {"chain", "direction", "channel", "issue_token", "repeat_count"},
    "aiex.dma_start_bd_chain_for": {"chain", "alloc", "issue_token", "repeat_count"},
    "aiex.dma_start_task": set(),
    "aiex.npu.dma_memcpy_nd": {
        "id",
        "metadata",
        "offsets",
        "sizes",
        "strides",
        "static_offsets",
        "static_sizes",
        "static_strides",
        "issue_token",
        "packet",
        *(f"d{dim}_zero_{side}" for dim in range(3) for side in ("before", "after")),
    },
    "aiex.npu.dma_wait": {"symbol"},
    "aiex.runtime_sequence": {"sym_name"},
    "aiex.set_lock": {"value"},
    "aiex.npu.address_patch": {"addr", "arg_idx", "arg_plus"},
    "aiex.npu.blockwrite": {"address", "buffer", "column", "row"},
    "aiex.npu.maskwrite32": {*_operands("address", "value", "mask"), "buffer", "column", "row"},
    "aiex.npu.preempt": set(),
    "aiex.npu.push_queue": {
        *_operands("bd_id", "repeat_count"),
        "column",
        "row",
        "direction",
        "channel",
        "issue_token",
    },
    "aiex.npu.rtp_write": {*_operands("index", "value"), "buffer", "buffer_sym_name"},
    "aiex.npu.sync": _operands("column", "row", "direction", "channel", "column_num", "row_num"),
    "aiex.npu.write32": {*_operands("address", "value"), "buffer", "column", "row"},
    "aiex.npu.writebd": {
        "column",
        "row",
        "bd_id",
        "ddr_id",
        "column_num",  # see check_attributes
        "row_num",
        *_OLD_FIELDS,
        *(field for kind in ("core", "mem", "shim") for field in dma_registers(kind).fields),
    },
    "aiex.control_packet": {"address", "data", "opcode"},
    "aiex.configure": {"symbol"},
    "aiex.run": {"runtime_sequence_symbol"},
    "aiex.npu.load_pdi": {"device_ref", "id"},
    "aie.switchbox": set(),
    "aie.shim_mux": set(),
    "aie.connect": {"source_bundle", "source_channel", "dest_bundle", "dest_channel"},
    "aie.amsel": {"arbiterID", "msel"},
    "aie.masterset": {"dest_bundle", "dest_channel", "keep_pkt_header"},
    "aie.packet_rules": {"source_bundle", "source_channel"},
    "aie.rule": {"mask", "value"},
    "aie.wire": set(),
    "aie.event": {"val"},
    "aie.get_cascade": set(),
    "aie.get_stream": set(),
    "aie.put_cascade": set(),
    "aie.put_stream": set(),
    "aie.trace": {"sym_name"},
    "aie.trace.config": {"sym_name"},
    "aie.trace.host_config": set(),
    "aie.trace.start_config": {"trace_config"},
    "vector.arith": {"of", "predicate"},
    "vector.contract": {"indexing_maps", "iterator_types", "kind"},
    "vector.shape_cast": set(),
    "vector.transpose": {"permutation"},
    "index.cmp": {"predicate"},
    "index.constant": {"value"},
}
"""Attributes with an effect, per operation; operations that are not here have none."""

_OWN_CHECK = ("aie.objectfifo",)
"""Operations whose reader checks their attributes."""

_HARMLESS = {
    "aie.core": {
        "dynamic_objfifo_lowering",  # how the compiler picks an object's buffer, not which one it picks
    },
    "aie.dma_bd": {
        "burst_length",  # size of the shim's requests to memory; the times assume the default, the longest
        "axcache",  # hints to the memory interconnect behind the shim
        "axqos",
    },
    "aie.packet_flow": {"priority_route"},  # which flow the router places first
    "aie.shim_dma_allocation": {"plio"},  # false on every NPU
    "aie.tile": {"controller_id"},  # the id of the packets that tell of the tile's completed tasks
    "aiex.npu.dma_memcpy_nd": {"burst_length"},
    "aiex.npu.preempt": {"level"},
    "aiex.npu.writebd": {"burst_length"},
    "aiex.npu.load_pdi": {"size", "address"},  # of the file in host memory
    "aiex.control_packet": {"stream_id", "length"},  # of the answer to a read
}
"""Attributes that change neither what a design computes nor whether it hangs, and why."""


def check_attributes(state: State) -> None:
    """Refuse every attribute that would be read over, by its operation's name and line."""
    for op in state.device.body.walk():
        if not isinstance(op, DesignOp) or op.name in _OWN_CHECK:
            continue
        known = _READ.get(op.name, set()) | _HARMLESS.get(op.name, set()) | _ANYWHERE
        for name in sorted(op.attributes.keys() - known):
            state.problems.error(f"attribute {name} of {op.name} is not supported", location_of(op))
        if isinstance(op, dma_ops.DmaBdOp) and "next_bd_id" in op.attributes:
            _check_next_id(state, op)
        for name in ("column_num", "row_num"):
            if op.name == "aiex.npu.writebd" and op.number(name) not in (None, 1):
                state.problems.error(
                    f"{name} = {op.number(name)} of {op.name}", location_of(op), why="it writes one tile"
                )


def _check_next_id(state: State, op: dma_ops.DmaBdOp) -> None:
    """``next_bd_id`` repeats what ``next_bd`` says; refuse it where the two differ."""
    given, following = op.number("next_bd_id"), _following(op)
    found = following.number("bd_id") if following is not None else None
    if following is None:
        why = "no descriptor follows this one in the text"
    elif found is None:
        why = "the descriptor that follows has no bd_id"
    else:
        why = f"the descriptor that follows has bd_id {found}"
    if given != found:
        state.problems.error(f"next_bd_id = {given} of aie.dma_bd", location_of(op), why=why)


def _following(op: dma_ops.DmaBdOp) -> dma_ops.DmaBdOp | None:
    block = op.parent_block()
    if block is None:
        return None
    last, around = block.last_op, block.parent_op()
    if isinstance(last, dma_ops.NextBdOp):
        return _descriptor_in(last.successors[0])
    if not isinstance(around, dma_ops.DmaOp):
        return None
    place = next(n for n, region in enumerate(around.regions) if region.blocks[0] is block) + 1
    if place == len(around.regions):
        if "loop" in around.attributes and not around.flag("loop"):
            return None
        place = 0
    return _descriptor_in(around.regions[place].blocks[0])


def _descriptor_in(block: Block) -> dma_ops.DmaBdOp | None:
    return next((op for op in block.ops if isinstance(op, dma_ops.DmaBdOp)), None)
