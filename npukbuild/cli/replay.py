"""``npukbuild replay``: run a failed step again exactly."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from npukbuild.cli.report import print_json


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--step", "wanted", help="Run this step (peano, aiecc, archive) instead of the one that failed."
)
@click.option("--print", "only_print", is_flag=True, help="Print the command as a shell line; do not run it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(folder: Path, wanted: str | None, only_print: bool, as_json: bool) -> int:
    """Run the failed step of the work folder FOLDER again: same command, environment and folder."""
    from npukbuild.errors import RequestError
    from npukbuild.toolchain.failures import step_failure
    from npukbuild.toolchain.replay import choose_step, kept_steps, replay_step

    steps = kept_steps(folder)
    if wanted is not None:
        steps = [kept for kept in steps if kept.step.name == wanted]
        if not steps:
            raise RequestError(f"no step {wanted!r} was kept", where=str(folder))
    kept = choose_step(steps)
    assignments = [f"{key}={shlex.quote(value)}" for key, value in sorted(kept.step.environment.items())]
    line = " ".join(["env", "-i", *assignments, shlex.join(kept.step.argv)])
    if only_print:
        click.echo(f"cd {shlex.quote(str(kept.step.cwd))} && {line}")
        return 0
    for name in kept.changed:
        click.echo(f"note: {name} has changed since the step ran", err=True)
    click.echo(f"running {kept.step.name} in {kept.step.cwd}", err=True)
    replayed = replay_step(kept)
    if as_json:
        print_json(
            {
                "step": kept.step.name,
                "folder": str(kept.step.cwd),
                "argv": list(kept.step.argv),
                "returncode": replayed.outcome.returncode,
                "timed_out": replayed.outcome.timed_out,
                "faults": list(replayed.faults),
                "passed": replayed.passed,
                "log": str(replayed.outcome.log),
            }
        )
        return 0 if replayed.passed else 16
    if replayed.passed:
        click.echo(f"{kept.step.name} ended well this time")
        if kept.state == "failed" and kept.verdict:
            click.echo(f"before, this had failed: {kept.verdict}")
        return 0
    raise step_failure(
        kept.step, replayed.outcome, list(replayed.faults), what=f"{kept.step.name} failed again"
    )
