"""Objects that a call leaves in the array's fifos, for the next call to begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npukbuild.ir.design import Channel
    from npukbuild.simulator.array import ArrayState


def fifo_levels(array: ArrayState) -> dict[str, int]:
    """Return lock -> how many objects it stands for: its value, and those that a DMA has begun to send."""
    levels = {name: lock.value for name, lock in array.locks.items()}
    for channel in array.design.channels:
        sender = array.channel(channel.tile, channel.direction, channel.index)
        if channel.direction == "MM2S" and sender.bd is not None and sender.blocked is None:
            for lock, count, _ in sender.bd.acquires:
                levels[lock.name] += count
    return levels


def left_in_fifos(array: ArrayState, before: dict[str, int], *, first: bool) -> list[str]:
    """Return a warning per fifo that holds another number of full objects than when the call began.

    Args:
        array: The array, at rest.
        before: :func:`fifo_levels` when the call began.
        first: The first call may load what later ones use (weights that stay), so only what it left on the
            way to the host is looked at.
    """
    now = fifo_levels(array)
    found: dict[str, str] = {}
    for channel in array.design.channels:
        receives = channel.direction == "S2MM"
        to_host = not receives and _to_host(array, channel)
        if first and not to_host:
            continue
        for bd in channel.descriptors:
            for use in bd.releases if receives else bd.acquires:
                then, left = before[use.lock], now[use.lock]
                if left == then or use.lock in found or (first and left < then):
                    continue
                found[use.lock] = (
                    f"fifo {channel.fifo or use.lock}: the call found {then} full objects on {channel.tile} "
                    f"and left {left}; what one side gives does not match what the other takes, and the next "
                    "call starts with the rest"
                )
    return list(dict.fromkeys(found.values()))


def _to_host(array: ArrayState, channel: Channel) -> bool:
    sender = array.channel(channel.tile, channel.direction, channel.index)
    return any(end.ddr is not None for stream in sender.streams for end in stream.ends)
