"""The configured array: everything of a design that keeps its state from call to call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from npukbuild.errors import DesignError, SimulationFault
from npukbuild.simulator.control import ControlIn, ControlOut
from npukbuild.simulator.core.calls import CoreCalls, Kernels
from npukbuild.simulator.core.cascaded import Turns
from npukbuild.simulator.core.context import CoreContext
from npukbuild.simulator.core.ports import Cascade, StreamPort
from npukbuild.simulator.core.program import translate
from npukbuild.simulator.core.runner import CoreRunner
from npukbuild.simulator.core.statics import has_statics
from npukbuild.simulator.descriptors import Task, bind_chain
from npukbuild.simulator.dma import DmaChannel
from npukbuild.simulator.faults import at, fault
from npukbuild.simulator.locks import LockState
from npukbuild.simulator.memory import HostMemory, make_memories
from npukbuild.simulator.recording import CoreRecord, Recorder
from npukbuild.simulator.streams import Stream
from npukbuild.simulator.timing import DdrPort, DdrServer, EventTiming

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.ir.design import Design, Direction, Flow, Location, Port, Sequence, TileId
    from npukbuild.simulator.agenda import Agenda
    from npukbuild.simulator.claims import Claims
    from npukbuild.simulator.descriptors import Bd
    from npukbuild.simulator.findings import Findings
    from npukbuild.simulator.work import Work
    from npukbuild.targets.model import Target

_FOREVER = 1 << 62
ChannelKey = tuple["TileId", "Direction", int]


class ArrayState:
    """Memories, locks, channels, streams and cores of one design.

    Args:
        design: The lowered design.
        kernels: Compiled core functions, None when the design calls none.
        target: The array model (limits).
        timing: Constants of the timing model.
        cost: Cycles of a core function.
        agenda: The event loop.
        recorder: Where the trace goes.
        findings: Where faults go that do not stop the array.
        work: Where copies and core functions are done, None: each at once.
    """

    def __init__(
        self,
        design: Design,
        kernels: Kernels | None,
        target: Target,
        timing: EventTiming,
        cost: Callable[..., float],
        agenda: Agenda,
        recorder: Recorder,
        findings: Findings,
        work: Work | None = None,
    ) -> None:
        self.design = design
        self.work = work
        self.target = target
        self.timing = timing
        self.cost = cost
        self.agenda = agenda
        self.timed = agenda.timed
        self.recorder = recorder
        self.tracing = recorder.tracing
        self.findings = findings
        self.memories = make_memories(design.buffers.values(), work)
        self.locks = {
            name: LockState(lock, target.limits(target.kind(lock.tile.row)).lock_max, agenda)
            for name, lock in design.locks.items()
        }
        self._hosts: dict[str, dict[str, HostMemory]] = {}
        self.chains: dict[int, list[Bd]] = {}
        self.claims: dict[str, Claims] = {}
        self._check_locks()
        self.lock_pairs = lock_pairs(design)
        self.ddr = DdrServer(timing.total_bytes_per_cycle)
        self._ddr_ports: dict[TileId, DdrPort] = {}
        self.channels: dict[ChannelKey, DmaChannel] = {}
        self.core_ports: dict[tuple[TileId, str, int], StreamPort] = {}
        self._controls_in: dict[TileId, ControlIn] = {}
        self._controls_out: dict[TileId, ControlOut] = {}
        self.cascade_out: dict[TileId, Cascade] = {}
        self.cascade_in: dict[TileId, Cascade] = {}
        self._make_channels()
        self.streams = self._make_streams()
        self._make_cascades()
        self.contexts: dict[TileId, CoreContext] = {}
        self.cores: list[CoreRunner] = []
        self._make_cores(kernels)

    def begin_call(self) -> None:
        """Start a call's account of the shims' ports."""
        for port in self._ddr_ports.values():
            port.begin()

    # Making --------------------------------------------------------------------------------------------

    def _check_locks(self) -> None:
        for lock in self.locks.values():
            if not 0 <= lock.value <= lock.maximum:
                raise fault(
                    f"lock {lock.name} starts with {lock.value}",
                    loc=lock.lock.loc,
                    why=f"its 6-bit register holds at most {lock.maximum}; the value would be cut to "
                    f"{lock.value & 0x3F}",
                    hint="make the fifo less deep",
                )

    def channel(self, tile: TileId, direction: Direction, index: int) -> DmaChannel:
        """Return a DMA channel, made at its first mention."""
        key = (tile, direction, index)
        channel = self.channels.get(key)
        if channel is None:
            limits = self.target.limits(self.target.kind(tile.row))
            count = limits.s2mm if direction == "S2MM" else limits.mm2s
            if not 0 <= index < count:
                loc = next(
                    (one.loc for one in self.design.channels if (one.tile, one.index) == (tile, index)), None
                )
                raise fault(
                    f"{tile} has no DMA channel {direction} {index}",
                    loc=loc,
                    why=f"a {self.target.kind(tile.row)} tile has {count}, numbered from 0",
                    hint=f"use one of {direction} 0..{count - 1}",
                )
            channel = DmaChannel(tile, direction, index, self.agenda, self.timing, self.findings)
            if tile.row == 0:
                port = self._ddr_ports.get(tile)
                if port is None:
                    port = self._ddr_ports[tile] = DdrPort(self.timing, self.ddr)
                channel.ddr = port
                if self.tracing:
                    channel.handler = partial(self.recorder.task, channel)
            self.channels[key] = channel
        return channel

    def _make_channels(self) -> None:
        for given in self.design.channels:
            channel = self.channel(given.tile, given.direction, given.index)
            channel.fifo = given.fifo
            channel.loc = given.loc
        for allocation in self.design.allocations.values():
            channel = self.channel(allocation.tile, allocation.direction, allocation.channel)
            channel.fifo = channel.fifo or allocation.name
            channel.loc = channel.loc or allocation.loc

    def _make_streams(self) -> list[Stream]:
        grouped: dict[tuple[Port, int | None], list[Flow]] = {}
        for flow in self.design.flows:
            if _reports(flow):
                continue
            grouped.setdefault((flow.source, flow.packet_id), []).append(flow)
        streams = []
        for (port, packet), flows in grouped.items():
            source = self._end(port, flows[0], sends=True)
            ends = [self._end(end, flow, sends=False) for flow in flows for end in flow.destinations]
            stream = Stream(flows[0], source, ends, self.agenda, self.timing, self.recorder, self.work)
            source.streams.append(stream)
            for end in ends:
                if packet is None and end.streams:
                    raise fault(
                        f"two streams end at {end.name}",
                        loc=flows[0].loc,
                        why="a circuit-switched port takes one source",
                        hint="use packet flows, or another channel",
                    )
                end.streams.append(stream)
            streams.append(stream)
        for channel in self.channels.values():
            sends = [] if channel.receives else channel.streams
            channel.forwards = bool(sends) and all(stream.packet is not None for stream in sends)
        return streams

    def _end(self, port: Port, flow: Flow, *, sends: bool) -> Any:
        if port.bundle == "DMA":
            return self.channel(port.tile, "MM2S" if sends else "S2MM", port.index)
        if port.bundle == "Core":
            key = (port.tile, "out" if sends else "in", port.index)
            if key not in self.core_ports:
                self.core_ports[key] = StreamPort(
                    port.tile, port.index, self.agenda, receives=not sends, depth_bytes=self.timing.fifo_bytes
                )
            return self.core_ports[key]
        if port.bundle == "TileControl":
            return self.control_out(port.tile, flow.loc) if sends else self._control_in(port.tile, flow.loc)
        raise DesignError(
            f"the simulator does not support streams at port {port.bundle}",
            where=str(flow.loc) if flow.loc else None,
            why=f"tile {port.tile}, {port.bundle} {port.index}; supported are DMA, Core and TileControl",
            hint="connect a DMA channel or a core's stream port",
        )

    def control_out(self, tile: TileId, loc: Location | None) -> ControlOut:
        """Return where a tile's answers to control packets leave."""
        return self._controls_out.setdefault(tile, ControlOut(tile, loc))

    def _control_in(self, tile: TileId, loc: Location | None) -> ControlIn:
        return self._controls_in.setdefault(tile, ControlIn(tile, self, loc))

    def _make_cascades(self) -> None:
        for given in self.design.cascades:
            cascade = Cascade(given.source, given.destination, self.timing.cascade_depth, self.agenda)
            self.cascade_out[given.source] = cascade
            self.cascade_in[given.destination] = cascade

    def _make_cores(self, kernels: Kernels | None) -> None:
        separate = len(self.design.cores) > 1 and has_statics(kernels)
        missing: dict[str, list[TileId]] = {}
        for tile, core in self.design.cores.items():
            if core.elf_file and not any(True for _ in core.body.walk()):
                raise DesignError(
                    f"core {tile} runs a given ELF file",
                    where=str(core.loc) if core.loc else None,
                    why=f"{core.elf_file} holds code of the array's own processor, which the simulator "
                    "cannot run",
                    hint="give the core's body and its functions' C++ source",
                )
            source, sink = self.cascade_in.get(tile), self.cascade_out.get(tile)
            turns = Turns(source, sink) if source is not None or sink is not None else None
            own: Any = kernels
            if separate and self.contexts:
                own = type(own)(own.path)
            calls = CoreCalls(own, tile, self.findings, turns, self.work)
            context = CoreContext(core, self, calls, CoreRecord(self.recorder, tile, self.agenda))
            context.prepare()
            program = translate(core, context)
            for name in calls.missing:
                missing.setdefault(name, []).append(tile)
            self.contexts[tile] = context
            self.cores.append(CoreRunner(core, program(), self.agenda, self.recorder))
        if missing:
            raise _missing_functions(self.design, missing, kernels)

    def host_memories(self, sequence: Sequence) -> dict[str, HostMemory]:
        """Return the host arguments of a sequence; they stay the same objects from call to call."""
        if sequence.name not in self._hosts:
            self._hosts[sequence.name] = {
                name: HostMemory(name, kind, self.work) for name, kind in sequence.arguments
            }
        return self._hosts[sequence.name]

    # Running -------------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Start what the configuration starts: the static descriptor chains and the cores."""
        for given in self.design.channels:
            if not given.descriptors:
                continue
            chain = bind_chain(given.descriptors, self.memories.__getitem__, self.locks)
            task = Task(chain[0], starts=given.repeat + 1, token=False, label=given.fifo or "", loc=given.loc)
            task.retired = True
            channel = self.channel(given.tile, given.direction, given.index)
            channel.can_spill = True
            self.agenda.ready.append(lambda channel=channel, task=task: channel.push(task))
        for core in self.cores:
            self.agenda.ready.append(core.step)


