"""``npukbuild doctor``: check this machine, and say what to fix first."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from npukbuild.cli.report import print_json, use_colour

if TYPE_CHECKING:
    from npukbuild.toolchain.checks import Check
    from npukbuild.toolchain.doctor import Report

_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}
_NAME_WIDTH = 14


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--mlir-aie", type=click.Path(path_type=Path), help="Check this mlir_aie instead of the pinned one."
)
@click.option("--peano", type=click.Path(path_type=Path), help="Check this Peano instead of the pinned one.")
def doctor(as_json: bool, mlir_aie: Path | None, peano: Path | None) -> int:
    """Check everything that a build and a run need, by doing it.

    Compiles and links a small core, builds a small design, runs xclbinutil and xrt-smi, opens the NPU. The
    exit code is 1 when something stands in the way, 0 otherwise.
    """
    from npukbuild.targets import load_target
    from npukbuild.toolchain.aiecc import CoreLimits
    from npukbuild.toolchain.doctor import examine
    from npukbuild.toolchain.lock import read_lock
    from npukbuild.toolchain.machine import Machine

    core = load_target("npu1").core
    limits = CoreLimits(
        program_bytes=core.program_bytes, data_bytes=core.data_bytes, default_stack=core.default_stack
    )
    terminal = sys.stderr.isatty()

    def tell(name: str) -> None:
        if terminal:
            click.echo(f"\rchecking {name}\x1b[K", err=True, nl=False)

    report = examine(
        Machine(),
        lock=read_lock(),
        limits=limits,
        before=[("compiler", _compiler)],
        after=[("cache", _cache)],
        mlir_aie=mlir_aie,
        peano=peano,
        tell=tell,
    )
    if terminal:
        click.echo("\r\x1b[K", err=True, nl=False)
    if as_json:
        print_json(report.as_dict())
    else:
        _show(report)
    return 1 if report.worst == "fail" else 0


def _show(report: Report) -> None:
    width = max(40, min(shutil.get_terminal_size().columns, 110))
    colour = use_colour(sys.stdout)
    indent = " " * (6 + _NAME_WIDTH)
    for check in report.checks:
        body = textwrap.wrap(check.says, width - len(indent), break_long_words=False) or [""]
        state = click.style(check.state, fg=_COLOURS[check.state]) if colour else check.state
        click.echo(f"{state}  {check.name:<{_NAME_WIDTH}}{body[0]}", color=colour)
        for line in body[1:]:
            click.echo(f"{indent}{line}")
        if check.fix and check.state != "pass":
            # One fix, one line: it is there to be copied.
            click.echo(f"{indent}fix: {check.fix}")
    first = report.first
    click.echo("")
    if first is None:
        click.echo("all is well")
    else:
        click.echo(f"first: {first.fix}")


def _compiler() -> Check:
    """Find the host compiler as a simulation does: it has compiled and linked a probe when it is found."""
    from npukbuild.errors import CompilerMissingError
    from npukbuild.simulator.hostcc import find_compiler
    from npukbuild.toolchain.checks import failed, passed

    try:
        found = find_compiler()
    except CompilerMissingError as error:
        return failed("compiler", error.what, error.hint or "apt-get install g++ (12 or newer)")
    return passed("compiler", f"{found.identity}")


def _cache() -> Check:
    """Check that the build cache can be written."""
    import os
    import tempfile

    from npukbuild.engine.store import default_cache_dir
    from npukbuild.toolchain.checks import failed, passed

    folder = default_cache_dir()
    existing = next((place for place in (folder, *folder.parents) if place.is_dir()), Path("/"))
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".npukbuild-doctor-") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return failed(
            "cache",
            f"{folder} cannot be written: {error.strerror}",
            "set NPUKBUILD_CACHE_DIR to another folder",
        )
    return passed("cache", str(folder))
