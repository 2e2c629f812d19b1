"""Cores that send each other single values: cascades and streams."""

from __future__ import annotations

from tests.simulator.designs import BOTH, X, one_core, run


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
