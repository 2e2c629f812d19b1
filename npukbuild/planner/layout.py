"""Layout changes on the memtile's ends, as (size, stride) dimensions over one block, outermost first.

``aie::mmul`` wants its operands as row-major tiles; host matrices are plain row-major. The memtile has the
four address dimensions that the change takes (a shim and a core have three).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.planner.scheme import Scheme

Dims = tuple[tuple[int, int], ...]


def a_dims(scheme: Scheme) -> Dims:
    """Row-major m x k -> [m/r][k/s][r][s]."""
    r, s, _ = scheme.micro
    return simplified([(scheme.m // r, r * scheme.k), (scheme.k // s, s), (r, scheme.k), (s, 1)])


def b_dims(scheme: Scheme) -> Dims:
    """Row-major k x n -> [k/s][n/t][s][t]; a transposed B, row-major n x k -> [n/t][k/s][t][s]."""
    _, s, t = scheme.micro
    if scheme.problem.b_layout == "row":
        return simplified([(scheme.k // s, s * scheme.n), (scheme.n // t, t), (s, scheme.n), (t, 1)])
    return simplified([(scheme.n // t, t * scheme.k), (scheme.k // s, s), (t, scheme.k), (s, 1)])


def c_dims(scheme: Scheme) -> Dims:
    """[m/r][n/t][r][t] -> row-major m x n; a join applies it to each core's block."""
    r, _, t = scheme.micro
    return simplified([(scheme.m // r, r * scheme.n), (r, t), (scheme.n // t, r * t), (t, 1)])


def simplified(dims: Sequence[tuple[int, int]]) -> Dims:
    """Drop dimensions of size 1; nothing is left of a walk in plain order."""
    kept = [(size, stride) for size, stride in dims if size > 1]
    length = 1
    for size, stride in reversed(kept):
        if stride != length:
            return tuple(kept)
        length *= size
    return ()
