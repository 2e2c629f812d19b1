"""``npukbuild estimate``: predict the time of every row of a table of GEMMs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.planner.cost.estimate import Estimate, Group


@click.command()
@click.option(
    "--table",
    "table",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="A table with at least the columns device, dtype_in, dtype_out, M, K, N.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def estimate(table: Path, as_json: bool) -> None:
    """Predict the time of every row of a table of GEMMs, and the error where a row reports one.

    All times are estimated by the calibrated timing model; nothing is run. A row without block sizes gets
    those of its design if it is a known one, else the planner's.
    """
    from npukbuild.cli.report import print_json
    from npukbuild.planner.cost.estimate import estimate_row
    from npukbuild.planner.cost.table import read_table

    rows = read_table(table)
    estimates: list[Estimate] = []
    with click.progressbar(
        rows, label="estimating", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as progress:
        estimates.extend(estimate_row(row) for row in progress)
    if as_json:
        print_json(_as_dict(estimates))
        return
    for line in _lines(estimates):
        click.echo(line)


def _summaries(estimates: Sequence[Estimate]) -> tuple[list[Group], list[Group], list[Group]]:
    """Return errors: of times by source, of times over all and the large rows, of other quantities."""
    from npukbuild.planner.cost.estimate import group, groups

    times = [entry for entry in estimates if entry.quantity == "time_us" and entry.measured is not None]
    large = [entry for entry in times if entry.large]
    overall = [group("all rows with a time", times)] if times else []
    if large:
        overall.append(group("block given, M*K*N >= 512^3", large))
    rates = groups(
        (entry for entry in estimates if entry.quantity != "time_us"), lambda entry: entry.quantity
    )
    return groups(times, lambda entry: entry.row.source or "(no source)"), overall, rates


def _as_dict(estimates: Sequence[Estimate]) -> dict[str, Any]:
    sources, overall, rates = _summaries(estimates)
    return {
        "kind": "estimated",
        "rows": [_row(entry) for entry in estimates],
        "sources": [entry.as_dict() for entry in sources],
        "overall": [entry.as_dict() for entry in overall],
        "other_quantities": [entry.as_dict() for entry in rates],
    }


def _row(entry: Estimate) -> dict[str, Any]:
    row = entry.row
    error = entry.error
    return {
        "line": row.line,
        "device": row.device,
        "dtype_in": row.dtype_in,
        "dtype_out": row.dtype_out,
        "size": row.size,
        "block": entry.block,
        "block_from": entry.block_from,
        "quantity": entry.quantity,
        "measured": entry.measured,
        "estimated": round(entry.predicted, 4),
        "error_percent": None if error is None else round(100 * error, 2),
        "reason": entry.reason,
        "source": row.source,
        "prediction": entry.prediction.as_dict() if entry.prediction else None,
    }


def _lines(estimates: Sequence[Estimate]) -> list[str]:
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 120
    head = ("line", "device", "types", "M x K x N", "block", "reported", "estimated", "error", "bound")
    cells = [_cells(entry) for entry in estimates]
    order = (0, 3, 5, 6, 7) if width < 100 else range(len(head))
    lines = _table([head, *cells], order, right={0, 5, 6, 7})
    sources, overall, rates = _summaries(estimates)
    summary = [
        (entry.name, str(entry.rows), *(f"{100 * value:+.1f} %" for value in (entry.mean, entry.worst)))
        for entry in [*sources, *rates, *overall]
    ]
    sizes = [f"{100 * entry.mean_absolute:.1f} %" for entry in [*sources, *rates, *overall]]
    body = [
        (_cut(name, width - 42), count, size, mean, worst)
        for (name, count, mean, worst), size in zip(summary, sizes, strict=True)
    ]
    if body:
        lines += ["", "errors of the estimates by source, of rates, and over all"]
        lines += _table(
            [("source", "rows", "mean |error|", "mean", "worst"), *body], range(5), right={1, 2, 3, 4}
        )
    lines += _far_off([*sources, *rates], width)
    reasons = sorted(
        {f"{entry.reason}: line {_where(estimates, entry.reason)}" for entry in estimates if entry.reason}
    )
    if reasons:
        lines += ["", "rows that may be far off, and why", *(f"  {reason}" for reason in reasons)]
    return [*lines, "", "all times are estimated; nothing was run"]


def _far_off(groups: Sequence[Group], width: int) -> list[str]:
    """Return which groups are far off in the mean, each with what is known about it."""
    lines: list[str] = []
    for entry in groups:
        if entry.far_off:
            lines += [_cut(f"  {entry.name}", width), *(f"    {words}" for words in entry.why)]
    return ["", "more than 30 % off in the mean, and why", *lines] if lines else []


def _where(estimates: Sequence[Estimate], reason: str | None) -> str:
    return ", ".join(str(entry.row.line) for entry in estimates if entry.reason == reason)


def _cells(entry: Estimate) -> tuple[str, ...]:
    row = entry.row
    unit = {"time_us": "us", "tops": "TOPS", "mac_per_cycle": "MAC/cy"}[entry.quantity]
    error = entry.error
    return (
        str(row.line),
        row.device,
        f"{row.dtype_in or '?'}>{row.dtype_out or '?'}",
        "x".join(map(str, row.size)) if row.size else "-",
        "x".join(map(str, entry.block)) + ("" if entry.block_from == "table" else "*"),
        "-" if entry.measured is None else f"{_figures(entry.measured)} {unit}",
        f"{_figures(entry.predicted)} {unit}",
        "-" if error is None else f"{100 * error:+.1f} %" + ("!" if entry.reason else ""),
        entry.prediction.bound if entry.prediction else "compute",
    )


def _figures(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(1, width - 3)] + "..."


def _table(rows: Sequence[Sequence[str]], order: Sequence[int] | range, right: set[int]) -> list[str]:
    widths = {column: max(len(row[column]) for row in rows) for column in order}

    def line(row: Sequence[str]) -> str:
        parts = (row[c].rjust(widths[c]) if c in right else row[c].ljust(widths[c]) for c in order)
        return "  ".join(parts).rstrip()

    return [line(row) for row in rows]
