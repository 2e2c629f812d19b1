"""``npukbuild matmul``: plan, render, check and try a matmul in one go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.options import matmul_options, matmul_problem, toolchain_options
from npukbuild.cli.report import CHECK, Progress, json_text

if TYPE_CHECKING:
    from npukbuild.engine.pipeline import Artifact


@click.command()
@matmul_options
@toolchain_options
@click.option("--require-xclbin", is_flag=True, help="Fail when the toolchain is not installed.")
@click.option(
    "--build-dir",
    type=click.Path(path_type=Path),
    default=Path("build"),
    show_default=True,
    help="Where results go.",
)
def matmul(
    target: str,
    cols: int | None,
    block: tuple[int, int, int] | None,
    as_json: bool,
    build_dir: Path,
    require_xclbin: bool,
    **options: Any,
) -> None:
    """Build and check C[M,N] = A[M,K] x B[K,N].

    Writes the design, the kernel, the plan and the verdict of the check into
    BUILD-DIR/TARGET/NAME, and the XCLBIN too when the toolchain is installed.

    \b
    Examples:
      npukbuild matmul --m 64 --n 512
      npukbuild matmul --m 3001 --k 512 --n 512
      npukbuild matmul --m 512 --k 512 --n 512 --dtype i8 --target npu2
    """
    from npukbuild.engine.dependencies import remember
    from npukbuild.engine.pipeline import Options, build_artifact

    matmul_problem(**options)
    request = {"family": "matmul", **options, "target": target, "cols": cols, "block": block}
    with Progress() as progress:
        artifact, built = build_artifact(
            request, Options(build_dir, require_xclbin=require_xclbin), CHECK, progress=progress
        )
    report = make_report(artifact)
    said = json_text(report) if as_json else "\n".join(summary(report))
    click.echo(said)
    remember(built.dependencies, f"{said}\n")


_PLAN_KEYS = ("block", "columns", "rows", "l1_bytes", "l2_bytes", "calls", "prediction")


def make_report(artifact: Artifact) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    plan = artifact.plan
    return {
        "artifact": str(artifact.folder),
        "name": artifact.manifest["name"],
        "target": artifact.manifest["target"],
        "problem": plan["problem"],
        "plan": {key: plan[key] for key in _PLAN_KEYS},
        "verdict": dict(artifact.verdict),
        "abi": artifact.manifest["abi"],
        "xclbin": artifact.manifest["files"].get("kernel.xclbin"),
        "seconds": dict(artifact.seconds),
    }


def summary(report: dict[str, Any]) -> list[str]:
    """Return the lines a person reads."""
    from npukbuild.targets import load_target

    plan, verdict = report["plan"], report["verdict"]
    target = load_target(report["target"])
    block, cores = plan["block"], plan["columns"] * plan["rows"]
    size = f"{block['m']} x {block['k']} x {block['n']} (m x k x n)"
    rows = {"block": f"{size} on {_count(cores, 'core')} of {target.cores}, {_count(plan['calls'], 'call')}"}
    if padded := _padded(report["abi"]["arguments"]):
        rows["padded"] = padded
    rows["L1"] = f"{plan['l1_bytes']:,} of {target.core.data_bytes:,} bytes per core"
    rows["L2"] = f"{plan['l2_bytes']:,} of {target.mem.data_bytes:,} bytes per memtile"
    rows["check"] = (
        f"{verdict['status']} on the {verdict['device']}: {_count(len(verdict['inputs']), 'input')}, "
        f"largest error {_of_bound(verdict)}"
    )
    rows["time"] = f"{plan['prediction']['total_us']:,.1f} us per call, estimated"
    rows["folder"] = report["artifact"]
    rows["xclbin"] = "kernel.xclbin" if report["xclbin"] else "not built: the toolchain is not installed"
    lines = [f"{report['name']} for {report['target']}", ""]
    lines.extend(f"  {label:<8}{text}" for label, text in rows.items())
    if not report["xclbin"]:
        lines.append(f"  {'':<8}to build it: npukbuild toolchain install")
    return lines


def _of_bound(verdict: dict[str, Any]) -> str:
    if verdict["bound"] == 0:
        return (
            f"{verdict['max_error']:g}: exact" if verdict["max_error"] == 0 else f"{verdict['max_error']:.3g}"
        )
    bias = abs(verdict["bias"]) / (verdict["bias_bound"] or 1.0)
    return f"{verdict['max_error'] / verdict['bound']:.0%} of its bound, bias {bias:.0%}"


def _padded(arguments: list[dict[str, Any]]) -> str:
    return "; ".join(
        f"{argument['name']} {_by(argument['logical'])} as {_by(argument['shape'])}"
        for argument in arguments
        if argument["logical"] != argument["shape"]
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _by(shape: list[int]) -> str:
    return " x ".join(str(size) for size in shape)
