"""Descriptors that a runtime sequence writes into the registers of memtiles and core tiles."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.errors import DesignError
from npukbuild.ir import load_design
from npukbuild.ir.design import Dim, Pad, Push
from npukbuild.ir.lowering.bd_words import decode, encode
from npukbuild.simulator import Simulator
from npukbuild.targets.dma_registers import dma_registers

KINDS = {"mem": 1, "core": 2}
BOTH = pytest.mark.parametrize("kind", KINDS)
OWN = 0x80000
"""Where a memtile's DMA sees the memtile's own memory."""


def word(kind: str, **fields: int) -> str:
    return ", ".join(str(value) for value in encode(kind, {"valid_bd": 1} | fields))


def base(kind: str, address: int) -> int:
    return (address + (OWN if kind == "mem" else 0)) // 4


def lock(kind: str, number: int) -> int:
    return number + (64 if kind == "mem" else 0)


def blocks(kind: str, *descriptors: tuple[int, str]) -> tuple[str, str]:
    """Write descriptors as blocks of words: the globals and the operations."""
    registers, head, ops = dma_registers(kind), "", ""
    for number, (slot, words) in enumerate(descriptors):
        count = len(words.split(","))
        head += f'memref.global "private" constant @w{number} : memref<{count}xi32> = dense<[{words}]>\n'
        address = registers.bds + slot * registers.bd_step
        ops += (
            f"%w{number} = memref.get_global @w{number} : memref<{count}xi32>\n"
            f"aiex.npu.blockwrite(%w{number}) {{address = {address} : ui32, column = 0 : i32, "
            f"row = {KINDS[kind]} : i32}} : memref<{count}xi32>\n"
        )
    return head, ops


def start(kind: str, direction: str, channel: int, slot: int, repeat: int = 0, token: bool = False) -> str:
    registers = dma_registers(kind)
    first = registers.queue_s2mm if direction == "S2MM" else registers.queue_mm2s
    value = slot | repeat << 16 | token << 31
    return (
        f"aiex.npu.write32 {{address = {first + 8 * channel} : ui32, column = 0 : i32, "
        f"row = {KINDS[kind]} : i32, value = {value} : ui32}}\n"
    )


def sync(row: int, direction: int) -> str:
    return (
        f"aiex.npu.sync {{channel = 0 : i32, column = 0 : i32, column_num = 1 : i32, direction = {direction} "
        f": i32, row = {row} : i32, row_num = 1 : i32}}\n"
    )


HOST_IN = (
    "aiex.npu.dma_memcpy_nd(%x[0,0,0,0][1,1,1,XS][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<XSxTYPE>\n"
)
HOST_OUT = (
    "aiex.npu.dma_memcpy_nd(%y[0,0,0,0][1,1,1,YS][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<YSxTYPE>\n"
)


def design(
    kind: str,
    ops: str,
    head: str = "",
    *,
    x: int = 64,
    y: int = 64,
    device: str = "npu2_1col",
    of: str = "i32",
) -> str:
    """A tile between two shim channels whose DMA only the sequence configures."""
    row = KINDS[kind]
    text = f"""module {{ aie.device({device}) {{
  %s = aie.tile(0, 0)
  %t = aie.tile(0, {row})
  aie.flow(%s, DMA : 0, %t, DMA : 0)
  aie.flow(%t, DMA : 0, %s, DMA : 0)
  aie.shim_dma_allocation @x (%s, MM2S, 0)
  aie.shim_dma_allocation @y (%s, S2MM, 0)
  {head}
  aie.runtime_sequence(%x: memref<XSxTYPE>, %y: memref<YSxTYPE>) {{
    {ops}
  }} }} }}"""
    return text.replace("XS", str(x)).replace("YS", str(y)).replace("TYPE", of)


LOCKS = """%free = aie.lock(%t, 2) {init = 2 : i32, sym_name = "free"}
  %full = aie.lock(%t, 3) {init = 0 : i32, sym_name = "full"}
  %b = aie.buffer(%t) {address = 4096 : i32, sym_name = "b"} : memref<32xi32>
