"""What objectfifos can do: links, broadcast, shared memory, repeats, initial values, padding."""

from __future__ import annotations

import numpy as np
import pytest

from npukbuild.errors import SimulationFault
from npukbuild.simulator import Simulator
from tests.simulator.designs import BOTH, COPY, PASS, SEQUENCE, X, call, load, one_core, run


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
