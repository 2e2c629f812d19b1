"""``npukbuild diagnose``: explain a tool's log, from anywhere."""

from __future__ import annotations

from pathlib import Path

import click

from npukbuild.cli.report import print_json


@click.command()
@click.argument("logfile", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--all", "show_all", is_flag=True, help="Show every finding, not the first one only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def diagnose(logfile: Path, show_all: bool, as_json: bool) -> None:
    """Explain LOGFILE: the first real error, its place, the probable cause and the fix.

    Knows the messages of Peano, aiecc, aie-opt, xclbinutil, bootgen, XRT, pyxrt and the amdxdna driver.
    """
    from npukbuild.toolchain.diagnosis import diagnose_log

    diagnosis = diagnose_log(logfile)
    if as_json:
        print_json({"log": str(logfile), **diagnosis.as_dict()})
        return
    if not diagnosis.tail and diagnosis.first is None:
        click.echo(f"{logfile}: the log is empty: the tool was killed or wrote elsewhere")
        return
    if diagnosis.first is None:
        click.echo(f"{logfile}: no error that is known in {diagnosis.lines} lines; it ends with")
        for line in diagnosis.tail:
            click.echo(f"  {line}")
        return
    shown = diagnosis.findings if show_all else diagnosis.findings[:1]
    for finding in shown:
        click.echo(f"{logfile}:{finding.line}: {finding.message}")
        if finding.place:
            click.echo(f"  at     {finding.place}")
        for line in finding.excerpt:
            click.echo(f"         {line}")
        click.echo(f"  cause  {finding.cause}")
        click.echo(f"  fix    {finding.fix}")
    rest = len(diagnosis.findings) - len(shown)
    if rest:
        click.echo(f"{rest} more after it; --all shows them")
