"""The closed-form time of a GEMM on the array.

Each core runs ``blocks`` blocks of C with ``K/k`` calls each; meanwhile the streams bring A and B into L1,
the shims read and write DDR run by run, and the controller issues tasks. These overlap, so the longest
counts, each with what stands still before and after it: the first block's way in, the last one's way out. The
launch comes on top. Primitives and constants: :mod:`npukbuild.targets.timing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from npukbuild.planner.cost.shape import GemmShape, Prediction
from npukbuild.targets.timing import (
    GemmTiming,
    block_cycles,
    element_bytes,
    gemm_timing,
    kernel_timing,
    launch_in,
    run_ns,
)

if TYPE_CHECKING:
    from npukbuild.targets.model import Target


@dataclass(frozen=True, slots=True)
class _Traffic:
    """DDR side: microseconds of the busiest shim and of all bytes together, and per-block pieces."""

    reads_us: float
    writes_us: float
    all_us: float
    bytes_total: float
    first_us: float
    drain_us: float
    last_us: float


def predict(
    shape: GemmShape, target: Target, *, clock_ghz: float | None = None, compiler: str | None = None
) -> Prediction:
    """Estimate the time of ``shape`` on ``target``.

    Args:
        shape: Problem, block and dataflow.
        target: The array model; its ``[timing.gemm]`` has the constants.
        clock_ghz: AIE clock; None: the target's default.
        compiler: Overrides ``shape.compiler``.

    Raises:
        RequestError: A type, compiler or kind of time that the target has no constants for.
    """
    timing = gemm_timing(target)
    return predict_with(timing, shape, clock_ghz or timing.clock_ghz, compiler or shape.compiler)


def predict_with(timing: GemmTiming, shape: GemmShape, clock: float, compiler: str) -> Prediction:
    """Estimate from given constants (the calibration varies them)."""
    cores_m, cores_n = (shape.rows, shape.cols) if shape.m_axis == "rows" else (shape.cols, shape.rows)
    row_blocks = ceil(shape.M / (shape.m * cores_m))
    col_blocks = ceil(shape.N / (shape.n * cores_n))
    blocks = row_blocks * col_blocks
    steps = ceil(shape.K / shape.k)
    cycle_us = 1e-3 / clock

    call = _call_cycles(timing, shape, compiler)
    per_block = _block_overhead(timing, shape)
    compute_us = blocks * (steps * call + per_block) * cycle_us
    stream_us = _stream_cycles(timing, shape, row_blocks, col_blocks, steps) * cycle_us
    traffic = _ddr(timing, shape, clock, (row_blocks, col_blocks), (cores_m, cores_n))
    tasks = shape.tasks if shape.tasks is not None else 3 * shape.cols * row_blocks
    sequence_us = tasks * timing.task_us

    parts = [("compute", compute_us), ("streams", stream_us), ("sequence", sequence_us)]
    lone = _Lone.of(timing, shape, traffic, tasks, cycle_us)
    spans = [(name, busy, lone.fill_us) for name, busy in parts]
    ddr_us = max(traffic.reads_us, traffic.writes_us, traffic.all_us)
    whole_us = max(map(sum, _ddr_spans(shape, traffic, lone, call * cycle_us, steps)))
    spans.append(("DDR", ddr_us, whole_us - ddr_us))
    bound, bound_us, fill_us = max(spans, key=lambda span: span[1] + span[2])
    serial_us = _serial(timing, shape, traffic, blocks, clock)
    launch = launch_in(timing, shape.launch)
    total = bound_us + fill_us + serial_us + launch
    macs = shape.M * shape.K * shape.N * shape.repeats
    return Prediction(
        total_us=total,
        compute_us=compute_us,
        stream_us=stream_us,
        ddr_us=ddr_us,
        sequence_us=sequence_us,
        fill_us=fill_us,
        serial_us=serial_us,
        launch_us=launch,
        bound=bound if launch + serial_us < bound_us else "launch" if launch >= serial_us else "serial",
        macs=macs,
        tops=2e-6 * macs / total,
        ddr_bytes=traffic.bytes_total,
        clock_ghz=clock,
        kernel_cycles=call,
    )


def _call_cycles(timing: GemmTiming, shape: GemmShape, compiler: str) -> float:
    """Cycles of one k-step in a core: the call, and taking and giving back A and B."""
    kernel = kernel_timing(timing, shape.dtype_in, compiler)
    acc = element_bytes(shape.dtype_acc or shape.dtype_out)
    call = block_cycles(timing, kernel, acc, shape.m, shape.k, shape.n)
    return shape.repeats * call / shape.rate + 2 * timing.handoff


def _block_overhead(timing: GemmTiming, shape: GemmShape) -> float:
    """Cycles of one block of C beside its k-steps: clear, convert, hand over, drain if single-buffered."""
    acc = shape.dtype_acc or shape.dtype_out
    elements = shape.m * shape.n
    cycles = timing.handoff
    if shape.repeats:
        cycles += timing.call + elements * element_bytes(acc) * timing.zero_byte
        if acc != shape.dtype_out:
            cycles += timing.call + elements * timing.convert_element
    if not shape.c_double and not shape.serial_blocks:
        cycles += elements * element_bytes(shape.dtype_out) / timing.stream_bytes
    return cycles


def _stream_cycles(
    timing: GemmTiming, shape: GemmShape, row_blocks: int, col_blocks: int, steps: int
) -> float:
    """Cycles to bring A and B into L1, each through a channel of its own.

    Every step brings a block of each, unless one holds the whole of K and is read less often than it is used:
    then it stays in L1 meanwhile.
    """
    a_passes = b_passes = row_blocks * col_blocks * steps
    if steps == 1 and shape.a_reads is not None:
        a_passes = row_blocks * min(col_blocks, shape.a_reads)
    if steps == 1 and shape.b_reads is not None:
        b_passes = col_blocks * min(row_blocks, shape.b_reads)
    elements = max(a_passes * shape.m, b_passes * shape.n) * shape.k
    return elements * element_bytes(shape.dtype_in) / timing.stream_bytes


@dataclass(frozen=True, slots=True)
class _Lone:
    """Microseconds at both ends of a call in which most of the array stands still.

    Attributes:
        issue_us: Until the sequence has come to the last column's A and B.
        first_us: The first pieces out of DDR.
        in_us: A block of A or B into L1.
        out_us: A block of C out of L1.
        drain_us: The last blocks of C into DDR.
    """

    issue_us: float
    first_us: float
    in_us: float
    out_us: float
    drain_us: float

    @property
    def fill_us(self) -> float:
        """What cores, streams and sequence wait for: the first blocks on their way in, the last ones out."""
        return self.issue_us + self.first_us + self.in_us + self.out_us + self.drain_us

    @classmethod
    def of(
        cls, timing: GemmTiming, shape: GemmShape, traffic: _Traffic, tasks: int, cycle_us: float
    ) -> _Lone:
        """Return the ends of a call; where blocks do not overlap each block's way out is counted there."""
        byte_us = cycle_us / timing.stream_bytes
        piece = max(shape.m, shape.n) * shape.k * element_bytes(shape.dtype_in)
        block = 0.0 if shape.serial_blocks else shape.m * shape.n * element_bytes(shape.dtype_out)
        return cls(
            issue_us=min(tasks, 3 * shape.cols) * timing.task_us,
            first_us=traffic.first_us,
            in_us=piece * byte_us,
            out_us=block * byte_us,
            drain_us=0.0 if shape.serial_blocks else traffic.drain_us,
        )


