"""Finding the first toolchain set with which a manifest no longer does what it did."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from npukbuild.errors import InstallError, NpukbuildError, RequestError, ToolError
from npukbuild.publish.trial import compare_trials, faults

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from npukbuild.publish.trial import Trial
    from npukbuild.toolchain.lock import LockFile


@dataclass
class Bisection:
    """What was found.

    Attributes:
        good: The last set that is good, None when already the first is bad.
        bad: The first set that is bad, None when all are good.
        faults: What the first bad set does wrong.
        tried: Sets that were built and run, with ``good`` or ``bad``, in the order of the trials.
        skipped: Sets that could not be tried, and why.
    """

    good: str | None = None
    bad: str | None = None
    faults: list[str] = field(default_factory=list)
    tried: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "good": self.good, "bad": self.bad, "faults": self.faults, "tried": self.tried,
            "skipped": self.skipped,
        }  # fmt: skip


def ordered_sets(lock: LockFile, names: Sequence[str]) -> list[str]:
    """Return the sets to search, oldest first: ``names`` as given, else all of the lock file by version.

    Raises:
        RequestError: Fewer than two.
    """
    chosen = [lock.choose(name).name for name in names] or sorted(lock.sets, key=lambda n: _age(lock, n))
    if len(chosen) < 2:
        raise RequestError("a bisection needs two sets at least", hint="npukbuild toolchain list")
    return chosen


def _age(lock: LockFile, name: str) -> tuple[list[int], list[int]]:
    versions = (lock.sets[name].version_of(package) or "" for package in ("mlir_aie", "llvm_aie"))
    first, second = ([int(part) for part in re.findall(r"\d+", v.partition("+")[0])] for v in versions)
    return first, second


def bisect(names: Sequence[str], attempt: Callable[[str], Trial], *, by: str) -> Bisection:
    """Search ``names``, oldest first, for the first bad set with as few trials as a binary search needs.

    A set is bad when a kernel that passed with the oldest set fails; with ``by`` also when a result differs
    in any bit (``numbers``) or a median is slower (``slower``). A set that cannot be installed or built at
    all is skipped.

    Args:
        names: Sets, oldest first.
        attempt: Installs, builds and runs one set.
        by: ``fail``, ``numbers`` or ``slower``.

    Raises:
        RequestError: The oldest set that can be tried passes nothing, so there is nothing to compare with.
    """
    found = Bisection()
    left = list(names)
    first = None
    while left and first is None:
        first = _try(left[0], attempt, found)
        if first is None:
            left.pop(0)
    if first is None:
        raise RequestError(
            "no set could be tried", details=[f"{n}: {why}" for n, why in found.skipped.items()]
        )
    if not first.passed:
        raise RequestError(
            f"no kernel passes with the oldest set, {first.set_name}",
            why="a bisection compares with what passed there",
            hint="begin with an older set, or mend the manifest first",
        )
    found.tried[first.set_name] = "good"
    found.good = first.set_name

    def is_bad(name: str) -> bool | None:
        trial = _try(name, attempt, found)
        if trial is None:
            return None
        wrong = faults(compare_trials(first, trial), by=by)
        found.tried[name] = "bad" if wrong else "good"
        if wrong:
            found.bad, found.faults = name, wrong
        else:
            found.good = name
        return bool(wrong)

    _narrow(left[1:], is_bad)
    return found


def _narrow(unknown: list[str], is_bad: Callable[[str], bool | None]) -> None:
    """Try the newest first, then halves, leaving out what cannot be tried."""
    while unknown and (newest := is_bad(unknown[-1])) is not True:
        if newest is False:
            return
        unknown.pop()
    between = unknown[:-1]
    while between:
        middle = len(between) // 2
        answer = is_bad(between[middle])
        if answer is None:
            between.pop(middle)
        else:
            between = between[:middle] if answer else between[middle + 1 :]


def _try(name: str, attempt: Callable[[str], Trial], found: Bisection) -> Trial | None:
    try:
        return attempt(name)
    except (InstallError, ToolError) as error:
        found.skipped[name] = _said(error)
        return None


def _said(error: NpukbuildError) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what
