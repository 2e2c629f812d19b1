"""Every spelling of two years of mlir-aie reads, and says the same as today's."""

# ruff: noqa: E501 - MLIR reads better unbroken

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.errors import DesignError
from npukbuild.ir import load_design, read_design
from npukbuild.ir.dialects.fifo_ops import ObjectFifoAcquireOp
from npukbuild.ir.lowering.bd_words import decode

if TYPE_CHECKING:
    from npukbuild.ir import Design

TILES = "%s = aie.tile(0, 0)\n%m = aie.tile(0, 1)\n%c = aie.tile(0, 2)\n"
PARTS = ("buffers", "locks", "channels", "flows", "allocations", "sequences", "cascades", "functions")


def device(body: str, name: str = "npu1_1col") -> str:
    return f"module {{ aie.device({name}) {{\n{TILES}{body}\n}} }}"


def plain(value: Any) -> Any:
    """Return a value without places in the text."""
    if is_dataclass(value):
        return {
            field.name: plain(getattr(value, field.name)) for field in fields(value) if field.name != "loc"
        }
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return value


def facts(body: str, **more: str) -> dict[str, Any]:
    design: Design = load_design(device(body, **more))
    return {part: plain(getattr(design, part)) for part in PARTS}


BD = "aie.mem(%c) {{\naie.dma_start({start}, ^a, ^e)\n^a:\n{acquire}\n{bd}\n{release}\naie.next_bd ^a\n^e:\naie.end\n}}"
MEMORY = (
    '%b = aie.buffer(%c) {sym_name = "b"} : memref<64xi32>\n'
    '%l = aie.lock(%c, 0) {init = 1 : i32, sym_name = "l"}\n'
    "%one = arith.constant 1 : i32\n%zero = arith.constant 0 : i32\n%n = arith.constant 16 : i32\n"
)


def program(
    start: str = "MM2S, 0",
    acquire: str = "aie.use_lock(%l, AcquireGreaterEqual, 1)",
    bd: str = "aie.dma_bd(%b : memref<64xi32>, 0, 16)",
    release: str = "aie.use_lock(%l, Release, 1)",
) -> str:
    return MEMORY + BD.format(start=start, acquire=acquire, bd=bd, release=release)


@pytest.mark.parametrize(
    "other",
    [
        program(start='"MM2S", 0'),
        program(acquire='aie.use_lock(%l, "AcquireGreaterEqual", 1)'),
        program(acquire="aie.use_lock(%l, AcquireGreaterEqual)"),
        program(acquire="aie.use_lock(%l, AcquireGreaterEqual, %one)"),
        program(acquire="aie.use_lock(%l, AcquireGreaterEqual, 1, Blocking)"),
        program(bd="aie.dma_bd(%b : memref<64xi32> offset = 0 len = 16)"),
        program(bd="aie.dma_bd(%b : memref<64xi32> offset = %zero len = %n)"),
        program(bd="aie.dma_bd(%b : memref<64xi32>) {len = 16 : i32}"),
        program(start="MM2S, 0").replace("aie.dma_start(MM2S, 0, ^a, ^e)", "%d = aie.dma_start(MM2S, 0, ^a, ^e)"),
        MEMORY + "aie.mem(%c) {\naie.dma(MM2S, 0) [{\naie.use_lock(%l, AcquireGreaterEqual, 1)\n"
        "aie.dma_bd(%b : memref<64xi32>, 0, 16)\naie.use_lock(%l, Release, 1)\n}]\naie.end\n}",
        program().replace(MEMORY, "").replace("aie.mem(%c) {\n", "aie.mem(%c) {\n" + MEMORY),
    ],
)  # fmt: skip
def test_dma_programs(other: str) -> None:
    assert facts(other) == facts(program())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[<size = 4, stride = 8>, <size = 4, stride = 1>])", "[<4, 8>, <4, 1>])"),
        ("[<size = 4, stride = 8>, <size = 4, stride = 1>])", "sizes = [4, 4] strides = [8, 1])"),
        (
            "[<size = 4, stride = 8>, <size = 4, stride = 1>])",
            ") {dimensions = #aie<bd_dim_layout_array[<size = 4, stride = 8>, <size = 4, stride = 1>]>}",
        ),
    ],
)
def test_layouts(one: str, other: str) -> None:
    def text(layout: str) -> str:
        new = layout.startswith("sizes")
        head = (
            "aie.dma_bd(%b : memref<64xi32> offset = 0 len = 16 "
            if new
            else "aie.dma_bd(%b : memref<64xi32>, 0, 16"
        )
        return program(bd=head + ("" if new or layout[0] == ")" else ", ") + layout)

    assert facts(text(other)) == facts(text(one))
    assert facts(text(one))["channels"][0]["descriptors"][0]["dims"] == (
        {"size": 4, "stride": 8}, {"size": 4, "stride": 1},
    )  # fmt: skip


