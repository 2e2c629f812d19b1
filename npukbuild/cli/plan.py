"""``npukbuild plan``: show and explain a plan without building anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.options import matmul_options, matmul_problem
from npukbuild.cli.report import print_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from npukbuild.planner.limits import TileUse
    from npukbuild.planner.memory import Item
    from npukbuild.planner.plan import MatmulPlan


@click.group()
def plan() -> None:
    """Show and explain a plan without building."""


@plan.command()
@matmul_options
@click.option(
    "--candidates",
    type=click.IntRange(min=1, max=50),
    default=3,
    show_default=True,
    help="Show this many plans in all, the chosen one first.",
)
def matmul(
    target: str,
    cols: int | None,
    block: tuple[int, int, int] | None,
    as_json: bool,
    candidates: int,
    **options: Any,
) -> None:
    """Show how C[M,N] = A[M,K] x B[K,N] would be done, and why.

    \b
    Examples:
      npukbuild plan matmul --m 3001 --k 512 --n 512
      npukbuild plan matmul --m 64 --n 512 --block 64x64x128
    """
    from npukbuild.planner import plan_matmul
    from npukbuild.targets import load_target

    chosen = plan_matmul(
        matmul_problem(**options), load_target(target), block=block, cols=cols, candidates=candidates
    )
    if as_json:
        print_json(chosen.as_dict())
    else:
        click.echo("\n".join(explain(chosen)))
        for warning in chosen.warnings:
            click.echo(f"warning: {warning}", err=True)


def explain(chosen: MatmulPlan) -> list[str]:
    """Return the lines a person reads."""
    return [
        f"{chosen.name} for {chosen.target_name}",
        "",
        *_labelled(_overview(chosen)),
        "",
        *_table(_memory_rows(chosen)),
        "",
        *_table(_use_rows(chosen)),
        "",
        *_labelled(_times(chosen)),
        *_comparison(chosen),
    ]


def _overview(chosen: MatmulPlan) -> dict[str, str]:
    scheme = chosen.scheme
    m, k, n = chosen.block
    inner = "N" if chosen.schedule.j_inner else "M"
    stays = {"": "", "a": "; the A block stays in L1", "b": "; the B block stays in L1"}[scheme.resident]
    rows = {
        "block": f"{m} x {k} x {n} (m x k x n) per core, {' x '.join(map(str, scheme.registers))} tiles of "
        f"{' x '.join(map(str, scheme.micro))} in registers",
        "grid": f"{scheme.columns} x {scheme.rows} cores (columns x rows) of {scheme.target.cores}",
        "blocks": f"{scheme.m_blocks} x {scheme.k_blocks} x {scheme.n_blocks} (along M x K x N), "
        f"{inner} innermost{stays}",
        "calls": f"{chosen.calls}, {_count(chosen.schedule.count, 'task')} per stream",
    }
    logical = (chosen.problem.m, chosen.problem.k, chosen.problem.n)
    if scheme.padded != logical:
        padded = " x ".join(map(str, scheme.padded))
        rows["padded"] = f"{' x '.join(map(str, logical))} to {padded} (M x K x N), by the host"
    return rows


def _memory_rows(chosen: MatmulPlan) -> list[list[str]]:
    from npukbuild.planner.memory import Item, core_items, mem_items
    from npukbuild.planner.program import program_bytes
    from npukbuild.planner.scheme import STACK_BYTES

    scheme = chosen.scheme
    target = scheme.target
    core = (*core_items(scheme), Item("stack", 1, STACK_BYTES))
    rows = [
        ["memory", "A", "B", "sum", "C", "stack", "total", "of"],
        _row("L1 of a core", core, target.core.data_bytes),
    ]
    for columns, column in _alike([mem_items(scheme, index) for index in range(scheme.columns)]):
        rows.append(_row(f"L2 of {columns}", mem_items(scheme, column), target.mem.data_bytes))
    program = f"{program_bytes(scheme):,}"
    rows.append(["program, estimated", *[""] * 5, program, f"{target.core.program_bytes:,}"])
    return rows


def _row(label: str, items: Sequence[Item], capacity: int) -> list[str]:
    by_name = {item.name: item for item in items}
    cells = [
        "" if name not in by_name else str(by_name[name]).removeprefix(f"{name} ")
        for name in ("A", "B", "sum", "C", "stack")
    ]
    return [label, *cells, f"{sum(item.total for item in items):,}", f"{capacity:,}"]


def _use_rows(chosen: MatmulPlan) -> list[list[str]]:
    from npukbuild.planner.limits import tile_uses

    scheme = chosen.scheme
    rows = [["tile", "in", "out", "BDs", "even/odd", "locks"]]
    uses = tile_uses(scheme)
    for kind, name in (("shim", "shim of"), ("mem", "memtile of")):
        of_kind = [use for use in uses if use.kind == kind]
        for columns, column in _alike([_numbers(use) for use in of_kind]):
            rows.append(_use_row(f"{name} {columns}", of_kind[column], chosen))
    rows.append(_use_row("core", uses[-1], chosen))
    return rows


def _numbers(use: TileUse) -> tuple[int, ...]:
    return use.s2mm, use.mm2s, use.bds, use.bds_even, use.bds_odd, use.locks


def _use_row(label: str, use: TileUse, chosen: MatmulPlan) -> list[str]:
    limits = chosen.scheme.target.limits(use.kind)
    parity = f"{use.bds_even}/{use.bds_odd} of {limits.bds_per_parity}" if limits.bds_per_parity else ""
    return [
        label,
        f"{use.s2mm} of {limits.s2mm}",
        f"{use.mm2s} of {limits.mm2s}",
        f"{use.bds} of {limits.bds}",
        parity,
        f"{use.locks} of {limits.locks}",
    ]


def _alike(values: Sequence[object]) -> list[tuple[str, int]]:
    """Group the columns whose values are equal: (``columns 0, 2``, the first of them)."""
    groups: dict[object, list[int]] = {}
    for column, value in enumerate(values):
        groups.setdefault(value, []).append(column)
    return [
        (f"column{'s' if len(columns) > 1 else ''} {_ranges(columns)}", columns[0])
        for columns in groups.values()
    ]


def _ranges(numbers: Sequence[int]) -> str:
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ", ".join(map(str, numbers))


def _times(chosen: MatmulPlan) -> dict[str, str]:
    time = chosen.prediction
    return {
        "time": f"{time.total_us:,.1f} us per call, estimated at {time.clock_ghz} GHz ({time.tops:.2f} TOPS)",
        "of it": f"compute {time.compute_us:,.1f}, DDR {time.ddr_us:,.1f}, streams {time.stream_us:,.1f}, "
        f"sequence {time.sequence_us:,.1f} us at the same time",
        "on top": f"launch {time.launch_us:,.1f}, "
        f"waits between blocks {time.stall_us:,.1f}, "
        f"first and last blocks {time.fill_us + time.serial_us:,.1f} us",
        "bound": f"{time.bound}",
    }


def _comparison(chosen: MatmulPlan) -> list[str]:
    if not chosen.alternatives:
        return []
    rows = [["plan", "block", "grid", "stays", "C", "L1", "us", "against", "bound"]]
    for number, entry in enumerate((chosen, *chosen.alternatives), 1):
        time = entry.prediction.total_us
        rows.append(
            [
                str(number),
                "x".join(map(str, entry.block)),
                f"{entry.columns}x{entry.rows}",
                entry.scheme.resident.upper() or "-",
                f"{entry.scheme.c_depth}",
                f"{entry.l1_bytes:,}",
                f"{time:,.1f}",
                "" if entry is chosen else f"{100 * (time / chosen.prediction.total_us - 1):+.1f} %",
                entry.prediction.bound,
            ]
        )
    lines = ["", *_table(rows)]
    fastest = min(entry.prediction.total_us for entry in chosen.alternatives)
    if fastest < chosen.prediction.total_us:
        lines.append("  (plan 1 leaves more of the array to others: the launch dominates this call)")
    return lines


def _labelled(rows: dict[str, str]) -> list[str]:
    return [f"  {label:<8}{text}" for label, text in rows.items()]


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lay out rows in columns: words to the left, numbers to the right, empty columns dropped."""
    rows = list(rows)
    used = [index for index in range(len(rows[0])) if any(row[index] for row in rows[1:])]
    widths = {index: max(len(row[index]) for row in rows) for index in used}
    lines = []
    for row in rows:
        cells = [row[i].ljust(widths[i]) if i == 0 else row[i].rjust(widths[i]) for i in used]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
