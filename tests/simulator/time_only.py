"""Running a design for its times alone: they do not depend on data, so core functions compute nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.ir import load_design
from npukbuild.render import render
from npukbuild.simulator import RunResult, Simulator

if TYPE_CHECKING:
    from npukbuild.planner.plan import MatmulPlan

BYTES = {"bf16": np.uint16, "i8": np.int8, "i16": np.int16, "f32": np.float32, "i32": np.int32}


class Silent:
    """Core functions that compute nothing."""

    def __init__(self, design: Any) -> None:
        self.symbols = tuple(design.functions)

    def new_core_state(self) -> Any:
        return None

    def bind(self, name: str, argtypes: Any, *, state: Any = None, returns: Any = None) -> Any:
        return lambda *_: None


def silent(design: Any, **options: Any) -> tuple[Simulator, list[Any]]:
    """Return a simulator of ``design`` whose memory counts as written, and arguments for it."""
    simulator = Simulator(design, Silent(design), differential=False, **options)
    for memory in simulator._array.memories.values():
        memory.clean = True
    return simulator, [np.zeros(kind.shape, BYTES[kind.element]) for _, kind in design.sequence.arguments]


def time_only(design: Any, **options: Any) -> RunResult:
    """Return the second call of ``design``."""
    simulator, args = silent(design, **options)
    simulator.run(args)
    return simulator.run(args)


def time_of(plan: MatmulPlan) -> RunResult:
    """Return one call of the design that ``plan`` renders to."""
    simulator, args = silent(load_design(render(plan).design))
    return simulator.run(args)
