"""Predicted time of a scheme, and which of several is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from npukbuild.kernels.matmul import MULTIPLIED
from npukbuild.planner.cost import GemmShape, Prediction, predict
from npukbuild.planner.scheme import accumulator_bits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from npukbuild.planner.scheme import Scheme

Timed = tuple["Scheme", Prediction]

LAUNCH_SHARE = 0.5
"""A call whose work one column gets done within this part of its launch is dominated by the launch: one
column does it, on the fewest cores that do, and the rest of the array is left to others."""

CLOSE = 1.05
"""Times of launch-bound calls that differ by less are taken as equal; the simpler plan wins."""

PADDING = 1.02
"""A plan that pads must be faster by this factor than one that takes the caller's matrices as they are."""

MAC_LATENCY = 5
"""Cycles until an accumulator can be used again, estimated from the pipeline's depth (load-use latency is
6-7): an inner loop with fewer independent accumulator tiles than this waits."""


def predicted(scheme: Scheme, tasks: int) -> Prediction:
    """Return the estimated time of ``scheme``, whose runtime sequence has ``tasks`` transfers.

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
        dtype_in=MULTIPLIED[problem.dtype],
        dtype_out=problem.out_dtype,
        dtype_acc=problem.acc_dtype if scheme.program == "private" else None,
        b_layout=problem.b_layout,
        c_double=scheme.c_depth > 1,
        a_reads=1 if scheme.resident == "a" else scheme.n_blocks,
        b_reads=1 if scheme.resident == "b" else scheme.m_blocks,
        tasks=tasks,
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


def fastest_first(found: Iterable[Timed]) -> list[Timed]:
    """Return ``found`` by predicted time; ties go to fewer cores, less padding and fewer, squarer blocks."""
    return sorted(found, key=lambda entry: (round(_cost(entry), 3), entry[0].cores, *_simplicity(entry[0])))


def by_choice(ordered: Sequence[Timed]) -> list[Timed]:
    """Return the entries of ``ordered`` (fastest first) in the order in which they would be chosen.

    Where a column's work takes no more than :data:`LAUNCH_SHARE` of the launch, the schemes on the fewest
    cores of one column come first, the simplest of the about equally fast ones at their head. Otherwise time
    decides.
    """
    enough = [
        entry
        for entry in ordered
        if entry[0].columns == 1 and _work_us(entry[1]) <= LAUNCH_SHARE * entry[1].launch_us
    ]
    if not enough:
        return list(ordered)
    cores = min(entry[0].cores for entry in enough)
    fewest = [entry for entry in enough if entry[0].cores == cores]
    close = fewest[0][1].total_us * CLOSE
    equal = [entry for entry in fewest if entry[1].total_us <= close]
    first = sorted(equal, key=lambda entry: _simplicity(entry[0]))
    taken = {id(entry) for entry in first}
    return first + [entry for entry in ordered if id(entry) not in taken]


def _cost(entry: Timed) -> float:
    scheme, prediction = entry
    problem = scheme.problem
    return prediction.total_us * (1.0 if scheme.padded == (problem.m, problem.k, problem.n) else PADDING)


def _work_us(prediction: Prediction) -> float:
    return prediction.total_us - prediction.launch_us


def _simplicity(scheme: Scheme) -> tuple[int, ...]:
    padded_m, padded_k, padded_n = scheme.padded
    return (
        padded_m * padded_k * padded_n,
        -scheme.c_depth,
        scheme.m_blocks * scheme.k_blocks * scheme.n_blocks,
        abs(scheme.m - scheme.n),
        -scheme.k,
        scheme.m,
        scheme.columns,
        len(scheme.resident),
    )
