"""The simulator as a library: the same call gives the same result, and several simulators run at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from npukbuild.errors import SimulationFault
from npukbuild.ir import load_design
from npukbuild.simulator import Simulator
from tests.simulator.designs import COPY, PASS, X, load, one_core
from tests.simulator.golden_reference import GOLDEN
from tests.simulator.lowered_designs import FORWARD, FORWARD_CORE, PACKETS, lowered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOLDEN_DIR = Path(__file__).parent.parent / "golden"
PACKET = "{packet = #aie.packet_info<pkt_type = 0, pkt_id = 3>}"
FORMS = {
    "one core": one_core(),
    "lowered": lowered(),
    "packets": lowered(flows=PACKETS, packet=PACKET),
    "packets sent on": FORWARD.replace(
        "PASS", FORWARD_CORE.format(i=1, tile="one") + FORWARD_CORE.format(i=2, tile="two")
    ),
}


def record(text: str, seed: int) -> tuple[Any, ...]:
    """Everything that three calls of a fresh simulator tell."""
    simulator = Simulator(load(text), None, trace=True)
    found: list[Any] = []
    rng = np.random.default_rng(seed)
    for _ in range(3):
        args = [rng.integers(-99, 99, 256, np.int32), np.zeros(256, np.int32)]
        result = simulator.run(args)
        found += [args[1].tobytes(), result.as_dict(), result.cycles, repr(result.intervals)]
    return tuple(found)


@pytest.mark.parametrize("form", FORMS)
def test_a_run_repeated_gives_identical_results_times_and_intervals(form: str) -> None:
    assert record(FORMS[form], 1) == record(FORMS[form], 1)
    assert record(FORMS[form], 1) != record(FORMS[form], 2)


def test_a_run_does_not_depend_on_the_order_of_python_s_hashes() -> None:
    code = (
        "from tests.simulator.test_several_at_once import FORMS, record\n"
        "print([record(text, 1) for text in FORMS.values()])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let threads take turns far more often than usual, so that what they share shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("frequent_switches")
def test_several_simulators_in_threads_give_what_each_gives_alone() -> None:
    """Designs are read in the threads too."""
    jobs = [(text, seed) for text in FORMS.values() for seed in (1, 2, 3)]
    alone = [record(*job) for job in jobs]
    start = threading.Barrier(4)

    def work(first: int) -> list[tuple[Any, ...]]:
        start.wait()
        return [record(*job) for job in jobs[first::4]]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(4)))
    for first, found in enumerate(together):
        assert found == alone[first::4]


def test_a_fault_in_one_thread_leaves_the_others_alone() -> None:
    broken = one_core(core=PASS.replace("2147483640", "2").replace("BODY", COPY))

    def work(number: int) -> tuple[Any, ...] | None:
        if number % 2:
            with pytest.raises(SimulationFault, match="has ended"):
                record(broken, number)
            return None
        return record(FORMS["one core"], 7)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(8)))
    assert [one for one in found if one is not None] == [record(FORMS["one core"], 7)] * 4


def test_compiled_core_functions_keep_their_state_apart_in_threads(
    golden_kernels: Callable[[str], Any],
) -> None:
    golden = next(golden for golden in GOLDEN if golden.name == "G1_matmul_64x64x512_bf16")
    design = load_design((GOLDEN_DIR / f"{golden.name}.mlir").read_text())

    kernels = golden_kernels("aie2")

    def work(seed: int) -> tuple[bytes, float]:
        simulator = Simulator(design, kernels)
        args = golden.make(np.random.default_rng(seed))
        simulator.run(args)
        result = simulator.run(args)
        return args[-1].tobytes(), result.cycles

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(work, [1, 2, 1]))
    assert together == [work(1), work(2), work(1)]
    assert together[0] != together[1]


@pytest.mark.usefixtures("frequent_switches")
def test_designs_are_read_in_several_threads() -> None:
    """Their loops lack the terminator, which the reader adds."""
    with ThreadPoolExecutor(4) as pool:
        designs = list(pool.map(load, [FORMS["one core"]] * 60))
    assert len({repr(design.sequences) for design in designs}) == 1


def test_two_simulators_do_not_see_each_other() -> None:
    design = load(one_core())
    first, second = Simulator(design), Simulator(design)
    one, two = [X.copy(), np.zeros(256, np.int32)], [X + 5, np.zeros(256, np.int32)]
    first.run(one)
    second.run(two)
    first.run(one)
    assert (one[1] == X).all()
    assert (two[1] == X + 5).all()
