"""Which words two descriptors both touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.ir.design import ELEMENT_BYTES

if TYPE_CHECKING:
    from npukbuild.simulator.memory import BufferMemory, HostMemory

_WORD = 4


@dataclass(frozen=True, slots=True)
class Shared:
    """32-bit words: the first, the last, and how many of those between."""

    first: int
    last: int
    words: int

    def text(self, memory: BufferMemory | HostMemory, start: int = 0) -> str:
        """Return the range in elements and bytes of a memory that begins at byte ``start``."""
        width = ELEMENT_BYTES[memory.type.element]
        low, high = self.first * _WORD - start, (self.last + 1) * _WORD - start
        whole = self.words == self.last - self.first + 1
        part = "" if whole else f"{self.words * _WORD // width} of the "
        return (
            f"{part}elements {low // width}..{high // width - 1} of {memory.name} (bytes {low}..{high - 1})"
        )


def shared_words(one: Any, two: Any) -> Shared | None:
    """Return the words that descriptors on buffers of one tile share, counted from where their memory begins.

    Args:
        one: A bound descriptor (:class:`npukbuild.simulator.descriptors.Bd`).
        two: Another.
    """
    a, b = one.access, two.access
    a_base, b_base = one.base + one.memory.start, two.base + two.memory.start
    low, high = max(a.first + a_base, b.first + b_base), min(a.last + a_base, b.last + b_base)
    if low >= high:
        return None
    if a.contiguous and b.contiguous:
        first, last = low // _WORD, (high - 1) // _WORD
        return Shared(first, last, last - first + 1)
    words = np.intersect1d(a.words(a_base, 0, a.size), b.words(b_base, 0, b.size))
    return Shared(int(words[0]), int(words[-1]), len(words)) if len(words) else None
