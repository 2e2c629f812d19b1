"""Timing a loaded kernel: warm-up calls, then the ones that count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.smoke.buffers import fill, new_buffer
from npukbuild.smoke.statistics import kind_of_times, summarise

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.kernels.abi import Abi
    from npukbuild.smoke.harness import LoadedKernel, Numerics
    from npukbuild.smoke.statistics import Timing


def measure(
    loaded: LoadedKernel,
    abi: Abi,
    problem: Any,
    numerics: Numerics,
    *,
    iterations: int,
    warmup: int,
    progress: Callable[[str], None] | None = None,
) -> Timing:
    """Call ``loaded`` ``warmup`` + ``iterations`` times on one set of inputs and sum up the latter.

    The first calls pay for context resume and power-up (milliseconds on a sleeping NPU), hence the warm-up.
    """
    trial = next(iter(numerics.trials(problem)))
    buffers = {argument.name: new_buffer(argument) for argument in abi.arguments}
    inputs = (argument for argument in abi.arguments if argument.direction == "in")
    for argument, array in zip(inputs, trial.inputs, strict=True):
        fill(buffers[argument.name], argument, array)
    arguments = [buffers[argument.name] for argument in abi.arguments]
    if progress is not None:
        progress(f"timing {warmup + iterations} calls on the {loaded.device}")
    times = [loaded.call(arguments) for _ in range(warmup + iterations)]
    return summarise(times[warmup:], kind_of_times(loaded.device))
