"""Calls whose runtime sequence loads other configurations: one array after another on the same buffers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.simulator.memory import POISON, poison
from npukbuild.simulator.recording import Interval
from npukbuild.simulator.result import RunResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from npukbuild.ir.design import Design, Sequence, TileId
    from npukbuild.simulator.memory import BufferMemory
    from npukbuild.simulator.simulator import Simulator

    Image = dict[TileId, Any]
    """The bytes of each tile's data memory; what nobody wrote is poison."""


class Stages:
    """What follows the operations of a sequence: a new array for each configuration that it loads.

    A configuration that is loaded resets cores, locks and DMAs. Data memory keeps what it holds where the new
    configuration gives no initial value, as on the hardware.

    Args:
        design: The design whose sequence loads configurations.
        sequence: That sequence.
        make: Makes a simulator of a design with one sequence.
        reconfigure_us: Microseconds of loading one configuration.
    """

    def __init__(
        self,
        design: Design,
        sequence: Sequence,
        make: Callable[[Design], Simulator],
        reconfigure_us: float,
    ) -> None:
        self._first = replace(design, sequences={sequence.name: replace(sequence, stages=())})
        self._stages = sequence.stages
        self._make = make
        self._reconfigure_us = reconfigure_us
        self._image: Image = {}
        self._own = make(self._first) if sequence.operations else None

    def run(self, args: list[np.ndarray[Any, Any]]) -> RunResult:
        """Execute all stages in order and return them as one call."""
        results: list[tuple[str, RunResult]] = []
        if self._own is not None:
            self._own.recall(self._image)
            results.append((self._first.name, self._own.run(args)))
            self._image = self._own.remember()
        for stage in self._stages:
            simulator = self._make(stage.design)
            simulator.recall(self._image)
            results.append((stage.design.name, simulator.run(args)))
            self._image = self._image | simulator.remember()
        return _joined(results, self._reconfigure_us, loads_first=self._own is None)


def image_of(memories: Iterable[BufferMemory], sizes: Callable[[TileId], int]) -> Image:
    """Return the data memory of every tile that has buffers with addresses."""
    image: Image = {}
    for memory in memories:
        tile, address = memory.buffer.tile, memory.buffer.address
        if address is None:
            continue
        if tile not in image:
            image[tile] = np.zeros(sizes(tile), np.uint8)
            poison(image[tile], POISON)
        image[tile][address : address + len(memory.data)] = memory.data
    return image


def restore(memories: Iterable[BufferMemory], image: Mapping[TileId, Any]) -> None:
    """Give buffers without an initial value what their tile's memory held before."""
    for memory in memories:
        tile, address = memory.buffer.tile, memory.buffer.address
        if memory.buffer.initial is None and address is not None and tile in image:
            memory.data[:] = image[tile][address : address + len(memory.data)]
            memory.look()


def _joined(results: list[tuple[str, RunResult]], load_us: float, *, loads_first: bool) -> RunResult:
    timed, clock = results[0][1].timed, results[0][1].clock_ghz
    load = load_us * 1e3 * clock if timed else 0.0
    starts: list[float] = []
    now = 0.0
    intervals: list[Interval] = []
    for number, (name, result) in enumerate(results):
        if number or loads_first:
            if timed:
                intervals.append(Interval("host", f"load configuration {name}", now, load))
            now += load
        starts.append(now)
        now += result.cycles
    for start, (_, result) in zip(starts, results, strict=True):
        intervals += [replace(one, start=one.start + start) for one in result.intervals]
    parts = [result for _, result in results]
    firsts = [
        start / clock * 1e-3 + part.first_output_us
        for start, part in zip(starts, parts, strict=True)
        if part.first_output_us is not None
    ]
    loading = now - sum(part.cycles for part in parts)
    longest = max(parts, key=lambda part: part.cycles)
    return RunResult(
        timed=timed,
        cycles=now,
        clock_ghz=clock,
        launch_us=parts[0].launch_us,
        first_output_us=firsts[0] if firsts else None,
        cores=_shares([(part.cores, part.cycles) for part in parts], now),
        streams=_shares([(part.streams, part.cycles) for part in parts], now),
        ddr=_shares([({"": part.ddr}, part.cycles) for part in parts], now)[""],
        ddr_bytes=sum(part.ddr_bytes for part in parts),
        bottleneck=f"loading configurations: {loading / now:.0%} of the time on the array"
        if timed and loading > now / 2
        else longest.bottleneck,
        counts={key: sum(part.counts[key] for part in parts) for key in parts[0].counts},
        warnings=tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
        intervals=tuple(sorted(intervals, key=lambda one: one.start)),
        left_out=sum(part.left_out for part in parts),
    )


def _shares(parts: list[tuple[Mapping[str, float], float]], span: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for shares, cycles in parts:
        for name, share in shares.items():
            found[name] = found.get(name, 0.0) + share * cycles / (span or 1.0)
    return found
