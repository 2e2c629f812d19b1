"""Predicted time of a scheme, and which of several is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from npukbuild.planner.cost import GemmShape, Prediction, predict
from npukbuild.planner.scheme import accumulator_bits
from npukbuild.planner.sequence import task_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.planner.scheme import Scheme
    from npukbuild.planner.sequence import Schedule

PAYS = 1.25
"""More cores are used where the whole call gets at least this much faster: what a launch-bound call would gain
from more of the array is less than what it takes from everyone else's use of it."""

MAC_LATENCY = 5
"""Cycles until an accumulator can be used again, estimated from the pipeline's depth (load-use latency is 6-7):
an inner loop with fewer independent accumulator tiles than this waits."""


def predicted(scheme: Scheme, cut: Schedule) -> Prediction:
    """Return the estimated time of ``scheme``.

    The timing model is calibrated on inner loops that fill the accumulator registers; smaller register blocks
    are charged for loads and latencies that they cannot hide.
    """
    problem = scheme.problem
    padded_m, padded_k, padded_n = scheme.padded
    shape = GemmShape(
        M=padded_m,
        K=padded_k,
        N=padded_n,
        m=scheme.m,
        k=scheme.k,
        n=scheme.n,
        rows=scheme.rows,
        cols=scheme.columns,
        dtype_in=problem.dtype,
        dtype_out=problem.out_dtype,
        dtype_acc=problem.acc_dtype if scheme.program == "private" else None,
        b_layout=problem.b_layout,
        c_double=scheme.c_depth > 1,
        a_reads=1 if scheme.resident == "a" else scheme.n_blocks,
        b_reads=1 if scheme.resident == "b" else scheme.m_blocks,
        tasks=task_count(scheme, cut),
    )
    estimate = predict(shape, scheme.target)
    slower = 1.0 / register_rate(scheme)
    return estimate if slower <= 1.0 else _with_slower_compute(estimate, slower)


def register_rate(scheme: Scheme) -> float:
    """Return the inner loop's rate relative to one multiply per cycle, from loads and latency (<= 1)."""
    rows, columns = scheme.registers
    r, s, t = scheme.micro
    bits = 8 * scheme.element_bytes[0]
    # Two load ports of 256 bit on AIE2, 512 bit on AIE2P: as wide as the memory's alignment unit.
    port = 8 * scheme.target.memory_alignment
    loads = -(-rows * r * s * bits // port) + -(-columns * s * t * bits // port)
    widest = r * t * accumulator_bits(scheme.problem.dtype)
    chain = max(1, MAC_LATENCY * 512 // widest)
    work = rows * columns
    return work / max(work, loads / 2, chain)


def _with_slower_compute(estimate: Prediction, factor: float) -> Prediction:
    compute = estimate.compute_us * factor
    before = {
        "compute": estimate.compute_us,
        "streams": estimate.stream_us,
        "DDR": estimate.ddr_us,
        "sequence": estimate.sequence_us,
    }
    grown = max(compute, max(before.values())) - max(before.values())
    total = estimate.total_us + grown
    return replace(
        estimate,
        compute_us=compute,
        total_us=total,
        tops=2e-6 * estimate.macs / total,
        kernel_cycles=estimate.kernel_cycles * factor,
        bound="compute" if grown > 0 and compute > estimate.launch_us else estimate.bound,
    )


def order(found: Sequence[tuple[Scheme, Prediction]]) -> list[tuple[Scheme, Prediction]]:
    """Return ``found`` with the chosen scheme first and the rest by time.

    Chosen is, of all schemes within :data:`PAYS` of the fastest, one on the fewest cores, the fastest of those.
    """
    by_time = sorted(found, key=lambda entry: (round(entry[1].total_us, 3), *_preference(entry[0])))
    enough = by_time[0][1].total_us * PAYS
    close = [entry for entry in by_time if entry[1].total_us <= enough]
    fewest = min(entry[0].cores for entry in close)
    chosen = next(entry for entry in close if entry[0].cores == fewest)
    return [chosen, *(entry for entry in by_time if entry is not chosen)]


def _preference(scheme: Scheme) -> tuple[int, ...]:
    """Order equally fast schemes: fewer cores, less padding, squarer blocks, deeper k, two C buffers."""
    padded_m, padded_k, padded_n = scheme.padded
    return (
        scheme.cores,
        padded_m * padded_k * padded_n,
        abs(scheme.m - scheme.n),
        -scheme.k,
        -scheme.c_depth,
        scheme.m,
        scheme.columns,
        len(scheme.resident),
    )
