"""Calls of core functions: the compiled kernel runs on the array's memory, and what it did is checked.

Before a call every block must be held by the core; after it the guard bytes around every block must be
whole. While a block has words that were never written the call is made *twice*, with two poison patterns: a
word that differs between the two depends on data nobody wrote, a word that still is poison in both was left
alone. So a result that depends on unwritten data is found at its source, without knowing what the function
reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from npukbuild.ir.design import Array
from npukbuild.simulator.core.refs import Ref, check_dma, not_held
from npukbuild.simulator.core.scalars import bf16_bits
from npukbuild.simulator.core.statics import StaticData
from npukbuild.simulator.crash import watch
from npukbuild.simulator.faults import fault
from npukbuild.simulator.memory import GUARD_PATTERN, POISON, POISON_SECOND
from npukbuild.simulator.work import MOST_ARGUMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from npukbuild.errors import SimulationFault
    from npukbuild.ir.design import Function, Location, TileId
    from npukbuild.simulator.core.cascaded import Turns
    from npukbuild.simulator.findings import Findings
    from npukbuild.simulator.work import Work


class Kernels(Protocol):
    """What the simulator needs of compiled core functions (:class:`KernelLibrary` has it)."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names of the functions."""

    def new_core_state(self) -> Any:
        """Return the control registers of a core after reset."""

    def bind(self, name: str, argtypes: Any, *, state: Any = None, returns: Any = None) -> Callable[..., Any]:
        """Return a fast callable that runs with a core's control registers."""


_MOST_JOBS = 4096
"""Prepared jobs per call site; a site with ever new arguments makes its calls at once."""

_INTEGERS = ("i1", "i8", "i16", "i32", "i64", "ui8", "ui16", "ui32", "index", "bf16")