def sequence(ops: str, *, head: str = "", spelled: str = "aie.runtime_sequence @sequence") -> str:
    return f"{head}{spelled}(%a: memref<64xi32>, %b: memref<64xi32>) {{\n{ops}\n}}"


ALLOCATIONS = "aie.shim_dma_allocation @in (%s, MM2S, 0)\naie.shim_dma_allocation @out (%s, S2MM, 1)\n"
MOVE = "aiex.npu.dma_memcpy_nd(%b[0, 0, 0, 0][1, 1, 1, 64][0, 0, 0, 1]) {id = 1 : i64, metadata = @out} : memref<64xi32>\n"
WAIT = "aiex.npu.dma_wait {symbol = @out}"
CONSTANTS = "%c0 = arith.constant 0 : i64\n%c1 = arith.constant 1 : i64\n%c64 = arith.constant 64 : i64\n"
SMALL = "%i0 = arith.constant 0 : i32\n%i1 = arith.constant 1 : i32\n"


@pytest.mark.parametrize(
    "other",
    [
        sequence(MOVE + WAIT, head=ALLOCATIONS, spelled="aiex.runtime_sequence @sequence"),
        sequence(MOVE + WAIT, head=ALLOCATIONS, spelled="aie.runtime_sequence"),
        sequence(MOVE + WAIT, head=ALLOCATIONS, spelled="aiex.runtime_sequence"),
        sequence(MOVE + WAIT, head="aie.shim_dma_allocation @in(MM2S, 0, 0)\naie.shim_dma_allocation @out(S2MM, 1, 0)\n"),
        sequence(MOVE.replace("nd(", "nd (0, 0, ") + WAIT, head=ALLOCATIONS),
        sequence(
            CONSTANTS + MOVE.replace("[0, 0, 0, 0][1, 1, 1, 64][0, 0, 0, 1]", "[%c0, %c0, %c0, %c0][%c1, 1, 1, %c64][0, 0, 0, %c1]")
            + WAIT, head=ALLOCATIONS,
        ),
        sequence(MOVE + "aiex.npu.sync {column = 0 : i32, row = 0 : i32, direction = 0 : i32, channel = 1 : i32, "
                 "column_num = 1 : i32, row_num = 1 : i32}", head=ALLOCATIONS),
        sequence(SMALL + MOVE + "aiex.npu.sync(%i0, %i0, %i0, %i1, %i1, %i1) : i32, i32, i32, i32, i32, i32", head=ALLOCATIONS),
        sequence(MOVE.replace("@out", "@out_shim_alloc") + WAIT.replace("@out", "@out_shim_alloc"), head=ALLOCATIONS),
    ],
)  # fmt: skip
def test_sequences(other: str) -> None:
    assert facts(other) == facts(sequence(MOVE + WAIT, head=ALLOCATIONS))


RAW = """
memref.global "private" constant @words : memref<8xi32> = dense<[64, 0, 0, 0, -2147483648, 33554432, 0, 33554432]>
"""


def test_registers_say_the_same_as_a_transfer() -> None:
    raw = (
        "%w = memref.get_global @words : memref<8xi32>\n"
        "aiex.npu.blockwrite(%w) {address = 118816 : ui32} : memref<8xi32>\n"
        "aiex.npu.address_patch {addr = 118820 : ui32, arg_idx = 1 : i32, arg_plus = 0 : i32}\n"
    )
    starts = (
        "aiex.npu.write32 {address = 119308 : ui32, column = 0 : i32, row = 0 : i32, value = 2147483649 : ui32}\n",
        "aiex.npu.write32 {address = 119308 : ui32, value = 2147483649 : ui32}\n",
        "aiex.npu.push_queue(0, 0, S2MM : 1) {bd_id = 1 : i32, issue_token = true, repeat_count = 0 : i32}\n",
        SMALL + "aiex.npu.push_queue(0, 0, S2MM : 1) bd_id %i1 repeat %i0 {issue_token = true} : i32, i32\n",
    )
    expected = facts(sequence(MOVE + WAIT, head=ALLOCATIONS))
    for start in starts:
        assert facts(sequence(raw + start + WAIT, head=ALLOCATIONS + RAW)) == expected
    written = (
        "aiex.npu.writebd {bd_id = 1 : i32, buffer_length = 64 : i32, buffer_offset = 0 : i32, column = 0 : i32, "
        "row = 0 : i32, ddr_id = 1 : i32, valid_bd = 1 : i32}\n"
    )
    assert facts(sequence(written + starts[0] + WAIT, head=ALLOCATIONS)) == expected


