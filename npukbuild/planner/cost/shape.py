"""What the timing model is asked about and what it answers: frozen values, sizes in elements, times in us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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


@dataclass(frozen=True, slots=True)
class Prediction:
    """An estimated time and its parts, in microseconds.

    ``compute_us``, ``stream_us``, ``ddr_us`` and ``sequence_us`` run at the same time; the longest is the
    ``bound``. ``fill_us`` (the first blocks in, the last one out), ``serial_us`` (drains and passes nothing
    overlaps) and ``launch_us`` come on top.
    """

    total_us: float
    compute_us: float
    stream_us: float
    ddr_us: float
    sequence_us: float
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