def _reports(flow: Flow) -> bool:
    """Say whether a stream carries no data: event traces, or tiles' completion tokens for the host."""
    if flow.source.bundle == "Trace":
        return True
    return flow.source.bundle == "TileControl" and all(
        end.bundle == "South" and end.tile.row == 0 for end in flow.destinations
    )


def lock_pairs(design: Design) -> dict[str, set[tuple[str, str]]]:
    """Return, per buffer, what a core has to do with it: (lock to acquire, lock to release).

    A DMA that acquires P and releases C around a buffer means that a core acquires C and releases P.
    """
    pairs: dict[str, set[tuple[str, str]]] = {}
    for channel in design.channels:
        for bd in channel.descriptors:
            for acquired in bd.acquires:
                for released in bd.releases:
                    if acquired.lock != released.lock and acquired.action == "acquire_ge":
                        pairs.setdefault(bd.buffer, set()).add((released.lock, acquired.lock))
    return pairs


def _missing_functions(
    design: Design, missing: dict[str, list[TileId]], kernels: Kernels | None
) -> SimulationFault:
    """Name every core function that is called and that no kernel has."""
    known = ", ".join(sorted(kernels.symbols)) if kernels is not None else "none was given"
    told = [(name, design.functions[name].loc, tiles) for name, tiles in missing.items()]
    name, loc, tiles = told[0]
    others = [
        f"{other} is not there either{at(place)}; core {users[0]} calls it"
        for other, place, users in told[1:]
    ]
    mangled = next(
        (symbol for symbol in known.split(", ") if symbol.startswith(f"_Z{len(name)}{name}")), None
    )
    if mangled is not None:
        return fault(
            f"core function {name} is in the kernels under its C++ name only",
            loc=loc,
            why=f"core {tiles[0]} calls {name}, the kernels define {mangled}",
            hint=f'declare it extern "C": extern "C" void {name}(...)',
            details=others,
        )
    return fault(
        f"core function {name} is not in the kernels",
        loc=loc,
        why=f"core {tiles[0]} calls it; functions there: {known}",
        hint='give its source with --kernels FILE.cc, and declare it extern "C"',
        details=others,
    )
