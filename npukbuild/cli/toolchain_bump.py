"""``npukbuild toolchain bump`` and ``bisect``: another toolchain set, on trial before it is taken."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.report import print_json, show_error
from npukbuild.errors import BuildFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.publish.trial import Change, Trial, TrialOptions
    from npukbuild.toolchain.lock import LockFile

_MANIFEST = click.option(
    "--manifest", type=click.Path(path_type=Path), default=Path("kernels.toml"), show_default=True,
    help="The kernels to try it with.",
)  # fmt: skip
_TRIAL: list[Callable[[Any], Any]] = [
    _MANIFEST,
    click.option("--filter", "filters", multiple=True, metavar="PATTERN", help="Only kernels that match."),
    click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build/toolchains"),
                 show_default=True, help="Where each set's results go."),
    click.option("--device", type=click.Choice(["auto", "npu", "simulator"]), default="auto",
                 show_default=True),
    click.option("--iterations", type=click.IntRange(min=1), default=10, show_default=True,
                 help="Timed calls."),
    click.option("-j", "--jobs", type=click.IntRange(min=1), default=None, help="Actions at once."),
    click.option("--runner-python", type=click.Path(path_type=Path), default=None),
    click.option("--wheelhouse", type=click.Path(path_type=Path, exists=True, file_okay=False),
                 help="Take wheels from this folder before downloading any."),
    click.option("--offline", is_flag=True, help="Never use the network."),
    click.option("--python", type=click.Path(path_type=Path), help="The Python to install with."),
    click.option("--lock", "lock_path", type=click.Path(path_type=Path, dir_okay=False),
                 help="Use and change this lock file instead of the one in use."),
    click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout."),
]  # fmt: skip


def _trial_options(command: Any) -> Any:
    for option in reversed(_TRIAL):
        command = option(command)
    return command


@click.command()
@click.option("--to", "new", required=True, metavar="SET", help="The set to change to.")
@click.option("--accept-slower", is_flag=True, help="Change also when kernels are slower.")
@_trial_options
def bump(new: str, accept_slower: bool, as_json: bool, **given: Any) -> int:
    """Change the default toolchain set, after every kernel of a manifest was tried with both.

    Shows which kernels' numbers or times changed, and then writes the lock file. It stays as it is when a
    kernel fails that passed with the present set, or is slower.
    """
    from npukbuild.publish.trial import compare_trials, faults
    from npukbuild.toolchain.lock import read_lock
    from npukbuild.toolchain.lock_write import write_default

    lock = read_lock(given["lock_path"])
    old, wanted = lock.choose(None), lock.choose(new)
    if old.name == wanted.name:
        click.echo(f"{new} is the default set already", err=True)
        return 0
    attempt = _attempt(lock, given)
    before, after = attempt(old.name), attempt(wanted.name)
    changes = compare_trials(before, after)
    against = faults(changes, by="fail" if accept_slower else "slower")
    place = None if against else write_default(lock, wanted.name)
    report = {
        "from": old.name, "to": wanted.name, "changes": [change.as_dict() for change in changes],
        "against": against, "lock": str(place) if place else None,
    }  # fmt: skip
    if as_json:
        print_json(report)
    else:
        click.echo("\n".join(_lines(changes, old.name, wanted.name)))
    if place is None:
        error = BuildFailedError(
            f"the default set stays {old.name}", where=str(lock.path),
            why=f"{len(against)} reasons speak against {wanted.name}", details=against[:20],
            hint="npukbuild toolchain bisect finds the set that brought it; see also --accept-slower",
        )  # fmt: skip
        show_error(error, as_json=False)
        return error.exit_code
    click.echo(f"{place}: the default set is {wanted.name} now", err=True)
    return 0


@click.command()
@click.argument("sets", nargs=-1)
@click.option("--by", type=click.Choice(["fail", "numbers", "slower"]), default="fail", show_default=True,
              help="What makes a set bad: a kernel fails, or also this.")  # fmt: skip
@_trial_options
def bisect(sets: tuple[str, ...], by: str, as_json: bool, **given: Any) -> int:
    """Find the first of SETS, oldest first, with which a kernel of a manifest no longer does what it did.

    Without SETS, all sets of the lock file are searched, by version. Exit code 1 means: one was found.
    """
    from npukbuild.publish.bisect import bisect as search
    from npukbuild.publish.bisect import ordered_sets
    from npukbuild.toolchain.lock import read_lock

    lock = read_lock(given["lock_path"])
    found = search(ordered_sets(lock, sets), _attempt(lock, given), by=by)
    if as_json:
        print_json(found.as_dict())
        return int(found.bad is not None)
    for name, why in found.skipped.items():
        click.echo(f"{name} was skipped: {why}")
    if found.bad is None:
        click.echo(f"no set is bad; {len(found.tried)} were tried")
        return 0
    click.echo(f"the first bad set is {found.bad}, the last good one {found.good}")
    for fault in found.faults:
        click.echo(f"  {fault}")
    return 1


def _attempt(lock: LockFile, given: dict[str, Any]) -> Callable[[str], Trial]:
    """Return a function that installs a set if need be, and tries it."""
    from npukbuild.publish.trial import run_trial
    from npukbuild.toolchain.install import install

    def say(text: str) -> None:
        click.echo(text, err=True)

    def attempt(name: str) -> Trial:
        install(
            lock.choose(name), lock, wheelhouse=given["wheelhouse"], offline=given["offline"],
            python=given["python"], say=say,
        )  # fmt: skip
        return run_trial(name, options, say)

    options = _options(lock, given)
    return attempt


def _options(lock: LockFile, given: dict[str, Any]) -> TrialOptions:
    from npukbuild.publish.trial import TrialOptions

    return TrialOptions(
        given["manifest"], given["build_dir"], lock.path, given["filters"], given["device"],
        given["iterations"], given["jobs"], given["runner_python"],
    )  # fmt: skip


def _lines(changes: list[Change], old: str, new: str) -> list[str]:
    lines = [f"{len(changes)} kernels with {new} against {old}"]
    lines += [f"  {change.kernel}  {_said(change)}" for change in changes if change.notable]
    same = sum(not change.notable for change in changes)
    lines.append(f"  {same} of {len(changes)} with the same numbers and times")
    if all(change.device != "npu" for change in changes):
        packages = sum(change.bytes_changed for change in changes)
        lines.append(f"  not run on an NPU: numbers and times are the simulator's; {packages} XCLBINs differ")
    return lines


def _said(change: Change) -> str:
    if change.broke:
        return f"fails: {change.broke}"
    if change.mended:
        return "passes now"
    parts = [f"other numbers for {', '.join(change.numbers)}"] if change.numbers else []
    if change.time and change.time["verdict"] != "same":
        time = change.time
        parts.append(f"{time['verdict']} {time['ratio'] - 1:+.1%} (noise {time['noise']:.1%})")
    return "; ".join(parts)
