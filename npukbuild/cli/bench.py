"""``npukbuild bench``: time a kernel and compare with an earlier run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from npukbuild.cli.report import Progress, explain_crashes, print_json
from npukbuild.cli.smoke import find_artifact
from npukbuild.errors import InputError


@click.command()
@click.argument("kernels", nargs=-1, required=True)
@click.option("--device", type=click.Choice(["auto", "npu", "simulator"]), default="auto", show_default=True)
@click.option("--iterations", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--warmup", type=click.IntRange(min=0), default=10, show_default=True)
@click.option("--runner-python", type=click.Path(path_type=Path), default=None)
@click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build"), show_default=True)
@click.option("--against", type=click.Path(path_type=Path), default=None, metavar="FILE.json",
              help="An earlier run's --json output to compare with.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def bench(
    kernels: tuple[str, ...], device: str, iterations: int, warmup: int, runner_python: Path | None,
    build_dir: Path, against: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Time KERNELS (folders or names). With --against, exit code 1 means: something is slower than before.

    A change counts when it is beyond three standard errors of both medians and beyond 3 %.
    """
    from npukbuild.smoke.statistics import Timing, compare
    from npukbuild.smoke.timing import time_artifact

    before = _read(against) if against else {}
    explain_crashes(as_json=as_json)
    rows: list[dict[str, Any]] = []
    for kernel in kernels:
        artifact = find_artifact(kernel, build_dir)
        with Progress() as progress:
            timing, device_name, environment = time_artifact(
                artifact, device=device, iterations=iterations, warmup=warmup, runner_python=runner_python,
                progress=progress,
            )  # fmt: skip
        key = f"{artifact.target}/{artifact.name}"
        row: dict[str, Any] = {
            "kernel": key, "device": device_name, "timing": timing.as_dict(), "environment": environment,
        }  # fmt: skip
        earlier = before.get(key)
        if earlier and earlier["device"] == device_name:
            row["comparison"] = compare(Timing(**earlier["timing"]), timing).as_dict()
        rows.append(row)
        if not as_json:
            click.echo(_line(row))
    if as_json:
        print_json(rows)
    return int(any(row.get("comparison", {}).get("verdict") == "slower" for row in rows))


def _line(row: dict[str, Any]) -> str:
    timing = row["timing"]
    text = (
        f"{row['kernel']}  {timing['kind']} median {timing['median_us']:,.1f} us "
        f"(min {timing['min_us']:,.1f}, "
        f"p95 {timing['p95_us']:,.1f}, {timing['calls']} calls on the {row['device']})"
    )
    if change := row.get("comparison"):
        text += f"  {change['verdict']}: {change['ratio'] - 1:+.1%}, noise {change['noise']:.1%}"
    return text


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return {row["kernel"]: row for row in json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not the --json output of npukbuild bench", why=f"{type(error).__name__}: {error}"
        ) from error
