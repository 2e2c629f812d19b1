"""The host's side of a call: the controller that executes the runtime sequence, and the host's buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.errors import InputError
from npukbuild.ir.design import (
    ELEMENT_BYTES,
    Free,
    Push,
    Sequence,
    SetLock,
    Wait,
    WriteBuffer,
    WriteRegister,
)
from npukbuild.simulator import registers
from npukbuild.simulator.claims import Claims
from npukbuild.simulator.descriptors import Bd, Task, bind_chain, iteration_bytes
from npukbuild.simulator.faults import at, fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from npukbuild.ir.design import TileId
    from npukbuild.simulator.array import ArrayState
    from npukbuild.simulator.dma import DmaChannel


class Controller:
    """Executes the operations of one runtime sequence in order.

    Attributes:
        tasks: All tasks of this call in order of their start.
        waiting: The wait in progress.
        done: Whether the sequence has come to its end.
    """

    def __init__(self, array: ArrayState, sequence: Sequence, arguments: list[Any]) -> None:
        self.array = array
        self.sequence = sequence
        self.arguments = arguments
        self.host = array.host_memories(sequence)
        for (name, _), data in zip(sequence.arguments, arguments, strict=True):
            self.host[name].data = data
        for claims in array.claims.values():
            claims.clear()
        self.tasks: list[Task] = []
        self.live_ids: dict[tuple[TileId, int], Task] = {}
        self.outstanding: dict[DmaChannel, list[Task]] = {}
        self.waiting: Wait | None = None
        self.done = False
        self.end_time = 0.0
        self._executed = 0
        self._program = self._execute()

    def step(self, _event: object = None) -> None:
        """Go on until the sequence waits or ends."""
        try:
            delay = next(self._program)
        except StopIteration:
            self.done = True
            self.end_time = self.array.agenda.now
            self.array.agenda.stopped = True
            return
        if delay is not None:
            self.array.agenda.later(delay, self.step)

    def _execute(self) -> Iterator[float | None]:
        timing, record, agenda = self.array.timing, self.array.recorder, self.array.agenda
        for op in self.sequence.operations:
            start = agenda.now
            self._executed += 1
            if isinstance(op, Push):
                yield timing.push_cycles
                self._push(op)
                record.add("host", f"start {op.task or op.target.name}", start, agenda.now - start)
            elif isinstance(op, Wait):
                yield from self._wait(op)
                record.add(
                    "host", f"wait for {op.tile} {op.direction} {op.channel}", start, agenda.now - start
                )
            elif isinstance(op, Free):
                continue
            else:
                yield timing.write_cycles
                self._write(op)
                record.add("host", type(op).__name__, start, agenda.now - start)

    def progress(self) -> tuple[Any, ...]:
        """Return a value that changes whenever the host gets on.

        That is its sequence, or data of a transfer that has an end; a circle of descriptors has none.
        """
        moving = (
            (channel.finished, channel.starts, channel.task.started, id(channel.bd), channel.moved)
            for channel in self.array.channels.values()
            if channel.task is not None
            and (channel.tile.row == 0 or channel in self.outstanding)
            and not channel.task.endless
        )
        return self._executed, *moving

    # Tasks ---------------------------------------------------------------------------------------------

    def _push(self, op: Push) -> None:
        channel = self.array.channel(op.target.tile, op.target.direction, op.target.channel)
        first = op.descriptors[0].buffer
        memory = self._memory(first)
        for descriptor in op.descriptors:
            if descriptor.id is not None:
                self._check_id(op.target.tile, descriptor.id, descriptor.loc or op.loc)
        chain = self.array.chains.get(id(op))
        if chain is None:
            chain = self.array.chains[id(op)] = bind_chain(op.descriptors, self._memory, self.array.locks)
        task = Task(
            chain[0],
            starts=op.repeat + 1,
            token=op.token,
            iteration=iteration_bytes(op.iteration, memory.type.element),
            serial=len(self.tasks) + 1,
            label=op.task or op.target.name,
            loc=op.loc,
        )
        if task.iteration is not None:
            count, step = task.iteration
            for bd in chain:
                bd.check_iteration([place * step for place in {0, min(count, task.starts) - 1}])
        if channel.receives and memory.host:
            self._claim(task, chain)
        self.tasks.append(task)
        for descriptor in op.descriptors:
            if descriptor.id is not None:
                self.live_ids[op.target.tile, descriptor.id] = task
        queue = [other for other in self.outstanding.get(channel, ()) if not other.retired]
        queue.append(task)
        self.outstanding[channel] = queue
        depth = self.array.target.limits(self.array.target.kind(channel.tile.row)).queue
        if len(queue) > depth:
            raise fault(
                f"{len(queue)} tasks are queued on {channel.name} ({task.label})",
                loc=op.loc,
                why=f"its queue holds {depth}; a push into a full queue stalls the controller, and "
                "nothing was waited "
                f"for since the task{at(queue[0].loc)}",
                hint="wait for an earlier task, or join tasks into one with more dimensions",
            )
        channel.push(task)

    def _claim(self, task: Task, chain: list[Bd]) -> None:
        """Note what a task writes of the host's buffers; two that are under way must not share a word."""
        for bd in chain:
            claims = self.array.claims.setdefault(bd.memory.name, Claims())
            other = claims.add(task, bd)
            if other is not None:
                self.array.findings.two_writers(bd.memory, *other, task)

    def _memory(self, name: str) -> Any:
        memory = self.host.get(name)
        return memory if memory is not None else self.array.memories[name]

    def _check_id(self, tile: TileId, ident: int, loc: Any) -> None:
        count = self.array.target.limits(self.array.target.kind(tile.row)).bds
        if not 0 <= ident < count:
            raise fault(
                f"descriptor id {ident} on {tile} does not exist",
                loc=loc,
                why=f"the tile has ids 0..{count - 1}; the write would land on other registers",
                hint=f"use an id of 0..{count - 1} that no transfer under way has",
            )
        old = self.live_ids.get((tile, ident))
        if old is not None and not old.retired:
            raise fault(
                f"descriptor {ident} of {tile} is used again while it is in use",
                loc=loc,
                why=f"task {old.label}{at(old.loc)} has it, and nothing that implies its end was waited for",
                hint="use another id, or wait for the first task (dma_wait, dma_await_task) before",
            )

    def _wait(self, op: Wait) -> Iterator[float | None]:
        channel = self.array.channel(op.tile, op.direction, op.channel)
        while channel.tokens < op.count:
            self.waiting = op
            channel.waiting = self._wake
            yield None
        self.waiting = None
        channel.waiting = None
        channel.tokens -= op.count
        for task in self.tasks:
            if task.done:
                task.retired = True
        if self.array.timing.sync_cycles:
            yield self.array.timing.sync_cycles

    def _wake(self) -> None:
        self.array.agenda.ready.append(self.step)
        channel = self.array.channel(self.waiting.tile, self.waiting.direction, self.waiting.channel)  # type: ignore[union-attr]
        channel.waiting = None

    # Writes --------------------------------------------------------------------------------------------

    def _write(self, op: WriteBuffer | SetLock | WriteRegister) -> None:
        if isinstance(op, WriteBuffer):
            memory = self.array.memories[op.buffer]
            place = op.index * 4
            if not 0 <= place <= memory.type.bytes - 4:
                raise fault(
                    f"rtp_write reaches outside buffer {op.buffer}",
                    loc=op.loc,
                    why=f"word {op.index} of {memory.type.bytes // 4} ({memory.type})",
                    hint="the index counts 32-bit words from 0",
                )
            memory.data[place : place + 4].view("<u4")[0] = op.value & 0xFFFFFFFF
            memory.look()
        elif isinstance(op, SetLock):
            self.array.locks[op.lock].set(op.value, op.loc)
        else:
            registers.write(self.array, op)

    # The end -------------------------------------------------------------------------------------------

    def check_end(self) -> None:
        """Look at what the host left behind when its sequence ended.

        Raises:
            SimulationFault: An output task was not waited for, or an object was cut.
        """
        for channel, tasks in self.outstanding.items():
            for task in tasks:
                if channel.receives and not task.retired and task.first.host:
                    raise fault(
                        f"the call returns before {task.first.memory.name} is written",
                        loc=task.loc,
                        why=f"the task on {channel.name} ({task.label}) was not waited for",
                        hint="end the sequence with a wait for each output (dma_wait, dma_await_task)",
                    )
        self._check_cut()

    def _check_cut(self) -> None:
        for channel in self.outstanding:
            if channel.task is not None or channel.queue:
                continue
            for stream in channel.streams:
                for end in (stream.source, *stream.ends):
                    bd = getattr(end, "bd", None)
                    if end is channel or bd is None or not end.left or not 0 < end.moved < bd.size:
                        continue
                    width = ELEMENT_BYTES[bd.memory.type.element]
                    verb = "took" if channel.receives else "sent"
                    who = "the host" if channel.tile.row == 0 else f"{channel.name}, started by the host,"
                    raise fault(
                        f"{who} {verb} a part of an object of {end.fifo or channel.fifo or end.name}",
                        loc=self.outstanding[channel][-1].loc,
                        why=f"{end.name} is at element {end.moved // width} of {bd.size // width} of "
                        f"{bd.memory.name}{at(bd.descriptor.loc)}; the rest would open the next call",
                        hint="make the transfer's length a multiple of the fifo's object",
                    )

    def check_inputs(self) -> None:
        """Look, once nothing moves any more, whether the array took all that the host sent.

        Raises:
            SimulationFault: An input task can never end.
        """
        for channel, tasks in self.outstanding.items():
            for task in tasks:
                if task.done or channel.receives or task.endless:
                    continue
                stream = next((stream for stream in channel.streams if stream.ends), None)
                end = next((end for end in stream.ends if not end.left), None) if stream is not None else None
                bd = channel.bd
                moved = (
                    f"{channel.moved} of {bd.size} bytes were sent" if bd is not None else "it has not begun"
                )
                raise fault(
                    f"the array never takes all that the host sends to {channel.fifo or channel.name}",
                    loc=task.loc,
                    why=moved + (f"; {end.name} takes no more" if end is not None else ""),
                    hint="a core that does not acquire, or acquires fewer objects than the host sends, "
                    "fills the fifo; "
                    "the next call would hang or start with stale data",
                )

    def leftovers(self) -> list[str]:
        """Return warnings about tokens and tasks that nobody waited for.

        Tokens of a channel that the sequence never waits for harm nobody: no wait of the next call can take
        one of them for its own.
        """
        found = []
        waits = (op for op in self.sequence.operations if isinstance(op, Wait))
        awaited = {self.array.channel(op.tile, op.direction, op.channel) for op in waits}
        for channel, tasks in self.outstanding.items():
            if channel.tokens and channel in awaited:
                found.append(f"{channel.tokens} completion tokens of {channel.name} were not collected")
            channel.tokens = 0
            found.extend(
                f"task {task.label}{at(task.loc)} on {channel.name} was still running when the call ended"
                for task in tasks
                if not task.done and not task.endless
            )
        return found


