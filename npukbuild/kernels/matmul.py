"""The matmul family: C[M, N] = A[M, K] x B[K, N], what a request may say and what it means.

A and C are row-major. B is row-major K x N (``b_layout="row"``) or is given transposed, as a row-major
N x K matrix (``b_layout="col"``: the columns of B are contiguous).

Numeric semantics, exact for integers, and independent of how the planner cuts the problem into blocks:

====== ======== ==============================================================================
input  output   meaning
====== ======== ==============================================================================
bf16   f32      products are exact, sums are accumulated in float32 over the whole of K
bf16   bf16     the same sum, rounded once to bf16 (to nearest, ties to even)
bfp16  f32,     as bf16, but every 8 neighbours along K (of a row of A, of a column of B) are brought to a
       bf16     common exponent with 8-bit mantissas before they are multiplied (AIE2P only)
i8     i32      the exact sum modulo 2^32, read as a signed 32-bit integer
i8     i16, i8  that 32-bit sum S, then ``saturate(round(S / 2^shift))`` where halves round to even
i16    i32      the exact sum modulo 2^32 (products are summed in 64 bits and wrapped, never saturated)
i16    i16      that 32-bit sum S, then ``saturate(round(S / 2^shift))`` where halves round to even
====== ======== ==============================================================================

The last step of the narrow integer results is the hardware's SRS with ``conv_even`` rounding and saturation,
which the core functions switch on themselves. An i8 sum cannot wrap while K <= 131,072 (2^14 per product).
The order of the float32 additions follows the blocks, so bf16 results of different plans may differ in the
last bits; the bound in :mod:`npukbuild.kernels.matmul_numerics` holds for all of them.

``bfp16`` matrices are bf16 in host memory: the core function converts them (bfp16ebs8 of AIE2P), which is
several times faster there than multiplying bf16 itself and loses up to 2^-6 of the largest of each 8 values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from npukbuild.errors import RequestError

if TYPE_CHECKING:
    from npukbuild.kernels.abi import Abi

DTYPE_PAIRS: dict[str, tuple[str, ...]] = {
    "bf16": ("bf16", "f32"),
    "bfp16": ("bf16", "f32"),
    "i8": ("i8", "i16", "i32"),
    "i16": ("i16", "i32"),
}
"""Input type -> the result types it may have, the default first."""

B_LAYOUTS: tuple[str, ...] = ("row", "col")

STORED: dict[str, str] = {"bf16": "bf16", "bfp16": "bf16", "i8": "i8", "i16": "i16"}
"""Input type -> the type of A and B in memory."""

MULTIPLIED: dict[str, str] = {"bf16": "bf16", "bfp16": "bf16_bfp16", "i8": "i8", "i16": "i16"}
"""Input type -> the key of its ``aie::mmul`` shape in the array models."""

ACCUMULATORS: dict[str, str] = {"bf16": "f32", "bfp16": "f32", "i8": "i32", "i16": "i32"}
"""Input type -> the type in which sums over blocks of K are kept in L1."""

LARGEST_SHIFT = 31
"""A 32-bit sum shifted by more has no bits left."""


@dataclass(frozen=True, slots=True)
class MatmulProblem:
    """What is asked for: sizes in elements, types, the layout of B, the right shift of narrow integers.

    Raises:
        RequestError: Something is not a legal request; every mistake is listed in ``details``.
    """

    m: int
    k: int
    n: int
    dtype: str = "bf16"
    out_dtype: str = ""
    b_layout: str = "row"
    shift: int = 0

    family: ClassVar[str] = "matmul"

    def __post_init__(self) -> None:
        if not self.out_dtype and self.dtype in DTYPE_PAIRS:
            object.__setattr__(self, "out_dtype", DTYPE_PAIRS[self.dtype][0])
        mistakes = _mistakes(self)
        if mistakes:
            raise RequestError(
                mistakes[0] if len(mistakes) == 1 else f"the matmul request has {len(mistakes)} mistakes",
                details=mistakes if len(mistakes) > 1 else (),
                hint="sizes are whole numbers from 1; types: "
                + ", ".join(f"{key} -> {' | '.join(value)}" for key, value in DTYPE_PAIRS.items()),
            )

    @property
    def name(self) -> str:
        """Name of the kernel: family, types, M x K x N, then what departs from the defaults."""
        types = self.dtype if self.out_dtype == self.dtype else f"{self.dtype}_{self.out_dtype}"
        parts = [self.family, types, f"{self.m}x{self.k}x{self.n}"]
        if self.b_layout != "row":
            parts.append(f"b{self.b_layout}")
        if self.shift:
            parts.append(f"s{self.shift}")
        return "_".join(parts)

    @property
    def stored_dtype(self) -> str:
        """Type of A and B in memory."""
        return STORED[self.dtype]

    @property
    def acc_dtype(self) -> str:
        """Type of the sums kept in L1: f32 for bf16, i32 for integers."""
        return ACCUMULATORS[self.dtype]

    @property
    def narrow_integer(self) -> bool:
        """Whether the result is an integer narrower than its sum, so that ``shift`` applies."""
        return self.out_dtype in ("i8", "i16")

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the logical problem."""
        return self.m * self.k * self.n

    def as_dict(self) -> dict[str, Any]:
        """Return the request as plain data."""
        return {
            "m": self.m,
            "k": self.k,
            "n": self.n,
            "dtype": self.dtype,
            "out_dtype": self.out_dtype,
            "b_layout": self.b_layout,
            "shift": self.shift,
        }

    def abi(self, m: int, k: int, n: int) -> Abi:
        """Return the calling convention of a kernel whose buffers are padded to ``m`` x ``k`` x ``n``.

        Args:
            m: Rows of A's and C's buffers, >= ``self.m``.
            k: Length of the contraction in A's and B's buffers, >= ``self.k``.
            n: Columns of C's buffer, >= ``self.n``.
        """
        from npukbuild.kernels.abi import Abi, Argument

        if self.b_layout == "row":
            b = Argument("B", "in", self.stored_dtype, (k, n), (self.k, self.n))
        else:
            b = Argument(
                "B", "in", self.stored_dtype, (n, k), (self.n, self.k), layout="transposed row-major"
            )
        return Abi(
            (
                Argument("A", "in", self.stored_dtype, (m, k), (self.m, self.k)),
                b,
                Argument("C", "out", self.out_dtype, (m, n), (self.m, self.n)),
            )
        )


