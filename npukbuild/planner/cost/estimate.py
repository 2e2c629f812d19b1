"""Estimating every row of a table and comparing with what it reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from npukbuild.errors import CannotFitError, RequestError
from npukbuild.planner.cost.designs import (
    block_of,
    clock_of,
    default_array,
    is_emulated,
    is_kernel_alone,
    kernel_of,
    reason_of,
    shape_of,
)
from npukbuild.planner.cost.model import predict
from npukbuild.targets import load_target
from npukbuild.targets.timing import gemm_timing, kernel_cycles, launch_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from npukbuild.planner.cost.shape import Prediction
    from npukbuild.planner.cost.table import GemmRow

NOMINAL = 4096
"""Size taken where a row gives a rate of a "4K" GEMM, or the most over many sizes, but no size."""

FALLBACK_BLOCK = (64, 64, 64)
"""Block taken where neither the row nor its design states one and the planner has none for its types."""

LARGE = 512**3
"""Multiply-accumulates from which on a row is counted among the large ones."""

FAR = 0.30
"""Mean error of several rows above which a reason has to be stated."""

Planned = tuple[tuple[int, int, int], tuple[int, int]]
"""A planner's block (m, k, n) and array (rows, columns)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One row with what the model says about it.

    Attributes:
        row: The row as read.
        quantity: What is compared: ``time_us``, ``tops`` or ``mac_per_cycle``.
        measured: The reported value, None if the row reports nothing to compare with.
        predicted: The estimated value in the same unit.
        prediction: The estimated time and its parts, None for a single core-function call.
        block: m, k, n the estimate is for.
        block_from: Who stated the block: ``table``, ``design``, ``planner`` or ``default``.
        reason: Why the row may be far off, if something known says so.
    """

    row: GemmRow
    quantity: str
    measured: float | None
    predicted: float
    prediction: Prediction | None
    block: tuple[int, int, int]
    block_from: str
    reason: str | None

    @property
    def error(self) -> float | None:
        """Predicted over measured, minus 1."""
        return None if self.measured is None else self.predicted / self.measured - 1.0

    @property
    def large(self) -> bool:
        """Whether the row states its block and at least 512 cubed multiply-accumulates."""
        size = self.row.size
        return self.row.block is not None and size is not None and size[0] * size[1] * size[2] >= LARGE


@dataclass(frozen=True, slots=True)
class Group:
    """Errors of several rows, as fractions.

    Attributes:
        name: What the rows have in common.
        rows: How many they are.
        mean_absolute: Mean size of their errors.
        mean: Mean of their errors.
        worst: The largest.
        reasons: Why some of them may be far off.
        others: Mean size of the errors of those without a reason; None if there are none.
    """

    name: str
    rows: int
    mean_absolute: float
    mean: float
    worst: float
    reasons: tuple[str, ...]
    others: float | None

    @property
    def far_off(self) -> bool:
        """Whether the rows are so far off in the mean that it takes a reason."""
        return self.mean_absolute > FAR

    @property
    def why(self) -> tuple[str, ...]:
        """Why the rows are off, in words, and how far those are for which nothing is known."""
        if not self.reasons:
            return ("no known reason",)
        rest = () if self.others is None else (f"the rest is {100 * self.others:.1f} % off",)
        return (*self.reasons, *rest)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, errors in percent."""
        return {
            "name": self.name,
            "rows": self.rows,
            "mean_absolute_error_percent": round(100 * self.mean_absolute, 2),
            "mean_error_percent": round(100 * self.mean, 2),
            "worst_error_percent": round(100 * self.worst, 2),
            "reasons": list(self.reasons),
            "without_reason_percent": None if self.others is None else round(100 * self.others, 2),
        }


def estimate_row(row: GemmRow, plan: Callable[[GemmRow], Planned | None] | None = None) -> Estimate:
    """Estimate one row.

    Args:
        row: The row; without sizes it needs a rate to compare with.
        plan: Gives block and array where the row and its design do not; None: :func:`planned`.
    """
    block = block_of(row)
    source = "table" if row.block is not None else "design"
    array = row.array or default_array(row)
    if is_kernel_alone(row) and block is not None:
        return _kernel_alone(row, block)
    sized = row if row.size is not None else replace(row, size=_nominal(block, array))
    if block is None:
        found = (plan or planned)(sized)
        source = "planner" if found else "default"
        block, array = found or (FALLBACK_BLOCK, array)
        array = row.array or array
    target = load_target(row.device)
    shape = shape_of(sized, block, array)
    prediction = predict(shape, target, clock_ghz=clock_of(row, gemm_timing(target)))
    if _reconfigures(row):
        prediction = replace(prediction, total_us=launch_us(target, "reconfigure"), bound="launch")
    if row.size is not None and (row.time_us is not None or row.tops is None):
        return Estimate(
            row, "time_us", row.time_us, prediction.total_us, prediction, block, source, reason_of(row)
        )
    return Estimate(row, "tops", row.tops, prediction.tops, prediction, block, source, reason_of(row))


def planned(row: GemmRow) -> Planned | None:
    """Return the block and array that the planner would take for the row's problem, None if it has none."""
    from npukbuild.kernels.matmul import MatmulProblem
    from npukbuild.planner import plan_matmul

    assert row.size is not None
    try:
        problem = MatmulProblem(
            *row.size,
            dtype="bfp16" if is_emulated(row) else row.dtype_in,
            out_dtype=row.dtype_out,
            b_layout="col" if row.b_layout == "col" else "row",
        )
        plan = plan_matmul(problem, load_target(row.device), cols=row.array[1] if row.array else None)
    except (RequestError, CannotFitError):
        return None
    return plan.block, (plan.rows, plan.columns)


def groups(estimates: Iterable[Estimate], key: Callable[[Estimate], str]) -> list[Group]:
    """Return the errors of the rows that have one, grouped by ``key``, in the order of first appearance."""
    found: dict[str, list[Estimate]] = {}
    for entry in estimates:
        if entry.measured is not None:
            found.setdefault(key(entry), []).append(entry)
    return [group(name, entries) for name, entries in found.items()]


def group(name: str, entries: Sequence[Estimate]) -> Group:
    """Summarise the errors of ``entries``, which all have one and are at least one."""
    errors = [entry.error for entry in entries if entry.error is not None]
    others = [abs(entry.error) for entry in entries if entry.error is not None and not entry.reason]
    return Group(
        name=name,
        rows=len(errors),
        mean_absolute=sum(abs(error) for error in errors) / len(errors),
        mean=sum(errors) / len(errors),
        worst=max(errors, key=abs),
        reasons=tuple(sorted({entry.reason for entry in entries if entry.reason})),
        others=sum(others) / len(others) if others else None,
    )


def _kernel_alone(row: GemmRow, block: tuple[int, int, int]) -> Estimate:
    compiler, dtype_in, dtype_acc = kernel_of(row)
    m, k, n = block
    cycles = kernel_cycles(dtype_in, dtype_acc, m, k, n, load_target(row.device), compiler)
    return Estimate(
        row, "mac_per_cycle", row.mac_per_cycle, m * k * n / cycles, None, block, "table", reason_of(row)
    )


def _nominal(block: tuple[int, int, int] | None, array: tuple[int, int]) -> tuple[int, int, int]:
    """Return a size near :data:`NOMINAL` that divides into blocks on the array."""
    m, k, n = block or FALLBACK_BLOCK

    def near(step: int) -> int:
        return max(1, round(NOMINAL / step)) * step

    return near(m * array[0]), near(k), near(n * array[1])


def _reconfigures(row: GemmRow) -> bool:
    return "reconfiguration" in row.design.lower()