def test_a_strided_descriptor_survives_the_registers() -> None:
    raw = sequence(
        "%w = memref.get_global @words : memref<8xi32>\n"
        "aiex.npu.blockwrite(%w) {address = 118784 : ui32} : memref<8xi32>\n"
        "aiex.npu.address_patch {addr = 118788 : ui32, arg_idx = 0 : i32, arg_plus = 16 : i32}\n"
        "aiex.npu.write32 {address = 119316 : ui32, column = 0 : i32, row = 0 : i32, value = 131072 : ui32}\n",
        # length 12; D0 wrap 2, D1 wrap 3 stride 4, D2 stride 16; iteration 3 by 8 (all stored minus one)
        head=ALLOCATIONS + 'memref.global "private" constant @words : memref<8xi32> = '
        f"dense<[12, 0, 0, {2 << 20}, {3 << 20 | 3}, 15, {2 << 20 | 7}, 33554432]>\n",
    )
    (push,) = load_design(device(raw)).sequence.operations
    move = sequence(
        "aiex.npu.dma_memcpy_nd(%a[0, 0, 0, 4][3, 2, 3, 2][8, 16, 4, 1]) {id = 0 : i64, metadata = @in} : memref<64xi32>",
        head=ALLOCATIONS,
    )
    (expected,) = load_design(device(move)).sequence.operations
    assert plain(push) == plain(expected)


def test_a_descriptors_sizes_have_ten_bits() -> None:
    fields = decode("shim", [0, 0, 0, 1023 << 20, 1022 << 20, 0, 63 << 20, 0])
    assert (fields.sizes, fields.iteration_size) == ((1023, 1022), 64)


def test_a_function_may_use_a_name_of_the_device_again() -> None:
    body = "func.func @twice(%c: i32) -> i32 {\n%m = arith.addi %c, %c : i32\nfunc.return %m : i32\n}\n"
    assert load_design(device(body + program())).buffers


def test_parts_of_a_host_buffer() -> None:
    view = (
        "%v = memref.subview %b[32] [32] [1] : memref<64xi32> to memref<32xi32, strided<[1], offset: 32>>\n"
        "%w = memref.reinterpret_cast %v to offset: [0], sizes: [32], strides: [1] : "
        "memref<32xi32, strided<[1], offset: 32>> to memref<32xi32>\n"
        "aiex.npu.dma_memcpy_nd(%w[0, 0, 0, 0][1, 1, 1, 32][0, 0, 0, 1]) {id = 1 : i64, metadata = @out} : memref<32xi32>\n"
    )
    whole = MOVE.replace("[0, 0, 0, 0][1, 1, 1, 64]", "[0, 0, 0, 32][1, 1, 1, 32]")
    assert facts(sequence(view + WAIT, head=ALLOCATIONS)) == facts(sequence(whole + WAIT, head=ALLOCATIONS))


def test_loops_of_constant_length_are_unrolled() -> None:
    loop = (
        "%l0 = arith.constant 0 : index\n%l2 = arith.constant 2 : index\n%l1 = arith.constant 1 : index\n"
        "%w = arith.constant 32 : index\n"
        "scf.for %i = %l0 to %l2 step %l1 {\n%o = arith.muli %i, %w : index\n%k = arith.index_cast %o : index to i64\n"
        + MOVE.replace("[0, 0, 0, 0][1, 1, 1, 64]", "[0, 0, 0, %k][1, 1, 1, 32]") + WAIT + "\n}"
    )  # fmt: skip
    half = MOVE.replace("[1, 1, 1, 64]", "[1, 1, 1, 32]")
    straight = half + WAIT + "\n" + half.replace("[0, 0, 0, 0]", "[0, 0, 0, 32]") + WAIT
    assert facts(sequence(loop, head=ALLOCATIONS)) == facts(sequence(straight, head=ALLOCATIONS))


