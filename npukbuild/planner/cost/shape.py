"""What the timing model is asked about and what it answers: frozen values, sizes in elements, times in us."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class GemmShape:
    """One GEMM on a rows x cols part of the array: the padded problem, its blocks and its dataflow.

    Args:
        M: Rows of A and C as the array computes them (padded).
        K: Columns of A, rows of B (padded).
        N: Columns of B and C (padded).
        m: Rows of the block of C that a core holds.
        k: Depth of one core-function call.
        n: Columns of that block.
        rows: Core rows in use.
        cols: Columns in use.
        dtype_in: ``i8``, ``i16``, ``bf16``, ``bf16_bfp16`` (bf16 through BFP16 emulation, AIE2P) or
            ``bfp16ebs8``.
        dtype_out: Type of C in DDR.
        dtype_acc: Type of C in L1 between the calls; None: ``dtype_out``.
        a_layout: ``row`` (M x K) or ``packed`` (block after block, in the order the array reads it).
        b_layout: ``row`` (K x N), ``col`` (N x K) or ``packed``.
        c_layout: ``row`` or ``col``.
        c_double: C has two buffers in L1, so that it drains under the next block.
        k_run: Elements of K that DDR delivers contiguously, where L2 stages more than ``k``; None: ``k``.
        m_axis: Which axis of the array M is spread over: ``rows`` (A broadcast along a row of cores, B down a
            column) or ``cols``.
        a_reads: Times A crosses from DDR; None: once per ``n * cores along N`` columns of C.
        b_reads: Times B crosses from DDR; None: once per ``m * cores along M`` rows of C.
        serial_blocks: Between blocks of C the array drains and fills again (no overlap across blocks).
        cast_pass: C leaves as float32 and a second launch converts it to ``dtype_out``.
        tasks: Shim tasks of the runtime sequence; None: three per column and row of blocks.
        compiler: Who compiled the core function, see :data:`npukbuild.targets.timing.COMPILERS`.
        rate: The inner loop's rate relative to one with full accumulator registers (<= 1), see
            :func:`npukbuild.targets.registers.register_rate`.
        repeats: Times each call is made on the same data; 0 for a data-movement-only run.
        launch: Kind of time that is asked for, see ``[timing.gemm.launch]``.
        clears: The core clears each block of C before its calls; not where a single call writes it whole.
    """

    M: int
    K: int
    N: int
    m: int
    k: int
    n: int
    rows: int
    cols: int
    dtype_in: str
    dtype_out: str
    dtype_acc: str | None = None
    a_layout: str = "row"
    b_layout: str = "row"
    c_layout: str = "row"
    c_double: bool = True
    k_run: int | None = None
    m_axis: str = "rows"
    a_reads: int | None = None
    b_reads: int | None = None
    serial_blocks: bool = False
    cast_pass: bool = False
    tasks: int | None = None
    compiler: str = "peano"
    rate: float = 1.0
    repeats: int = 1
    launch: str = "device"
    clears: bool = True


class Work(NamedTuple):
    """How often things happen in a call.

    Attributes:
        row_blocks: Blocks along M that one core row works through.
        col_blocks: Blocks along N that one core column works through.
        blocks: Blocks of C that one core computes.
        steps: Core-function calls per block.
        a_passes: Blocks of A that a core takes; fewer than calls where one stays in L1.
        b_passes: The same of B.
        cores_m: Cores along M.
        cores_n: Cores along N.
        tasks: Shim tasks of the runtime sequence.
        round_tasks: Those after which every channel has one.
    """

    row_blocks: int
    col_blocks: int
    blocks: int
    steps: int
    a_passes: int
    b_passes: int
    cores_m: int
    cores_n: int
    tasks: int
    round_tasks: int


def work_of(shape: GemmShape) -> Work:
    """Count what ``shape`` comes to on its part of the array.

    Every step takes a block of A and one of B, unless a block holds the whole of K and is read less often
    than it is used: then it stays in L1 meanwhile.
    """
    cores_m, cores_n = (shape.rows, shape.cols) if shape.m_axis == "rows" else (shape.cols, shape.rows)
    row_blocks, col_blocks = ceil(shape.M / (shape.m * cores_m)), ceil(shape.N / (shape.n * cores_n))
    blocks, steps = row_blocks * col_blocks, ceil(shape.K / shape.k)
    a_passes = b_passes = blocks * steps
    if steps == 1 and shape.a_reads is not None:
        a_passes = row_blocks * min(col_blocks, shape.a_reads)
    if steps == 1 and shape.b_reads is not None:
        b_passes = col_blocks * min(row_blocks, shape.b_reads)
    tasks = shape.tasks if shape.tasks is not None else 3 * shape.cols * row_blocks
    # A's streams are one per core row, or per column where several rows share one.
    round_tasks = min(tasks, 2 * shape.cols + min(shape.rows, shape.cols))
    return Work(
        row_blocks, col_blocks, blocks, steps, a_passes, b_passes, cores_m, cores_n, tasks, round_tasks
    )


@dataclass(frozen=True, slots=True)
class Prediction:
    """An estimated time and its parts, in microseconds.

    ``compute_us``, ``stream_us``, ``ddr_us`` and ``sequence_us`` run at the same time; the longest is the
    ``bound``. ``stall_us`` (its waits for others between blocks of C), ``fill_us`` (the first blocks
    in, the last one out), ``serial_us`` (drains and passes nothing overlaps) and ``launch_us`` come on top.
    """

    total_us: float
    compute_us: float
    stream_us: float
    ddr_us: float
    sequence_us: float
    stall_us: float
    fill_us: float
    serial_us: float
    launch_us: float
    bound: str
    macs: int
    tops: float
    ddr_bytes: float
    clock_ghz: float
    kernel_cycles: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, rounded for reading."""
        whole = {"bound": self.bound, "macs": self.macs, "ddr_bytes": round(self.ddr_bytes)}
        names = (
            "total_us",
            "compute_us",
            "stream_us",
            "ddr_us",
            "sequence_us",
            "stall_us",
            "fill_us",
            "serial_us",
            "launch_us",
        )
        times = {name: round(getattr(self, name), 3) for name in names}
        rates = {
            "tops": round(self.tops, 4),
            "clock_ghz": self.clock_ghz,
            "kernel_cycles": round(self.kernel_cycles, 1),
        }
        return {**times, **whole, **rates}
