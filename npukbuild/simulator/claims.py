"""Which tasks are writing which words of a host argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.simulator.overlaps import Shared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npukbuild.simulator.descriptors import Bd, Task

_WORD = 4


@dataclass(slots=True)
class _Claim:
    task: Task
    bd: Bd
    bases: list[int]
    first: int
    last: int


class Claims:
    """The parts of one host argument that tasks under way write.

    Most tasks write ranges that lie apart. Only when two ranges meet (interleaved columns of a matrix, say)
    are their words compared, and the answer is kept: the same two descriptors meet again in every call.
    """

    __slots__ = ("_answers", "_claims", "_map")

    def __init__(self) -> None:
        self._claims: list[_Claim] = []
        self._answers: dict[tuple[Bd, Bd], Shared | None] = {}
        self._map: Any = None

    def clear(self) -> None:
        """Forget the tasks of the call before."""
        self._claims.clear()

    def add(self, task: Task, bd: Bd) -> tuple[Task, Shared] | None:
        """Note a task; return another one that nobody waited for and what words both write."""
        bases = [0]
        if task.iteration is not None:
            count, step = task.iteration
            bases = [place * step for place in range(min(count, task.starts))]
        access = bd.access
        new = _Claim(task, bd, bases, access.first + min(bases), access.last + max(bases))
        self._claims = [claim for claim in self._claims if not claim.task.retired]
        found = None
        for claim in self._claims:
            if claim.first < new.last and new.first < claim.last:
                shared = self._meet(claim, new)
                if shared is not None and found is None:
                    found = claim.task, shared
        self._claims.append(new)
        return found

    def _meet(self, one: _Claim, two: _Claim) -> Shared | None:
        key = (one.bd, two.bd)
        if key not in self._answers:
            for bit, claim in ((1, one), (2, two)):
                for view, place in self._views(claim):
                    view[place] |= bit
            first = max(one.first, two.first) // _WORD
            words = np.flatnonzero(self._map[first : min(one.last, two.last) // _WORD + 1] == 1 | 2)
            self._answers[key] = (
                Shared(first + int(words[0]), first + int(words[-1]), len(words)) if len(words) else None
            )
            for claim in (one, two):
                for view, place in self._views(claim):
                    view[place] = 0
        return self._answers[key]

    def _views(self, claim: _Claim) -> Iterator[tuple[Any, Any]]:
        """Yield (array, index) pairs that together are the words a claim writes."""
        if self._map is None:
            self._map = np.zeros(claim.bd.memory.type.bytes // _WORD + 1, np.uint32)
        access = claim.bd.access
        for base in claim.bases:
            if access.whole and access.unit >= _WORD:
                data = self._map.view(np.uint8)
                shape = (*access.shape[:-1], access.shape[-1] * access.unit // _WORD)
                strides = (*access.strides[:-1], _WORD)
                yield np.ndarray(shape, np.uint32, data, access.start + base, strides), ...
            else:
                yield self._map, access.words(base, 0, access.size)
