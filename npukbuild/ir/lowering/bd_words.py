"""The words of a buffer descriptor's registers: fields in, fields out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.targets.dma_registers import dma_registers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class BdFields:
    """A descriptor's fields: lengths and strides in 32-bit words, sizes as counts (0 = never wraps).

    ``sizes`` and ``strides`` start with the innermost dimension; the last stride has no size, since the
    length ends it. Locks are (id, signed value). ``address`` counts words of what the tile's DMA addresses.
    """

    length: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    iteration_size: int
    iteration_stride: int
    packet: tuple[int, int] | None
    next: int | None
    valid: bool
    acquire: tuple[int, int] | None
    release: tuple[int, int] | None
    address: int = 0
    iteration_current: int = 0
    pads: tuple[tuple[int, int], ...] = ()
    compressed: bool = False


def decode(kind: str, words: Sequence[int]) -> BdFields:
    """Decode the registers of a descriptor on a ``shim``, ``mem`` or ``core`` tile."""
    layout = dma_registers(kind).fields

    def value(name: str) -> int:
        if name not in layout:
            return 0
        word, low, bits = layout[name]
        return words[word] >> low & ((1 << bits) - 1)

    def signed(name: str) -> int:
        half = 1 << layout[name][2] - 1
        return (value(name) ^ half) - half

    def numbered(suffix: str) -> list[str]:
        return [name for n in range(4) if (name := f"d{n}_{suffix}") in layout]

    release = (value("lock_rel_id"), signed("lock_rel_val"))
    pads = tuple((value(name), value(name.replace("before", "after"))) for name in numbered("zero_before"))
    return BdFields(
        length=value("buffer_length"),
        sizes=tuple(value(name) for name in numbered("size")),
        strides=tuple(value(name) + 1 for name in numbered("stride")),
        iteration_size=value("iteration_size") + 1,
        iteration_stride=value("iteration_stride") + 1,
        packet=(value("packet_type"), value("packet_id")) if value("enable_packet") else None,
        next=value("next_bd") if value("use_next_bd") else None,
        valid=bool(value("valid_bd")),
        acquire=(value("lock_acq_id"), signed("lock_acq_val")) if value("lock_acq_enable") else None,
        release=release if release[1] else None,
        address=value("buffer_offset"),
        iteration_current=value("iteration_current"),
        pads=pads if any(before or after for before, after in pads) else (),
        compressed=bool(value("compression")),
    )


def encode(kind: str, values: Mapping[str, int]) -> list[int]:
    """Return the words of a descriptor from the fields of ``npu.writebd``, as raw register values.

    Raises:
        ValueError: A field that the tile's descriptors do not have, or a value that does not fit.
    """
    registers = dma_registers(kind)
    words = [0] * registers.bd_words
    mistakes = []
    for name, value in values.items():
        if name not in registers.fields:
            if value:
                mistakes.append(f"its descriptors have no {name}")
            continue
        word, low, bits = registers.fields[name]
        lowest = -(1 << bits - 1) if name.startswith("lock_") and name.endswith("_val") else 0
        if not lowest <= value < 1 << bits:
            mistakes.append(f"{name} = {value} does not fit into {bits} bits")
        words[word] |= (value & (1 << bits) - 1) << low
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return words
