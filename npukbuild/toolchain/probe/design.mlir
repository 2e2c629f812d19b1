// The doctor's design: one core copies 64 words from the host to the host.
module {
  aie.device(npu1_1col) {
    %shim = aie.tile(0, 0)
    %core = aie.tile(0, 2)

    func.func private @npukbuild_probe(memref<64xi32>, memref<64xi32>) attributes {link_with = "kernel.o"}

    aie.objectfifo @given(%shim, {%core}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @taken(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>

    %core_0_2 = aie.core(%core) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %forever = arith.constant 2147483640 : index
      scf.for %call = %c0 to %forever step %c1 {
        %sv_given = aie.objectfifo.acquire @given(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
        %in = aie.objectfifo.subview.access %sv_given[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
        %sv_taken = aie.objectfifo.acquire @taken(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>
        %out = aie.objectfifo.subview.access %sv_taken[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
        func.call @npukbuild_probe(%in, %out) : (memref<64xi32>, memref<64xi32>) -> ()
        aie.objectfifo.release @given(Consume, 1)
        aie.objectfifo.release @taken(Produce, 1)
      }
      aie.end
    } {stack_size = 1024 : i32}

    aie.runtime_sequence @sequence(%A: memref<64xi32>, %C: memref<64xi32>) {
      aiex.npu.dma_memcpy_nd(%A[0, 0, 0, 0][1, 1, 1, 64][0, 0, 0, 1]) {id = 0 : i64, metadata = @given} : memref<64xi32>
      aiex.npu.dma_memcpy_nd(%C[0, 0, 0, 0][1, 1, 1, 64][0, 0, 0, 1]) {id = 1 : i64, metadata = @taken} : memref<64xi32>
      aiex.npu.dma_wait {symbol = @taken}
    }
  }
}
