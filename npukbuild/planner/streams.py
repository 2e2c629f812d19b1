"""What a shim has to move for a group of blocks, as transfers that its buffer descriptors can express.

A stream is a nest of loops (size, stride) over elements, outermost first; :func:`transfer` turns one into the
four sizes and strides of ``aiex.npu.dma_memcpy_nd`` or says that the hardware cannot do it in one task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.planner.scheme import Scheme
    from npukbuild.targets import TileLimits

Loop = tuple[int, int]
WORD = 4
"""Bytes of the unit that a DMA moves and that its fields count in."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Sizes and strides in elements, outermost first, and the offset of the first element."""

    offset: int
    sizes: tuple[int, int, int, int]
    strides: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Group:
    """Blocks that one task per stream moves: rows of blocks [i, i + ni), columns of blocks [j, j + nj)."""

    i: int
    ni: int
    j: int
    nj: int


def transfer(offset: int, loops: Sequence[Loop], element_bytes: int, shim: TileLimits) -> Transfer | None:
    """Fit ``loops`` into one shim task, or return None where a field of the descriptor is too small.

    A stride of 0 (a plain repeat) is possible only outermost, where the task queue repeats the descriptor.
    The innermost size has no limit when the rest is one contiguous run and nothing repeats. Limits:
    mlir-aie lib/Dialect/AIEX/IR/AIEXDialect.cpp and the shim's register fields.
    """
    nest = [loop for loop in loops if loop[0] > 1] or [(1, 1)]
    if nest[-1][1] != 1:
        nest.append((1, 1))
    run = _contiguous(nest)
    if run is not None:
        return Transfer(offset, (1, 1, 1, run), (0, 0, 0, 1)) if run * element_bytes % WORD == 0 else None
    for candidate in _merged(nest):
        fitted = _place(offset, candidate, element_bytes, shim)
        if fitted is not None:
            return fitted
    return None


def _contiguous(nest: Sequence[Loop]) -> int | None:
    """Return the length of the one run that ``nest`` walks, or None if it has gaps or repeats."""
    length = 1
    for size, stride in reversed(nest):
        if stride != length:
            return None
        length *= size
    return length


def _merged(nest: list[Loop]) -> list[list[Loop]]:
    """Return ``nest`` and what it becomes when loops that continue each other are joined, outermost first."""
    variants = [nest]
    current = nest
    position = 0
    while position < len(current) - 2:  # the innermost run stays: its size is limited most
        (outer, far), (inner, near) = current[position], current[position + 1]
        if far == inner * near:
            current = [*current[:position], (outer * inner, near), *current[position + 2 :]]
            variants.append(current)
        else:
            position += 1
    return variants


def _place(offset: int, nest: Sequence[Loop], element_bytes: int, shim: TileLimits) -> Transfer | None:
    if len(nest) > shim.dims + 1:
        return None
    dims = list(nest)
    head: list[Loop] = []
    too_long = len(dims) == shim.dims and dims[1][0] > shim.wrap[1]
    if dims[0][1] == 0 or len(dims) == shim.dims + 1 or too_long:
        head = [dims.pop(0)]
    if len(dims) == 2 and dims[0][0] > shim.wrap[1]:
        dims = [*_cut_in_two(dims[0], element_bytes, shim), dims[1]]
    dims = [(1, 0)] * (shim.dims - len(dims)) + dims
    (s3, t3) = head[0] if head else (1, 0)
    (s2, t2), (s1, t1), (s0, t0) = dims
    words = s0 * element_bytes
    aligned = all(stride * element_bytes % WORD == 0 for stride in (t3, t2, t1)) and t0 == 1
    legal = (
        aligned
        and words % WORD == 0
        and words // WORD <= shim.wrap[0]
        and s1 <= shim.wrap[1]
        and s3 <= shim.iteration
        and all(stride * element_bytes // WORD <= shim.stride_words for stride in (t3, t2, t1))
        and all(stride > 0 for size, stride in ((s2, t2), (s1, t1)) if size > 1)
        and offset * element_bytes % WORD == 0
    )
    return Transfer(offset, (s3, s2, s1, s0), (t3, t2, t1, t0)) if legal else None


def _cut_in_two(loop: Loop, element_bytes: int, shim: TileLimits) -> tuple[Loop, Loop]:
    """Cut a loop that is too long for D1's field into D2, whose size the length implies, and D1."""
    size, stride = loop
    reach = shim.stride_words * WORD // element_bytes
    most = min(shim.wrap[1], reach // stride)
    inner = next((part for part in range(most, 0, -1) if size % part == 0), 1)
    return (size // inner, stride * inner), (inner, stride)


def a_transfer(scheme: Scheme, group: Group, rows: Sequence[int], *, j_inner: bool) -> Transfer | None:
    """Return the transfer of A for neighbouring core ``rows``: per block, or once if A stays in L1."""
    _, depth, _ = scheme.padded
    step = scheme.rows * scheme.m * depth
    body = [(scheme.k_blocks, scheme.k), (len(rows) * scheme.m, depth), (scheme.k, 1)]
    if scheme.resident == "a":
        order = [(group.ni, step)]
    elif j_inner:
        order = [(group.ni, step), (group.nj, 0)]
    else:
        order = [(group.nj, 0), (group.ni, step)]
    offset = group.i * step + rows[0] * scheme.m * depth
    return transfer(offset, [*order, *body], scheme.element_bytes[0], scheme.target.shim)


def b_transfer(scheme: Scheme, group: Group, column: int, *, j_inner: bool) -> Transfer | None:
    """Return the transfer of B for ``column``: once per block (once at all if B stays in L1)."""
    _, depth, width = scheme.padded
    first = group.j * scheme.columns * scheme.n + column * scheme.n
    if scheme.problem.b_layout == "row":
        step, offset = scheme.columns * scheme.n, first
        body = [(scheme.k_blocks, scheme.k * width), (scheme.k, width), (scheme.n, 1)]
    else:
        step, offset = scheme.columns * scheme.n * depth, first * depth
        body = [(scheme.k_blocks, scheme.k), (scheme.n, depth), (scheme.k, 1)]
    if scheme.resident == "b":
        order = [(group.nj, step)]
    elif j_inner:
        order = [(group.ni, 0), (group.nj, step)]
    else:
        order = [(group.nj, step), (group.ni, 0)]
    return transfer(offset, [*order, *body], scheme.element_bytes[0], scheme.target.shim)


def c_transfer(scheme: Scheme, group: Group, column: int, *, j_inner: bool) -> Transfer | None:
    """Return the transfer of C from ``column``: the joined blocks of its cores in the order they are made."""
    _, _, width = scheme.padded
    high = scheme.rows * scheme.m
    along_m = (group.ni, high * width)
    along_n = (group.nj, scheme.columns * scheme.n)
    order = [along_m, along_n] if j_inner else [along_n, along_m]
    offset = group.i * high * width + group.j * scheme.columns * scheme.n + column * scheme.n
    return transfer(
        offset, [*order, (high, width), (scheme.n, 1)], scheme.element_bytes[1], scheme.target.shim
    )
