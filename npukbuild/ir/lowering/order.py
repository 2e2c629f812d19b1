"""The order in which the real compiler meets buffers of equal size.

Its allocator sorts with the C++ library's ``std::sort``, which keeps equal elements in order only up to 16 of
them. To give the same addresses we do the same: introsort with median of three and a final insertion sort,
the published algorithm (Musser 1997) with libstdc++'s choices of pivot and threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
THRESHOLD = 16


def introsort(items: Sequence[T], before: Callable[[T, T], bool]) -> list[T]:
    """Return ``items`` in the order that ``std::sort`` leaves them in.

    Args:
        items: At most a few thousand elements (the fallback to heap sort at great depth is not modelled).
        before: Whether the first argument belongs before the second.
    """
    found = list(items)
    _partition_all(found, 0, len(found), before)
    _insertion(found, before)
    return found


def _partition_all(items: list[T], first: int, last: int, before: Callable[[T, T], bool]) -> None:
    while last - first > THRESHOLD:
        _median_to_first(items, first, first + 1, first + (last - first) // 2, last - 1, before)
        cut = _partition(items, first + 1, last, first, before)
        _partition_all(items, cut, last, before)
        last = cut


def _median_to_first(
    items: list[T], result: int, one: int, two: int, three: int, before: Callable[[T, T], bool]
) -> None:
    if before(items[one], items[two]):
        if before(items[two], items[three]):
            chosen = two
        elif before(items[one], items[three]):
            chosen = three
        else:
            chosen = one
    elif before(items[one], items[three]):
        chosen = one
    elif before(items[two], items[three]):
        chosen = three
    else:
        chosen = two
    items[result], items[chosen] = items[chosen], items[result]


def _partition(items: list[T], first: int, last: int, pivot: int, before: Callable[[T, T], bool]) -> int:
    while True:
        while before(items[first], items[pivot]):
            first += 1
        last -= 1
        while before(items[pivot], items[last]):
            last -= 1
        if not first < last:
            return first
        items[first], items[last] = items[last], items[first]
        first += 1


def _insertion(items: list[T], before: Callable[[T, T], bool]) -> None:
    """Sort nearly sorted items; equal ones keep their order."""
    for index in range(1, len(items)):
        value = items[index]
        place = index
        while place > 0 and before(value, items[place - 1]):
            items[place] = items[place - 1]
            place -= 1
        items[place] = value
