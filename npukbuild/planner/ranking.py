"""Predicted time of a scheme, and which of several is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.kernels.matmul import MULTIPLIED
from npukbuild.planner.cost import GemmShape, Prediction, predict
from npukbuild.targets.registers import register_rate

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


def predicted(scheme: Scheme, tasks: int) -> Prediction:
    """Return the estimated time of ``scheme``, whose runtime sequence has ``tasks`` transfers."""
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
        clears=scheme.program != "direct",
        a_reads=1 if scheme.resident == "a" else scheme.n_blocks,
        b_reads=1 if scheme.resident == "b" else scheme.m_blocks,
        tasks=tasks,
        rate=register_rate(MULTIPLIED[problem.dtype], scheme.m, scheme.n, scheme.target),
    )
    return predict(shape, scheme.target)


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