def check_arguments(sequence: Sequence, arguments: list[Any], most: int) -> list[Any]:
    """Check the host's arrays against the sequence and return them as bytes.

    Raises:
        InputError: A wrong number, size, type or layout; names every mistake.
        SimulationFault: The design has more arguments than the packaged kernel passes on.
    """
    import numpy as np

    if len(sequence.arguments) > most:
        raise fault(
            f"the runtime sequence has {len(sequence.arguments)} host arguments",
            loc=sequence.loc,
            why=f"the packaged kernel passes on {most}",
            hint="put several matrices into one buffer and use offsets",
        )
    if len(arguments) != len(sequence.arguments):
        names = ", ".join(f"{name}: {kind}" for name, kind in sequence.arguments)
        raise InputError(
            f"the design takes {len(sequence.arguments)} arguments, {len(arguments)} were given", why=names
        )
    mistakes, views = [], []
    for (name, kind), given in zip(sequence.arguments, arguments, strict=True):
        mistake = _mistake(kind, given, sized=name in sequence.sized)
        if mistake is not None:
            mistakes.append(f"{name} ({kind}): {mistake}")
        else:
            views.append(np.asarray(given).reshape(-1).view(np.uint8))
    if mistakes:
        raise InputError("host arrays do not fit the design", details=mistakes)
    return views


def _mistake(kind: Any, given: np.ndarray[Any, Any], *, sized: bool) -> str | None:
    width = ELEMENT_BYTES[kind.element]
    if given.size != kind.elements and not (sized and given.size > kind.elements):
        return f"has {given.size} elements ({'x'.join(map(str, given.shape))})"
    if given.dtype.itemsize != width:
        return f"has {given.dtype.itemsize}-byte elements ({given.dtype})"
    names = {"bf16": ("bfloat16", "uint16", "int16"), "f32": ("float32",), "f16": ("float16",)}
    expected = names.get(kind.element)
    if expected is not None and given.dtype.name not in expected and given.dtype.kind != "V":
        return f"is {given.dtype.name}"
    if expected is None and given.dtype.kind not in "iuV":
        return f"is {given.dtype.name}"
    if not given.flags.c_contiguous:
        return "is not contiguous (use numpy.ascontiguousarray)"
    if not given.flags.writeable:
        return "is read-only"
    return None
