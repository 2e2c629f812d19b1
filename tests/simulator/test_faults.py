"""Every kind of fault, each in a small design that has it, is found and explained with its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from npukbuild.errors import SimulationFault
from npukbuild.ir.design import Push, Wait
from npukbuild.simulator import Simulator
from tests.simulator.designs import COPY, PASS, SEQUENCE, call, change_sequence, load, one_core

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.ir.design import Design

BROKEN = Path(__file__).parent.parent / "golden" / "broken"
DTYPES = {"bf16": ml_dtypes.bfloat16, "i32": np.int32}


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def fault_of(design: Design | str, kernels: Any = None, **options: Any) -> SimulationFault:
    loaded = load(design) if isinstance(design, str) else design
    args = [np.ones(kind.shape, DTYPES[kind.element]) for _, kind in loaded.sequence.arguments]
    with pytest.raises(SimulationFault) as caught:
        Simulator(loaded, kernels, **options).run(args)
    return caught.value


def broken(name: str) -> Design:
    return load((BROKEN / f"{name}.mlir").read_text())


def test_the_sound_design_that_these_faults_are_made_of_runs() -> None:
    assert (call(one_core()) == np.arange(256)).all()


@pytest.mark.parametrize("timed", [False, True])
def test_a_deadlock_is_shown_as_a_cycle_through_both_cores(timed: bool) -> None:
    loop = """
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %n = arith.constant 100 : index
      scf.for %i = %c0 to %n step %c1 {{
        %a = aie.objectfifo.acquire @{take}(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
        %b = aie.objectfifo.acquire @{give}(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>
        {more}
        aie.objectfifo.release @{give}(Produce, 1)
        aie.objectfifo.release @{take}(Consume, 1)
      }}"""
    out = """%y = aie.objectfifo.acquire @y(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>
        aie.objectfifo.release @y(Produce, 1)"""
    text = one_core(
        core=loop.format(take="back", give="forth", more=out),
        fifos="""%other = aie.tile(0, 3)
    aie.objectfifo @y(%core, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @forth(%core, {%other}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @back(%other, {%core}, 2 : i32) : !aie.objectfifo<memref<64xi32>>""",
        extra=f"%c2 = aie.core(%other) {{{loop.format(take='forth', give='back', more='')}\n aie.end }}",
        sequence="".join(line + "\n" for line in SEQUENCE.splitlines() if "@x" not in line),
    )
    fault = fault_of(text, timed=timed)
    said = str(fault)
    assert "hangs" in fault.what
    assert "must give before it takes" in (fault.hint or "")
    assert "core (0,2) -> core (0,3)" in said or "core (0,3) -> core (0,2)" in said
    assert f"design.mlir:{line_of(text, 'acquire @back(Consume')}" in said
    assert f"design.mlir:{line_of(text, 'acquire @forth(Consume')}" in said


def test_a_fifo_whose_counts_never_match_says_how_much_was_sent() -> None:
    fault = fault_of(broken("X9_short_input"), NothingKernels())
    assert "x sends nothing more" in fault.what
    assert any("7168 elements" in line and "design.mlir:24" in line for line in fault.details)
    assert any("7168 of 8192 elements of Y" in line for line in fault.details)


def test_a_missing_release_is_named() -> None:
    fault = fault_of(broken("X9d_missing_release"), NothingKernels())
    assert "x_cons_prod_lock_0 is never released" in fault.what
    assert fault.hint == "release what is acquired of x"


def test_input_that_no_core_takes_is_a_fault() -> None:
    fault = fault_of(broken("X9e_never_acquired"), NothingKernels())
    assert "never takes all that the host sends to x" in fault.what
    assert "4096 of 16384 bytes" in (fault.why or "")


def test_an_acquire_beyond_the_depth_can_never_be_granted() -> None:
    text = (BROKEN / "X9f_acquire_more_than_array_depth.mlir").read_text().replace("[2, 2]", "[2, 3]")
    design = load(text)
    (tile,) = design.cores
    core = design.cores[tile]
    ends = {key: replace(end, buffers=end.buffers[:2]) for key, end in core.fifo_ends.items()}
    locks = {
        name: replace(lock, init=2) if lock.tile == tile and lock.init == 3 else lock
        for name, lock in design.locks.items()
    }
    channels = []
    for channel in design.channels:
        bds = tuple(bd for bd in channel.descriptors if not bd.buffer.endswith("buff_2"))
        bds = tuple(replace(bd, next=(place + 1) % len(bds)) for place, bd in enumerate(bds))
        channels.append(replace(channel, descriptors=bds))
    shallow = replace(
        design, cores={tile: replace(core, fifo_ends=ends)}, locks=locks, channels=tuple(channels)
    )
    fault = fault_of(shallow)
    assert fault.what == "the design hangs: 3 objects are asked for and the fifo has 2"
    assert any("can never reach 3" in line for line in fault.details)


def test_a_wait_without_a_token_never_ends() -> None:
    def silent(operations: Any) -> Any:
        return [
            replace(op, token=False) if isinstance(op, Push) and op.target.direction == "S2MM" else op
            for op in operations
        ]

    fault = fault_of(change_sequence(load(one_core()), silent))
    assert "waits for a token" in fault.what
    assert fault.hint is not None
    assert "issue_token" in fault.hint


def test_a_wait_for_a_channel_without_a_task_is_explained() -> None:
    design = change_sequence(
        load(one_core()),
        lambda operations: [
            op for op in operations if not (isinstance(op, Push) and op.target.direction == "S2MM")
        ],
    )
    assert "was given no task" in fault_of(design).what


def test_a_call_that_does_not_wait_for_its_output() -> None:
    text = one_core()
    design = change_sequence(
        load(text), lambda operations: [op for op in operations if not isinstance(op, Wait)]
    )
    fault = fault_of(design)
    assert fault.what == "the call returns before Y is written"
    assert fault.where is not None
    assert fault.where.startswith(f"design.mlir:{line_of(text, 'memcpy_nd(%Y')}")


def test_data_that_were_never_written_are_poison() -> None:
    half = COPY.replace("%c0 to %n step %c1", "%c0 to %half step %c1")
    text = one_core("%half = arith.constant 60 : index\n" + half)
    fault = fault_of(text)
    assert "y_buff_0 that were never written" in fault.what
    assert "4 of 64 elements, the first at stream element 60" in (fault.why or "")


def test_a_core_that_loads_a_buffer_nobody_wrote() -> None:
    fault = fault_of(
        one_core(
            "%v = memref.load %b[%c0] : memref<8xi32>\n memref.store %v, %y[%c0] : memref<64xi32>",
            extra='%b = aie.buffer(%core) {sym_name = "b"} : memref<8xi32>',
        )
    )
    assert fault.what == "a core reads b[0] of (0,2), which was never written"


ACCUMULATE = """
#include <cstdint>
extern "C" void add(const int32_t *x, int32_t *acc, int32_t *y) {
  for (int i = 0; i < 64; i++) y[i] = acc[i] += x[i];
}
extern "C" void clear(int32_t *acc) { for (int i = 0; i < 64; i++) acc[i] = 0; }
"""
ADD = "func.call @add(%x, %acc, %y) : (memref<64xi32>, memref<64xi32>, memref<64xi32>) -> ()"
ACCUMULATOR = """func.func private @add(memref<64xi32>, memref<64xi32>, memref<64xi32>)
    func.func private @clear(memref<64xi32>)
    %acc = aie.buffer(%core) {sym_name = "acc"} : memref<64xi32>"""


def test_a_function_that_adds_to_an_accumulator_nobody_cleared(compile_cc: Callable[[str], Any]) -> None:
    kernels = compile_cc(ACCUMULATE)
    text = one_core(ADD, extra=ACCUMULATOR)
    fault = fault_of(text, kernels)
    assert fault.what == "core function add on core (0,2) computes with data that were never written"
    assert fault.details == (), "the same is not said twice"
    assert fault.where is not None
    assert fault.where.startswith(f"design.mlir:{line_of(text, 'call @add')}")
    clear = "func.call @clear(%acc) : (memref<64xi32>) -> ()\n"
    assert (call(one_core(clear + ADD, extra=ACCUMULATOR), kernels) == np.arange(256)).all()


@pytest.mark.parametrize("index", [64, -1])
def test_an_access_outside_a_block(index: int) -> None:
    body = f"%far = arith.constant {index} : index\n%v = memref.load %x[%far] : memref<64xi32>"
    fault = fault_of(one_core(body))
    assert fault.what == "a core accesses x_cons_buff_0 of (0,2) outside its bounds"
    assert f"[{index}] of a block of 64" in (fault.why or "")


def test_a_host_buffer_that_is_overrun() -> None:
    def longer(operations: Any) -> Any:
        return [
            replace(op, descriptors=(replace(op.descriptors[0], offset=64),)) if isinstance(op, Push) else op
            for op in operations
        ]

    fault = fault_of(change_sequence(load(one_core()), longer))
    assert "outside host argument X" in fault.what
    assert "elements 64..319" in (fault.why or "")


def test_a_host_that_takes_a_part_of_an_object() -> None:
    def shorter(operations: Any) -> Any:
        return [
            replace(op, descriptors=(replace(op.descriptors[0], length=224),))
            if isinstance(op, Push) and op.target.direction == "S2MM"
            else op
            for op in operations
        ]

    fault = fault_of(change_sequence(load(one_core()), shorter))
    assert fault.what == "the host took a part of an object of y"
    assert "element 32 of 64" in (fault.why or "")


def test_use_after_release() -> None:
    text = one_core(
        core=PASS.replace("BODY", "aie.objectfifo.release @x(Consume, 1)\n" + COPY).replace(
            "      aie.objectfifo.release @x(Consume, 1)\n      aie.objectfifo.release @y",
            "aie.objectfifo.release @y",
        )
    )
    fault = fault_of(text)
    assert "object of fifo x" in fault.what
    assert "without holding its lock" in fault.what
    assert fault.where is not None
    assert fault.where.startswith(f"design.mlir:{line_of(text, 'memref.load')}")


WILD = """
#include <cstdint>
extern "C" void wild(const int32_t *x, int32_t *y) { for (int i = 0; i < N; i++) y[i] = x[i % 64]; }
extern "C" void before(const int32_t *x, int32_t *y) { for (int i = -1; i < 64; i++) y[i] = 7; }
"""


@pytest.mark.parametrize(
    ("name", "count", "word"), [("wild", 65, "past the end"), ("before", 64, "before the start")]
)
def test_a_function_that_writes_beyond_its_block(
    compile_cc: Callable[[str], Any], name: str, count: int, word: str
) -> None:
    kernels = compile_cc(WILD.replace("N;", f"{count};"))
    text = one_core(
        f"func.call @{name}(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()",
        extra=f"func.func private @{name}(memref<64xi32>, memref<64xi32>)",
    )
    fault = fault_of(text, kernels)
    assert fault.what == f"core function {name} writes {word} of its block"
    assert "y_buff_0" in (fault.why or "")


TWO_CHANNELS = """module { aie.device(npu1_1col) {
  %shim = aie.tile(0, 0)
  %core = aie.tile(0, 2)
  %b = aie.buffer(%core) {sym_name = "b"} : memref<64xi32>
  %l = aie.lock(%core, 0) {init = 0 : i32, sym_name = "full"}
  aie.flow(%shim, DMA : 0, %core, DMA : 0)
  aie.flow(%shim, DMA : 1, %core, DMA : 1)
  aie.shim_dma_allocation @one (%shim, MM2S, 0)
  aie.shim_dma_allocation @two (%shim, MM2S, 1)
  %m = aie.mem(%core) {
    %0 = aie.dma_start(S2MM, 0, ^first, ^second)
  ^first:
    aie.dma_bd(%b : memref<64xi32>, 0, 64)
    aie.use_lock(%l, Release, 1)
    aie.next_bd ^end
  ^second:
    %1 = aie.dma_start(S2MM, 1, ^other, ^end)
  ^other:
    aie.dma_bd(%b : memref<64xi32>, OFFSET, 32)
    aie.next_bd ^end
  ^end:
    aie.end
  }
  aie.runtime_sequence @sequence(%X: memref<64xi32>) {
    aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,64][0,0,0,1])
      {id = 0 : i64, metadata = @one, issue_token = true} : memref<64xi32>
    aiex.npu.dma_wait {symbol = @one}
  }
} }
"""


def test_two_dma_channels_that_write_one_buffer() -> None:
    fault = fault_of(TWO_CHANNELS.replace("OFFSET", "32"))
    assert fault.what == "two writers use buffer b at the same time"
    assert "(0,2) S2MM 0" in (fault.why or "")


def test_two_tasks_that_write_the_same_host_words() -> None:
    text = one_core(
        sequence="""
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,256][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,1,128][0,0,0,1]) {id = 1 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,64][1,1,1,128][0,0,0,1]) {id = 2 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_wait {symbol = @y}
      aiex.npu.dma_wait {symbol = @y}
"""
    )
    fault = fault_of(text)
    assert fault.what == "two tasks write the same part of host argument Y"
    apart = text.replace("%Y[0,0,0,64]", "%Y[0,0,0,128]")
    assert (call(apart) == np.arange(256)).all()


def test_tasks_that_interleave_in_the_host_buffer_are_no_two_writers() -> None:
    text = one_core(
        sequence="""
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,256][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,0][1,1,8,16][0,0,32,1]) {id = 1 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%Y[0,0,0,16][1,1,8,16][0,0,32,1]) {id = 2 : i64, metadata = @y} : memref<256xi32>
      aiex.npu.dma_wait {symbol = @y}
      aiex.npu.dma_wait {symbol = @y}
