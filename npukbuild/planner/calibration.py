"""How the calibrated constants of ``[timing.gemm]`` come about, and how well they carry over to unseen rows.

Few constants are free (:data:`PARAMETERS`); each belongs to a physical thing, has a start and a range that
follow from the hardware's documentation, and is shared by all rows of its array. Everything else in
``[timing.gemm]`` is a documented fact and stays as it is. ``benchmarks/calibrate.py`` runs this on a table.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any

from npukbuild.planner.cost.designs import (
    block_of,
    clock_of,
    default_array,
    is_kernel_alone,
    kernel_of,
    reason_of,
    shape_of,
)
from npukbuild.planner.cost.estimate import LARGE
from npukbuild.planner.cost.model import predict_with
from npukbuild.targets import load_target
from npukbuild.targets.timing import (
    GemmTiming,
    block_cycles,
    element_bytes,
    kernel_timing,
    parse_gemm_timing,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.planner.cost.shape import GemmShape
    from npukbuild.planner.cost.table import GemmRow

Tables = dict[str, dict[str, Any]]
"""Array name -> its ``[timing.gemm]`` table."""

ARRAYS = ("npu1", "npu2")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A free constant: where it stands, where the search starts, and the range it may take.

    Attributes:
        array: ``npu1`` or ``npu2``.
        path: Keys in the array's ``[timing.gemm]``, joined by dots.
        start: A first guess from documentation alone.
        low: Smallest physical value.
        high: Largest physical value.
    """

    array: str
    path: str
    start: float
    low: float
    high: float


def _ddr(array: str) -> tuple[Parameter, ...]:
    return (
        Parameter(array, "ddr.run_ns", 10.0, 2.0, 40.0),
        Parameter(array, "ddr.page_ns", 10.0, 2.0, 40.0),
        Parameter(array, "launch.batched", 60.0, 10.0, 200.0),
    )


def _kernel(array: str, compiler: str, base: float, byte: float) -> tuple[Parameter, ...]:
    return (
        Parameter(array, f"kernel.{compiler}.out_base", base, 0.0, 0.5),
        Parameter(array, f"kernel.{compiler}.out_byte", byte, 0.01, 0.2),
    )


