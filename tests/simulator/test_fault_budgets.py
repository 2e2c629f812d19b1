"""Whatever a design does, its simulation ends, with a report."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from npukbuild.errors import DesignError, SimulationFault
from npukbuild.simulator import Simulator
from npukbuild.simulator.budgets import GRACE_SECONDS, Patience, Progress
from tests.simulator.designs import SEQUENCE, load, one_core
from tests.simulator.faulty import NothingKernels, broken, fault_of, line_of

if TYPE_CHECKING:
    from collections.abc import Callable


HEAD = """
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %big = arith.constant 4611686018427387904 : index
    %true = arith.constant true
    %false = arith.constant false
"""
WHILE = "scf.while () : () -> () {{ scf.condition(%true) }} do {{ {}\n scf.yield }}"
OFTEN = "scf.for %i = %c0 to %big step %c1 {{ {} }}"
TAKE = "aie.use_lock(%a, AcquireGreaterEqual, {0})\n aie.use_lock({1}, Release, {0})"
DEAD = """scf.if %false {
      %s = aie.objectfifo.acquire @x(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
      aie.objectfifo.release @x(Consume, 1)
    }"""
SPINNING = {
    "while": WHILE.format(""),
    "odd_step": "scf.for %i = %c1 to %big step %c2 { }",
    "nested": OFTEN.format("scf.for %j = %c0 to %c2 step %c1 { }"),
    "blocks": "cf.br ^again\n^again:\n cf.br ^again\n^never:\n",
    "own_lock": WHILE.format(TAKE.format(1, "%a")),
    "lock_of_nothing": OFTEN.format(TAKE.format(0, "%a")),
    "wait_never_reached": OFTEN.format(DEAD),
}
LOCKS = """%other = aie.tile(0, 3)
    %a = aie.lock(%core, 14) {init = 1 : i32, sym_name = "a"}
    %b = aie.lock(%core, 15) {init = 0 : i32, sym_name = "b"}
    """


def spinning(core: str, extra: str = "") -> str:
    return one_core(core=HEAD + core, extra=LOCKS + extra)


@pytest.mark.parametrize(
    ("name", "timed"), [*((name, False) for name in SPINNING), ("while", True), ("own_lock", True)]
)
def test_a_core_that_spins_for_ever_ends_when_the_host_gets_nowhere(name: str, timed: bool) -> None:
    fault = fault_of(spinning(SPINNING[name]), timed=timed, max_idle_seconds=0.1)
    assert "livelock" in fault.what
    assert "for 0.1 s of real time the host's transfers did not move a word" in (fault.why or "")
    assert fault.details[0].startswith("the host waits for a token of (0,0) S2MM 0 of y (design.mlir:")
    assert fault.details[1].startswith("core (0,2) runs on and on (design.mlir:")
    assert "max_idle_seconds (--max-idle)" in (fault.hint or "")


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"max_us": 50.0}, "within 50 us of simulated time"),
        ({"max_events": 20_000}, "within 20,000 events"),
        ({"max_seconds": 0.1}, "within 0.1 s of real time"),
    ],
)
def test_each_budget_ends_a_core_that_spins_for_ever(limit: dict[str, Any], said: str) -> None:
    fault = fault_of(spinning(SPINNING["while"]), **limit)
    assert fault.what == "the budget ran out before the call ended"
    assert said in (fault.why or "")
    assert "waits for (0,0) S2MM 0" in (fault.why or "")
    assert fault.hint == "a core that never ends its work: core (0,2)"


def test_a_budget_that_is_only_too_small_says_how_to_raise_it() -> None:
    fault = fault_of(one_core(), max_us=0.5)
    assert "within 0.5 us of simulated time" in (fault.why or "")
    assert fault.hint == "raise max_us (--budget), or send less data"


def test_two_cores_that_pass_a_lock_to_and_fro_are_both_named() -> None:
    take_b = TAKE.format(1, "%a").replace("use_lock(%a, Acq", "use_lock(%b, Acq")
    other = f"%second = aie.core(%other) {{ {HEAD} {OFTEN.format(take_b)}\n aie.end }}"
    fault = fault_of(spinning(OFTEN.format(TAKE.format(1, "%b")), other), max_idle_seconds=0.1)
    assert "livelock" in fault.what
    assert {line[:10] for line in fault.details[1:]} == {"core (0,2)", "core (0,3)"}


RING = """module { aie.device(npu1_1col) {
  %shim = aie.tile(0, 0)
  %mem = aie.tile(0, 1)
  %core = aie.tile(0, 2)
  %here = aie.buffer(%mem) {sym_name = "here"} : memref<64xi32> = dense<1>
  %there = aie.buffer(%core) {sym_name = "there"} : memref<64xi32>
  aie.flow(%mem, DMA : 0, %core, DMA : 0)
  aie.flow(%shim, DMA : 0, %core, DMA : 1)
  aie.shim_dma_allocation @x (%shim, MM2S, 0)
  %md = aie.memtile_dma(%mem) {
    %0 = aie.dma_start(MM2S, 0, ^a, ^e)
  ^a:
    aie.dma_bd(%here : memref<64xi32>, 0, 64)
    aie.next_bd ^a
  ^e:
    aie.end
  }
  %m = aie.mem(%core) {
    %0 = aie.dma_start(S2MM, 0, ^a, ^e)
  ^a:
    aie.dma_bd(%there : memref<64xi32>, 0, 64)
    aie.next_bd ^a
  ^e:
    aie.end
  }
  aie.runtime_sequence @sequence(%X: memref<256xi32>) {
    aiex.npu.dma_memcpy_nd(%X[0,0,0,0][1,1,1,256][0,0,0,1])
      {id = 0 : i64, metadata = @x, issue_token = true} : memref<256xi32>
    aiex.npu.dma_wait {symbol = @x}
  }
} }
"""


@pytest.mark.parametrize("timed", [False, True])
def test_descriptors_that_go_round_without_a_lock_are_named(timed: bool) -> None:
    fault = fault_of(RING, timed=timed, max_idle_seconds=0.1)
    assert "livelock" in fault.what
    sent = f"(0,1) MM2S 0 has sent here (design.mlir:{line_of(RING, 'dma_bd(%here')}:"
    assert any(line.startswith(sent) and line.endswith("times to (0,2) S2MM 0") for line in fault.details)
    assert (fault.hint or "").startswith("give descriptors that go round an acquire and a release")


def test_only_time_in_which_nothing_of_the_host_moves_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, moved = [0.0], [0]
    monkeypatch.setattr("npukbuild.simulator.budgets.monotonic", lambda: clock[0])
    array: Any = SimpleNamespace(streams=[])
    controller: Any = SimpleNamespace(progress=lambda: moved[0])
    progress = Progress(array, controller, 3.0)

    def after(seconds: float) -> bool:
        clock[0] += seconds
        return progress.stalled()

    assert [after(0.5) for _ in range(7)] == [False] * 7
    moved[0] += 1
    assert not after(0.5)
    assert not after(1000.0), "the process was stopped: that counts as one second"
    assert [after(0.5) for _ in range(5)] == [False] * 4 + [True]


def test_a_call_that_is_stuck_in_no_core_function_is_given_up_too() -> None:
    go_on = threading.Event()
    worker = threading.Thread(target=go_on.wait, daemon=True)
    worker.start()
    fault = Patience(lambda: (None, 0), -GRACE_SECONDS, 20.0).wait(worker)
    go_on.set()
    assert fault is not None
    assert fault.what == "the simulation does not come to an end"
    assert "max_seconds (--max-seconds)" in (fault.hint or "")


@pytest.mark.parametrize("step", [0, -1])
@pytest.mark.parametrize("known", [True, False])
def test_a_loop_whose_step_is_not_above_0_is_refused(step: int, known: bool) -> None:
    computed = "%s = arith.muli %given, %c1 : index" if not known else "%s = arith.addi %given, %c0 : index"
    text = spinning(f"%given = arith.constant {step} : index\n{computed}\nscf.for %i = %c0 to %c2 step "
                    f"%{'given' if known else 's'} {{ }}")  # fmt: skip
    fault = fault_of(text)
    assert fault.what == f"a loop of core (0,2) counts with a step of {step}"
    assert fault.where is not None
    assert fault.where.startswith(f"design.mlir:{line_of(text, 'scf.for')}")


@pytest.mark.parametrize(
    "operation", ["divsi", "divui", "remsi", "remui", "floordivsi", "ceildivsi", "ceildivui"]
)
def test_a_division_by_zero_names_its_line(operation: str) -> None:
    text = one_core(
        f"%v = memref.load %x[%c0] : memref<64xi32>\n %o = arith.constant 1 : i32\n"
        f"%z = arith.subi %v, %o : i32\n %q = arith.{operation} %v, %z : i32"
    )
    fault = fault_of(text)
    assert fault.what == "core (0,2) divides an integer by zero"
    assert fault.where is not None
    assert fault.where.startswith(f"design.mlir:{line_of(text, operation)}")


def test_a_function_of_the_design_that_calls_itself_for_ever() -> None:
    fault = fault_of(
        one_core(
            core="func.call @again() : () -> ()",
            extra="func.func private @again() { func.call @again() : () -> ()\n return }",
        )
    )
    assert fault.what == "core (0,2) calls functions of the design too deep"
    loop = fault_of(
        one_core(
            core=HEAD + OFTEN.format("func.call @again() : () -> ()"),
            extra="func.func private @again() { scf.execute_region { func.call @again() : () -> ()\n"
            "scf.yield }\n return }",
        )
    )
    assert loop.what == fault.what


@pytest.mark.parametrize(("limit", "beside"), [("max_seconds", True), ("max_idle_seconds", False)])
def test_a_core_function_that_does_not_return(
    compile_cc: Callable[[str], Any], limit: str, beside: bool
) -> None:
    kernels = compile_cc(
        'extern "C" void spin(int *x, int *y) { volatile int stop = 0; while (!stop) { } y[0] = x[0]; }'
    )
    text = one_core(
        "func.call @spin(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()",
        extra="func.func private @spin(memref<64xi32>, memref<64xi32>)",
    )
    fault = fault_of(text, kernels, beside=beside, **{limit: 0.3})
    assert fault.what == "core function spin on core (0,2) does not return"
    assert fault.where is not None
    assert fault.where.startswith(f"design.mlir:{line_of(text, 'call @spin')}")
    given = {"max_seconds": "the call was given 0.3 s", "max_idle_seconds": "one call of it has taken 0.3 s"}
    assert given[limit] in (fault.why or "")
    assert "an endless loop in the kernel's C++" in (fault.hint or "")


def test_a_fault_stops_the_simulator_for_good() -> None:
    simulator = Simulator(broken("X9_short_input"), NothingKernels())
    args = [np.ones(8192, ml_dtypes.bfloat16), np.ones(8192, ml_dtypes.bfloat16)]
    with pytest.raises(SimulationFault):
        simulator.run(args)
    with pytest.raises(SimulationFault, match="stopped with a fault before"):
        simulator.run(args)


def test_a_sequence_that_is_refused_on_the_way_stops_the_simulator_too() -> None:
    """What was done before the refused write has changed the array."""
    write = (
        "\n aiex.npu.write32 {address = 0x32000 : ui32, column = 0 : i32, row = 2 : i32, value = 1 : ui32}"
    )
    simulator = Simulator(load(one_core(sequence=SEQUENCE + write)))
    args = [np.arange(256, dtype=np.int32), np.zeros(256, np.int32)]
    with pytest.raises(DesignError, match="write to register 0x32000"):
        simulator.run(args)
    with pytest.raises(SimulationFault, match="stopped with a fault before"):
        simulator.run(args)
