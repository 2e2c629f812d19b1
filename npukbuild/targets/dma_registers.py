"""The DMA registers of each kind of tile and the bit fields of a buffer descriptor, read from TOML data."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class DmaRegisters:
    """Offsets within a tile in bytes; ``fields`` maps a field to (word, lowest bit, bits).

    ``bd_words`` are the words of one descriptor, ``bd_step`` the bytes from one to the next. ``observing``
    are the ranges (first, last register) that measure and report what happens and change nothing of it.
    """

    bds: int
    bd_step: int
    bd_words: int
    queue_s2mm: int
    queue_mm2s: int
    locks: int
    bd_id_mask: int
    address_unit: int
    control_before_queue: int
    controller_id_mask: int
    observing: tuple[tuple[int, int], ...]
    fields: Mapping[str, tuple[int, int, int]]

    def observes(self, offset: int) -> bool:
        """Whether a register belongs to events, traces, timers or performance counters."""
        return any(first <= offset <= last for first, last in self.observing)


@cache
def dma_registers(kind: str) -> DmaRegisters:
    """Return the registers of a ``shim``, ``mem`` or ``core`` tile."""
    text = files(__package__).joinpath("dma_registers.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)[kind]
    fields = {name: (place[0], place[1], place[2]) for name, place in table.pop("fields").items()}
    observing = tuple((first, last) for first, last in table.pop("observing"))
    return DmaRegisters(**table, observing=observing, fields=fields)
