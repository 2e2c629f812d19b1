"""Forms of whole designs: objectfifo features, lowered programs, packets, cascades, streams, tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npukbuild.errors import DesignError
from npukbuild.simulator import Simulator
from tests.simulator.designs import COPY, PASS, SEQUENCE, call, load, one_core

X = np.arange(256, dtype=np.int32) - 31
BOTH = pytest.mark.parametrize("timed", [False, True])


def run(text: str, timed: bool = True, calls: int = 2) -> Any:
    """Run twice with other data; return the first output after checking that the second follows suit."""
    simulator = Simulator(load(text), None, timed=timed)
    outputs = []
    for number in range(calls):
        args = [X + 1000 * number, np.full(256, -1, np.int32)]
        result = simulator.run(args)
        assert result.warnings == ()
        outputs.append(args[1])
    if calls == 2:
        changed = outputs[0] != -1
        assert (outputs[1][changed] == outputs[0][changed] + 1000).all()
    return outputs[0]


LOWERED = """module { aie.device(npu1_1col) {
  %shim = aie.tile(0, 0)
  %core = aie.tile(0, 2)
  %x0 = aie.buffer(%core) {sym_name = "x0"ADDRESS} : memref<64xi32>
  %x1 = aie.buffer(%core) {sym_name = "x1"} : memref<64xi32>
  %y0 = aie.buffer(%core) {sym_name = "y0"} : memref<64xi32>
  %xp = aie.lock(%core, 0) {init = 2 : i32, sym_name = "xp"}
  %xc = aie.lock(%core, 1) {init = 0 : i32, sym_name = "xc"}
  %yp = aie.lock(%core, 2) {init = 1 : i32, sym_name = "yp"}
  %yc = aie.lock(%core, 3) {init = 0 : i32, sym_name = "yc"}
  FLOWS
  aie.shim_dma_allocation @x (%shim, MM2S, 0)
  aie.shim_dma_allocation @y (%shim, S2MM, 0)
  %c = aie.core(%core) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %n = arith.constant 64 : index
    %forever = arith.constant 2147483640 : index
    scf.for %it = %c0 to %forever step %c1 {
      TURN0
      TURN1
    }
    aie.end
  }
  %m = aie.mem(%core) {
    %0 = aie.dma_start(S2MM, 0, ^in0, ^send)
  ^in0:
    aie.use_lock(%xp, AcquireGreaterEqual, 1)
    aie.dma_bd(%x0 : memref<64xi32>, 0, 64)
    aie.use_lock(%xc, Release, 1)
    aie.next_bd ^in1
  ^in1:
    aie.use_lock(%xp, AcquireGreaterEqual, 1)
    aie.dma_bd(%x1 : memref<64xi32>, 0, 64)
    aie.use_lock(%xc, Release, 1)
    aie.next_bd ^in0
  ^send:
    %1 = aie.dma_start(MM2S, 0, ^out0, ^end)
  ^out0:
    aie.use_lock(%yc, AcquireGreaterEqual, 1)
    aie.dma_bd(%y0 : memref<64xi32>, 0, 64, [<size = 8, stride = 1>, <size = 8, stride = 8>]) PACKET
    aie.use_lock(%yp, Release, 1)
    aie.next_bd ^out0
  ^end:
    aie.end
  }
  aie.runtime_sequence @sequence(%X: memref<256xi32>, %Y: memref<256xi32>) {
    aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,256][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
    aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,256][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<256xi32>
    aiex.npu.dma_wait {symbol = @y}
  }
} }
"""
TURN = """aie.use_lock(%xc, AcquireGreaterEqual, 1)
      aie.use_lock(%yp, AcquireGreaterEqual, 1)
      scf.for %i = %c0 to %n step %c1 {
        %v = memref.load %BUFFER[%i] : memref<64xi32>
        memref.store %v, %y0[%i] : memref<64xi32>
      }
      aie.use_lock(%xp, Release, 1)
      aie.use_lock(%yc, Release, 1)"""
CIRCUIT = "aie.flow(%shim, DMA : 0, %core, DMA : 0)\n  aie.flow(%core, DMA : 0, %shim, DMA : 0)"
PACKETS = """aie.flow(%shim, DMA : 0, %core, DMA : 0)
  aie.packet_flow(3) { aie.packet_source<%core, DMA : 0> aie.packet_dest<%shim, DMA : 0> }"""


def lowered(turn: str = TURN, flows: str = CIRCUIT, packet: str = "", address: str = "") -> str:
    text = LOWERED.replace("TURN0", turn.replace("BUFFER", "x0")).replace("TURN1", turn.replace("BUFFER", "x1").replace("%i", "%i2").replace("%v", "%v2"))  # fmt: skip  # noqa: E501
    return text.replace("FLOWS", flows).replace("PACKET", packet).replace("ADDRESS", address)


TRANSPOSED = X.reshape(4, 8, 8).transpose(0, 2, 1).reshape(-1)


@BOTH
@pytest.mark.parametrize("address", ["", ", address = 8192 : i32"])
def test_an_already_lowered_design(timed: bool, address: str) -> None:
    assert (run(lowered(address=address), timed) == TRANSPOSED).all()


def test_in_a_lowered_design_a_buffer_belongs_to_the_core_only_under_its_lock() -> None:
    from npukbuild.errors import SimulationFault

    early = TURN.replace("aie.use_lock(%xc, AcquireGreaterEqual, 1)\n", "")
    with pytest.raises(SimulationFault, match=r"uses buffer x0 of .* without holding its lock"):
        run(lowered(early))


@BOTH
def test_packet_switched_streams(timed: bool) -> None:
    text = lowered(flows=PACKETS, packet="{packet = #aie.packet_info<pkt_type = 0, pkt_id = 3>}")
    assert (run(text, timed) == TRANSPOSED).all()


def test_a_packet_id_without_a_flow_is_named() -> None:
    from npukbuild.errors import SimulationFault

    text = lowered(flows=PACKETS, packet="{packet = #aie.packet_info<pkt_type = 0, pkt_id = 4>}")
    with pytest.raises(SimulationFault, match="packet id 4, and no stream leaves it"):
        run(text)


FORWARD = """module { aie.device(npu1_1col) {
  %shim = aie.tile(0, 0)
  %mem = aie.tile(0, 1)
  %one = aie.tile(0, 2)
  %two = aie.tile(0, 3)
  aie.packet_flow(1) {
    aie.packet_source<%shim, DMA : 0>
    aie.packet_dest<%mem, DMA : 0>
  } {keep_pkt_header = true}
  aie.packet_flow(2) {
    aie.packet_source<%shim, DMA : 0>
    aie.packet_dest<%mem, DMA : 0>
  } {keep_pkt_header = true}
  aie.packet_flow(1) { aie.packet_source<%mem, DMA : 0> aie.packet_dest<%one, DMA : 0> }
  aie.packet_flow(2) { aie.packet_source<%mem, DMA : 0> aie.packet_dest<%two, DMA : 0> }
  aie.flow(%one, DMA : 0, %shim, DMA : 0)
  aie.flow(%two, DMA : 0, %shim, DMA : 1)
  aie.shim_dma_allocation @x (%shim, MM2S, 0)
  aie.shim_dma_allocation @y (%shim, S2MM, 0)
  aie.shim_dma_allocation @z (%shim, S2MM, 1)
  %held = aie.buffer(%mem) {sym_name = "held"} : memref<65xi32>
  %hp = aie.lock(%mem, 0) {init = 1 : i32, sym_name = "hp"}
  %hc = aie.lock(%mem, 1) {init = 0 : i32, sym_name = "hc"}
  %md = aie.memtile_dma(%mem) {
    %0 = aie.dma(S2MM, 0) [{
      aie.use_lock(%hp, AcquireGreaterEqual, 1)
      aie.dma_bd(%held : memref<65xi32>)
      aie.use_lock(%hc, Release, 1)
    }]
    %1 = aie.dma(MM2S, 0) [{
      aie.use_lock(%hc, AcquireGreaterEqual, 1)
      aie.dma_bd(%held : memref<65xi32>)
      aie.use_lock(%hp, Release, 1)
    }]
    aie.end
  }
  PASS
  aie.runtime_sequence @sequence(%X: memref<256xi32>, %Y: memref<256xi32>) {
    aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,64][0,0,0,1], packet = <pkt_id = 2, pkt_type = 0>)
      {id = 0 : i64, metadata = @x} : memref<256xi32>
    aiex.npu.dma_memcpy_nd(%X[0,0,0,64][1,1,1,64][0,0,0,1], packet = <pkt_id = 1, pkt_type = 0>)
      {id = 1 : i64, metadata = @x} : memref<256xi32>
    aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,64][0,0,0,1]) {id = 2 : i64, metadata = @y} : memref<256xi32>
    aiex.npu.dma_memcpy_nd(%Y[0,0,0,64][1,1,1,64][0,0,0,1]) {id = 3 : i64, metadata = @z} : memref<256xi32>
    aiex.npu.dma_wait {symbol = @y}
    aiex.npu.dma_wait {symbol = @z}
  }
} }
"""
FORWARD_CORE = """%b{i} = aie.buffer(%{tile}) {{sym_name = "b{i}"}} : memref<64xi32>
  %p{i} = aie.lock(%{tile}, 0) {{init = 1 : i32, sym_name = "p{i}"}}
  %c{i} = aie.lock(%{tile}, 1) {{init = 0 : i32, sym_name = "c{i}"}}
  %m{i} = aie.mem(%{tile}) {{
    %0 = aie.dma(S2MM, 0) [{{
      aie.use_lock(%p{i}, AcquireGreaterEqual, 1)
      aie.dma_bd(%b{i} : memref<64xi32>)
      aie.use_lock(%c{i}, Release, 1)
    }}]
    %1 = aie.dma(MM2S, 0) [{{
      aie.use_lock(%c{i}, AcquireGreaterEqual, 1)
      aie.dma_bd(%b{i} : memref<64xi32>)
      aie.use_lock(%p{i}, Release, 1)
    }}]
    aie.end
  }}
  """


@BOTH
def test_a_kept_packet_header_routes_the_data_when_they_are_sent_on(timed: bool) -> None:
    cores = FORWARD_CORE.format(i=1, tile="one") + FORWARD_CORE.format(i=2, tile="two")
    got = run(FORWARD.replace("PASS", cores), timed)
    assert (got[:64] == X[64:128]).all()
    assert (got[64:128] == X[:64]).all()


@BOTH
@pytest.mark.parametrize("consumers", [1, 3])
def test_distribute_and_join(timed: bool, consumers: int) -> None:
    """Each of two cores gets half an object, one of them transposed."""
    core = """%cr{i} = aie.core(%core{i}) {{
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %n = arith.constant 32 : index
      %forever = arith.constant 2147483640 : index
      scf.for %it = %c0 to %forever step %c1 {{
        %sx = aie.objectfifo.acquire @x{i}(Consume, 1) : !aie.objectfifosubview<memref<32xi32>>
        %x = aie.objectfifo.subview.access %sx[0] : !aie.objectfifosubview<memref<32xi32>> -> memref<32xi32>
        %sy = aie.objectfifo.acquire @y{i}(Produce, 1) : !aie.objectfifosubview<memref<32xi32>>
        %y = aie.objectfifo.subview.access %sy[0] : !aie.objectfifosubview<memref<32xi32>> -> memref<32xi32>
        scf.for %i = %c0 to %n step %c1 {{
          %v = memref.load %x[%i] : memref<32xi32>
          memref.store %v, %y[%i] : memref<32xi32>
        }}
        aie.objectfifo.release @x{i}(Consume, 1)
        aie.objectfifo.release @y{i}(Produce, 1)
      }}
      aie.end
    }}"""
    reverse = "dimensionsToStream [<size = 4, stride = 1>, <size = 8, stride = 4>]"
    text = f"""module {{ aie.device(npu1_1col) {{
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %core0 = aie.tile(0, 2)
    %core1 = aie.tile(0, 3)
    aie.objectfifo @x(%shim, {{%mem}}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @x0(%mem {reverse}, {{%core0}}, 2 : i32) : !aie.objectfifo<memref<32xi32>>
    aie.objectfifo @x1(%mem, {{%core1}}, [2, {consumers}]) : !aie.objectfifo<memref<32xi32>>
    aie.objectfifo.link [@x] -> [@x0, @x1] ([] [0, 32])
    aie.objectfifo @y0(%core0, {{%mem}}, 2 : i32) : !aie.objectfifo<memref<32xi32>>
    aie.objectfifo @y1(%core1, {{%mem}}, 2 : i32) : !aie.objectfifo<memref<32xi32>>
    aie.objectfifo @y(%mem, {{%shim}}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo.link [@y0, @y1] -> [@y] ([0, 32] [])
    {core.format(i=0)}
    {core.format(i=1)}
    aie.runtime_sequence @sequence(%X: memref<256xi32>, %Y: memref<256xi32>) {{{SEQUENCE}}}
  }} }}"""
    expected = X.reshape(4, 64).copy()
    expected[:, :32] = expected[:, :32].reshape(4, 8, 4).transpose(0, 2, 1).reshape(4, 32)
    assert (run(text, timed).reshape(4, 64) == expected).all()


def test_broadcast_reaches_every_core() -> None:
    second = PASS.replace("@y", "@z").replace("@x", "@x").replace("BODY", COPY)
    text = one_core(
        fifos="""%two = aie.tile(0, 3)
    aie.objectfifo @x(%shim, {%core, %two}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @y(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @z(%two, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>""",
        extra=f"%c2 = aie.core(%two) {{{second} aie.end }}",
        sequence="""
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,128][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,128][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,128][1,1,1,128][0,0,0,1])
        {id = 2 : i64, metadata = @z} : memref<256xi32>
      aiex.npu.dma_wait {symbol = @y}
      aiex.npu.dma_wait {symbol = @z}
""",
    )
    assert (run(text).reshape(2, 128) == X[:128]).all()


@pytest.mark.parametrize("attributes", ["", " {via_DMA = true}"])
def test_core_to_core_through_shared_memory_or_dma(attributes: str) -> None:
    second = PASS.replace("@x", "@h").replace("BODY", COPY)
    text = one_core(
        core=PASS.replace("@y", "@h").replace("BODY", COPY),
        fifos=f"""%two = aie.tile(0, 3)
    aie.objectfifo @x(%shim, {{%core}}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @h(%core, {{%two}}, 2 : i32){attributes} : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @y(%two, {{%shim}}, 2 : i32) : !aie.objectfifo<memref<64xi32>>""",
        extra=f"%c2 = aie.core(%two) {{{second} aie.end }}",
    )
    design = load(text)
    assert any(flow.fifo == "h" for flow in design.flows) == bool(attributes)
    assert (run(text) == X).all()


def test_repeat_count_sends_each_object_several_times() -> None:
    text = one_core(
        core=PASS.replace("@x", "@x2").replace("BODY", COPY),
        fifos="""aie.objectfifo @x(%shim, {%mem}, 1 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @x2(%mem, {%core}, 1 : i32) {repeat_count = 2 : i32} : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo.link [@x] -> [@x2] ([] [])
    aie.objectfifo @y(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>""",
        sequence=SEQUENCE.replace("%X[0,0,0,0][1,1,1,256]", "%X[0,0,0,0][1,1,1,128]"),
    )
    assert (run(text).reshape(2, 2, 64) == X[:128].reshape(2, 1, 64)).all()


def test_objects_with_initial_values_come_first() -> None:
    text = one_core(
        core=PASS.replace("@x", "@w").replace("BODY", COPY),
        fifos="""aie.objectfifo @w(%mem, {%core}, 2 : i32) = [dense<7> : memref<64xi32>, dense<9> : memref<64xi32>] : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @y(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>""",  # noqa: E501
        sequence="".join(line + "\n" for line in SEQUENCE.splitlines() if "@x" not in line),
    ).replace(
        "(%mem, {%core}, 2 : i32) = [dense<7> : memref<64xi32>, dense<9> : memref<64xi32>] : "
        "!aie.objectfifo<memref<64xi32>>",
        "(%mem, {%core}, 2 : i32) : !aie.objectfifo<memref<64xi32>> = [dense<7> : memref<64xi32>, "
        "dense<9> : memref<64xi32>]",
    )
    args = [X.copy(), np.zeros(256, np.int32)]
    from npukbuild.errors import SimulationFault

    simulator = Simulator(load(text.replace("1,1,1,256", "1,1,1,128")))
    simulator.run(args)
    assert (args[1][:64] == 7).all()
    assert (args[1][64:128] == 9).all()
    with pytest.raises(SimulationFault, match="hangs"):
        Simulator(load(text)).run(args)


def test_memtile_padding_puts_zeros_around() -> None:
    text = one_core(
        core=PASS.replace("@x", "@x2").replace("BODY", COPY),
        fifos="""aie.objectfifo @x(%shim, {%mem}, 2 : i32) : !aie.objectfifo<memref<48xi32>>
    aie.objectfifo @x2(%mem dimensionsToStream [<size = 6, stride = 8>, <size = 8, stride = 1>], {%core}, 2 : i32) {padDimensions = #aie<bd_pad_layout_array[<const_pad_before = 1, const_pad_after = 1>, <const_pad_before = 0, const_pad_after = 0>]>} : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo.link [@x] -> [@x2] ([] [])
    aie.objectfifo @y(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>""",  # noqa: E501
        sequence=SEQUENCE.replace("%X[0,0,0,0][1,1,1,256]", "%X[0,0,0,0][1,1,1,192]"),
    )
    got = call(text, None, X.copy(), np.full(256, -1, np.int32)).reshape(4, 8, 8)
    assert (got[:, 1:7].reshape(-1) == X[:192]).all()
    assert not got[:, 0].any()
    assert not got[:, 7].any()


TASKS = """
      %t0 = aiex.dma_configure_task_for @x {
        aie.dma_bd(%X : memref<256xi32>, 0, 64, [<size = 4, stride = 64>,
          <size = 1, stride = 0>, <size = 1, stride = 0>, <size = 64, stride = 1>])
          {bd_id = 0 : i32}
        aie.end
      } {repeat_count = 3 : i32}
      aiex.dma_start_task(%t0)
      %t1 = aiex.dma_configure_task_for @y {
        aie.dma_bd(%Y : memref<256xi32>, 0, 256) {bd_id = 1 : i32}
        aie.end
      } {issue_token = true}
      aiex.dma_start_task(%t1)
      aiex.dma_await_task(%t1)
      aiex.dma_free_task(%t0)
"""


@BOTH
def test_runtime_tasks(timed: bool) -> None:
    assert (run(one_core(sequence=TASKS), timed) == X).all()


def test_npu_sync_instead_of_dma_wait() -> None:
    sync = """aiex.npu.sync {channel = 0 : i32, column = 0 : i32, column_num = 1 : i32, direction = 0 : i32, row = 0 : i32, row_num = 1 : i32}"""  # noqa: E501
    assert (run(one_core(sequence=SEQUENCE.replace("aiex.npu.dma_wait {symbol = @y}", sync))) == X).all()


def test_repeat_and_iteration_of_a_shim_transfer() -> None:
    sequence = SEQUENCE.replace(
        "%X[0,0,0,0][1,1,1,256][0,0,0,1]", "%X[0,0,0,0][2,2,8,8][0,8,16,1]"
    )  # two times: the left and the right half of a 8 x 16 matrix
    halves = X[:128].reshape(8, 2, 8).transpose(1, 0, 2).reshape(-1)
    assert (run(one_core(sequence=sequence)).reshape(2, 128) == halves).all()
    sequence = SEQUENCE.replace("%X[0,0,0,0][1,1,1,256][0,0,0,1]", "%X[0,0,0,0][4,1,8,8][64,0,8,1]")
    assert (run(one_core(sequence=sequence)) == X).all()


@BOTH
def test_a_cascade_between_two_cores(timed: bool) -> None:
    sender = """
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %n = arith.constant 64 : index
      %forever = arith.constant 2147483640 : index
      scf.for %it = %c0 to %forever step %c1 {
        %s = aie.objectfifo.acquire @x(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
        %x = aie.objectfifo.subview.access %s[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
        scf.for %i = %c0 to %n step %c1 {
          %v = memref.load %x[%i] : memref<64xi32>
          aie.put_cascade(%v : i32)
        }
        aie.objectfifo.release @x(Consume, 1)
      }"""
    receiver = """
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %n = arith.constant 64 : index
      %forever = arith.constant 2147483640 : index
      scf.for %it = %c0 to %forever step %c1 {
        %s = aie.objectfifo.acquire @y(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>
        %y = aie.objectfifo.subview.access %s[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
        scf.for %i = %c0 to %n step %c1 {
          %v = aie.get_cascade() : i32
          memref.store %v, %y[%i] : memref<64xi32>
        }
        aie.objectfifo.release @y(Produce, 1)
      }"""
    text = one_core(
        core=receiver,
        fifos="""%north = aie.tile(0, 3)
    aie.objectfifo @x(%shim, {%north}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @y(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.cascade_flow(%north, %core)""",
        extra=f"%c2 = aie.core(%north) {{{sender} aie.end }}",
    )
    assert (run(text, timed) == X).all()


@BOTH
def test_streams_between_cores_word_by_word(timed: bool) -> None:
    loop = """
      %p = arith.constant 0 : i32
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %n = arith.constant 64 : index
      %forever = arith.constant 2147483640 : index
      scf.for %it = %c0 to %forever step %c1 {{
        %s = aie.objectfifo.acquire @{fifo}({port}, 1) : !aie.objectfifosubview<memref<64xi32>>
        %b = aie.objectfifo.subview.access %s[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
        scf.for %i = %c0 to %n step %c1 {{
          {body}
        }}
        aie.objectfifo.release @{fifo}({port}, 1)
      }}"""
    put = "%v = memref.load %b[%i] : memref<64xi32>\n aie.put_stream(%p : i32, %v : i32)"
    get = "%v = aie.get_stream(%p : i32) : i32\n memref.store %v, %b[%i] : memref<64xi32>"
    text = one_core(
        core=loop.format(fifo="x", port="Consume", body=put),
        fifos="""%far = aie.tile(0, 5)
    aie.objectfifo @x(%shim, {%core}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @y(%far, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.flow(%core, Core : 0, %far, Core : 0)""",
        extra=f"%c2 = aie.core(%far) {{{loop.format(fifo='y', port='Produce', body=get)} aie.end }}",
    )
    assert (run(text, timed) == X).all()


def test_a_finished_transfer_may_rest_in_the_switches_and_a_longer_one_may_not() -> None:
    """16 words fit into the stream's own FIFOs, so waiting for their token ends; 256 words do not."""
    from npukbuild.errors import SimulationFault

    idle = """
      %c0 = arith.constant 0 : index
      %s = aie.objectfifo.acquire @x(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
    """
    sequence = """
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,LENGTH][0,0,0,1]) {id = 0 : i64, metadata = @x, issue_token = true} : memref<256xi32>
      aiex.npu.dma_wait {symbol = @x}
"""  # noqa: E501
    fits, long = (one_core(core=idle, sequence=sequence.replace("LENGTH", str(n))) for n in (64 + 64, 256))
    call(fits, None, X.copy(), np.zeros(256, np.int32))
    with pytest.raises(SimulationFault, match="hangs"):
        call(long, None, X.copy(), np.zeros(256, np.int32))


def test_two_simulators_do_not_see_each_other() -> None:
    design = load(one_core())
    first, second = Simulator(design), Simulator(design)
    one, two = [X.copy(), np.zeros(256, np.int32)], [X + 5, np.zeros(256, np.int32)]
    first.run(one)
    second.run(two)
    first.run(one)
    assert (one[1] == X).all()
    assert (two[1] == X + 5).all()


CHAIN = """module { aie.device(npu1_1col) {
  %s = aie.tile(0, 0)
  %t = aie.tile(0, 1)
  %b = aie.buffer(%t) {sym_name = "b"} : memref<128xi32>
  %free = aie.lock(%t, 0) {init = 1 : i32, sym_name = "free"}
  %full = aie.lock(%t, 1) {init = 0 : i32, sym_name = "full"}
  aie.flow(%s, DMA : 0, %t, DMA : 0)
  aie.flow(%t, DMA : 0, %s, DMA : 0)
  aie.shim_dma_allocation @x (%s, MM2S, 0)
  aie.shim_dma_allocation @y (%s, S2MM, 0)
  aie.bd_chain @halves(%a: memref<256xi32>) {
    aie.dma_bd(%a : memref<256xi32>, 128, 128)
    aie.next_bd ^second
  ^second:
    aie.dma_bd(%a : memref<256xi32>, 0, 128)
    aie.end
  }
  aie.bd_chain @turn(%a: memref<128xi32>, %take: index, %give: index) {
    aie.use_lock(%take, AcquireGreaterEqual, 1)
    aie.dma_bd(%a : memref<128xi32>, 0, 128)
    aie.use_lock(%give, Release, 1)
    aie.end
  }
  aie.runtime_sequence(%x: memref<256xi32>, %y: memref<256xi32>) {
    %0 = aiex.dma_start_bd_chain @turn(%b, %free, %full) : (memref<128xi32>, index, index) on (%t, S2MM, 0) {repeat_count = 1 : i32}
    %1 = aiex.dma_start_bd_chain @turn(%b, %full, %free) : (memref<128xi32>, index, index) on (%t, MM2S, 0) {repeat_count = 1 : i32}
    %2 = aiex.dma_start_bd_chain_for @halves(%x) : (memref<256xi32>) for @x
    %3 = aiex.dma_start_bd_chain_for @halves(%y) : (memref<256xi32>) for @y {issue_token = true}
    aiex.dma_await_task(%3)
  } } }"""  # fmt: skip # noqa: E501


def test_a_chain_is_filled_in_with_buffers_and_locks_where_it_is_started() -> None:
    pushes: list[Any] = list(load(CHAIN).sequence.operations[:4])
    assert [[one.buffer for one in push.descriptors] for push in pushes] == [
        ["b"],
        ["b"],
        ["x"] * 2,
        ["y"] * 2,
    ]
    assert [pushes[n].descriptors[0].acquires[0].lock for n in (0, 1)] == ["free", "full"]
    assert (run(CHAIN) == X).all()
    # y takes the halves the other way round only if both ends do not swap them alike
    straight = CHAIN.replace("@halves(%y) :", "@whole(%y) :").replace(
        "aie.bd_chain @turn", "aie.bd_chain @whole(%a: memref<256xi32>) {\n"
        "    aie.dma_bd(%a : memref<256xi32>, 0, 256)\n    aie.end\n  }\n  aie.bd_chain @turn", 1,
    )  # fmt: skip
    assert (run(straight) == np.roll(X, 128)).all()


def test_a_chain_that_does_not_exist_or_takes_other_arguments_is_named() -> None:
    with pytest.raises(DesignError, match="no bd_chain is named half"):
        load(CHAIN.replace("for @halves(%x)", "for @half(%x)"))
    with pytest.raises(DesignError, match="the arguments of bd_chain turn do not fit"):
        load(CHAIN.replace("_for @halves(%x)", "_for @turn(%x)"))
