"""How one matmul is laid over the array: block, grid of cores, buffering, order of the blocks.

Every core (column j, row i) of a grid of ``columns`` x ``rows`` computes m x n blocks of C. A for core row i
enters through one column and is broadcast along the row, B for column j enters through column j and is
broadcast up the column, the C blocks of a column are joined in its memtile. One *step* of the grid makes
rows*m x columns*n elements of C; the problem is padded to whole steps.

With a single block of K (``k_blocks == 1``) one operand may stay in L1 (``resident``) while the other
streams: ``"a"`` keeps the A block while all blocks of N go by, ``"b"`` keeps B while all of M go by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

from npukbuild.errors import RequestError
from npukbuild.kernels.abi import DTYPE_BYTES
from npukbuild.kernels.matmul import MULTIPLIED
from npukbuild.targets.registers import accumulator_bits, register_blocking

if TYPE_CHECKING:
    from npukbuild.kernels.matmul import MatmulProblem
    from npukbuild.targets import Target

Program = Literal["direct", "in_place", "private"]
Resident = Literal["", "a", "b"]

STACK_BYTES = 3328
"""Stack of a core: what Peano's matmul code needs (mlir-aie's whole_array uses 0xD00); a multiple of 64."""

STATIC_BYTES = 512
"""Room kept behind the highest L1 buffer for constants of the core's program; our core functions have no
tables, so this is for what the compiler and the C runtime place there."""

ACCUMULATOR_BYTES = 4
"""float32 and int32 sums."""


def ceil_div(a: int, b: int) -> int:
    """Return a / b rounded up."""
    return -(-a // b)


def even_or_one(count: int) -> int:
    """Return the least trip count >= ``count`` that a loop over depth-2 objectfifos may have.

    The objectfifo lowering unrolls such a loop by two and gives each acquire a fixed buffer, so an odd count
    would leave the next pass of the enclosing loop one buffer behind.
    """
    return count if count == 1 or count % 2 == 0 else count + 1


def micro_tile(problem: MatmulProblem, target: Target) -> tuple[int, int, int]:
    """Return the shape (r, s, t) of one ``aie::mmul`` for the problem's types.

    Raises:
        RequestError: The target's cores cannot multiply this type.
    """
    shape = target.mmul.get(MULTIPLIED[problem.dtype])
    if shape is None:
        raise RequestError(
            f"{target.name} cannot multiply {problem.dtype}",
            where="--dtype",
            why="block floating point exists on AIE2P (npu2) only",
        )
    return shape


@dataclass(frozen=True)
class Scheme:
    """One way to do a problem; all else is derived. Sizes are in elements unless they say bytes."""

    problem: MatmulProblem
    target: Target
    m: int
    k: int
    n: int
    columns: int
    rows: int
    resident: Resident = ""
    c_depth: int = 2

    # Derived once, since the search makes thousands of schemes and reads these often.
    micro: tuple[int, int, int] = field(init=False, compare=False)
    """Shape (r, s, t) of one ``aie::mmul``."""
    element_bytes: tuple[int, int] = field(init=False, compare=False)
    """Bytes of one input and of one result element."""
    m_blocks: int = field(init=False, compare=False)
    """Steps of the grid along M."""
    k_blocks: int = field(init=False, compare=False)
    """Blocks along K."""
    n_blocks: int = field(init=False, compare=False)
    """Steps of the grid along N."""
    program: Program = field(init=False, compare=False)
    """How sums reach C. ``direct``: one call makes the finished block (K fits the block). ``in_place``: the
    result has the accumulator's type and is summed where it leaves. ``private``: a separate accumulator,
    converted last. An i16 sum is wrapped to 32 bits before its shift, so i16 -> i16 always goes this way."""
    a_depth: int = field(init=False, compare=False)
    """L1 and L2 buffers of A: two, or one where a single A block serves the whole call."""
    b_depth: int = field(init=False, compare=False)
    """L1 and L2 buffers of B: two, or one where a single B block serves the whole call."""

    def __post_init__(self) -> None:
        problem = self.problem
        m_blocks = ceil_div(problem.m, self.m * self.rows)
        n_blocks = ceil_div(problem.n, self.n * self.columns)
        k_blocks = even_or_one(ceil_div(problem.k, self.k))
        if self.resident == "a":
            n_blocks = even_or_one(n_blocks)
        elif self.resident == "b":
            m_blocks = even_or_one(m_blocks)
        a_once = (self.resident == "a" or n_blocks == 1) and m_blocks == k_blocks == 1
        b_once = (self.resident == "b" or m_blocks == 1) and n_blocks == k_blocks == 1
        program: Program = "in_place" if problem.out_dtype == problem.acc_dtype else "private"
        if k_blocks == 1 and not (problem.dtype == "i16" and problem.out_dtype == "i16"):
            program = "direct"
        put = object.__setattr__
        put(self, "micro", micro_tile(problem, self.target))
        put(self, "element_bytes", (DTYPE_BYTES[problem.stored_dtype], DTYPE_BYTES[problem.out_dtype]))
        put(self, "m_blocks", m_blocks)
        put(self, "k_blocks", k_blocks)
        put(self, "n_blocks", n_blocks)
        put(self, "program", program)
        put(self, "a_depth", 1 if a_once else 2)
        put(self, "b_depth", 1 if b_once else 2)

    @property
    def block(self) -> tuple[int, int, int]:
        """The block (m, k, n) of one core."""
        return self.m, self.k, self.n

    @property
    def cores(self) -> int:
        """Number of cores that work."""
        return self.columns * self.rows

    @property
    def padded(self) -> tuple[int, int, int]:
        """M, K, N of the host's buffers."""
        return (
            self.m_blocks * self.rows * self.m,
            self.k_blocks * self.k,
            self.n_blocks * self.columns * self.n,
        )

    @property
    def a_groups(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """For each stream of A: the column through which it enters and the core rows it feeds.

        With at least as many columns as rows each row has its own column, spread evenly; with fewer, a
        memtile distributes to several neighbouring rows.
        """
        return _a_groups(self.columns, self.rows)

    @property
    def registers(self) -> tuple[int, int]:
        """Accumulator tiles (rows, columns) that the inner loop holds in registers."""
        r, _, t = self.micro
        return register_blocking(
            self.m // r,
            self.n // t,
            r * t * accumulator_bits(self.problem.dtype),
            self.target.core.accumulators,
        )


@cache
def _a_groups(columns: int, rows: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    if columns >= rows:
        return tuple((row * columns // rows, (row,)) for row in range(rows))
    bounds = [ceil_div(rows * column, columns) for column in range(columns + 1)]
    return tuple((column, tuple(range(bounds[column], bounds[column + 1]))) for column in range(columns))
