"""Lowered designs and runtime sequences in unusual combinations, each against a model in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tests.simulator.combined import adder, adds, call, core, device, fifo, move, wait

if TYPE_CHECKING:
    from collections.abc import Callable

RNG = np.random.default_rng(17)


def data(size: int) -> np.ndarray:
    return RNG.integers(-1000, 1000, size, dtype=np.int32)


ALLOCATIONS = """aie.shim_dma_allocation @x (%s0, MM2S, 0)
aie.shim_dma_allocation @y (%s0, S2MM, 0)"""

ADDS_TWO = [
    fifo("x", "s0", "%c0_2", "2", 16),
    fifo("y", "c0_2", "%s0", "2", 16),
    adder("c0_2", "x", "y", 16, 2),
]


def test_a_chain_of_three_parts_of_one_buffer_with_dims_and_padding() -> None:
    text = device(
        [
            """%b = aie.buffer(%m0) {sym_name = "b"} : memref<6x16xi32>
    %free = aie.lock(%m0, 0) {init = 3 : i32}
    %full = aie.lock(%m0, 1) {init = 0 : i32}
    aie.flow(%s0, DMA : 0, %m0, DMA : 3)
    aie.flow(%m0, DMA : 5, %s0, DMA : 0)
    aie.memtile_dma(%m0) {
      %0 = aie.dma_start(S2MM, 3, ^in0, ^out)
    ^in0:
      aie.use_lock(%free, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<6x16xi32>, 64, 32)
      aie.use_lock(%full, Release, 1)
      aie.next_bd ^in1
    ^in1:
      aie.use_lock(%free, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<6x16xi32>, 0, 32, [<size = 2, stride = 1>, <size = 16, stride = 2>])
      aie.use_lock(%full, Release, 1)
      aie.next_bd ^in2
    ^in2:
      aie.use_lock(%free, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<6x16xi32>, 32, 32)
      aie.use_lock(%full, Release, 1)
      aie.next_bd ^in0
    ^out:
      %1 = aie.dma_start(MM2S, 5, ^out0, ^end)
    ^out0:
      aie.use_lock(%full, AcquireGreaterEqual, 3)
      aie.dma_bd(%b : memref<6x16xi32>, 0, 128, [<size = 6, stride = 16>, <size = 16, stride = 1>],
        [<const_pad_before = 1, const_pad_after = 1>, <const_pad_before = 0, const_pad_after = 0>])
      aie.use_lock(%free, Release, 3)
      aie.next_bd ^out0
    ^end:
      aie.end
    }""",
            ALLOCATIONS,
        ],
        [move("X", "x", 192, 0), move("Y", "y", 256, 1), wait("y")],
        {"X": 192, "Y": 256},
    )
    x, y = data(192), np.full(256, -1, np.int32)
    call(text, x, y)
    expected = np.zeros((2, 8, 16), np.int32)
    for call_number, part in enumerate(x.reshape(2, 3, 32)):
        expected[call_number, 5:7] = part[0].reshape(2, 16)
        expected[call_number, 1:3] = part[1].reshape(2, 16).T.reshape(2, 16)
        expected[call_number, 3:5] = part[2].reshape(2, 16)
    assert (y.reshape(2, 8, 16) == expected).all()


def test_packets_to_two_cores_and_from_two_cores_over_one_channel_each() -> None:
    parts = ['%b = aie.buffer(%m0) {sym_name = "b"} : memref<2x8xi32>']
    for row, ident in ((2, 4), (3, 9)):
        parts.append(f"""aie.packet_flow({ident}) {{
      aie.packet_source<%m0, DMA : 0>
      aie.packet_dest<%c0_{row}, DMA : 0>
    }}
    aie.packet_flow({ident + 1}) {{
      aie.packet_source<%c0_{row}, DMA : 1>
      aie.packet_dest<%s0, DMA : 0>
    }}
    %in{row} = aie.buffer(%c0_{row}) {{sym_name = "in{row}"}} : memref<8xi32>
    %out{row} = aie.buffer(%c0_{row}) {{sym_name = "out{row}"}} : memref<8xi32>
    %if{row} = aie.lock(%c0_{row}, 0) {{init = 1 : i32}}
    %iu{row} = aie.lock(%c0_{row}, 1) {{init = 0 : i32}}
    %of{row} = aie.lock(%c0_{row}, 2) {{init = 1 : i32}}
    %ou{row} = aie.lock(%c0_{row}, 3) {{init = 0 : i32}}
    aie.mem(%c0_{row}) {{
      %0 = aie.dma(S2MM, 0) [{{
        aie.use_lock(%if{row}, AcquireGreaterEqual, 1)
        aie.dma_bd(%in{row} : memref<8xi32>)
        aie.use_lock(%iu{row}, Release, 1)
      }}]
      %1 = aie.dma(MM2S, 1) [{{
        aie.use_lock(%ou{row}, AcquireGreaterEqual, 1)
        aie.dma_bd(%out{row} : memref<8xi32>)
          {{packet = #aie.packet_info<pkt_type = 0, pkt_id = {ident + 1}>}}
        aie.use_lock(%of{row}, Release, 1)
      }}]
      aie.end
    }}
    aie.core(%c0_{row}) {{
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c8 = arith.constant 8 : index
      %many = arith.constant 1000000 : index
      scf.for %n = %c0 to %many step %c1 {{
        aie.use_lock(%iu{row}, AcquireGreaterEqual, 1)
        aie.use_lock(%of{row}, AcquireGreaterEqual, 1)
        {adds(f"in{row}", f"out{row}", 8, 10 * row)}
        aie.use_lock(%if{row}, Release, 1)
        aie.use_lock(%ou{row}, Release, 1)
      }}
      aie.end
    }}""")
    parts.append(f"""%free = aie.lock(%m0, 0) {{init = 2 : i32}}
    %full = aie.lock(%m0, 1) {{init = 0 : i32}}
    aie.flow(%s0, DMA : 0, %m0, DMA : 0)
    aie.memtile_dma(%m0) {{
      %0 = aie.dma_start(S2MM, 0, ^in0, ^out)
    ^in0:
      aie.use_lock(%free, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<2x8xi32>, 0, 8)
      aie.use_lock(%full, Release, 1)
      aie.next_bd ^in1
    ^in1:
      aie.use_lock(%free, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<2x8xi32>, 8, 8)
      aie.use_lock(%full, Release, 1)
      aie.next_bd ^in0
    ^out:
      %1 = aie.dma_start(MM2S, 0, ^out0, ^end)
    ^out0:
      aie.use_lock(%full, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<2x8xi32>, 0, 8) {{packet = #aie.packet_info<pkt_type = 0, pkt_id = 4>}}
      aie.use_lock(%free, Release, 1)
      aie.next_bd ^out1
    ^out1:
      aie.use_lock(%full, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<2x8xi32>, 8, 8) {{packet = #aie.packet_info<pkt_type = 0, pkt_id = 9>}}
      aie.use_lock(%free, Release, 1)
      aie.next_bd ^out0
    ^end:
      aie.end
    }}
    {ALLOCATIONS}""")
    text = device(
        parts,
        [
            line
            for number in range(4)
            for line in (move("X", "x", 8, 0, 8 * number), move("Y", "y", 8, 1, 8 * number), wait("y"))
        ],
        {"X": 32, "Y": 32},
    )
    x, y = data(32), np.zeros(32, np.int32)
    call(text, x, y)
    assert (y.reshape(4, 8) == x.reshape(4, 8) + np.array([[20], [30], [20], [30]])).all()


def test_memtiles_that_use_a_neighbours_memory_and_locks() -> None:
    text = device(
        [
            """%b = aie.buffer(%m1) {sym_name = "b"} : memref<64xi32>
    %free = aie.lock(%m1, 6) {init = 1 : i32}
    %full = aie.lock(%m1, 7) {init = 0 : i32}
    aie.flow(%s0, DMA : 0, %m0, DMA : 0)
    aie.flow(%m2, DMA : 0, %s0, DMA : 0)
    aie.memtile_dma(%m0) {
      %0 = aie.dma(S2MM, 0) [{
        aie.use_lock(%free, AcquireGreaterEqual, 1)
        aie.dma_bd(%b : memref<64xi32>)
        aie.use_lock(%full, Release, 1)
      }]
      aie.end
    }
    aie.memtile_dma(%m2) {
      %0 = aie.dma(MM2S, 0) [{
        aie.use_lock(%full, AcquireGreaterEqual, 1)
        aie.dma_bd(%b : memref<64xi32>, 0, 64, [<size = 8, stride = 1>, <size = 8, stride = 8>])
        aie.use_lock(%free, Release, 1)
      }]
      aie.end
    }""",
            ALLOCATIONS,
        ],
        [move("X", "x", 192, 0), move("Y", "y", 192, 1), wait("y")],
        {"X": 192, "Y": 192},
    )
    x, y = data(192), np.zeros(192, np.int32)
    call(text, x, y)
    assert (y.reshape(3, 8, 8) == x.reshape(3, 8, 8).transpose(0, 2, 1)).all()


def test_cores_that_hand_a_neighbours_buffer_around() -> None:
    """(0,2) fills a buffer of (0,3), which (0,4) changes in place and (1,3) sends on."""
    text = device(
        [
            fifo("x", "s0", "%c0_2", "2", 8),
            fifo("y", "c1_3", "%s0", "2", 8),
            """%b = aie.buffer(%c0_3) {sym_name = "b"} : memref<8xi32>
    %l0 = aie.lock(%c0_3, 8) {init = 1 : i32}
    %l1 = aie.lock(%c0_3, 9) {init = 0 : i32}
    %l2 = aie.lock(%c0_3, 10) {init = 0 : i32}""",
            core(
                "c0_2",
                [("x", 8)],
                [],
                "aie.use_lock(%l0, AcquireGreaterEqual, 1)\n"
                + adds("x", "b", 8, 1)
                + "\naie.use_lock(%l1, Release, 1)",
            ),
            core(
                "c0_4",
                [],
                [],
                "aie.use_lock(%l1, AcquireGreaterEqual, 1)\n%c8 = arith.constant 8 : index\n"
                + adds("b", "b", 8, 20)
                + "\naie.use_lock(%l2, Release, 1)",
            ),
            core(
                "c1_3",
                [],
                [("y", 8)],
                "aie.use_lock(%l2, AcquireGreaterEqual, 1)\n"
                + adds("b", "y", 8, 300)
                + "\naie.use_lock(%l0, Release, 1)",
            ),
        ],
        [move("X", "x", 40, 0), move("Y", "y", 40, 1), wait("y")],
        {"X": 40, "Y": 40},
    )
    x, y = data(40), np.zeros(40, np.int32)
    call(text, x, y)
    assert (y == x + 321).all()


def test_spellings_of_a_transfer_side_by_side() -> None:
    text = device(
        [
            fifo("x", "s0", "%c0_2", "2", 16),
            fifo("y", "c0_2", "%s0", "2", 16),
            adder("c0_2", "x", "y", 16, 2),
        ],
        [
            move("X", "x", 16, 5),
            "%t = aiex.dma_configure_task_for @x { aie.dma_bd(%X : memref<64xi32>, 16, 16) aie.end }",
            "aiex.dma_start_task(%t)",
            (
                "aiex.npu.writebd {bd_id = 7 : i32, buffer_length = 16 : i32, buffer_offset = 128 : i32, "
                "column = 0 : i32, row = 0 : i32, ddr_id = 0 : i32, valid_bd = 1 : i32}"
            ),
            "aiex.npu.write32 {address = 119316 : ui32, column = 0 : i32, row = 0 : i32, value = 7 : ui32}",
            (
                "aiex.npu.writebd {bd_id = 8 : i32, buffer_length = 16 : i32, buffer_offset = 192 : i32, "
                "column = 0 : i32, row = 0 : i32, ddr_id = 0 : i32, valid_bd = 1 : i32}"
            ),
            (
                "aiex.npu.push_queue(0, 0, MM2S : 0) {bd_id = 8 : i32, repeat_count = 0 : i32, "
                "issue_token = true}"
            ),
            (
                "%u = aiex.dma_configure_task(%s0, S2MM, 0) "
                "{ aie.dma_bd(%Y : memref<64xi32>, 0, 32) aie.end } {issue_token = true}"
            ),
            "aiex.dma_start_task(%u)",
            move("Y", "y", 32, 9, 32),
            "aiex.npu.sync {column = 0 : i32, row = 0 : i32, direction = 1 : i32, channel = 0 : i32}",
            "aiex.dma_await_task(%u)",
            wait("y"),
            "aiex.dma_free_task(%t)",
        ],
        {"X": 64, "Y": 64},
    )
    x, y = data(64), np.zeros(64, np.int32)
    call(text, x, y)
    assert (y == x + 2).all()


def test_tasks_that_repeat_with_an_iteration_and_chains_of_the_host() -> None:
    text = device(
        [
            fifo("x", "s0", "%c0_2", "2", 16),
            fifo("y", "c0_2", "%s0", "2", 16),
            adder("c0_2", "x", "y", 16, 2),
        ],
        [
            """%t = aiex.dma_configure_task_for @x {
        aie.dma_bd(%X : memref<256xi32>, 8, 32, [<size = 3, stride = 64>, <size = 2, stride = 4>,
          <size = 2, stride = 32>, <size = 8, stride = 1>])
        aie.end
      } {repeat_count = 2 : i32, issue_token = true}
      %u = aiex.dma_configure_task_for @x {
        aie.dma_bd(%X : memref<256xi32>, 0, 16)
        aie.next_bd ^more
      ^more:
        aie.dma_bd(%X : memref<256xi32>, 240, 16)
        aie.end
      } {repeat_count = 1 : i32}""",
            "aiex.dma_start_task(%t)",
            "aiex.dma_start_task(%u)",
            move("Y", "y", 160, 9),
            "aiex.dma_await_task(%t)",
            wait("y"),
            "aiex.dma_free_task(%u)",
        ],
        {"X": 256, "Y": 160},
    )
    x, y = data(256), np.zeros(160, np.int32)
    call(text, x, y)
    sent = [
        x[8 + 64 * i + 4 * j + 32 * k + n]
        for i in range(3)
        for j in range(2)
        for k in range(2)
        for n in range(8)
    ]
    sent += [*x[:16], *x[240:]] * 2
    assert (y == np.array(sent) + 2).all()


def test_parameters_and_locks_that_the_host_sets_between_transfers() -> None:
    body = (
        "aie.use_lock(%go, AcquireGreaterEqual, 1)\n%c2 = arith.constant 2 : index\n"
        "%p = memref.load %rtp[%c2] : memref<4xi32>\n"
        + adds("x", "y", 8, 0).replace("%w = arith.addi %v, %k_y", "%w = arith.addi %v, %p")
    )
    text = device(
        [
            fifo("x", "s0", "%c0_2", "2", 8),
            fifo("y", "c0_2", "%s0", "2", 8),
            '%rtp = aie.buffer(%c0_2) {sym_name = "rtp"} : memref<4xi32> = dense<0>',
            "%go = aie.lock(%c0_2, 12) {init = 0 : i32}",
            core("c0_2", [("x", 8)], [("y", 8)], body),
        ],
        [
            line
            for number, amount in enumerate((5, -7, 1 << 30))
            for line in (
                f"aiex.npu.rtp_write(@rtp, 2, {amount})",
                "aiex.set_lock(%go, 1)",
                move("X", "x", 8, 0, 8 * number),
                move("Y", "y", 8, 1, 8 * number),
                wait("y"),
            )
        ],
        {"X": 24, "Y": 24},
    )
    x, y = data(24), np.zeros(24, np.int32)
    call(text, x, y)
    assert (y.reshape(3, 8) == x.reshape(3, 8) + np.array([[5], [-7], [1 << 30]])).all()


def test_a_cascade_that_turns_a_corner(compile_cc: Callable[[str], Any]) -> None:
    kernels = compile_cc(
        "#include <aie_api/aie.hpp>\n"
        'extern "C" void first(const int *x, int *y) { for (int i = 0; i < 32; i += 16) { '
        "aie::vector<int, 16> v = aie::load_v<16>(x + i); put_mcd(v); aie::store_v(y + i, v); } }\n"
        'extern "C" void middle(const int *x, int *y) { for (int i = 0; i < 32; i += 16) { '
        "aie::vector<int, 16> c = get_scd_v16int32(), v = aie::add(c, aie::load_v<16>(x + i)); "
        "put_mcd(v); aie::store_v(y + i, v); } }\n"
        'extern "C" void last(const int *x, int *y) { for (int i = 0; i < 32; i += 16) '
        "aie::store_v(y + i, aie::sub(aie::vector<int, 16>(get_scd_v16int32()), aie::load_v<16>(x + i))); }\n"
    )
    kind = "(memref<32xi32>, memref<32xi32>) -> ()"
    parts = ["aie.cascade_flow(%c0_4, %c1_4)", "aie.cascade_flow(%c1_4, %c1_3)"]
    moves = []
    for number, (name, place) in enumerate((("first", "c0_4"), ("middle", "c1_4"), ("last", "c1_3"))):
        parts += [
            f"func.func private @{name}(memref<32xi32>, memref<32xi32>)",
            fifo(f"x{number}", f"s{number}", f"%{place}", "2", 32),
            fifo(f"y{number}", place, f"%s{number}", "2", 32),
            core(
                place,
                [(f"x{number}", 32)],
                [(f"y{number}", 32)],
                f"func.call @{name}(%x{number}, %y{number}) : {kind}",
            ),
        ]
        moves += [
            move("X", f"x{number}", 64, 2 * number, 64 * number),
            move("Y", f"y{number}", 64, 2 * number + 1, 64 * number),
        ]
    text = device(parts, [*moves, wait("y0", "y1", "y2")], {"X": 192, "Y": 192})
    x, y = data(192), np.zeros(192, np.int32)
    call(text, x, y, kernels=kernels)
    a, b, c = x.reshape(3, 64)
    assert (y.reshape(3, 64) == [a, a + b, a + b - c]).all()
