"""Ids of descriptors that the design did not number."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npukbuild.ir.lowering.state import State


def number_descriptors(state: State) -> None:
    """Give every configured descriptor an id of its tile.

    Memtile channels take ids of their parity: even ones the lower half, odd ones the upper (aie-rt). Ids that
    the text gives stay. When none is left the number passes the limit and the account complains.
    """
    used: dict[object, set[int]] = {}
    for channel in state.channels:
        used.setdefault(channel.tile, set()).update(d.id for d in channel.descriptors if d.id is not None)
    for position, channel in enumerate(state.channels):
        limits = state.target.limits(state.kind(channel.tile))
        taken = used[channel.tile]
        first, last = 0, limits.bds
        if limits.bds_per_parity:
            first = (channel.index % 2) * limits.bds_per_parity
            last = first + limits.bds_per_parity
        numbered = []
        for descriptor in channel.descriptors:
            number = descriptor.id
            if number is None:
                number = next((n for n in range(first, last) if n not in taken), None)
                if number is None:
                    number = max(limits.bds, max(taken) + 1)
                taken.add(number)
            numbered.append(replace(descriptor, id=number))
        state.channels[position] = replace(channel, descriptors=tuple(numbered))
