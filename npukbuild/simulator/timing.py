"""Times of the array's events: constants of the target, the DDR model, the cost of core functions.

Cycles are those of the AIE clock. Every constant comes from ``[timing.events]`` of the target, or, where the
closed form uses the same quantity, from ``[timing.gemm]`` (:mod:`npukbuild.targets.timing`), so that both
models stay one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isqrt, prod
from typing import TYPE_CHECKING, Any

from npukbuild.ir.design import Array
from npukbuild.targets.registers import register_rate
from npukbuild.targets.timing import gemm_timing, kernel_cycles, launch_us, run_ns, zero_cycles

if TYPE_CHECKING:
    from npukbuild.ir.design import Function
    from npukbuild.targets.model import Target


@dataclass(frozen=True)
class EventTiming:
    """Constants of one target at one clock; the fields are those of ``[timing.events]``."""

    clock_ghz: float
    stream_bytes: float
    fifo_bytes: int
    lock_cycles: float
    fifo_cycles: float
    scalar_cycles: float
    load_cycles: float
    loop_cycles: float
    call_cycles: float
    bd_cycles: float
    chain_cycles: float
    task_cycles: float
    shim_task_mm2s: float
    shim_task_s2mm: float
    packet_cycles: float
    cascade_depth: int
    write_cycles: float
    push_cycles: float
    sync_cycles: float
    launch_us: float
    ddr: Any
    total_bytes_per_cycle: float

    def descriptor_cycles(self, bd: Any) -> float:
        """Cycles from one descriptor to the first word of the next: chaining and lock operations."""
        return self.chain_cycles + self.lock_cycles * (len(bd.acquires) + len(bd.releases))

    def task_start(self, channel: Any) -> float:
        """Cycles from a task reaching an idle channel to its first descriptor."""
        if channel.tile.row:
            return self.task_cycles
        return self.shim_task_s2mm if channel.receives else self.shim_task_mm2s


def event_timing(target: Target, clock_ghz: float | None, launch: str) -> EventTiming:
    """Return the constants of ``target``.

    Args:
        target: The array model.
        clock_ghz: AIE clock; None: the target's default.
        launch: Which fixed time around a call to add, see ``[timing.gemm.launch]``.
    """
    gemm = gemm_timing(target)
    clock = clock_ghz or gemm.clock_ghz
    events = target.timing["events"]
    return EventTiming(
        clock_ghz=clock,
        stream_bytes=gemm.stream_bytes,
        fifo_cycles=gemm.handoff - 2 * events["lock_cycles"],
        call_cycles=0.0,
        push_cycles=gemm.task_us * 1e3 * clock,
        launch_us=launch_us(target, launch),
        ddr=gemm.ddr,
        total_bytes_per_cycle=gemm.ddr.total_gbs / clock,
        **{name: events[name] for name in _EVENTS},
    )


_EVENTS = (
    "fifo_bytes",
    "lock_cycles",
    "scalar_cycles",
    "load_cycles",
    "loop_cycles",
    "bd_cycles",
    "chain_cycles",
    "task_cycles",
    "shim_task_mm2s",
    "shim_task_s2mm",
    "packet_cycles",
    "cascade_depth",
    "write_cycles",
    "sync_cycles",
)


class DdrPort:
    """The DDR side of one shim tile's DMA.

    The two reading channels of a shim share its port burst by burst, which slows both down alike: with ``a``
    and ``b`` what each has taken alone in this call, together they take the closed form's
    ``(a^s + b^s)^(1/s)`` and no less than their bytes take at ``port_bytes`` per cycle, instead of the longer
    of ``a`` and ``b``. Whoever has less to read gets it as soon as the array asks for it. All shims together
    share the array's total bandwidth (:class:`DdrServer`).
    """

    __slots__ = ("alone", "bytes", "clock", "memory", "timing")

    def __init__(self, timing: EventTiming, memory: DdrServer) -> None:
        self.timing = timing
        self.memory = memory
        self.clock = timing.clock_ghz
        self.alone: dict[Any, tuple[float, int]] = {}
        self.bytes = 0

    def begin(self) -> None:
        """Start a call: what earlier calls read says nothing about how this one shares the port."""
        self.alone.clear()
        self.memory.begin()

    def cycles(self, channel: Any, count: int, start: float) -> float:
        """Return the cycles that ``count`` bytes of a channel's descriptor take from ``start`` on."""
        run, row = run_of(channel.bd)
        own = count / run * run_ns(self.timing.ddr, run, row, self.clock) * self.clock
        self.bytes += count
        if not channel.receives:
            own *= self._sharing(channel, own, count)
        return max(own, self.memory.serve(count, start, own) - start)

    def _sharing(self, channel: Any, cycles: float, count: int) -> float:
        """Return by how much the port's readers slow one another down, with this piece counted in."""
        mine, read = self.alone.get(channel, (0.0, 0))
        mine, read = self.alone[channel] = (mine + cycles, read + count)
        others = [sums for who, sums in self.alone.items() if who is not channel and who.task is not None]
        if not others:
            return 1.0
        ddr = self.timing.ddr
        theirs = sum(time for time, _ in others)
        shared: float = (mine**ddr.share + theirs**ddr.share) ** (1.0 / ddr.share)
        port: float = (read + sum(size for _, size in others)) / ddr.port_bytes
        return max(shared, port, mine, theirs) / max(mine, theirs)