PARAMETERS: tuple[Parameter, ...] = (
    *_ddr("npu1"),
    # C is loaded and stored over 256-bit ports on AIE2: at least 1/32 cycle per byte; 512-bit on AIE2P.
    *_kernel("npu1", "peano", 0.05, 0.0625),
    *_kernel("npu1", "xchesscc", 0.05, 0.0625),
    Parameter("npu1", "kernel.peano.issue.bf16", 100.0, 30.0, 128.0),
    Parameter("npu1", "kernel.codegen.issue.bf16", 40.0, 10.0, 128.0),
    *_ddr("npu2"),
    *_kernel("npu2", "peano", 0.05, 0.03125),
    *_kernel("npu2", "xchesscc", 0.05, 0.03125),
    Parameter("npu2", "kernel.codegen.out_base", 0.05, 0.0, 0.5),
    Parameter("npu2", "kernel.peano.issue.bf16", 28.0, 10.0, 32.0),
    Parameter("npu2", "kernel.peano.issue.bf16_bfp16", 128.0, 64.0, 256.0),
    Parameter("npu2", "kernel.xchesscc.issue.bf16_bfp16", 160.0, 64.0, 256.0),
    Parameter("npu2", "kernel.codegen.issue.bf16_bfp16", 64.0, 32.0, 256.0),
    Parameter("npu2", "second_launch_us", 300.0, 100.0, 1000.0),
    Parameter("npu2", "stage_us", 0.5, 0.0, 3.0),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured number, and what the model has to compute for it.

    ``measured`` is microseconds if ``shape`` is set, else cycles of the core-function call ``kernel``
    (compiler, input type, type of C, m, k, n). ``row`` is None for counts that are facts of the target.
    """

    array: str
    measured: float
    weight: float
    row: GemmRow | None = None
    shape: GemmShape | None = None
    kernel: tuple[str, str, str, int, int, int] | None = None


def samples(rows: Sequence[GemmRow]) -> list[Sample]:
    """Return what can be learned: the rows' times, cycles of calls where a row or the target states them.

    Left out are rows with a stated reason, without sizes, whose block nobody states, or of which nobody says
    how they were timed.
    """
    found = [
        Sample(array, cycles, 2.0, kernel=kernel) for array in ARRAYS for kernel, cycles in _observed(array)
    ]
    for row in rows:
        block, array = block_of(row), row.device.partition("_")[0]
        if row.mac_per_cycle is not None and row.block is not None:
            m, k, n = row.block
            cycles = m * k * n / row.mac_per_cycle
            found.append(Sample(array, cycles, 0.5, row, kernel=(*kernel_of(row), m, k, n)))
        if row.time_us is None or row.size is None or block is None or reason_of(row) or is_kernel_alone(row):
            continue
        if not row.time_kind:
            continue
        weight = 2.0 if is_large(row) else 1.0
        shape = shape_of(row, block, row.array or default_array(row))
        found.append(Sample(array, row.time_us, weight, row, shape))
    return found


def _observed(array: str) -> list[tuple[tuple[str, str, str, int, int, int], float]]:
    """Return the core-function calls whose cycles the target's data states."""
    listed = load_target(array).timing["gemm"].get("observed", ())
    return [
        (
            (call["compiler"], call["dtype_in"], call["dtype_acc"], call["m"], call["k"], call["n"]),
            call["cycles"],
        )
        for call in listed
    ]


def is_large(row: GemmRow) -> bool:
    """Whether the row states its block and at least 512 cubed multiply-accumulates."""
    return row.block is not None and row.size is not None and row.size[0] * row.size[1] * row.size[2] >= LARGE


def start_tables() -> Tables:
    """Return the arrays' tables with every free constant at its start."""
    tables = current_tables()
    for parameter in PARAMETERS:
        _put(tables, parameter, parameter.start)
    return tables


def current_tables() -> Tables:
    """Return copies of the tables the targets have now."""
    return {array: deepcopy(dict(load_target(array).timing["gemm"])) for array in ARRAYS}


def errors(chosen: Sequence[Sample], tables: Tables) -> list[float]:
    """Return predicted / measured - 1 of every sample."""
    timings = {array: parse_gemm_timing(table) for array, table in tables.items()}
    return [_predicted(sample, timings[sample.array]) / sample.measured - 1.0 for sample in chosen]


def _predicted(sample: Sample, timing: GemmTiming) -> float:
    if sample.shape is not None and sample.row is not None:
        shape = sample.shape
        return predict_with(timing, shape, clock_of(sample.row, timing), shape.compiler).total_us
    assert sample.kernel is not None
    compiler, dtype_in, dtype_acc, m, k, n = sample.kernel
    return block_cycles(timing, kernel_timing(timing, dtype_in, compiler), element_bytes(dtype_acc), m, k, n)


def loss(chosen: Sequence[Sample], tables: Tables) -> float:
    """Return the weighted mean of the log errors; beyond a factor of 1.8 a row counts only a little more."""
    total = weight = 0.0
    for sample, error in zip(chosen, errors(chosen, tables), strict=True):
        off = abs(log(max(1.0 + error, 1e-3)))
        off = min(off, 0.6 + 0.2 * (off - 0.6)) if off > 0.6 else off
        total += sample.weight * (off + off * off)
        weight += sample.weight
    return total / weight


def calibrate(chosen: Sequence[Sample], tables: Tables, rounds: int = 30) -> Tables:
    """Return tables whose free constants minimise :func:`loss`.

    One constant after another is stepped up or down by a factor; a step that helps grows, one that does not
    shrinks. The search is deterministic.
    """
    best_tables = deepcopy(tables)
    best = loss(chosen, best_tables)
    steps = dict.fromkeys(PARAMETERS, 0.2)
    for _ in range(rounds):
        for parameter in PARAMETERS:
            value = _get(best_tables, parameter)
            for tried in (value * (1 + steps[parameter]), value / (1 + steps[parameter])):
                _put(best_tables, parameter, min(max(tried, parameter.low), parameter.high))
                reached = loss(chosen, best_tables)
                if reached < best - 1e-9:
                    best = reached
                    steps[parameter] = min(1.5 * steps[parameter], 0.5)
                    break
                _put(best_tables, parameter, value)
            else:
                steps[parameter] /= 2
    return best_tables


def cross_validate(chosen: Sequence[Sample], folds: int = 5, rounds: int = 30) -> list[float]:
    """Return every sample's error under constants that were calibrated without its row (0 without a row).

    Row ``line`` is left out in fold ``line % folds``; each fold starts from :func:`start_tables`.
    """
    left_out: dict[int, float] = {}
    fold_of = [None if sample.row is None else sample.row.line % folds for sample in chosen]
    for fold in range(folds):
        out = [index for index, its in enumerate(fold_of) if its == fold]
        kept = [sample for sample, its in zip(chosen, fold_of, strict=True) if its != fold]
        tables = calibrate(kept, start_tables(), rounds)
        left_out.update(zip(out, errors([chosen[index] for index in out], tables), strict=True))
    return [left_out.get(index, 0.0) for index in range(len(chosen))]


def _get(tables: Tables, parameter: Parameter) -> float:
    table: Any = tables[parameter.array]
    for key in parameter.path.split("."):
        table = table[key]
    return float(table)


def _put(tables: Tables, parameter: Parameter, value: float) -> None:
    table: Any = tables[parameter.array]
    *parents, last = parameter.path.split(".")
    for key in parents:
        table = table[key]
    table[last] = value


def calibrated(tables: Tables) -> dict[Parameter, float]:
    """Return the value of every free constant in ``tables``."""
    return {parameter: _get(tables, parameter) for parameter in PARAMETERS}
