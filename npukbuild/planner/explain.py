"""Why a request cannot be met, and what near it can."""

from __future__ import annotations


def check_forced(problem, target, *, block, cols):
    pass


def cannot_fit(problem, target, *, block, cols):
    from npukbuild.errors import CannotFitError

    return CannotFitError("x")