class CoreCalls:
    """All core functions as one core calls them."""

    def __init__(
        self,
        kernels: Kernels | None,
        tile: TileId,
        findings: Findings,
        turns: Turns | None = None,
        work: Work | None = None,
    ) -> None:
        self.kernels = kernels
        self.work = work
        self.tile = tile
        self.findings = findings
        self.state = kernels.new_core_state() if kernels is not None else None
        self.statics = StaticData(kernels)
        self.turns = turns
        self.missing: dict[str, Function] = {}
        if turns is not None and hasattr(self.state, "connect_cascade"):
            turns.connect(self.state)

    def bind(
        self,
        function: Function,
        cost: Callable[[Function, tuple[Any, ...]], float],
        record: Any,
        loc: Location | None,
    ) -> Callable[..., float]:
        """Return a callable for one call site: takes :class:`Ref` and scalars, returns cycles.

        A function that no kernel has is noted in ``missing``, so that all of them can be told at once.
        """
        kernels = self.kernels
        if kernels is None or function.name not in set(kernels.symbols):
            self.missing.setdefault(function.name, function)
            return lambda *_: 0.0
        kinds = [_kind(function, kind) for kind in function.arguments]
        returns = _kind(function, function.results[0]) if function.results else None
        entry = kernels.bind(function.name, kinds, state=self.state, returns=returns)
        return self._make(function, entry, cost, record, loc)

    def _make(
        self, function: Function, entry: Callable[..., Any], cost: Any, record: Any, loc: Location | None
    ) -> Callable[..., float]:
        blocks = [place for place, kind in enumerate(function.arguments) if isinstance(kind, Array)]
        halves = [place for place, kind in enumerate(function.arguments) if kind == "bf16"]
        if self.turns is not None:
            return self._in_turns(function, entry, cost, (blocks, halves), record, loc)

        def careful(values: tuple[Any, ...]) -> Any:
            return self._careful(function, entry, values, blocks, halves, loc)

        def broken(values: tuple[Ref, ...]) -> None:
            raise overrun(function, values, loc)

        here = (function.name, self.tile, loc)
        space: dict[str, Any] = {
            "entry": entry,
            "careful": careful,
            "broken": broken,
            "guard": GUARD_PATTERN,
            "half": bf16_bits,
            "costs": {},
            "cost": cost,
            "running": self.findings.running,
            "here": here,
            "function": function,
            "record": record,
            "work": self.work,
        }
        queued = self._can_queue(function)
        if queued:
            space |= self._queueing(function, blocks, here)
        source = call_source(
            function,
            blocks,
            halves,
            recorded=record is not None,
            settles=self.work is not None,
            queued=queued,
        )
        exec(compile(source, f"<call of {function.name}>", "exec"), space)  # noqa: S102
        made: Callable[..., float] = space["call"]
        return made

    def _can_queue(self, function: Function) -> bool:
        """Say whether calls can be jobs: nothing comes back, and all arguments are words."""
        kinds = [_kind(function, kind) for kind in function.arguments]
        return (
            self.work is not None
            and not function.results
            and "float" not in kinds
            and len(kinds) <= MOST_ARGUMENTS
        )

    def _queueing(self, function: Function, blocks: list[int], here: Any) -> dict[str, Any]:
        """Return what the source of a queued call refers to."""
        kernels: Any = self.kernels
        state: Any = self.state
        work = self.work
        assert work is not None
        addresses = (kernels.entry, kernels.address(function.name), state.address)
        jobs: dict[Any, int] = {}

        def prepare(key: Any, values: tuple[Any, ...]) -> int | None:
            if len(jobs) >= _MOST_JOBS:
                return None
            refs = [values[place] for place in blocks]
            memories = [ref.memory for ref in refs]
            job = work.prepare_call(addresses, key, memories, here, lambda: overrun(function, refs, here[2]))
            if job is not None:
                jobs[key] = job
            return job

        return {"jobs": jobs, "prepare": prepare, "give": work.give, "queue": work.address}

    def _in_turns(
        self,
        function: Function,
        entry: Callable[..., Any],
        cost: Any,
        places: tuple[Sequence[int], Sequence[int]],
        record: Any,
        loc: Location | None,
    ) -> Callable[..., Any]:
        """Return the callable of a core with a cascade: a generator that yields what the call waits for."""
        blocks, halves = places
        turns, work = self.turns, self.work
        assert turns is not None
        here, running = (function.name, self.tile, loc), self.findings.running

        def call(*values: Any) -> Generator[Any, None, Any]:
            refs, passed = self._prepare(values, blocks, halves, loc)
            answer: list[Any] = []

            if work is not None:
                work.settle()

            def job() -> None:
                watch(lambda: running[0])
                answer.append(entry(*passed))

            running[0] = here
            for wait in turns.call(job):
                running[0] = None  # others run while it waits
                yield wait
                running[0] = (*here,)  # another object, so that it does not look as if it had not moved
            running[0] = None
            for ref in refs:
                if bytes(ref.memory.before) != GUARD_PATTERN or bytes(ref.memory.after) != GUARD_PATTERN:
                    raise overrun(function, refs, loc)
                ref.memory.look()
            cycles = cost(function, values)
            if record is not None:
                record(function.name, cycles)
            return (answer[0], cycles) if function.results else cycles

        return call

    def _prepare(
        self, values: tuple[Any, ...], blocks: Sequence[int], halves: Sequence[int], loc: Location | None
    ) -> tuple[list[Ref], list[Any]]:
        """Check that all blocks may be used, and return them and the raw arguments."""
        refs: list[Ref] = [values[place] for place in blocks]
        for ref in refs:
            if not ref.live:
                raise not_held(ref, loc)
            if ref.memory.active:
                check_dma(ref, loc, writes=True)
        passed = list(values)
        for place in blocks:
            passed[place] = values[place].pointer
        for place in halves:
            passed[place] = bf16_bits(values[place])
        return refs, passed

    def _careful(
        self,
        function: Function,
        entry: Callable[..., Any],
        values: tuple[Any, ...],
        blocks: Sequence[int],
        halves: Sequence[int],
        loc: Location | None,
    ) -> Any:
        """Check the blocks one by one, and call twice while some of their words were never written."""
        refs, passed = self._prepare(values, blocks, halves, loc)
        memories = list({id(ref.memory): ref.memory for ref in refs}.values())
        fresh = [memory for memory in memories if not memory.clean]
        if not fresh or not self.findings.differential:
            answer = entry(*passed)
            for memory in fresh:
                memory.look()
            return answer
        before = [memory.data.copy() for memory in memories]
        statics = self.statics.snapshot()
        answer = entry(*passed)
        after = self.statics.snapshot()
        first = [memory.data.copy() for memory in memories]
        for memory, data in zip(memories, before, strict=True):
            memory.data[:] = data
            words = _words(memory.data)
            words[words == POISON] = POISON_SECOND
        self.statics.restore(statics)
        entry(*passed)
        for memory, old, result in zip(memories, before, first, strict=True):
            self._compare(function, memory, _words(old), _words(result), loc)
            memory.data[:] = result
        self.statics.restore(after)
        return answer

    def _compare(self, function: Function, memory: Any, old: Any, first: Any, loc: Location | None) -> None:
        second = _words(memory.data)
        differ = first != second
        untouched = differ & (old == POISON) & (first == POISON) & (second == POISON_SECOND)
        tainted = np.flatnonzero(differ & ~untouched)
        if len(tainted):
            self.findings.tainted(self.tile, function, memory, tainted, loc)
        if not untouched.any():
            memory.clean = True