"""
    )
    expected = np.zeros((8, 32), np.int32)
    expected[:, :16] = np.arange(128).reshape(8, 16)
    expected[:, 16:] = np.arange(128, 256).reshape(8, 16)
    assert (call(text).reshape(8, 32) == expected).all()
    assert fault_of(text.replace("%Y[0,0,0,16]", "%Y[0,0,0,12]")).what.startswith(
        "two tasks write the same part"
    )


TWO_IN = """
      aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,128][0,0,0,1]) {id = 0 : i64, metadata = @x} : memref<256xi32>
      aiex.npu.dma_memcpy_nd(%X[0,0,0,128][1,1,1,128][0,0,0,1])
        {id = 3 : i64, metadata = @x} : memref<256xi32>
"""


def test_a_descriptor_used_again_while_live() -> None:
    def same(operations: Any) -> Any:
        return [
            replace(op, descriptors=tuple(replace(bd, id=0) for bd in op.descriptors))
            if isinstance(op, Push) and op.descriptors[0].id == 3
            else op
            for op in operations
        ]

    text = one_core(sequence=TWO_IN + "".join(SEQUENCE.splitlines(keepends=True)[2:]))
    assert (call(text) == np.arange(256)).all()
    fault = fault_of(change_sequence(load(text), same))
    assert fault.what == "descriptor 0 of (0,0) is used again while it is in use"
    assert f"design.mlir:{line_of(text, 'id = 0')}" in (fault.why or "")


def test_a_descriptor_id_that_does_not_exist() -> None:
    assert "descriptor id 16 on (0,0) does not exist" in fault_of(broken("X3_shim_bd_id_16")).what


def test_a_queue_over_its_depth() -> None:
    fault = fault_of(broken("X3c_six_pushes_on_one_channel"), NothingKernels())
    assert fault.what == "5 tasks are queued on (0,0) MM2S 0 (x)"
    assert fault.where is not None
    assert fault.where.startswith("design.mlir:28")


def test_more_than_five_host_arguments() -> None:
    assert "6 host arguments" in fault_of(broken("X10_six_host_buffers"), NothingKernels()).what


def test_a_lock_that_starts_too_high() -> None:
    fault = fault_of(broken("X12_lock_init_72_core"), NothingKernels())
    assert "starts with 72" in fault.what
    assert "cut to 8" in (fault.why or "")


def test_a_lock_that_overflows() -> None:
    text = TWO_CHANNELS.replace("OFFSET", "32").replace(
        "aie.next_bd ^end\n  ^second", "aie.next_bd ^first\n  ^second"
    )
    text = text.replace("init = 0", "init = 63").replace(
        "%1 = aie.dma_start(S2MM, 1, ^other, ^end)", "aie.end"
    )
    text = text[: text.index("  ^other")] + text[text.index("  ^end") :]
    assert fault_of(text).what == "lock full overflows"


@pytest.mark.parametrize("timed", [False, True])
def test_a_core_that_spins_for_ever_ends_with_the_budget(timed: bool) -> None:
    core = """
      %c0 = arith.constant 0 : index
      %b1 = arith.constant true
      scf.while () : () -> () { scf.condition(%b1) } do { scf.yield }
    """
    fault = fault_of(one_core(core=core), timed=timed, max_us=200.0, max_events=20_000)
    assert "budget ran out" in fault.what
    assert "core (0,2)" in (fault.hint or "")
    assert "waits for (0,0) S2MM 0" in (fault.why or "")


def test_a_core_function_that_does_not_return(compile_cc: Callable[[str], Any]) -> None:
    kernels = compile_cc(
        'extern "C" void spin(int *x, int *y) { volatile int stop = 0; while (!stop) { } y[0] = x[0]; }'
    )
    text = one_core(
        "func.call @spin(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()",
        extra="func.func private @spin(memref<64xi32>, memref<64xi32>)",
    )
    fault = fault_of(text, kernels, max_seconds=0.3)
    assert fault.what == "core function spin on core (0,2) does not return"
    assert "given 0.3 s of real time; after 1 s of grace" in (fault.why or "")


def test_a_core_that_ended_while_the_host_waits() -> None:
    fault = fault_of(one_core(core=PASS.replace("2147483640", "3").replace("BODY", COPY)))
    assert "core (0,2) has ended" in fault.what


@pytest.mark.parametrize("timed", [False, True])
def test_output_that_the_host_leaves_in_the_array_is_told_in_each_call(timed: bool) -> None:
    text = one_core(sequence=SEQUENCE.replace("%Y[0,0,0,0][1,1,1,256]", "%Y[0,0,0,0][1,1,1,192]"))
    simulator = Simulator(load(text), timed=timed)
    for then in (0, 1):
        (warning,) = simulator.run([np.ones(256, np.int32), np.zeros(256, np.int32)]).warnings
        assert f"fifo y: the call found {then} full objects on (0,2) and left {then + 1}" in warning
    sound = Simulator(load(one_core()), timed=timed)
    for _ in range(2):
        assert sound.run([np.ones(256, np.int32), np.zeros(256, np.int32)]).warnings == ()


def test_a_fault_stops_the_simulator_for_good() -> None:
    simulator = Simulator(broken("X9_short_input"), NothingKernels())
    args = [np.ones(8192, ml_dtypes.bfloat16), np.ones(8192, ml_dtypes.bfloat16)]
    with pytest.raises(SimulationFault):
        simulator.run(args)
    with pytest.raises(SimulationFault, match="stopped with a fault before"):
        simulator.run(args)


def test_a_missing_core_function_is_named() -> None:
    text = one_core(
        "func.call @nosuch(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()",
        extra="func.func private @nosuch(memref<64xi32>, memref<64xi32>)",
    )
    with pytest.raises(SimulationFault, match="nosuch is not in the kernels"):
        Simulator(load(text))


def test_all_missing_core_functions_are_named_at_once() -> None:
    call = "func.call {}(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()"
    declared = "func.func private {}(memref<64xi32>, memref<64xi32>)"
    text = one_core(
        "\n".join(call.format(name) for name in ("@nosuch", "@norsuch", "@nosuch", "@kern")),
        extra="\n".join(declared.format(name) for name in ("@nosuch", "@norsuch", "@kern")),
    )
    with pytest.raises(SimulationFault, match="nosuch is not in the kernels") as caught:
        Simulator(load(text), NothingKernels())
    (other,) = caught.value.details
    assert "norsuch is not there either" in other
    assert "core (0,2) calls it" in other


class NothingKernels:
    """Core functions that do nothing."""

    symbols: tuple[str, ...] = ("kern",)

    def new_core_state(self) -> Any:
        return None

    def bind(self, name: str, argtypes: Any, *, state: Any = None, returns: Any = None) -> Any:
        return lambda *_: None
