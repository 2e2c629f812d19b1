"""Faults that do not stop the array: it runs on as hardware would, and they are reported at the end.

Reading data that nobody wrote, or two tasks that write the same words of a host buffer, give wrong numbers
and not a hang. They are kept until the call ends or hangs, so that a hang is reported as what it is, with
these beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.errors import SimulationFault
from npukbuild.ir.design import ELEMENT_BYTES
from npukbuild.simulator.faults import at, fault

if TYPE_CHECKING:
    from npukbuild.ir.design import Function, Location, TileId
    from npukbuild.simulator.crash import Running
    from npukbuild.simulator.descriptors import Task
    from npukbuild.simulator.memory import BufferMemory, HostMemory
    from npukbuild.simulator.overlaps import Shared
    from npukbuild.simulator.work import Work

_KEEP = 8


class Findings:
    """What was found in one run."""

    __slots__ = ("_seen", "differential", "faults", "running", "warnings", "work")

    def __init__(self, *, differential: bool = True, work: Work | None = None) -> None:
        self.differential = differential
        self.work = work
        self.faults: list[SimulationFault] = []
        self.warnings: list[str] = []
        self.running: list[Running] = [None]
        self._seen: set[Any] = set()

    def clear(self) -> None:
        """Forget the findings of the run before."""
        self.faults.clear()
        self.warnings.clear()
        self._seen.clear()

    def add(self, key: Any, found: SimulationFault) -> None:
        """Keep a finding unless the same was found before.

        Raises:
            SimulationFault: A core function that was called before wrote outside its blocks.
        """
        if self.work is not None:
            self.work.settle()
        if key in self._seen or len(self.faults) >= _KEEP:
            return
        self._seen.add(key)
        self.faults.append(found)

    def warn(self, text: str) -> None:
        """Keep a warning once."""
        if text not in self._seen:
            self._seen.add(text)
            self.warnings.append(text)

    def poison_read(self, channel: Any, bd: Any, words: Any) -> None:
        """A DMA sends words that nobody wrote."""
        memory = bd.memory
        width = ELEMENT_BYTES[memory.type.element]
        count = len(words) * 4 // width
        self.add(
            ("poison", memory.name),
            fault(
                f"{channel.name} sends data from {memory.name} that were never written",
                loc=bd.descriptor.loc or channel.loc,
                why=f"{count} of {bd.size // width} elements, the first at stream element "
                f"{int(words[0]) * 4 // width}"
                + (f"; {memory.name} belongs to fifo {memory.buffer.fifo}" if memory.buffer.fifo else ""),
                hint="the side that fills this buffer gives it on without writing all of it",
            ),
        )

    def tainted(
        self, tile: TileId, function: Function, memory: Any, words: Any, loc: Location | None
    ) -> None:
        """A core function's result depends on words that nobody wrote."""
        width = ELEMENT_BYTES[memory.type.element]
        first = int(words[0]) * 4 // width
        self.add(
            ("tainted", tile, function.name, memory.name),
            fault(
                f"core function {function.name} on core {tile} computes with data that were never written",
                loc=loc,
                why=f"{len(words) * 4 // width} elements of {memory.name} from element {first} on depend "
                "on them",
                hint="clear an accumulator before it is added to; check that every element of the inputs "
                "is sent",
            ),
        )

    def two_writers(self, memory: BufferMemory | HostMemory, one: Task, shared: Shared, two: Task) -> None:
        """Two tasks write the same words of a host argument and nothing was waited for between them."""
        self.add(
            ("writers", memory.name, one.serial, two.serial),
            fault(
                f"two tasks write the same part of host argument {memory.name}",
                loc=two.loc,
                why=f"task {one.label}{at(one.loc)} and task {two.label}{at(two.loc)} both write "
                f"{shared.text(memory)}, and nothing was waited for between them",
                hint="wait for the first before starting the second, or give them separate parts",
            ),
        )

    def beside(self, main: SimulationFault) -> SimulationFault:
        """Return ``main`` with the findings as details."""
        said = dict.fromkeys(short(found) for found in self.faults if short(found) != short(main))
        others = [f"also: {line}" for line in said]
        if not others:
            return main
        return SimulationFault(
            main.what, where=main.where, why=main.why, hint=main.hint, details=[*main.details, *others]
        )


def short(found: SimulationFault) -> str:
    """Return a fault in one line."""
    return found.what + (f" ({found.where})" if found.where else "")