def _mistakes(problem: MatmulProblem) -> list[str]:
    found = []
    for letter in ("m", "k", "n"):
        size = getattr(problem, letter)
        if not isinstance(size, int) or isinstance(size, bool):
            found.append(f"--{letter} must be a whole number, not {size!r}")
        elif size < 1:
            found.append(f"--{letter} must be at least 1, not {size}")
    if problem.dtype not in DTYPE_PAIRS:
        found.append(f"--dtype must be one of {', '.join(DTYPE_PAIRS)}, not {problem.dtype!r}")
    elif problem.out_dtype not in DTYPE_PAIRS[problem.dtype]:
        allowed = " or ".join(DTYPE_PAIRS[problem.dtype])
        found.append(f"--out-dtype of {problem.dtype} inputs must be {allowed}, not {problem.out_dtype!r}")
    if problem.b_layout not in B_LAYOUTS:
        found.append(f"--b-layout must be row or col, not {problem.b_layout!r}")
    if not isinstance(problem.shift, int) or not 0 <= problem.shift <= LARGEST_SHIFT:
        found.append(f"--shift must be from 0 to {LARGEST_SHIFT}, not {problem.shift!r}")
    elif problem.shift and problem.out_dtype not in ("i8", "i16"):
        found.append(f"--shift applies to i8 and i16 results, not to {problem.out_dtype or problem.dtype!r}")
    return found