def test_tasks() -> None:
    configure = (
        "%t = aiex.dma_configure_task_for @out {\n"
        "aie.dma_bd(%b : memref<64xi32>, 0, 16, [<size = 4, stride = 8>, <size = 1, stride = 0>, "
        "<size = 4, stride = 8>, <size = 4, stride = 1>]) {burst_length = 0 : i32}\naie.end\n"
        "} {issue_token = true, repeat_count = 3 : i32}\n"
    )
    ops = configure + "aiex.dma_start_task(%t)\naiex.dma_await_task(%t)\n"
    push, wait = load_design(device(sequence(ops, head=ALLOCATIONS))).sequence.operations
    (descriptor,) = plain(push)["descriptors"]
    assert plain(push)["iteration"] == {"size": 4, "stride": 8}
    assert plain(push)["repeat"] == 3
    assert descriptor["dims"] == ({"size": 4, "stride": 8}, {"size": 4, "stride": 1})
    assert descriptor["id"] == 0
    assert plain(wait)["frees"]
    other = configure.replace("dma_configure_task_for @out", "dma_configure_task(%s, S2MM, 1)")
    found = load_design(device(sequence(ops.replace(configure, other), head=ALLOCATIONS))).sequence.operations
    assert plain(found[0])["descriptors"] == plain(push)["descriptors"]


def test_freed_descriptors_are_used_again() -> None:
    one = (
        "%t{n} = aiex.dma_configure_task_for @in {{\naie.dma_bd(%a : memref<64xi32>, 0, 16)\naie.end\n}}\n"
        "aiex.dma_start_task(%t{n})\n"
    )
    ops = one.format(n=0) + one.format(n=1) + "aiex.dma_free_task(%t0)\n" + one.format(n=2)
    found = load_design(device(sequence(ops, head=ALLOCATIONS))).sequence.operations
    ids = [plain(op)["descriptors"][0]["id"] for op in found if "descriptors" in plain(op)]
    assert ids == [0, 1, 0]


def test_host_writes() -> None:
    head = (
        ALLOCATIONS
        + '%r = aie.buffer(%c) {sym_name = "rtp"} : memref<16xi32>\n%k = aie.lock(%c, 3) {sym_name = "k"}\n'
    )
    spellings = (
        "aiex.npu.rtp_write(@rtp, 2, 7)",
        "%v = arith.constant 7 : i32\naiex.npu.rtp_write(@rtp, 2, %v) : i32",
        'aiex.npu.rtp_write(0, 2, 2, 7) {buffer_sym_name = "rtp"}',
        "aiex.npu.write32 {address = 2 : ui32, buffer = @rtp, value = 7 : ui32}",
        "aiex.npu.write32 {address = 8 : ui32, column = 0 : i32, row = 2 : i32, value = 7 : ui32}",
    )
    expected = {"buffer": "rtp", "index": 2, "value": 7}
    for text in spellings:
        (op,) = load_design(device(sequence(text, head=head))).sequence.operations
        assert plain(op) == expected, text
    for text in (
        "aiex.set_lock(%k, 1)",
        "aiex.npu.write32 {address = 126976 : ui32, column = 0 : i32, row = 2 : i32, value = 1 : ui32}",
    ):
        address = text.replace("126976", str(0x1F000 + 3 * 16))
        (op,) = load_design(device(sequence(address, head=head))).sequence.operations
        assert plain(op) == {"lock": "k", "value": 1}, text


ACQUIRE = """
aie.objectfifo @f(%s, {{%c}}, 2 : i32) : !aie.objectfifo<memref<16xi32>>
func.func private @use(memref<16xi32>)
aie.core(%c) {{
{acquire}
func.call @use(%e) : (memref<16xi32>) -> ()
aie.objectfifo.release @f(Consume, 1)
aie.end
}}
"""


def test_an_acquire_without_a_subview() -> None:
    old = ACQUIRE.format(
        acquire="%v = aie.objectfifo.acquire @f(Consume, 1) : !aie.objectfifosubview<memref<16xi32>>\n"
        "%e = aie.objectfifo.subview.access %v[0] : !aie.objectfifosubview<memref<16xi32>> -> memref<16xi32>"
    )
    new = ACQUIRE.format(acquire="%e = aie.objectfifo.acquire @f(Consume, 1) : memref<16xi32>")
    assert facts(new) == facts(old)
    acquires = [op for op in read_design(device(new)).walk() if isinstance(op, ObjectFifoAcquireOp)]
    assert [(op.fifo, op.port, op.size, op.subview) for op in acquires] == [("f", "Consume", 1, False)]


