"""What a call did, as the difference of counters before and after it, and what was busiest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.simulator.result import RunResult

if TYPE_CHECKING:
    from npukbuild.simulator.array import ArrayState


class Tally:
    """Counters at the start of a call, so that a call's result has its own share."""

    def __init__(self, array: ArrayState) -> None:
        self.array = array
        self.cores = [core.busy_cycles for core in array.cores]
        self.streams = [(stream.busy_cycles, stream.handovers) for stream in array.streams]
        self.ddr = (array.ddr.busy, array.ddr.bytes)

    def result(
        self,
        tasks: int,
        cycles: float,
        events: int,
        warnings: tuple[str, ...],
    ) -> RunResult:
        """Return what happened since.

        Args:
            tasks: Tasks that the host started.
            cycles: Length of the call.
            events: Callbacks of the event loop.
            warnings: What is to be told beside the result.
        """
        array, timing, timed = self.array, self.array.timing, self.array.timed
        span = cycles or 1.0
        cores = {
            core.name: min(1.0, (core.busy_cycles - old) / span)
            for core, old in zip(array.cores, self.cores, strict=True)
        }
        streams = {
            stream.name: min(1.0, (stream.busy_cycles - old) / span)
            for stream, (old, _) in zip(array.streams, self.streams, strict=True)
        }
        ddr = min(1.0, (array.ddr.busy - self.ddr[0]) / span)
        handovers = sum(
            stream.handovers - old for stream, (_, old) in zip(array.streams, self.streams, strict=True)
        )
        first = array.recorder.first_output
        return RunResult(
            timed=timed,
            cycles=cycles,
            clock_ghz=timing.clock_ghz,
            launch_us=timing.launch_us,
            first_output_us=first / timing.clock_ghz * 1e-3 if first is not None and timed else None,
            cores=cores,
            streams=streams,
            ddr=ddr,
            ddr_bytes=array.ddr.bytes - self.ddr[1],
            bottleneck=bottleneck(
                cores, streams, ddr, array, timing.launch_us, cycles / timing.clock_ghz * 1e-3
            )
            if timed
            else "",
            counts={"events": events, "handovers": handovers, "tasks": tasks},
            warnings=warnings,
            intervals=tuple(array.recorder.intervals),
            left_out=array.recorder.left_out,
        )


def bottleneck(
    cores: dict[str, float],
    streams: dict[str, float],
    ddr: float,
    array: ArrayState,
    launch_us: float,
    array_us: float,
) -> str:
    """Name what was busy for the largest share of the call."""
    if launch_us > array_us:
        return f"launch: {launch_us:.0f} us of fixed cost against {array_us:.1f} us on the array"
    shim = {
        stream.name
        for stream in array.streams
        if any(e.ddr is not None for e in (stream.source, *stream.ends))
    }
    parts = {
        "compute": max(cores.items(), key=lambda item: item[1], default=("no core", 0.0)),
        "shim streams": max(
            ((name, share) for name, share in streams.items() if name in shim),
            key=lambda x: x[1],
            default=("", 0.0),
        ),
        "streams inside the array": max(
            ((name, share) for name, share in streams.items() if name not in shim),
            key=lambda x: x[1],
            default=("", 0.0),
        ),
        "DDR": ("all shims together", ddr),
    }
    kind, (name, share) = max(parts.items(), key=lambda item: item[1][1])
    return f"{kind}: {name} busy {share:.0%} of the time"
