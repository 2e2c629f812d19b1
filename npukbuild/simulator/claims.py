"""Which tasks are writing which words of a host argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from npukbuild.simulator.descriptors import Bd, Task

_WORD = 4


@dataclass(slots=True)
class _Claim:
    task: Task
    bd: Bd
    bases: list[int]
    first: int
    last: int
    drawn: bool = False


class Claims:
    """The parts of one host argument that tasks under way write.

    Most tasks write ranges that lie apart. Only when two ranges meet (interleaved columns of a matrix, say) are the
    words of both drawn into a map.
    """

    __slots__ = ("_claims", "_map")

    def __init__(self) -> None:
        self._claims: list[_Claim] = []
        self._map: Any = None

    def add(self, task: Task, bd: Bd) -> Task | None:
        """Note a task; return another one that nobody waited for and that writes a word of it too."""
        bases = [0]
        if task.iteration is not None:
            count, step = task.iteration
            bases = [place * step for place in range(min(count, task.starts))]
        access = bd.access
        new = _Claim(task, bd, bases, access.first + min(bases), access.last + max(bases))
        gone = [claim for claim in self._claims if claim.task.retired]
        for claim in gone:
            if claim.drawn:
                self._draw(claim, 0)
        near = []
        for claim in self._claims:
            if not claim.task.retired and claim.first < new.last and new.first < claim.last:
                near.append(claim)
        self._claims = [claim for claim in self._claims if not claim.task.retired]
        self._claims.append(new)
        if not near or len(set(bases)) < len(bases):
            return None
        for claim in near:
            if not claim.drawn:
                self._draw(claim, claim.task.serial)
                claim.drawn = True
        met = self._look(new)
        self._draw(new, task.serial)
        new.drawn = True
        return next((claim.task for claim in near if claim.task.serial in met), None)

    def _views(self, claim: _Claim) -> Any:
        if self._map is None:
            self._map = np.zeros(claim.bd.memory.type.bytes // _WORD + 1, np.uint32)
        access = claim.bd.access
        for base in claim.bases:
            if access.whole and access.unit >= _WORD:
                data = self._map.view(np.uint8)
                shape = (*access.shape[:-1], access.shape[-1] * access.unit // _WORD)
                yield (
                    np.ndarray(shape, np.uint32, data, access.start + base, (*access.strides[:-1], _WORD)),
                    ...,
                )
            else:
                yield self._map, access.words(base, 0, access.size)

    def _draw(self, claim: _Claim, value: int) -> None:
        for view, place in self._views(claim):
            view[place] = value

    def _look(self, claim: _Claim) -> set[int]:
        found: set[int] = set()
        for view, place in self._views(claim):
            words = view[place]
            if words.any():
                found.update(int(serial) for serial in np.unique(words) if serial)
        return found
