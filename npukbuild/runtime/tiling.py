"""Cut a matmul of any size into calls of the releases that there are.

One release of m x k x n covers the M x N result in strips of m rows and n columns and K in steps of k. The
last strip of rows or columns is often thin; another release may serve it in as few calls and less time. What
is chosen needs the fewest calls, and among those the least predicted time.

A release can only be *one* operand size per call, so the count of one release alone is exactly
ceil(M/m) ceil(K/k) ceil(N/n): each call brings at most m x k values of A and k x n of B, and every pair of
them is multiplied; no packing of two K steps into one call exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, order=True)
class Kernel:
    """A release as the tiling sees it: its problem size and predicted microseconds per call."""

    m: int
    k: int
    n: int
    us: float
    key: str
    splits_k: bool = True
    """False where partial sums cannot be added on the host (narrow integers)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A box of the problem that one kernel computes: rows, columns and all of K."""

    kernel: Kernel
    row: int
    rows: int
    column: int
    columns: int
    calls: int

    @property
    def us(self) -> float:
        """Predicted time of all its calls."""
        return self.calls * self.kernel.us


@dataclass(frozen=True, slots=True)
class Tiling:
    """Pieces that cover the result exactly once."""

    pieces: tuple[Piece, ...]

    @property
    def calls(self) -> int:
        """Number of device calls."""
        return sum(piece.calls for piece in self.pieces)

    @property
    def us(self) -> float:
        """Predicted time."""
        return sum(piece.us for piece in self.pieces)


def tile(kernels: Sequence[Kernel], m: int, k: int, n: int) -> Tiling | None:
    """Return the best tiling of an m x k x n problem, None when no kernel can serve it."""
    usable = [kernel for kernel in kernels if kernel.splits_k or kernel.k >= k]
    options = [_with(kernel, usable, m, k, n) for kernel in usable]
    return min(options, key=_rank, default=None)


def _rank(tiling: Tiling) -> tuple[int, float, tuple[str, ...]]:
    return tiling.calls, tiling.us, tuple(piece.kernel.key for piece in tiling.pieces)


def _with(main: Kernel, kernels: Sequence[Kernel], m: int, k: int, n: int) -> Tiling:
    """Cover the full strips with ``main`` and let every kernel compete for the two thin ones."""
    rows, columns = m - m % main.m, n - n % main.n
    pieces = []
    if rows and columns:
        pieces.append(_piece(main, 0, rows, 0, columns, k))
    if rows < m:
        pieces.append(_best(kernels, rows, m - rows, 0, n, k))
    if columns < n and rows:
        pieces.append(_best(kernels, 0, rows, columns, n - columns, k))
    whole = Tiling((_piece(main, 0, m, 0, n, k),))
    return min((Tiling(tuple(pieces)), whole), key=_rank)


def _best(kernels: Sequence[Kernel], row: int, rows: int, column: int, columns: int, k: int) -> Piece:
    pieces = (_piece(kernel, row, rows, column, columns, k) for kernel in kernels)
    return min(pieces, key=lambda piece: (piece.calls, piece.us, piece.kernel.key))


def _piece(kernel: Kernel, row: int, rows: int, column: int, columns: int, k: int) -> Piece:
    calls = -(-rows // kernel.m) * -(-columns // kernel.n) * -(-k // kernel.k)
    return Piece(kernel, row, rows, column, columns, calls)
