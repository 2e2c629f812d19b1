"""Every golden design runs, twice in a row, and gives the numbers of a numpy reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from npukbuild.ir import load_design
from npukbuild.simulator import Simulator
from npukbuild.targets import load_target
from tests.simulator.golden_reference import GOLDEN, Golden

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN_DIR = Path(__file__).parent.parent / "golden"


def _cases() -> list[Any]:
    long = ("G3_", "G3b_", "G4b_")
    return [
        pytest.param(golden, id=golden.name, marks=[pytest.mark.slow] if golden.name.startswith(long) else [])
        for golden in GOLDEN
    ]


def _load(golden: Golden) -> Any:
    path = GOLDEN_DIR / f"{golden.name}.mlir"
    return load_design(path.read_text(), file=path.name)


@pytest.mark.parametrize("golden", _cases())
def test_golden_design_gives_the_reference_numbers_in_two_calls(
    golden: Golden, golden_kernels: Callable[[str], Any]
) -> None:
    design = _load(golden)
    simulator = Simulator(design, golden_kernels(load_target(design.device).arch))
    rng = np.random.default_rng(7)
    for _ in range(2):
        args = golden.make(rng)
        expected = golden.reference(args)
        result = simulator.run(args)
        got = args[-1].astype(np.float64)
        error = np.abs(got - expected) - golden.tolerance * np.abs(expected)
        assert error.max() <= golden.tolerance * np.abs(expected).max() * 0.25
        assert result.warnings == ()
        assert result.microseconds > result.launch_us


@pytest.mark.parametrize("name", ["G1_matmul_64x64x512_bf16", "G8_attention_head_64x64_bf16"])
def test_functional_and_timed_runs_give_the_same_bits(
    name: str, golden_kernels: Callable[[str], Any]
) -> None:
    golden = next(golden for golden in GOLDEN if golden.name == name)
    design = _load(golden)
    outputs = []
    for timed in (False, True, True):
        args = golden.make(np.random.default_rng(3))
        result = Simulator(design, golden_kernels("aie2"), timed=timed).run(args)
        outputs.append((args[-1].tobytes(), result.cycles))
    assert len({data for data, _ in outputs}) == 1
    assert outputs[0][1] == 0
    assert outputs[1] == outputs[2]
