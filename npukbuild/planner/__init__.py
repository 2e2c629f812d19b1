"""The planner: from a request and an array model to blocks, grid, buffers and runtime sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npukbuild.kernels.matmul import MatmulProblem
    from npukbuild.planner.plan import MatmulPlan
    from npukbuild.targets import Target

__all__ = ["plan_matmul"]


def plan_matmul(
    problem: MatmulProblem,
    target: Target,
    *,
    block: tuple[int, int, int] | None = None,
    cols: int | None = None,
    candidates: int = 1,
) -> MatmulPlan:
    """Plan a matmul of any size on ``target``, in one call of the host.

    Args:
        problem: What to compute.
        target: The array model.
        block: Insist on this block (m, k, n) per core, in elements.
        cols: Insist on this many columns.
        candidates: How many plans to return in all: the chosen one and its next best ``alternatives``.

    Raises:
        CannotFitError: Nothing legal exists; the arithmetic is in ``why``, what does fit in ``details``.
        RequestError: ``block`` or ``cols`` are not sizes at all.
    """
    from npukbuild.planner.explain import cannot_fit, check_forced
    from npukbuild.planner.plan import make_plan
    from npukbuild.planner.search import search

    check_forced(problem, target, block=block, cols=cols)
    found = search(problem, target, block=block, cols=cols, count=max(1, candidates))
    if not found:
        raise cannot_fit(problem, target, block=block, cols=cols)
    others = tuple(make_plan(scheme) for scheme, _ in found[1:])
    return make_plan(found[0][0], others)