def _ddr_spans(
    shape: GemmShape, traffic: _Traffic, lone: _Lone, call_us: float, steps: int
) -> list[tuple[float, float]]:
    """Return (busy, idle before and after) in microseconds of each thing that DDR does.

    Reads begin with the tasks and are followed by the last core-function call and its block's way out;
    writes begin with the first finished block and end the call. The bytes of both share DDR, half of which is
    idle while the sequence comes to one column after the other, and whose last bytes are those that drain.
    Designs that drain between blocks read each block's first pieces while nothing else goes on, so that
    there all of it stands still at both ends.
    """
    if shape.serial_blocks:
        busy = max(traffic.reads_us, traffic.writes_us, traffic.all_us)
        return [(busy, lone.fill_us)]
    last = lone.in_us + call_us + lone.out_us
    return [
        (traffic.reads_us, lone.issue_us + last + lone.drain_us),
        (traffic.writes_us, lone.issue_us + lone.first_us + steps * call_us + last),
        (traffic.all_us, lone.issue_us / 2 + last + lone.drain_us - traffic.last_us),
    ]


def _ddr(
    timing: GemmTiming, shape: GemmShape, clock: float, counts: tuple[int, int], cores: tuple[int, int]
) -> _Traffic:
    """DDR busy time: runs per shim channel, the port both channels share, and the whole array's ceiling."""
    ddr = timing.ddr
    (row_blocks, col_blocks), (cores_m, cores_n) = counts, cores
    size, out = element_bytes(shape.dtype_in), 4.0 if shape.cast_pass else element_bytes(shape.dtype_out)
    a_reads = shape.a_reads if shape.a_reads is not None else col_blocks
    b_reads = shape.b_reads if shape.b_reads is not None else row_blocks
    bytes_a, bytes_b = shape.M * shape.K * size * a_reads, shape.K * shape.N * size * b_reads
    bytes_c = shape.M * shape.N * out
    run_a, row_a = _a_run(shape, size)
    run_b, row_b = _b_run(shape, size)
    run_c, row_c = (
        (shape.n * out, shape.N * out) if shape.c_layout == "row" else (shape.m * out, shape.M * out)
    )
    channels = shape.cols
    # Parts of A and B on the channel that carries most: three columns bring A to four rows as 2, 1 and 1.
    part_a = ceil(cores_m / channels) / cores_m
    part_b = 1.0 / channels if shape.serial_blocks else ceil(cores_n / channels) / cores_n
    # Microseconds per byte of each matrix, on all the channels that carry it.
    a_us = run_ns(ddr, run_a, row_a, clock) / run_a * part_a * 1e-3
    b_us = run_ns(ddr, run_b, row_b, clock) / run_b * part_b * 1e-3
    c_us = run_ns(ddr, run_c, row_c, clock) / (run_c * channels) * 1e-3
    port_us = 1e-3 / (ddr.port_bytes * clock)

    def read_us(of_a: float, of_b: float) -> float:
        shared: float = ((of_a * a_us) ** ddr.share + (of_b * b_us) ** ddr.share) ** (1.0 / ddr.share)
        return max(shared, (of_a * part_a + of_b * part_b) * port_us)

    total = bytes_a + bytes_b + bytes_c
    blocks = row_blocks * col_blocks
    depth = min(shape.K, shape.k_run or shape.k) * size
    first = read_us(
        depth * shape.m * cores_m if bytes_a else 0.0, depth * shape.n * cores_n if bytes_b else 0.0
    )
    return _Traffic(
        reads_us=read_us(bytes_a, bytes_b),
        writes_us=bytes_c * c_us,
        all_us=total / ddr.total_gbs * 1e-3,
        bytes_total=total,
        first_us=first,
        drain_us=bytes_c * c_us / blocks,
        last_us=bytes_c / blocks / ddr.total_gbs * 1e-3,
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


def _serial(timing: GemmTiming, shape: GemmShape, traffic: _Traffic, blocks: int, clock: float) -> float:
    """Time that overlaps with nothing: drains and refills between blocks, and a separate cast pass."""
    total = 0.0
    if shape.serial_blocks:
        stages = blocks * ceil(shape.K / (shape.k_run or shape.k))
        total += blocks * traffic.drain_us + (blocks - 1) * traffic.first_us + stages * timing.stage_us
    if shape.cast_pass:
        out = element_bytes(shape.dtype_out)
        wire = shape.cols * timing.ddr.channel_bytes * clock
        elements = shape.M * shape.N
        total += timing.second_launch_us
        total += elements * max((4.0 + out) / timing.ddr.total_gbs, 4.0 / wire) * 1e-3
    return total