def call_source(
    function: Function,
    blocks: list[int],
    halves: list[int],
    *,
    recorded: bool,
    settles: bool = False,
    queued: bool = False,
) -> str:
    """Return the source of a call: check the blocks, call the kernel, look at the guards, return cycles.

    Args:
        function: What is called.
        blocks: Places of the arguments that are blocks.
        halves: Places of bfloat16 scalars, which travel as their bits.
        recorded: Whether the call is kept for the trace.
        settles: Whether jobs may be under way, which a call that is made at once has to wait for.
        queued: Whether the call is a job itself, unless its blocks need care.
    """
    names = [f"a{place}" for place in range(len(function.arguments))]
    refs = [names[place] for place in blocks]
    scalars = [name for name in names if name not in refs]
    passed = [
        f"{name}.pointer" if place in blocks else f"half({name})" if place in halves else name
        for place, name in enumerate(names)
    ]
    ready = " and ".join(f"{r}.live and {r}.memory.clean and not {r}.memory.active" for r in refs) or "True"
    whole = " or ".join(
        f"bytes({r}.memory.before) != guard or bytes({r}.memory.after) != guard" for r in refs
    )
    values = f"({', '.join([*names, ''])})" if names else "()"
    lines = [f"def call({', '.join(names)}):", "    result = None"]
    if queued:
        lines += [
            f"    ready = {ready}",
            "    if ready:",
            f"        key = ({', '.join([*passed, ''])})" if passed else "        key = ()",
            f"        job = jobs.get(key) or prepare(key, {values})",
            "    if ready and job:",
            "        if give(queue, job): work.refused(job)",
            "    else:",
        ]
    pad = "        " if queued else "    "
    if settles:
        lines.append(f"{pad}work.settle()")
    lines.append(f"{pad}running[0] = here")
    if queued:
        lines.append(f"{pad}result = careful({values})")
    else:
        lines.append(f"{pad}if {ready}: result = entry({', '.join(passed)})")
        lines.append(f"{pad}else: result = careful({values})")
    if whole:
        lines.append(f"{pad}if {whole}: broken(({', '.join([*refs, ''])}))")
    lines.append(f"{pad}running[0] = None")
    key = f"({', '.join(scalars)}{',' if scalars else ''})"
    lines += [
        f"    cycles = costs.get({key})",
        f"    if cycles is None: cycles = costs[{key}] = cost(function, {values})",
    ]
    if recorded:
        lines.append("    record(function.name, cycles)")
    lines.append("    return result, cycles" if function.results else "    return cycles")
    return "\n".join(lines)


def _words(data: Any) -> Any:
    return data[: len(data) // 4 * 4].view(np.uint32)


def _kind(function: Function, kind: Array | str) -> str:
    """Return how an argument travels: ``ptr``, ``int`` or ``float``."""
    if isinstance(kind, Array):
        return "ptr"
    if kind in _INTEGERS:
        return "int"
    if kind == "f32":
        return "float"
    raise fault(
        f"core function {function.name} has an argument or result of type {kind}",
        loc=function.loc,
        why=f"known: memref, f32, {', '.join(_INTEGERS)}",
        hint="pass it through a memref, or as one of these",
    )


def overrun(function: Function, refs: Sequence[Ref], loc: Location | None) -> SimulationFault:
    """Return the fault of a core function that wrote outside its blocks, and mend the guards."""
    for ref in refs:
        memory = ref.memory
        if memory.guards_intact():
            continue
        before, after = memory.spilled()
        memory.repair_guards()
        return fault(
            f"core function {function.name} writes {'past the end' if after else 'before the start'} of "
            "its block",
            loc=loc,
            why=f"it reached at least {after or before} bytes {'behind' if after else 'before'} "
            f"{memory.name} ({memory.type}, {memory.type.bytes} bytes); what lies there on the array is lost",
            hint="compare the sizes compiled into the kernel with the block's type in the design",
        )
    return fault(
        f"core function {function.name} writes outside its blocks",
        loc=loc,
        why="guard bytes around one of them were overwritten",
        hint="compare the sizes compiled into the kernel with the blocks' types in the design",
    )