def test_links_without_offsets_in_the_oldest_spelling() -> None:
    fifos = (
        "%d = aie.tile(0, 3)\naie.objectfifo @big(%s, {%m}, 2 : i32) : !aie.objectfifo<memref<48xi32>>\n"
        "aie.objectfifo @one(%m, {%c}, 2 : i32) : !aie.objectfifo<memref<16xi32>>\n"
        "aie.objectfifo @two(%m, {%d}, 2 : i32) : !aie.objectfifo<memref<32xi32>>\n"
    )
    link = "aie.objectfifo.link [@big] -> [@one, @two] "
    assert facts(fifos + link + "()") == facts(fifos + link + "([] [0, 16])")


def test_the_quoted_generic_form() -> None:
    generic = (
        '%b = "aie.buffer"(%c) <{sym_name = "b"}> : (index) -> memref<64xi32>\n'
        '%l = "aie.lock"(%c) <{init = 1 : i32, lockID = 0 : i32, sym_name = "l"}> : (index) -> index\n'
        '"aie.mem"(%c) ({\n"aie.dma_start"() [^a, ^e] <{channel_dir = 1 : i32, channel_index = 0 : i32}> : () -> i1\n'
        '^a:\n"aie.use_lock"(%l) <{action = 2 : i32, value = 1 : i32}> : (index) -> ()\n'
        '"aie.dma_bd"(%b) <{len = 16 : i32, offset = 0 : i32}> : (memref<64xi32>) -> ()\n'
        '"aie.use_lock"(%l) <{action = 1 : i32, value = 1 : i32}> : (index) -> ()\n'
        '"aie.next_bd"()[^a] : () -> ()\n^e:\n"aie.end"() : () -> ()\n}) : (index) -> index\n'
    )
    assert facts(generic) == facts(program())


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("aie.plio(0)", 5, "aie.plio is not supported"),
        ("\n\naiex.control_packet {address = 0 : ui32}", 7, "aiex.control_packet is not supported"),
        ("air.launch", 5, "the dialect air is not read"),
        ("aie.flow(%c, DMA : 0, %nowhere, DMA : 0)", 5, "value %nowhere is used but not defined"),
        ("aie.objectfifo @f(%s, {%c}, 2 : i32) : memref<16xi32", 6, "cannot be read"),
        ('%b = aie.buffer(%c) {sym_name = "b"} : memref<?xi32>', 5, "dynamic shape"),
        ("%t = aie.tile(1, 2)", 5, "npu1_1col has no tile (1,2)"),
        (
            "aie.objectfifo @f(%s, {%c}, 99999999 : i32) : !aie.objectfifo<memref<16xi32>>",
            5,
            "99999999 objects",
        ),
        ('%b = aie.buffer(%c) {sym_name = "' + "a" * 60 + "} : memref<4xi32>", 5, "a string has no end"),
        (
            "aie.objectfifo @f(%s, {%c}, 2 : i32) : !aie.objectfifo<memref<16xi32>>\naie.core(%c) {\n%v = aie.objectfifo.acquire @f(Consume, 99999999) : !aie.objectfifosubview<memref<16xi32>>\naie.end\n}",
            7,
            "99999999 objects",
        ),
        ("aie.runtime_sequence(%n: i32) {}", 5, "argument n: i32 is not a memref"),
        ("%i = index.constant 3\n%j = index.frob %i", 6, "index.frob is not supported"),
    ],
)
def test_what_is_not_supported_is_refused_by_name_and_line(text: str, line: int, words: str) -> None:
    with pytest.raises(DesignError) as caught:
        load_design(device(text), file="d.mlir")
    assert words in str(caught.value)
    assert str(caught.value.where).startswith(f"d.mlir:{line}:")


def test_all_mistakes_are_told_at_once() -> None:
    text = device(
        "aie.objectfifo @f(%s dimensionsToStream [<size = 16, stride = 1>], {%c}, 2 : i32) {repeat_count = 2 : i32} "
        ": !aie.objectfifo<memref<16xi32>>\naie.objectfifo.link [@f] -> [@g] ([] [])"
    )
    with pytest.raises(DesignError) as caught:
        load_design(text)
    assert len(caught.value.details) == 2
