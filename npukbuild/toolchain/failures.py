"""Turn a failed step into one error: the first real message, its place, cause, fix and evidence."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from npukbuild.errors import NpukbuildError, ToolError
from npukbuild.toolchain.diagnosis import diagnose_log
from npukbuild.toolchain.process import Outcome, Step, save_record

if TYPE_CHECKING:
    from collections.abc import Sequence

_TAIL_LINES = 8


def step_failure(
    step: Step,
    outcome: Outcome,
    faults: Sequence[str],
    *,
    what: str,
    error: type[NpukbuildError] = ToolError,
    silent: tuple[str, str] | None = None,
) -> NpukbuildError:
    """Return the error for ``step``, and note in its record that it failed.

    Args:
        step: The step.
        outcome: How it ended.
        faults: What is wrong with its outputs.
        what: What the user wanted, as a failure: ``Peano cannot compile kernel.cc``.
        error: The class to use when the tool itself gave a reason; a hang or a crash is a ToolError always.
        silent: The probable cause and the fix when the tool ended well, wrote less and said nothing.
    """
    diagnosis = diagnose_log(outcome.log, base=step.cwd)
    first = diagnosis.first
    crashed = outcome.timed_out or outcome.returncode < 0
    reasons = []
    if crashed or outcome.returncode != 0:
        reasons.append(f"{step.name} {outcome.ended}")
    elif faults:
        reasons.append(f"{step.name} ended with exit code 0, but " + "; ".join(faults))
    details: list[str] = []
    hint = None
    if first is not None:
        details.append(first.message)
        details.extend(first.excerpt)
        reasons.insert(0, first.cause)
        hint = first.fix
    else:
        details.extend(diagnosis.tail[-_TAIL_LINES:])
        if silent is not None and outcome.returncode == 0 and not crashed:
            reasons.append(silent[0])
            hint = silent[1]
    if outcome.timed_out:
        hint = hint or "run it again; if it hangs again, the log shows how far it came"
    details.append(f"log: {outcome.log}")
    details.append(f"again: npukbuild replay {shlex.quote(str(step.cwd))}")
    save_record(step, state="failed", outcome=outcome, verdict=what)
    return (ToolError if crashed else error)(
        what,
        where=first.place if first else None,
        why="; ".join(reasons),
        details=details,
        hint=hint or "the log has the whole output",
    )
