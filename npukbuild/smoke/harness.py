"""The check harness: the same trials, poison and judgement on every device.

A device gives a :class:`LoadedKernel`; all trials run back to back on that one loaded design, so that
state which survives a call (ping-pong buffers, accumulators, locks) is part of what is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from npukbuild.kernels.matmul_numerics import NUMPY_DTYPES
from npukbuild.smoke.buffers import crop, fill, new_buffer
from npukbuild.smoke.judge import Judgement, judge, poison
from npukbuild.smoke.statistics import kind_of_times, summarise
from npukbuild.smoke.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from npukbuild.kernels.abi import Abi


class LoadedKernel(Protocol):
    """A kernel on a device, ready to be called any number of times."""

    @property
    def device(self) -> str:
        """``simulator`` or ``npu``."""

    def call(self, arguments: Sequence[NDArray[Any]]) -> float:
        """Run once on C-contiguous buffers in ABI order, writing outputs in place; return microseconds.

        The time is *simulated* on the simulator and *measured* on the NPU.
        """


class TrialLike(Protocol):
    """One set of inputs of a family."""

    @property
    def name(self) -> str:
        """Name of the input."""

    @property
    def inputs(self) -> tuple[NDArray[Any], ...]:
        """Input arrays in ABI order."""


class ExpectedLike(Protocol):
    """Reference and bounds."""

    @property
    def value(self) -> NDArray[Any]:
        """Reference result."""

    @property
    def bound(self) -> NDArray[Any]:
        """Largest allowed deviation per element."""

    @property
    def mean_bound(self) -> float:
        """Largest allowed magnitude of the mean signed deviation."""


class Numerics(Protocol):
    """What a family says about its numbers (``kernels/<family>_numerics.py``)."""

    def trials(self, shape: Any, /) -> Iterator[TrialLike]:
        """Yield the inputs to try."""

    def expected(self, shape: Any, trial: Any, /) -> ExpectedLike:
        """Compute reference and bounds for one of them."""


def largest_finite(dtype: str) -> float:
    """Return the largest finite value of ``dtype``."""
    if dtype == "bf16":
        from npukbuild.kernels.matmul_numerics import BF16_MAX

        return BF16_MAX
    numpy_dtype = NUMPY_DTYPES[dtype]
    info = np.finfo(numpy_dtype) if numpy_dtype.kind == "f" else np.iinfo(numpy_dtype)
    return float(info.max)


def run_trials(
    loaded: LoadedKernel,
    abi: Abi,
    problem: Any,
    numerics: Numerics,
    *,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[Judgement], list[float]]:
    """Run every trial on ``loaded`` and judge it; return the judgements and the microseconds of each call.

    It stops after the first failed trial: what a broken design does next says nothing new.
    """
    inputs = [argument for argument in abi.arguments if argument.direction == "in"]
    (output,) = (argument for argument in abi.arguments if argument.direction != "in")
    buffers = {argument.name: new_buffer(argument) for argument in abi.arguments}
    judgements: list[Judgement] = []
    times: list[float] = []
    for call, trial in enumerate(numerics.trials(problem)):
        if progress is not None:
            progress(f"checking on the {loaded.device}: {trial.name}")
        for argument, array in zip(inputs, trial.inputs, strict=True):
            fill(buffers[argument.name], argument, array)
        byte = poison(buffers[output.name], call)
        times.append(loaded.call([buffers[argument.name] for argument in abi.arguments]))
        reference = numerics.expected(problem, trial)
        judgements.append(
            judge(
                trial.name,
                crop(buffers[output.name], output),
                reference.value,
                reference.bound,
                largest=largest_finite(output.dtype),
                poison_byte=byte,
                mean_bound=reference.mean_bound,
            )
        )
        if not judgements[-1].passed:
            break
    return judgements, times


def check(
    loaded: LoadedKernel,
    abi: Abi,
    problem: Any,
    numerics: Numerics,
    *,
    target: str,
    subject: Mapping[str, str],
    environment: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Verdict:
    """Run the trials and return the verdict, bound to the hashes in ``subject``."""
    judgements, times = run_trials(loaded, abi, problem, numerics, progress=progress)
    timing = summarise(times, kind_of_times(loaded.device)).as_dict()
    return Verdict(loaded.device, target, tuple(judgements), dict(subject), timing, dict(environment or {}))