class DdrServer:
    """Shares the array's DDR bandwidth, in bytes per cycle, among transfers with a pace of their own.

    Bandwidth is given out per span of :data:`_SPAN` cycles to whoever asked first, and nobody gets more of a
    span than its pace takes: a long write does not hold up the short reads that go on beside it.
    """

    __slots__ = ("busy", "bytes", "given", "rate")

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.given: dict[int, float] = {}
        self.busy = 0.0
        self.bytes = 0

    def begin(self) -> None:
        """Start a call: the spans of earlier ones are over."""
        self.given.clear()

    def serve(self, count: int, start: float, alone: float) -> float:
        """Return when ``count`` bytes are served that take ``alone`` cycles from ``start`` unhindered."""
        self.busy += count / self.rate
        self.bytes += count
        pace = max(count, 1) / max(alone, 1.0)
        left, now, most, given = float(count), start, self.rate * _SPAN, self.given
        while True:
            span = int(now // _SPAN)
            used = given.get(span, 0.0)
            end = (span + 1.0) * _SPAN
            room = min(pace * (end - now), most - used)
            if left <= room:
                given[span] = used + left
                return now + left / pace
            given[span] = used + room
            left -= room
            now = end


_SPAN = 512
"""Cycles: shorter than a block's transfer, longer than a burst."""


def run_of(bd: Any) -> tuple[float, float]:
    """Return (bytes of a contiguous run in DDR, distance between runs) of a descriptor.

    The run that follows is a step of the innermost dimension above the run: blocks of A come row by row, and
    the step from one block to the next, which is as small as a run, is taken once in many.
    """
    access = bd.access
    run = access.shape[-1] * access.unit
    if len(access.shape) == 1:
        return float(run), float(run)
    near = [stride for size, stride in zip(access.shape[:-1], access.strides[:-1], strict=True) if size > 1]
    return float(run), float(near[-1] or run) if near else float(run)


_MATMUL = re.compile(r"(^|_)(mm|matmul|gemm|mmul|qkt)(_|\d|$)")
_ZERO = re.compile(r"(^|_)(zero|clear|fill)(_|$)")
_CONVERT = re.compile(r"(^|_)(convert|cvt|cast|requant)")
_LIKE = {"ui8": "i8", "ui16": "i16", "ui32": "i32", "f16": "bf16", "i64": "i32"}
"""Types without constants of their own, and whose cost stands for theirs."""


class FunctionCost:
    """Estimates the cycles of a core function from its name and argument types.

    A name with ``mm``, ``matmul`` or ``gemm`` and three blocks A, B, C is a product: the block sizes follow
    from the element counts (m = sqrt(AC/B), k = sqrt(AB/C), n = sqrt(BC/A)) and the cycles from
    :func:`npukbuild.targets.timing.kernel_cycles` (of bf16 through BFP16 emulation where ``bfp16`` is in the
    name), at the rate of :func:`npukbuild.targets.registers.register_rate`; of inputs without a measured rate
    (i32, f32) ``default`` a multiplication. Clearing functions cost their store, converting ones
    ``convert_element`` an element. Every other function costs ``cycles_per_element``
    of the first table entry in ``[timing.events.functions]`` whose name occurs in the function's name (else
    ``default``), times the elements of its largest block: an *estimate*, good for a bottleneck and not for a
    benchmark.
    """

    def __init__(self, target: Target, compiler: str = "peano") -> None:
        self.target = target
        self.compiler = compiler
        self.table: dict[str, float] = target.timing["events"]["functions"]

    def __call__(self, function: Function, arguments: tuple[Any, ...]) -> float:
        """Return the cycles of one call."""
        blocks = [kind for kind in function.arguments if isinstance(kind, Array)]
        if not blocks:
            return 0.0
        if _ZERO.search(function.name) and len(blocks) == 1:
            return zero_cycles(_like(blocks[0].element), 1, blocks[0].elements, self.target)
        gemm = gemm_timing(self.target)
        call: float = gemm.call
        product = _MATMUL.search(function.name) and block_sizes(blocks)
        if product and _like(blocks[0].element) not in {dtype for _, dtype in gemm.kernels}:
            return call + self.table["default"] * prod(product)
        if product:
            m, k, n = product
            dtype, out = _like(blocks[0].element), _like(blocks[2].element)
            if dtype == "bf16" and "bfp16" in function.name:
                dtype = "bf16_bfp16"
            cycles = kernel_cycles(dtype, out, m, k, n, self.target, self.compiler)
            return cycles / register_rate(dtype, m, n, self.target)
        rate = next(
            (cost for name, cost in self.table.items() if name in function.name), self.table["default"]
        )
        if _CONVERT.search(function.name):
            rate = gemm.convert_element
        return call + rate * max(block.elements for block in blocks)


def _like(element: str) -> str:
    return _LIKE.get(element, element)


def block_sizes(blocks: list[Array]) -> tuple[int, int, int] | None:
    """Return (m, k, n) of a product whose blocks have these sizes, None when there is none."""
    if len(blocks) < 3 or blocks[0].element != blocks[1].element:
        return None
    a, b, c = (block.elements for block in blocks[:3])
    sizes = tuple(isqrt(max(0, x * y // z)) for x, y, z in ((a, c, b), (a, b, c), (b, c, a)))
    m, k, n = sizes
    return (m, k, n) if m * k == a and k * n == b and m * n == c else None
