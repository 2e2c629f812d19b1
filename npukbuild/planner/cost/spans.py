"""What goes on at the same time in a call, and what stands still before, between and after it.

Cores, streams, the runtime sequence and DDR overlap; the call takes as long as the one that ends last. Each
begins when the first data have come as far as it, pauses where the ones it depends on do, and is followed by
the way of its last data out of the array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from npukbuild.targets.timing import element_bytes

if TYPE_CHECKING:
    from npukbuild.planner.cost.shape import GemmShape, Work
    from npukbuild.planner.cost.traffic import Traffic
    from npukbuild.targets.timing import GemmTiming

BUFFERS = 2
"""Buffers that a fifo of A or B has in L1, and as many in L2: so many steps each of them runs ahead."""


class Span(NamedTuple):
    """Microseconds of one of the things that overlap; the largest of several is the one that ends last.

    Attributes:
        whole: From the start of the call to its end: the sum of the others.
        name: ``compute``, ``streams``, ``sequence`` or ``DDR``.
        busy: It works.
        stall: It waits for others between blocks.
        idle: Before its first and after its last work.
    """

    whole: float
    name: str
    busy: float
    stall: float
    idle: float


class Pace(NamedTuple):
    """How fast a call's parts go, in microseconds.

    Attributes:
        compute_us: A core's calls, with all that it does between them.
        stream_us: A block row's A and a column's B into L1, which overlap: the longer one.
        b_us: B into L1.
        sequence_us: Issuing all tasks.
        call_us: One core-function call.
        pause_us: Between the last call of a block and the first of the next.
        finish_us: The part of it before the block of C can leave.
    """

    compute_us: float
    stream_us: float
    b_us: float
    sequence_us: float
    call_us: float
    pause_us: float
    finish_us: float


def longest_span(
    timing: GemmTiming, shape: GemmShape, work: Work, traffic: Traffic, pace: Pace, cycle_us: float
) -> Span:
    """Return the one of all that overlaps which takes from the start of the call to its end."""
    byte_us = cycle_us / timing.stream_bytes
    piece_us = shape.k * element_bytes(shape.dtype_in) * byte_us
    in_a, in_b = shape.m * piece_us, shape.n * piece_us
    longer_in = max(in_a, in_b)
    issue = work.round_tasks * timing.task_us
    if shape.serial_blocks:
        return _longest_of_serial(traffic, pace, issue, traffic.first_us + longer_in)
    # From the end of the first round of tasks until the last column has its first blocks in L1. A enters
    # through evenly spread columns; the ones behind the last of them carry B only and are issued later.
    head, ready = 0.0, traffic.first_us + longer_in
    if shape.rows < shape.cols and shape.m_axis == "rows":
        head = issue * (1.0 - ((shape.rows - 1) * shape.cols // shape.rows + 1) / shape.cols)
        ready = max(traffic.first_us + in_a - head, traffic.first_b_us + in_b)
    out = shape.m * shape.n * element_bytes(shape.dtype_out) * byte_us
    start, after = issue + ready, out + traffic.drain_us
    last = pace.call_us + pace.finish_us + after
    steps, between = work.blocks * work.steps, work.blocks - 1
    step_us, read_us = pace.stream_us / steps, traffic.reads_us / steps
    shared = beside = _contention(timing, traffic, work, pace)
    if work.a_passes != work.b_passes:
        shared += _bursts(timing.ddr.port_bytes / cycle_us, traffic, work, pace)
    # A single buffer of C leaves L1 within the pause after its block, the last one's too.
    leaves = out if shape.c_double else 0.0
    streams_wait = shared + between * _unbridged(pace, pace.call_us, step_us, BUFFERS)
    reads_wait = shared + between * _unbridged(pace, pace.call_us + step_us, read_us, 2 * BUFFERS)
    streams, reads = issue + traffic.first_us + last, issue + longer_in + last
    if head:
        streams -= min(head, BUFFERS * step_us, pace.stream_us - pace.b_us)
        reads -= max(0.0, min(head, 2 * BUFFERS * read_us, traffic.reads_us - traffic.late_us))
    longest = max(
        _span("compute", pace.compute_us, shared, start + leaves + traffic.drain_us),
        _span("streams", pace.stream_us, streams_wait, streams),
        _span("DDR", traffic.reads_us, reads_wait, reads),
    )
    idle = ready + after
    if work.tasks > work.round_tasks:
        # What the last round of tasks asks for goes on when the sequence has come to its end.
        last_round = (longest.busy + longest.stall) * work.round_tasks / work.tasks
        idle = last_round + longest.idle - issue
    return max(
        longest,
        _span("DDR", traffic.writes_us, beside, start + pace.compute_us / work.blocks + leaves),
        _span("sequence", pace.sequence_us, 0.0, idle),
    )


def busy_for(span: Span, busy: float) -> Span:
    """Return ``span`` with ``busy`` for its busy time; the rest of it waits that much less, then idles less.

    Reads, writes and the memory behind both are one thing to a reader, busy for as long as the longest.
    """
    stall = span.stall + span.busy - busy
    idle = span.idle + min(stall, 0.0)
    return Span(span.whole, span.name, busy, max(stall, 0.0), idle)


def _longest_of_serial(traffic: Traffic, pace: Pace, issue: float, ready: float) -> Span:
    """Return the longest where the array drains and fills between blocks.

    Each block's first pieces come while nothing else goes on, so that all of it stands still meanwhile; each
    block's way out is counted elsewhere.
    """
    ddr_us = max(traffic.reads_us, traffic.writes_us, traffic.all_us)
    return max(
        _span("compute", pace.compute_us, 0.0, issue + ready),
        _span("streams", pace.stream_us, 0.0, issue + ready),
        _span("DDR", ddr_us, 0.0, issue + ready),
        _span("sequence", pace.sequence_us, 0.0, ready),
    )


def _span(name: str, busy: float, stall: float, idle: float) -> Span:
    return Span(busy + stall + idle, name, busy, stall, idle)


def _contention(timing: GemmTiming, traffic: Traffic, work: Work, pace: Pace) -> float:
    """Microseconds that reads lose because C is written at the same time.

    A finished block is written at once and at the shims' full pace; while that goes on, reads and writes
    together may want more than the array's total bandwidth, and both get on more slowly by that factor. The
    rest of the time nothing is written, so that the mean bandwidth says nothing. The last block's C meets no
    reads any more.
    """
    pace_us = max(pace.compute_us, pace.stream_us, traffic.reads_us, traffic.writes_us)
    wanted_gbs = (traffic.read_bytes / pace_us + traffic.written_bytes / traffic.writes_us) * 1e-3
    if wanted_gbs <= timing.ddr.total_gbs:
        return 0.0
    share = (work.blocks - 1) / work.blocks
    return (wanted_gbs / timing.ddr.total_gbs - 1.0) * traffic.writes_us * share


def _bursts(port: float, traffic: Traffic, work: Work, pace: Pace) -> float:
    """Microseconds lost while the next block of the operand that stays in L1 is read, of all but the first.

    It comes as fast as it can, long before it is needed, and takes up to half of the shim's port from the
    operand that is needed at every step.

    Args:
        port: Bytes per microsecond of a shim's port.
        traffic: What is read; not both operands stay.
        work: How often each operand is taken.
        pace: How fast the rest goes.
    """
    stays, other, passes = traffic.a, traffic.b, work.a_passes
    if work.b_passes < work.a_passes:
        stays, other, passes = traffic.b, traffic.a, work.b_passes
    wanted = other.size / max(pace.compute_us, pace.stream_us, traffic.reads_us)
    granted = min(other.pace, max(port / 2.0, port - stays.pace))
    if wanted <= granted:
        return 0.0
    lasts = stays.size / min(stays.pace, port - granted)
    return lasts * (passes - 1) / passes * (1.0 - granted / wanted)


def _unbridged(pace: Pace, held_us: float, step_us: float, buffers: int) -> float:
    """Microseconds that what brings A and B stands still in a pause between two blocks of C.

    It takes ``step_us`` for one step's blocks and is the slowest, so that the buffers are nearly empty when
    the core pauses; they fill up, and if the pause lasts longer than that, it waits for the first one that is
    given back. ``held_us`` is how long a step's block keeps a buffer beyond the time in which it is filled:
    of the ``buffers`` one is then in use by the core's last call and one by its first.
    """
    wait = pace.pause_us + 2.0 * held_us - buffers * step_us
    return 0.0 if wait <= 0.0 else min(wait, pace.pause_us)
