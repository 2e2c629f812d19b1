"""``npukbuild smoke``: check a built kernel on the NPU or the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.report import Progress, explain_crashes, print_json
from npukbuild.errors import CheckFailedError, FolderError

if TYPE_CHECKING:
    from npukbuild.smoke.artifact import ArtifactFolder
    from npukbuild.smoke.smoke import SmokeResult


@click.command()
@click.argument("kernel")
@click.option("--device", type=click.Choice(["auto", "npu", "simulator"]), default="auto", show_default=True)
@click.option("--iterations", type=click.IntRange(min=0), default=10, show_default=True, help="Timed calls.")
@click.option("--warmup", type=click.IntRange(min=0), default=2, show_default=True, help="Calls before them.")
@click.option("--runner-python", type=click.Path(path_type=Path), default=None,
              help="The Python that pyxrt was built for.")  # fmt: skip
@click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def smoke(
    kernel: str,
    device: str,
    iterations: int,
    warmup: int,
    runner_python: Path | None,
    build_dir: Path,
    as_json: bool,
) -> None:
    """Check KERNEL, an artifact's folder or name, and write the verdict for exactly its bytes.

    Timings of the NPU are measured, of the simulator simulated, and of xdna-emu emulated.
    """
    from npukbuild.smoke.smoke import smoke as run_smoke

    artifact = find_artifact(kernel, build_dir)
    explain_crashes(as_json=as_json)
    with Progress() as progress:
        result = run_smoke(
            artifact, device=device, iterations=iterations, warmup=warmup, runner_python=runner_python,
            progress=progress,
        )  # fmt: skip
    if as_json:
        print_json({"artifact": str(artifact.path), **result.as_dict()})
    else:
        click.echo("\n".join(lines(artifact, result)))
    if not result.verdict.passed:
        failed = [judgement for judgement in result.verdict.judgements if not judgement.passed]
        raise CheckFailedError(
            f"{artifact.name} computes wrong numbers on the {result.verdict.device}",
            why=f"input {failed[0].trial!r}: {failed[0].reason}",
            hint="the verdict is in its folder; it cannot be published",
        )


def lines(artifact: ArtifactFolder, result: SmokeResult) -> list[str]:
    """Return what a person reads."""
    verdict, timing = result.verdict, result.timing
    status = "passed" if verdict.passed else "failed"
    text = [f"{artifact.name} for {artifact.target}: {status} on the {verdict.device}"]
    text += [f"  {judgement_line(judgement.as_dict())}" for judgement in verdict.judgements]
    if timing is not None:
        text.append(
            f"  {timing.kind} us per call: min {timing.min_us:,.1f}, median {timing.median_us:,.1f}, "
            f"p95 {timing.p95_us:,.1f} ({timing.calls} calls); estimated {result.predicted_us:,.1f}"
        )
    return text


def judgement_line(judgement: dict[str, Any]) -> str:
    """Say how near to its bound an input came."""
    if not judgement["passed"]:
        return f"{judgement['input']:<14} FAILED: {judgement['reason']}"
    if judgement["bound"] == 0:
        return f"{judgement['input']:<14} exact"
    share = judgement["max_error"] / judgement["bound"]
    bias = abs(judgement["bias"]) / (judgement["bias_bound"] or 1.0)
    return f"{judgement['input']:<14} error at most {share:.0%} of its bound, bias {bias:.0%}"


def find_artifact(kernel: str, build_dir: Path) -> ArtifactFolder:
    """Return the artifact that a folder or a kernel's name means.

    Raises:
        FolderError: There is none, or several targets have one of this name.
    """
    from npukbuild.smoke.artifact import open_artifact

    if Path(kernel).is_dir():
        return open_artifact(Path(kernel))
    found = sorted(path for path in build_dir.glob(f"*/{kernel}") if (path / "manifest.json").is_file())
    if len(found) == 1:
        return open_artifact(found[0])
    raise FolderError(
        f"several artifacts are called {kernel}" if found else f"there is no artifact {kernel}",
        details=[str(path) for path in found],
        hint="give its folder" if found else f"build it first, or check --build-dir ({build_dir})",
    )
