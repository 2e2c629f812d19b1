"""Why an array stands still: who waits for whom, through host, DMAs, locks, fifos and cores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.errors import SimulationFault
from npukbuild.ir.design import ELEMENT_BYTES
from npukbuild.simulator.core.context import Request
from npukbuild.simulator.core.ports import StreamPort
from npukbuild.simulator.core.runner import CoreRunner
from npukbuild.simulator.dma import DmaChannel
from npukbuild.simulator.faults import at

if TYPE_CHECKING:
    from npukbuild.ir.design import Location
    from npukbuild.simulator.array import ArrayState
    from npukbuild.simulator.host import Controller
    from npukbuild.simulator.locks import LockState


class Hang:
    """Finds the path from the host's wait to its cause."""

    def __init__(self, array: ArrayState, controller: Controller) -> None:
        self.array = array
        self.controller = controller
        self.lines: list[str] = []
        self.place: Location | None = None
        self.cause = ""
        self.hint: str | None = None

    def explain(self) -> SimulationFault:
        """Return the fault that describes the hang."""
        wait = self.controller.waiting
        assert wait is not None
        channel = self.array.channel(wait.tile, wait.direction, wait.channel)
        self.place = wait.loc
        name = f" of {channel.fifo}" if channel.fifo else ""
        self.lines.append(f"the host waits for a token of {channel.name}{name}{at(wait.loc)}")
        hopeless = self._hopeless()
        if hopeless is not None:
            self._one(hopeless)
        elif channel.task is None and not channel.queue:
            self._no_token(channel)
        else:
            self._follow(channel, [])
        return SimulationFault(
            "the design hangs: " + (self.cause or "nothing can go on"),
            where=str(self.place) if self.place else None,
            why="everybody waits:",
            hint=self.hint,
            details=self.lines,
        )

    def _hopeless(self) -> CoreRunner | None:
        """Return a core that asks for more objects than its fifo has: that never ends."""
        for core in self.array.cores:
            if isinstance(core.waiting, Request):
                most = self._most(core.waiting.lock)
                if most is not None and core.waiting.count > most:
                    return core
        return None

    def _no_token(self, channel: DmaChannel) -> None:
        silent = [
            task for task in self.controller.outstanding.get(channel, ()) if task.done and not task.token
        ]
        if silent:
            task = silent[-1]
            self.lines.append(f"its task{at(task.loc)} has finished and was not asked for a token")
            self.cause = f"the host waits for a token that {channel.name} never sends"
            self.hint = "add issue_token = true to the transfer, or wait for the output instead"
        else:
            self.lines.append(f"{channel.name} has no task that could send one")
            self.cause = f"the host waits for {channel.name}, which was given no task"
            self.hint = "start a transfer on this fifo before waiting for it, one wait per token"

    def _follow(self, start: Any, seen: list[Any]) -> None:
        """Walk from one who waits to those he waits for, until a cycle or an end."""
        path: list[Any] = list(seen)
        current = start
        while True:
            if current in path:
                where = path.index(current)
                names = [_name(thing) for thing in path[where:]]
                self.lines.append(f"and so on: {' -> '.join([*names, names[0]])}")
                self.cause = self.cause or f"a cycle through {', '.join(dict.fromkeys(names))}"
                self.hint = self.hint or (
                    "one of them must give before it takes: release earlier, or start the cycle with an "
                    "object (init_values, or a first release before the loop)"
                )
                return
            path.append(current)
            following = self._one(current)
            if following is None:
                return
            current = following

    def _one(self, thing: Any) -> Any:
        if isinstance(thing, DmaChannel):
            return self._channel(thing)
        if isinstance(thing, CoreRunner):
            return self._core(thing)
        if isinstance(thing, StreamPort):
            core = next((core for core in self.array.cores if core.tile == thing.tile), None)
            if core is None:
                self.lines.append(f"{thing.name} belongs to a tile without a core program")
                self.cause = f"{thing.name} is used by no core"
                self.hint = "add the aie.core that uses it, or take the flow out"
            return core
        return None

    # DMA -------------------------------------------------------------------------------------------------

    def _channel(self, channel: DmaChannel) -> Any:
        if channel.blocked is not None:
            lock, count, equal = channel.blocked
            bd = channel.bd
            where = at(bd.descriptor.loc) if bd is not None else ""
            self.lines.append(f"{_name(channel)}{where} waits for {_need(lock, count, equal)}")
            return self._lock(lock, count, channel)
        if channel.left:
            return self._stream(channel)
        self.lines.append(f"{_name(channel)} has no task left{self._sent(channel)}")
        verb = "receives" if channel.receives else "sends"
        self.cause = f"{channel.name}{_fifo(channel)} {verb} nothing more"
        self.hint = "compare what one side of the fifo gives with what the other takes, object by object"
        return None

    def _stream(self, channel: DmaChannel) -> Any:
        bd = channel.bd
        assert bd is not None
        width = ELEMENT_BYTES[bd.memory.type.element]
        whole = f"{bd.size // width} elements of {bd.memory.name}{at(bd.descriptor.loc)}"
        done = f"{channel.moved // width} of {whole}"
        if not channel.streams:
            self.lines.append(f"{_name(channel)} has no stream")
            self.cause = f"no flow connects {channel.name}"
            self.hint = "add an aie.flow, or name the right channel"
            return None
        if channel.receives:
            sources = [stream.source for stream in channel.streams]
            source = next((s for s in sources if s.left or getattr(s, "task", None) is not None), sources[0])
            self.lines.append(f"{_name(channel)} has received {done} and waits for data from {_name(source)}")
            return source
        stream = next((s for s in channel.streams if s.packet == channel.packet_id), channel.streams[0])
        other = next((end for end in stream.ends if not end.left), None)
        if other is None:
            owner = next((end.owner for end in stream.ends if end.owner not in (None, stream)), None)
            self.lines.append(
                f"{_name(channel)} waits for the packet of {owner.source.name if owner else 'another'}"
            )
            return owner.source if owner is not None else None
        self.lines.append(f"{_name(channel)} has sent {done} and waits for {_name(other)} to take more")
        return other

    def _sent(self, channel: DmaChannel) -> str:
        tasks = self.controller.outstanding.get(channel)
        if not tasks:
            return "" if channel.finished else ": it was never given one"
        total = sum(_task_elements(task) for task in tasks)
        return f": in this call the host gave it {len(tasks)} task(s), {total} elements{at(tasks[-1].loc)}"

    # Locks -----------------------------------------------------------------------------------------------

    def _lock(self, lock: LockState, count: int, waiter: Any) -> Any:
        givers = self._givers(lock)
        most = self._most(lock)
        self.lines += self._holders(lock)
        if count > lock.maximum:
            self.lines.append(f"{lock.name} can never reach {count}: a lock holds at most {lock.maximum}")
            self.cause = f"lock {lock.name} is asked for {count}, more than it can hold"
            self.hint = "acquire fewer at once"
            return None
        if most is not None and count > most:
            self.lines.append(f"{lock.name} can never reach {count}: its fifo has {most} objects")
            self.cause = f"{count} objects are asked for and the fifo has {most}"
            self.hint = "make the fifo deeper at this end, or acquire fewer objects"
            return None
        if not givers:
            self.lines.append(f"nobody releases {lock.name}")
            self.cause = f"lock {lock.name} is never released"
            fifo = lock.lock.fifo
            self.hint = f"release what is acquired of {fifo}" if fifo else "add the missing release"
            return None
        blocked = [giver for giver in givers if giver is not waiter and _stands(giver)]
        return blocked[0] if blocked else givers[0]

    def _givers(self, lock: LockState) -> list[Any]:
        found: list[Any] = [core for core in self.array.cores if releases(core, lock.name)]
        found += [
            self.array.channel(given.tile, given.direction, given.index)
            for given in self.array.design.channels
            if any(use.lock == lock.name for bd in given.descriptors for use in bd.releases)
        ]
        for channel, tasks in self.controller.outstanding.items():
            if any(lock is other for task in tasks for other, _ in task.first.releases):
                found.append(channel)
        return found

    def _holders(self, lock: LockState) -> list[str]:
        """Say which cores hold objects that would be given back through a lock."""
        return [
            f"core {context.core.tile} holds {state.held} of the {state.depth} objects of {state.end.fifo} "
            f"({state.end.port})"
            for context in self.array.contexts.values()
            for state in context.ends.values()
            if state.give is lock and state.held
        ]

    def _most(self, lock: LockState) -> int | None:
        """The most a fifo lock can hold: one credit per object of its end."""
        for context in self.array.contexts.values():
            for state in context.ends.values():
                if state.take is lock:
                    return state.depth * state.scale
        return None

    # Cores -----------------------------------------------------------------------------------------------

    def _core(self, core: CoreRunner) -> Any:
        waiting = core.waiting
        if core.ended:
            self.lines.append(f"{core.name}, which would go on from there, has ended{at(core.core.loc)}")
            self.cause = f"{core.name} has ended before the host's transfers were done"
            self.hint = "loop for ever around the core's work, or send it less"
            return None
        if isinstance(waiting, Request):
            self.lines.append(
                f"{core.name} waits{at(waiting.loc)} for {_need(waiting.lock, waiting.count, waiting.equal)}"
                f" to acquire {waiting.text}"
            )
            self.place = waiting.loc or self.place
            return self._lock(waiting.lock, waiting.count, core)
        if waiting is not None:
            self.lines.append(f"{core.name} waits for {waiting.text}")
            return self._port_giver(core, waiting)
        self.lines.append(f"{core.name} is running and does not give it back")
        self.cause = f"{core.name} does not release what others wait for"
        self.hint = "let its loop come to the release"
        return None

    def _port_giver(self, core: CoreRunner, waiting: Any) -> Any:
        for cascade in self.array.cascade_in.values():
            other = {id(cascade.empty): cascade.source, id(cascade.full): cascade.destination}.get(
                id(waiting)
            )
            if other is not None:
                return next((runner for runner in self.array.cores if runner.tile == other), None)
        for port in self.array.core_ports.values():
            if waiting in (port.empty, port.full) and port.streams:
                stream = port.streams[0]
                return (
                    stream.source
                    if port.receives
                    else next((e for e in stream.ends if not e.left), stream.ends[0])
                )
        return None


