"""``npukbuild toolchain``: install and inspect the pinned toolchain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from npukbuild.cli.report import print_json
from npukbuild.cli.toolchain_bump import bisect, bump

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGE = 20_000_000
_LOCK = click.option(
    "--lock",
    "lock_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Use this lock file instead of the one that comes with npukbuild.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_SET = click.option("--set", "set_name", help="The set to use (default: the lock file's default).")


@click.group()
def toolchain() -> None:
    """Install and inspect the pinned toolchain (mlir_aie and Peano)."""


def _say(text: str) -> None:
    click.echo(text, err=True)


def _progress() -> Callable[[str, int, int | None], None]:
    """Return a reporter: on a terminal one rewritten line, elsewhere a line per file, ten for a large one."""
    tty = sys.stderr.isatty()
    told: dict[str, int] = {}

    def tell(name: str, done: int, total: int | None) -> None:
        whole = total is not None and done >= total
        parts = 100 if tty else 10 if total is None or total > _LARGE else 1
        step = done * parts // total if total else done // _LARGE
        if step == told.get(name, 0) and not (whole and told.get(name) is None):
            return
        told[name] = step
        amount = f"{done / 1e6:,.1f} MB" + (f" of {total / 1e6:,.1f}" if total else "")
        short = name if len(name) <= 44 else name[:41] + "..."
        click.echo(
            f"\r{short}  {amount}\x1b[K" if tty else f"{short}  {amount}", err=True, nl=whole or not tty
        )

    return tell


@toolchain.command()
@_SET
@click.option(
    "--wheelhouse",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Take wheels from this folder before downloading any.",
)
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--python", type=click.Path(path_type=Path), help="The Python interpreter to build with.")
@click.option("--download-python", is_flag=True, help="Let uv download the interpreter if there is none.")
@_LOCK
@_JSON
def install(
    set_name: str | None,
    wheelhouse: Path | None,
    offline: bool,
    python: Path | None,
    download_python: bool,
    lock_path: Path | None,
    as_json: bool,
) -> None:
    """Make the pinned environment from exact wheels, each checked by its sha256."""
    from npukbuild.toolchain.install import install as run_install
    from npukbuild.toolchain.lock import read_lock

    lock = read_lock(lock_path)
    chosen = lock.choose(set_name)
    _say(f"set {chosen.name}: {chosen.summary}")
    done = run_install(
        chosen,
        lock,
        wheelhouse=wheelhouse,
        offline=offline,
        python=python,
        may_download_python=download_python,
        say=_say,
        progress=_progress(),
    )
    if as_json:
        print_json(
            {
                "set": chosen.name,
                "folder": str(done.folder),
                "new": done.fresh,
                "identity": done.marker.identity,
            }
        )
        return
    click.echo(f"{'installed' if done.fresh else 'already installed'}: {done.folder}")


@toolchain.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@_SET
@click.option("--platform", help="Fill it for another platform, like linux-x86_64.")
@_LOCK
@_JSON
def mirror(
    folder: Path, set_name: str | None, platform: str | None, lock_path: Path | None, as_json: bool
) -> None:
    """Fill FOLDER with every wheel of a set, for machines without network.

    There: npukbuild toolchain install --offline --wheelhouse FOLDER
    """
    from npukbuild.errors import InstallError
    from npukbuild.toolchain.lock import read_lock
    from npukbuild.toolchain.paths import wheelhouse_folder
    from npukbuild.toolchain.platforms import host_platform
    from npukbuild.toolchain.wheelhouse import fill_wheelhouse

    chosen = read_lock(lock_path).choose(set_name)
    if chosen.incomplete:
        raise InstallError(f"set {chosen.name} cannot be mirrored", why=chosen.incomplete)
    wanted = platform or host_platform().name
    if wanted not in chosen.platforms:
        raise InstallError(
            f"set {chosen.name} has no wheels for {wanted}",
            why="it has them for " + ", ".join(chosen.platforms),
        )
    filled = fill_wheelhouse(
        chosen, folder.absolute(), platform=wanted, sources=[wheelhouse_folder()], progress=_progress()
    )
    if as_json:
        print_json(
            {
                "set": chosen.name,
                "folder": str(filled.folder),
                "present": filled.present,
                "copied": filled.copied,
                "downloaded": filled.downloaded,
            }
        )
        return
    count = len(filled.present) + len(filled.copied) + len(filled.downloaded)
    click.echo(f"{filled.folder} holds all {count} wheels of set {chosen.name} for {wanted}")


@toolchain.command()
@click.option("--check", is_flag=True, help="Hash every installed file and compare.")
@_LOCK
@_JSON
def status(check: bool, lock_path: Path | None, as_json: bool) -> int:
    """Show what is installed; the exit code is 14 when the default set is not."""
    from npukbuild.toolchain.installed import status as read_status
    from npukbuild.toolchain.lock import read_lock

    lock = read_lock(lock_path)
    states = read_status(lock, thorough=check)
    wanted = next(state for state in states if state.chosen.name == lock.default)
    if as_json:
        print_json({"lock": str(lock.path), "sets": [state.as_dict() for state in states]})
    else:
        for state in states:
            if state.marker is not None or state.is_default:
                click.echo(f"{state.chosen.name}: {state.state}")
                click.echo(f"  {state.folder}" if state.marker else "  npukbuild toolchain install")
    return 0 if wanted.state == "installed" else 14


@toolchain.command("list")
@_LOCK
@_JSON
def list_(lock_path: Path | None, as_json: bool) -> None:
    """List the sets of the lock file."""
    from npukbuild.toolchain.installed import status as read_status
    from npukbuild.toolchain.lock import read_lock

    lock = read_lock(lock_path)
    states = read_status(lock)
    if as_json:
        print_json({"lock": str(lock.path), "sets": [state.as_dict() for state in states]})
        return
    for state in states:
        chosen = state.chosen
        mark = " (default)" if state.is_default else ""
        click.echo(f"{chosen.name}{mark}: {state.state}")
        click.echo(f"  {chosen.summary}")
        versions = (
            f"mlir_aie {chosen.version_of('mlir_aie')}, llvm_aie {chosen.version_of('llvm_aie') or 'none'}"
        )
        click.echo(f"  {versions}, Python {chosen.python}")
        click.echo(f"  source: {chosen.source}")
    for bad in lock.bad_peano:
        click.echo(f"refused: Peano {bad.version or bad.commit}, {bad.reason} ({bad.source})")


@toolchain.command()
@click.argument("set_name")
def remove(set_name: str) -> None:
    """Remove the environments of a set; downloaded wheels stay in the wheelhouse."""
    from npukbuild.toolchain.installed import remove as run_remove

    for folder in run_remove(set_name):
        click.echo(f"removed {folder}")


toolchain.add_command(bump)
toolchain.add_command(bisect)
