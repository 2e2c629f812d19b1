"""The closed-form time of a GEMM on the array.

Each core runs ``blocks`` blocks of C with ``K/k`` calls each; meanwhile the streams bring A and B into L1,
the shims read and write DDR run by run, and the controller issues tasks. These overlap
(:mod:`npukbuild.planner.cost.spans`), so the one that ends last counts. The launch comes on top. Primitives
and constants: :mod:`npukbuild.targets.timing`.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from npukbuild.planner.cost.shape import GemmShape, Prediction, Work, work_of
from npukbuild.planner.cost.spans import Pace, busy_for, longest_span
from npukbuild.planner.cost.traffic import traffic_of
from npukbuild.targets.timing import (
    GemmTiming,
    block_cycles,
    element_bytes,
    gemm_timing,
    kernel_timing,
    launch_in,
)

if TYPE_CHECKING:
    from npukbuild.planner.cost.traffic import Traffic
    from npukbuild.targets.model import Target


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
    work = work_of(shape)
    cycle_us = 1e-3 / clock
    call = _call_cycles(timing, shape, compiler, work)
    pause, finish = _pause_cycles(timing, shape)
    traffic = traffic_of(timing, shape, clock, work)
    # A and B come into L1 through a channel each.
    byte_us = shape.k * element_bytes(shape.dtype_in) / timing.stream_bytes * cycle_us
    a_us, b_us = work.a_passes * shape.m * byte_us, work.b_passes * shape.n * byte_us
    pace = Pace(
        compute_us=work.blocks * (work.steps * call + pause) * cycle_us,
        stream_us=max(a_us, b_us),
        b_us=b_us,
        sequence_us=work.tasks * timing.task_us,
        call_us=call * cycle_us,
        pause_us=pause * cycle_us,
        finish_us=finish * cycle_us,
    )
    ddr_us = max(traffic.reads_us, traffic.writes_us, traffic.all_us)
    longest = longest_span(timing, shape, work, traffic, pace, cycle_us)
    if longest.name == "DDR":
        longest = busy_for(longest, ddr_us)
    serial_us = _serial(timing, shape, traffic, work.blocks, clock)
    launch = launch_in(timing, shape.launch)
    total = longest.whole + serial_us + launch
    overlapped = launch + serial_us < longest.busy
    macs = shape.M * shape.K * shape.N * shape.repeats
    return Prediction(
        total_us=total,
        compute_us=pace.compute_us,
        stream_us=pace.stream_us,
        ddr_us=ddr_us,
        sequence_us=pace.sequence_us,
        stall_us=longest.stall,
        fill_us=longest.idle,
        serial_us=serial_us,
        launch_us=launch,
        bound=longest.name if overlapped else "launch" if launch >= serial_us else "serial",
        macs=macs,
        tops=2e-6 * macs / total,
        ddr_bytes=traffic.bytes_total,
        clock_ghz=clock,
        kernel_cycles=call,
    )


def _call_cycles(timing: GemmTiming, shape: GemmShape, compiler: str, work: Work) -> float:
    """Cycles of one k-step in a core: the call, and taking and giving back the blocks it does not keep."""
    kernel = kernel_timing(timing, shape.dtype_in, compiler)
    acc = element_bytes(shape.dtype_acc or shape.dtype_out)
    call = block_cycles(timing, kernel, acc, shape.m, shape.k, shape.n)
    handoffs = (work.a_passes + work.b_passes) / (work.blocks * work.steps)
    return shape.repeats * call / shape.rate + handoffs * timing.handoff


def _pause_cycles(timing: GemmTiming, shape: GemmShape) -> tuple[float, float]:
    """Cycles of one block of C beside its k-steps: clear, convert, hand over, drain if single-buffered.

    The second number is what of it comes before the block can leave.
    """
    acc = shape.dtype_acc or shape.dtype_out
    elements = shape.m * shape.n
    cycles = finish = timing.handoff
    if shape.repeats and acc != shape.dtype_out:
        finish += timing.call + elements * timing.convert_element
        cycles = finish
    if shape.repeats and shape.clears:
        cycles += timing.call + elements * element_bytes(acc) * timing.zero_byte
    if not shape.c_double and not shape.serial_blocks:
        cycles += elements * element_bytes(shape.dtype_out) / timing.stream_bytes
    return cycles, finish


def _serial(timing: GemmTiming, shape: GemmShape, traffic: Traffic, blocks: int, clock: float) -> float:
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