"""


def run(text: str, calls: int = 1, dtype: Any = np.int32) -> Any:
    loaded = load_design(text)
    simulator = Simulator(loaded, None)
    for number in range(calls):
        (_, x), (_, y) = loaded.sequence.arguments
        given = (np.arange(x.elements) + 1 + 1000 * number).astype(dtype)
        out = np.full(y.elements, -1, np.int64).astype(dtype)
        simulator.run([given, out])
    return out


@BOTH
def test_a_circle_of_written_descriptors_takes_turns_by_locks(kind: str) -> None:
    """Two halves of a buffer fill and drain; a start in a circle never ends and serves the second round."""
    tail = {"lock_acq_enable": 1, "lock_acq_val": -1, "lock_rel_val": 1, "use_next_bd": 1}
    filling = tail | {"lock_acq_id": lock(kind, 2), "lock_rel_id": lock(kind, 3)}
    draining = tail | {"lock_acq_id": lock(kind, 3), "lock_rel_id": lock(kind, 2)}
    halves = (base(kind, 4096), base(kind, 4096 + 64))
    head, ops = blocks(
        kind,
        *(
            (first + n, word(kind, buffer_length=16, buffer_offset=half, next_bd=first + 1 - n, **way))
            for first, way in ((2, filling), (6, draining))
            for n, half in enumerate(halves)
        ),
    )
    text = design(
        kind,
        ops + start(kind, "S2MM", 0, 2) + start(kind, "MM2S", 0, 6) + HOST_IN + HOST_OUT + sync(0, 0),
        LOCKS + head,
    )
    loaded = load_design(text)
    filled = next(op for op in loaded.sequence.operations if isinstance(op, Push))
    assert [(d.buffer, d.offset, d.next) for d in filled.descriptors] == [("b", 0, 1), ("b", 16, 0)]
    assert [(u.lock, u.action, u.value) for u in filled.descriptors[0].acquires] == [
        ("free", "acquire_ge", 1)
    ]
    assert [(u.lock, u.value) for u in filled.descriptors[0].releases] == [("full", 1)]
    assert (run(text) == np.arange(64) + 1).all()


@BOTH
def test_writebd_gives_addresses_dimensions_and_a_token(kind: str) -> None:
    """8 x 8 words go out transposed: D0 steps 8 words and wraps after 8, D1 steps 1."""
    row = KINDS[kind]

    def push(direction: str, slot: int, token: str) -> str:
        fields = f"bd_id = {slot} : i32, issue_token = {token}, repeat_count = 0 : i32"
        return f"aiex.npu.push_queue(0, {row}, {direction} : 0) {{{fields}}}\n"

    where = base(kind, 512) if kind == "mem" else 512  # words on a memtile, bytes on a core tile
    common = f"column = 0 : i32, row = {row} : i32, buffer_length = 64 : i32, valid_bd = 1 : i32"
    ops = (
        f"aiex.npu.writebd {{bd_id = 0 : i32, buffer_offset = {where} : i32, {common}}}\n"
        f"aiex.npu.writebd {{bd_id = 1 : i32, buffer_offset = {where} : i32, {common}, "
        "d0_size = 8 : i32, d0_stride = 7 : i32, d1_size = 8 : i32, d1_stride = 0 : i32}\n"
        + HOST_IN
        + push("S2MM", 0, "true")
        + sync(row, 0)
        + HOST_OUT
        + push("MM2S", 1, "false")
        + sync(0, 0)
    )
    out = run(design(kind, ops), calls=2)
    assert (out.reshape(8, 8) == (np.arange(64) + 1001).reshape(8, 8).T).all()


def test_the_address_may_be_written_on_its_own_afterwards() -> None:
    registers = dma_registers("mem")
    head, ops = blocks(
        "mem",
        (0, word("mem", buffer_length=64, buffer_offset=base("mem", 1024))),
        (1, word("mem", buffer_length=64)),
    )
    ops += (
        f"aiex.npu.maskwrite32 {{address = {registers.bds + registers.bd_step + 4} : ui32, column = 0 : i32, "
        f"row = 1 : i32, mask = {0x7FFFF} : ui32, value = {base('mem', 1024)} : ui32}}\n"
        f"aiex.npu.maskwrite32 {{address = {registers.queue_s2mm - 4} : ui32, column = 0 : i32, "
        "row = 1 : i32, mask = 3840 : ui32, value = 256 : ui32}\n"
    )
    ops += start("mem", "S2MM", 0, 0, token=True) + HOST_IN + sync(1, 0)
    ops += start("mem", "MM2S", 0, 1) + HOST_OUT + sync(0, 0)
    assert (run(design("mem", ops, head)) == np.arange(64) + 1).all()


@BOTH
def test_the_iteration_goes_on_from_start_to_start(kind: str) -> None:
    """16 words per start, 24 words apart: one start, then a task of two more, from the same registers."""
    head, ops = blocks(
        kind,
        (0, word(kind, buffer_length=64, buffer_offset=base(kind, 0))),
        (1, word(kind, buffer_length=16, buffer_offset=base(kind, 0), iteration_size=2, iteration_stride=23)),
    )
    ops += start(kind, "S2MM", 0, 0, token=True) + HOST_IN + sync(KINDS[kind], 0)
    ops += start(kind, "MM2S", 0, 1) + start(kind, "MM2S", 0, 1, repeat=1) + HOST_OUT + sync(0, 0)
    out = run(design(kind, ops, head, y=48))
    assert (out == [first + n + 1 for first in (0, 24, 48) for n in range(16)]).all()


def test_a_memtile_pads_what_it_sends() -> None:
    """6 x 8 words get 1 row before, 1 behind, 2 words left and 4 right; the length counts the zeros."""
    sizes = {"d0_size": 8, "d1_size": 6, "d1_stride": 7}
    pads = {"d0_zero_before": 2, "d0_zero_after": 4, "d1_zero_before": 1, "d1_zero_after": 1}
    head, ops = blocks(
        "mem",
        (0, word("mem", buffer_length=48, buffer_offset=base("mem", 0))),
        (1, word("mem", buffer_length=14 * 8, buffer_offset=base("mem", 0), **sizes, **pads)),
    )
    ops += start("mem", "S2MM", 0, 0, token=True) + HOST_IN + sync(1, 0)
    ops += start("mem", "MM2S", 0, 1) + HOST_OUT + sync(0, 0)
    text = design("mem", ops, head, x=48, y=112)
    sent = [op for op in load_design(text).sequence.operations if isinstance(op, Push)][2]
    assert sent.descriptors[0].dims == (Dim(6, 8), Dim(8, 1))
    assert sent.descriptors[0].pads == (Pad(1, 1), Pad(2, 4))
    expected = np.pad((np.arange(48) + 1).reshape(6, 8), ((1, 1), (2, 4)))
    assert (run(text).reshape(8, 14) == expected).all()


def test_single_words_apart_in_a_buffer_of_short_elements() -> None:
    """Every second word of i16 data: pairs of elements, four apart."""
    buffer = '%b = aie.buffer(%t) {address = 1024 : i32, sym_name = "b"} : memref<64xi16>\n'
    head, ops = blocks(
        "core",
        (0, word("core", buffer_length=32, buffer_offset=256)),
        (1, word("core", buffer_length=16, buffer_offset=256, d0_stride=1)),
    )
    ops += start("core", "S2MM", 0, 0, token=True) + HOST_IN + sync(2, 0)
    ops += start("core", "MM2S", 0, 1) + HOST_OUT + sync(0, 0)
    out = run(design("core", ops, buffer + head, y=32, of="i16"), dtype=np.int16)
    assert (out.reshape(16, 2) == (np.arange(64) + 1).reshape(16, 2, 2)[:, 0]).all()


WRITTEN = {"buffer_length": 64, "buffer_offset": base("mem", 0)}


@pytest.mark.parametrize(
    ("fields", "slot", "what"),
    [
        ({"valid_bd": 0}, 0, "descriptor 0 of (0,1) is started while its valid bit is 0"),
        ({"compression": 1}, 0, "compresses its data"),
        ({"buffer_length": 0}, 0, "has length 0"),
        ({}, 24, "is started on channel S2MM 0"),
        ({"d0_zero_before": 1}, 0, "pads on a receiving channel"),
        ({"buffer_offset": 0}, 0, "no memtile is there ((-1,1))"),
        ({"buffer_offset": (2 * OWN) // 4 - 32}, 0, "reaches past the memory of (0,1)"),
        ({"d0_size": 5}, 0, "no whole number of runs"),
        ({"use_next_bd": 1, "next_bd": 3}, 0, "descriptor 3 of (0,1) is started but was never written"),
        ({"use_next_bd": 1, "iteration_size": 1}, 0, "runs in a circle"),
        ({"iteration_size": 3, "iteration_current": 3, "use_next_bd": 0}, 0, "wraps in its iteration"),
        ({"lock_acq_enable": 1, "lock_acq_id": 5}, 0, "uses a lock of (-1,1)"),
        ({"lock_rel_id": 64, "lock_rel_val": -1}, 0, "takes 1 from a lock"),
    ],
)  # fmt: skip
def test_what_the_model_does_not_have_is_refused_by_name_and_line(
    fields: dict[str, int], slot: int, what: str
) -> None:
    head, ops = blocks("mem", (slot, word("mem", **(WRITTEN | fields))))
    text = design(
        "mem", ops + start("mem", "S2MM", 0, slot, repeat=1 if "iteration" in what else 0, token=True), head
    )
    line = 1 + text[: text.index("aiex.npu.write32")].count("\n")
    if "iteration_size" in fields:
        text = text.replace(str(slot | 1 << 31), str(slot | 3 << 16 | 1 << 31))
    with pytest.raises(DesignError, match=re.escape(what)) as refused:
        load_design(text)
    assert f"design:{line}" in str(refused.value)


def test_a_field_that_does_not_fit_is_named() -> None:
    ops = (
        "aiex.npu.writebd {bd_id = 0 : i32, column = 0 : i32, row = 2 : i32, valid_bd = 1 : i32, "
        "buffer_length = 20000 : i32, d0_zero_before = 1 : i32}"
    )
    with pytest.raises(DesignError, match="buffer_length = 20000 does not fit into 14 bits") as refused:
        load_design(design("core", ops))
    assert "no d0_zero_before" in str(refused.value)


def test_a_configured_descriptor_is_started_by_its_number() -> None:
    """The tile's own program describes the transfers, the sequence only starts one of them again."""
    program = """%b = aie.buffer(%t) {sym_name = "b"} : memref<32xi32>
  %m = aie.mem(%t) {
    %0 = aie.dma_start(S2MM, 0, ^in, ^end)
  ^in:
    aie.dma_bd(%b : memref<32xi32>, 0, 32) {bd_id = 4 : i32}
    aie.next_bd ^end
  ^end:
    aie.end
  }
"""
    ops = start("core", "MM2S", 0, 4) + HOST_OUT + sync(0, 0)
    text = design("core", HOST_IN + ops, program, x=32, y=32)
    sent = [op for op in load_design(text).sequence.operations if isinstance(op, Push)][1]
    assert (sent.descriptors[0].buffer, sent.descriptors[0].length) == ("b", 32)
    partly = text.replace(
        "aiex.npu.write32",
        f"aiex.npu.write32 {{address = {0x1D000 + 4 * 0x20} : ui32, column = 0 : i32, "
        "row = 2 : i32, value = 8 : ui32}\n"
        "aiex.npu.write32",
    )
    with pytest.raises(DesignError, match=r"has word 1 from the design's DMA program"):
        load_design(partly)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(("shim", "mem", "core")), st.data())
def test_fields_survive_the_words(kind: str, data: Any) -> None:
    fields = dma_registers(kind).fields
    values = {
        name: data.draw(
            st.integers(0, (1 << bits - 1) - 1 if name.endswith("_val") else (1 << bits) - 1), name
        )
        for name, (_, _, bits) in fields.items()
    }
    found = decode(kind, encode(kind, values))
    assert found.length == values["buffer_length"]
    assert found.strides == tuple(values[f"d{n}_stride"] + 1 for n in range(len(found.strides)))
    assert found.sizes == tuple(values[f"d{n}_size"] for n in range(len(found.sizes)))
    assert found.address == values.get("buffer_offset", 0)
    assert (found.next is None) != bool(values["use_next_bd"])
    assert found.acquire == (
        (values["lock_acq_id"], values["lock_acq_val"]) if values["lock_acq_enable"] else None
    )
    assert sum(one.bit_count() for one in encode(kind, values)) == sum(v.bit_count() for v in values.values())
