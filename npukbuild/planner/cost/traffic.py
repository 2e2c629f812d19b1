"""What crosses DDR in one GEMM, and how long the shims take for it."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from npukbuild.targets.timing import element_bytes, run_ns

if TYPE_CHECKING:
    from npukbuild.planner.cost.shape import GemmShape, Work
    from npukbuild.targets.timing import GemmTiming


class Load(NamedTuple):
    """One matrix on the shim that carries most of it: bytes in all, and bytes per microsecond if alone."""

    size: float
    pace: float


class Traffic(NamedTuple):
    """DDR side of a call, in microseconds of the busiest shim unless said otherwise.

    Attributes:
        read_bytes: A and B, as often as they cross.
        written_bytes: C.
        reads_us: All reads.
        late_us: The reads of a column that carries B only.
        writes_us: All writes.
        all_us: Reads and writes together at the array's total bandwidth.
        first_us: The first pieces of A and B.
        first_b_us: The first piece of B in a column that carries nothing else.
        drain_us: The blocks of C of one round.
        a: What a shim reads of A.
        b: What it reads of B.
    """

    read_bytes: float
    written_bytes: float
    reads_us: float
    late_us: float
    writes_us: float
    all_us: float
    first_us: float
    first_b_us: float
    drain_us: float
    a: Load
    b: Load

    @property
    def bytes_total(self) -> float:
        """Bytes that cross in all."""
        return self.read_bytes + self.written_bytes


def traffic_of(timing: GemmTiming, shape: GemmShape, clock: float, work: Work) -> Traffic:
    """Return DDR busy time: runs per shim channel, the port both channels share, the array's ceiling."""
    ddr = timing.ddr
    size, out = element_bytes(shape.dtype_in), 4.0 if shape.cast_pass else element_bytes(shape.dtype_out)
    a_reads = shape.a_reads if shape.a_reads is not None else work.col_blocks
    b_reads = shape.b_reads if shape.b_reads is not None else work.row_blocks
    bytes_a, bytes_b = shape.M * shape.K * size * a_reads, shape.K * shape.N * size * b_reads
    bytes_c = shape.M * shape.N * out
    run_a, row_a = _a_run(shape, size)
    run_b, row_b = _b_run(shape, size)
    run_c, row_c = (
        (shape.n * out, shape.N * out) if shape.c_layout == "row" else (shape.m * out, shape.M * out)
    )
    channels = shape.cols
    # Parts of A and B on the channel that carries most: three columns bring A to four rows as 2, 1 and 1.
    part_a = ceil(work.cores_m / channels) / work.cores_m
    part_b = 1.0 / channels if shape.serial_blocks else ceil(work.cores_n / channels) / work.cores_n
    # Microseconds per byte of each matrix, on all the channels that carry it.
    a_us = run_ns(ddr, run_a, row_a, clock) / run_a * part_a * 1e-3
    b_us = run_ns(ddr, run_b, row_b, clock) / run_b * part_b * 1e-3
    c_us = run_ns(ddr, run_c, row_c, clock) / (run_c * channels) * 1e-3
    port_us = 1e-3 / (ddr.port_bytes * clock)
    total_us = 1e-3 / ddr.total_gbs

    def read_us(of_a: float, of_b: float) -> float:
        shared: float = ((of_a * a_us) ** ddr.share + (of_b * b_us) ** ddr.share) ** (1.0 / ddr.share)
        return max(shared, (of_a * part_a + of_b * part_b) * port_us)

    depth = min(shape.K, shape.k_run or shape.k) * size
    first_a = depth * shape.m * work.cores_m if bytes_a else 0.0
    first_b = depth * shape.n * work.cores_n if bytes_b else 0.0
    writes_us = bytes_c * c_us
    return Traffic(
        read_bytes=bytes_a + bytes_b,
        written_bytes=bytes_c,
        reads_us=max(read_us(bytes_a, bytes_b), (bytes_a + bytes_b) * total_us),
        late_us=bytes_b * b_us,
        writes_us=max(writes_us, bytes_c * total_us),
        all_us=(bytes_a + bytes_b + bytes_c) * total_us,
        first_us=read_us(first_a, first_b),
        first_b_us=first_b * b_us,
        drain_us=writes_us / work.blocks,
        a=Load(bytes_a * part_a, part_a / a_us),
        b=Load(bytes_b * part_b, part_b / b_us),
    )


def _a_run(shape: GemmShape, size: float) -> tuple[float, float]:
    """Contiguous bytes of A per run, and the distance between runs."""
    if shape.a_layout == "packed":
        return shape.m * shape.k * size, shape.m * shape.k * size
    return (shape.k_run or shape.k) * size, shape.K * size


def _b_run(shape: GemmShape, size: float) -> tuple[float, float]:
    """Contiguous bytes of B per run, and the distance between runs."""
    if shape.b_layout == "row":
        return shape.n * size, shape.N * size
    if shape.b_layout == "col":
        return (shape.k_run or shape.k) * size, shape.K * size
    packed = shape.k * shape.n * size
    return packed, packed
