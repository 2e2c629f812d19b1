"""``npukbuild nightly``: build, check, time and publish a manifest, with a report."""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.publish import DEFAULT_REGISTRY
from npukbuild.cli.report import CHECK, Progress, explain_crashes, show_error
from npukbuild.errors import BuildFailedError

if TYPE_CHECKING:
    from npukbuild.engine.kernel_graph import KernelRequest
    from npukbuild.engine.pipeline import BuildReport, Options
    from npukbuild.publish.keys import SigningKey
    from npukbuild.publish.night import KernelNight


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=None, help="Actions at once.")
@click.option("--filter", "filters", multiple=True, metavar="PATTERN", help="Only kernels that match.")
@click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build"), show_default=True)
@click.option("--to", "location", default=DEFAULT_REGISTRY, show_default=True, metavar="REGISTRY")
@click.option("--channel", type=click.Choice(["candidate", "stable"]), default="candidate", show_default=True)
@click.option("--key", "key_name", default=None, help="Which of your keys signs; the only one by default.")
@click.option("--make-key", is_flag=True, help="Make a signing key of your own first if you have none.")
@click.option("--no-publish", is_flag=True, help="Only build, check and time.")
@click.option("--device", type=click.Choice(["auto", "npu", "simulator"]), default="auto", show_default=True)
@click.option("--runner-python", type=click.Path(path_type=Path), default=None)
@click.option("--iterations", type=click.IntRange(min=1), default=10, show_default=True, help="Timed calls.")
@click.option("--warmup", type=click.IntRange(min=0), default=2, show_default=True)
@click.option("--night", default=None, metavar="ID", help="Name of this night; today's date by default.")
@click.option("--fail-on-slower", is_flag=True, help="A slower kernel makes the exit code 21 too.")
@click.option("--require-xclbin", is_flag=True, help="Fail when the toolchain is not installed.")
@click.option("--workers", metavar="dask://HOST:PORT", help="Build on a cluster.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json on stdout.")
def nightly(
    manifest: Path, jobs: int | None, filters: tuple[str, ...], build_dir: Path, location: str, channel: str,
    key_name: str | None, no_publish: bool, device: str, runner_python: Path | None, iterations: int,
    warmup: int, night: str | None, fail_on_slower: bool, require_xclbin: bool, workers: str | None,
    make_key: bool, as_json: bool,
) -> int:  # fmt: skip
    """Build, check, time and publish every kernel of MANIFEST, and report what changed.

    A night that was cut off goes on where it stopped when it is started again under the same name. Reports
    are in BUILD-DIR/nights/NIGHT: report.html, report.json, junit.xml.
    """
    from npukbuild.cli.build import chosen
    from npukbuild.engine.manifest import read_manifest
    from npukbuild.engine.pipeline import Options
    from npukbuild.publish.night import NightOptions, Nights, kernel_night
    from npukbuild.publish.night_report import write_reports
    from npukbuild.publish.registry import open_registry

    kernels = chosen(read_manifest(manifest).kernels, filters)
    key = None if no_publish else _key(key_name, make_key)
    registry = None if no_publish else open_registry(location, create=True)
    name = night or dt.datetime.now(dt.UTC).date().isoformat()
    nights = Nights(build_dir / "nights", name)
    started = time.monotonic()
    build = Options(
        build_dir, jobs=jobs or 0, keep_going=True, workers=workers, require_xclbin=require_xclbin
    )
    report = _build(kernels, build)
    options = NightOptions(device, iterations, warmup, channel, runner_python)
    rows = []
    explain_crashes(as_json=as_json)
    with Progress() as progress:
        for number, result in enumerate(report.results, start=1):
            progress(f"checking {number} of {len(report.results)}: {result.kernel.group}")
            rows.append(kernel_night(result, nights, options, registry=registry, key=key))
    about = {
        "manifest": manifest.name, "channel": channel, "registry": None if no_publish else location,
        "toolchain": _toolchain(), "duration": _duration(time.monotonic() - started),
    }  # fmt: skip
    paths = write_reports(rows, nights, about)
    if as_json:
        click.echo(paths["report.json"].read_text(encoding="utf-8"), nl=False)
    else:
        click.echo("\n".join(_lines(rows, paths["report.html"])))
    error = _failure(rows, paths["report.html"], fail_on_slower)
    if error is None:
        return 0
    show_error(error, as_json=False)
    return error.exit_code


def _key(name: str | None, make: bool) -> SigningKey:
    """Return the key to sign with; with ``make``, a new one in the user's name when there is none at all."""
    import getpass

    from npukbuild.publish.keys import create_key, keys_folder, load_signing_key

    if make and name is None and not any(keys_folder().glob("*.key")):
        plain = "".join(c for c in getpass.getuser() if c.isascii() and (c.isalnum() or c in "-_"))
        key = create_key(plain or "nightly")
        click.echo(f"made signing key {key.name} in {keys_folder()}: you had none", err=True)
        return key
    return load_signing_key(name)


def _build(kernels: list[KernelRequest], options: Options) -> BuildReport:
    from npukbuild.engine.pipeline import build_kernels
    from npukbuild.engine.progress import make_progress

    progress = make_progress(len(kernels), options.jobs or os.cpu_count() or 1)
    with progress:
        return build_kernels(
            kernels, options, CHECK, reporter=progress, say=progress.say, on_result=progress.result
        )


def _toolchain() -> str | None:
    from npukbuild.toolchain.discovery import find_toolchain

    found = find_toolchain()
    return f"mlir-aie {found.mlir_aie_version}, Peano {found.peano_version}" if found is not None else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _lines(rows: list[KernelNight], page: Path) -> list[str]:
    from npukbuild.publish.night import totals

    counted: dict[str, Any] = totals(rows)
    lines = [
        f"{row.kernel}  {row.status}" + (f": {row.error['what']}" if row.error else "")
        for row in rows
        if row.status != "passed"
    ]
    lines += [
        f"{row.kernel}  {row.comparison['verdict']} {row.comparison['ratio'] - 1:+.1%}"
        for row in rows
        if row.comparison and row.comparison["verdict"] != "same"
    ]
    lines.append(
        f"{counted['passed']} of {counted['kernels']} passed, {counted['failed']} failed, "
        f"{counted['built']} rebuilt, {counted['published']} newly published, "
        f"{counted['slower']} slower, {counted['faster']} faster"
    )
    lines.append(f"report: {page}")
    return lines


def _failure(rows: list[KernelNight], page: Path, fail_on_slower: bool) -> BuildFailedError | None:
    failed = [row.kernel for row in rows if row.status == "failed"]
    slower = [row.kernel for row in rows if (row.comparison or {}).get("verdict") == "slower"]
    if not failed and not (fail_on_slower and slower):
        return None
    what = f"{len(failed)} of {len(rows)} kernels failed" if failed else f"{len(slower)} kernels are slower"
    return BuildFailedError(what, details=(failed or slower)[:20], hint=f"see {page}")
