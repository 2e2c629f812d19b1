"""``npukbuild build``: every kernel of a manifest."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from npukbuild.cli.options import toolchain_options
from npukbuild.cli.report import CHECK, error_lines, json_text, print_json
from npukbuild.errors import BuildFailedError, NpukbuildError, RequestError

if TYPE_CHECKING:
    from npukbuild.engine.kernel_graph import KernelRequest
    from npukbuild.engine.pipeline import BuildReport


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path), required=False)
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), default=None, help="Actions at once. [default: one per core]"
)
@click.option("--keep-going", is_flag=True, help="Build the other kernels when one fails.")
@click.option("--filter", "filters", multiple=True, metavar="PATTERN",
              help="Only kernels whose TARGET/NAME matches, as in 'npu1/*512*'; repeatable.")  # fmt: skip
@click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build"), show_default=True,
              help="Where results go.")  # fmt: skip
@click.option("--force", is_flag=True, help="Build again what is in the cache.")
@click.option("--remote", metavar="ADDRESS", help="Shared cache: a folder or http://HOST:PORT/.")
@click.option("--workers", metavar="dask://HOST:PORT", help="Build on a cluster, see docs/farm.md.")
@toolchain_options
@click.option("--require-xclbin", is_flag=True, help="Fail when the toolchain is not installed.")
@click.option("--list", "only_list", is_flag=True, help="List the kernels and build nothing.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of a manifest and build nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def build(
    manifest: Path | None,
    jobs: int | None,
    keep_going: bool,
    filters: tuple[str, ...],
    build_dir: Path,
    force: bool,
    remote: str | None,
    workers: str | None,
    require_xclbin: bool,
    only_list: bool,
    schema: bool,
    as_json: bool,
) -> int:
    """Build and check every kernel of MANIFEST.

    What has not changed since the last time is not built again. Ctrl-C keeps
    what is finished.

    \b
    Examples:
      npukbuild build examples/kernels.toml
      npukbuild build kernels.toml -j 8 --keep-going --filter 'npu1/*'
    """
    from npukbuild.engine.manifest import read_manifest
    from npukbuild.engine.manifest_schema import json_schema

    if schema:
        print_json(json_schema())
        return 0
    if manifest is None:
        raise RequestError("no manifest given", hint="npukbuild build kernels.toml")
    read = read_manifest(manifest)
    kernels = chosen(read.kernels, filters)
    if only_list:
        click.echo(json_text([kernel.group for kernel in kernels]) if as_json else _lines(kernels))
        return 0
    from npukbuild.engine.pipeline import Options

    options = Options(
        build_dir, jobs=jobs or 0, keep_going=keep_going, force=force, remote=remote, workers=workers,
        require_xclbin=require_xclbin,
    )  # fmt: skip
    report = _build(kernels, options, read.files, as_json=as_json)
    if not report.failed:
        return 0
    error = _failed(report)
    if not as_json:
        raise error
    # The report on stdout carries the errors already; a second object there would break whoever reads it.
    click.echo("\n".join(error_lines(error)), err=True)
    return error.exit_code


def chosen(kernels: list[KernelRequest], filters: tuple[str, ...]) -> list[KernelRequest]:
    """Return the kernels that match one of ``filters``, all without any.

    Raises:
        RequestError: None matches.
    """
    if not filters:
        return kernels
    found = [kernel for kernel in kernels if any(_matches(kernel, pattern) for pattern in filters)]
    if not found:
        raise RequestError(
            f"no kernel matches {' or '.join(filters)}",
            why=f"the manifest has {len(kernels)} kernels, such as {kernels[0].group}",
            hint="npukbuild build MANIFEST --list shows them all",
        )
    return found


def _matches(kernel: KernelRequest, pattern: str) -> bool:
    return fnmatchcase(kernel.group, pattern) or fnmatchcase(kernel.name, pattern)


def _lines(kernels: list[KernelRequest]) -> str:
    return "\n".join(kernel.group for kernel in kernels)


def _build(kernels: list[KernelRequest], options: object, files: list[Path], *, as_json: bool) -> BuildReport:
    import os

    from npukbuild.engine.dependencies import remember
    from npukbuild.engine.pipeline import Options, build_kernels
    from npukbuild.engine.progress import make_progress
    from npukbuild.engine.summary import as_data, closing_table, total_line, unchanged_line

    assert isinstance(options, Options)
    started = time.monotonic()
    progress = make_progress(len(kernels), options.jobs or os.cpu_count() or 1)
    finished = []

    def on_result(result: object) -> None:
        finished.append(result)
        progress.result(result)  # type: ignore[arg-type]

    try:
        with progress:
            report = build_kernels(
                kernels, options, CHECK, reporter=progress, say=progress.say, on_result=on_result
            )
    except KeyboardInterrupt:
        kept = [result for result in finished if result.status in ("built", "hit")]  # type: ignore[attr-defined]
        click.echo(f"stopped: {len(kept)} of {len(kernels)} kernels are finished and kept", err=True)
        raise
    wall = time.monotonic() - started
    if as_json:
        click.echo(json_text(as_data(report, wall)))
        remember(report.dependencies, json_text(_unchanged(as_data(report, 0.0))) + "\n", files=files)
    else:
        table = closing_table(report, wall)
        click.echo("\n".join(table))
        assert table[-1] == total_line(report.results, wall)
        remember(report.dependencies, unchanged_line(report.results) + "\n", files=files)
    return report


def _unchanged(data: dict[str, object]) -> dict[str, object]:
    """Return the report of a build in which nothing was left to do."""
    kernels = data["kernels"]
    assert isinstance(kernels, list)
    same = [{**one, "status": "hit", "seconds": 0.0, "because": "nothing changed"} for one in kernels]
    return {**data, "kernels": same, "built": 0, "hit": len(same)}


def _failed(report: BuildReport) -> NpukbuildError:
    failed = [result for result in report.results if result.status == "failed"]
    if len(failed) == 1 and failed[0].error is not None:
        return failed[0].error
    return BuildFailedError(
        f"{len(failed)} of {len(report.results)} kernels failed",
        details=[f"{result.kernel.group}: {result.error.what if result.error else ''}" for result in failed],
    )
