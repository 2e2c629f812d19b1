"""``npukbuild insts``: decode instruction streams and hold them against their designs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.report import print_json
from npukbuild.errors import ContainerError

if TYPE_CHECKING:
    from npukbuild.xclbin.insts import Stream
    from npukbuild.xclbin.insts_check import Mismatch

_FILE = click.Path(dir_okay=False, path_type=Path)
_SHOWN = 40
"""Operations printed without --all."""


@click.group()
def insts() -> None:
    """Decode an instruction stream (insts.bin)."""


@insts.command("inspect")
@click.argument("file", type=_FILE)
@click.option("--design", type=_FILE, help="Check FILE against this design's runtime sequence.")
@click.option("--all", "show_all", is_flag=True, help=f"Print every operation, not only the first {_SHOWN}.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def inspect_(file: Path, design: Path | None, show_all: bool, as_json: bool) -> None:
    """Show what the instruction stream FILE does; exit code 18 if it is not the design's."""
    from npukbuild.xclbin.insts_report import inspect_stream

    stream = _load(file)
    mismatches = None if design is None else _check(stream, design)
    report = inspect_stream(stream)
    if as_json:
        checked = None
        if mismatches is not None:
            checked = {
                "file": str(design),
                "ok": not mismatches,
                "mismatches": [m.as_dict() for m in mismatches],
            }
        print_json({"file": str(file), **report, "design": checked})
    else:
        click.echo("\n".join(_lines(report, None if show_all else _SHOWN)))
        if mismatches is not None:
            for mismatch in mismatches:
                click.echo(f"mismatch  {mismatch}")
            count = len(mismatches)
            verdict = f"{count} mismatch{'es' * (count != 1)} with" if count else "the stream is that of"
            click.echo(f"{verdict} {design}")
    if mismatches:
        raise click.exceptions.Exit(ContainerError.exit_code)


def _load(file: Path) -> Stream:
    from npukbuild.xclbin.files import read_file
    from npukbuild.xclbin.insts import MAX_BYTES, decode

    data = read_file(file, MAX_BYTES)
    try:
        return decode(data)
    except ContainerError as error:
        error.where = str(file) if error.where is None else f"{file}, {error.where}"
        raise


def _check(stream: Stream, design: Path) -> tuple[Mismatch, ...]:
    from npukbuild.ir import load_design
    from npukbuild.xclbin.files import read_file
    from npukbuild.xclbin.insts import check_against_design

    text = read_file(design).decode("utf-8", "replace")
    return check_against_design(stream, load_design(text, file=str(design)))


def _lines(report: dict[str, Any], most: int | None) -> list[str]:
    columns = report["columns"]
    counts = ", ".join(f"{count} {name}" for name, count in report["counts"].items())
    lines = [
        f"device      {report['device']}, {columns} column{'s' * (columns != 1)}",
        f"words       {report['words']}",
        f"operations  {counts or 'none'}",
        "",
    ]
    operations = report["operations"]
    shown = operations if most is None else operations[:most]
    lines += [f"{row['word']:>6}  {row['text']}" for row in shown]
    if len(shown) < len(operations):
        lines.append(f"        ... {len(operations) - len(shown)} more (--all)")
    return lines