def releases(core: CoreRunner, lock: str) -> bool:
    """Say whether a core's program has an operation that releases ``lock``."""
    from npukbuild.ir.design import Lock

    for op in core.core.body.walk():
        if op.name == "aie.objectfifo.release":
            end = core.core.fifo_ends.get((op.fifo, op.port))  # type: ignore[attr-defined]
            if end is not None and lock == (end.cons_lock if end.port == "Produce" else end.prod_lock):
                return True
        elif op.name == "aie.use_lock" and op.action == "Release":  # type: ignore[attr-defined]
            found = core.core.values.get(op.operands[0])
            if isinstance(found, Lock) and found.name == lock:
                return True
    return False


def _stands(thing: Any) -> bool:
    if isinstance(thing, CoreRunner):
        return thing.waiting is not None or thing.ended
    return thing.blocked is not None or bool(thing.left)


def _name(thing: Any) -> str:
    return f"{thing.name}{_fifo(thing)}"


def _fifo(thing: Any) -> str:
    fifo = getattr(thing, "fifo", None)
    return f" of {fifo}" if fifo else ""


def _need(lock: LockState, count: int, equal: bool) -> str:
    fifo = lock.lock.fifo
    kind = "free" if "_prod_lock_" in lock.name else "full"
    means = f", {kind} objects of {fifo}" if fifo else ""
    return f"lock {lock.name} {'==' if equal else '>='} {count} (it is {lock.value}{means})"


def _task_elements(task: Any) -> int:
    total, bd = 0, task.first
    while bd is not None:
        total += bd.size // ELEMENT_BYTES[bd.memory.type.element]
        bd = bd.next
    return int(total * task.starts)
