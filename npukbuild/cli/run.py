"""``npukbuild run``: a built kernel on the user's own arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.report import Progress, explain_crashes, print_json
from npukbuild.errors import RequestError

if TYPE_CHECKING:
    from npukbuild.smoke.artifact import ArtifactFolder


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--in", "inputs", multiple=True, type=click.Path(path_type=Path), metavar="FILE.npy",
              help="An input array, once per input in ABI order.")  # fmt: skip
@click.option("--out", "output", required=True, type=click.Path(path_type=Path), metavar="FILE.npy",
              help="Where to write the result.")  # fmt: skip
@click.option("--keep-bf16", is_flag=True, help="Write a bf16 result as bf16 instead of float32.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def run(folder: Path, inputs: tuple[Path, ...], output: Path, keep_bf16: bool, as_json: bool) -> None:
    """Run the kernel in FOLDER on your own arrays, on the embedded simulator.

    Arrays have the kernel's logical shape; padding is added and removed for you.
    """
    from npukbuild.smoke.artifact import open_artifact

    artifact = open_artifact(folder)
    report = _run(artifact, inputs, output, keep_bf16, as_json)
    if as_json:
        print_json(report)
        return
    for line in report["conversions"]:
        click.echo(line, err=True)
    shape = " x ".join(str(size) for size in report["shape"])
    click.echo(f"{artifact.name}: wrote {output} ({shape} {report['dtype']})", err=True)
    click.echo(f"ran on the simulator, {report['simulated_us']:,.1f} us per call simulated", err=True)


def _run(
    artifact: ArtifactFolder, paths: tuple[Path, ...], output: Path, keep_bf16: bool, as_json: bool
) -> dict[str, Any]:
    import numpy as np

    from npukbuild.smoke.arrays import convert, load_array, save_array
    from npukbuild.smoke.buffers import crop, fill, new_buffer
    from npukbuild.smoke.kernel_check import load_on_simulator

    arguments = artifact.abi.arguments
    wanted = [argument for argument in arguments if argument.direction == "in"]
    if len(paths) != len(wanted):
        raise RequestError(
            f"{artifact.name} takes {len(wanted)} inputs, {len(paths)} were given",
            why=", ".join(f"{a.name} {' x '.join(map(str, a.logical))} {a.dtype}" for a in wanted),
            hint=" ".join(f"--in {argument.name}.npy" for argument in wanted),
        )
    conversions: list[str] = []
    buffers = {argument.name: new_buffer(argument) for argument in arguments}
    for argument, path in zip(wanted, paths, strict=True):
        array, said = convert(load_array(path), argument)
        conversions.extend([said] if said else [])
        fill(buffers[argument.name], argument, array)
    if changed := artifact.changed_files():
        conversions.append(f"warning: changed since it was checked: {', '.join(changed)}")
    with Progress() as progress:
        progress("loading the design and compiling the kernel for the host")
        loaded = load_on_simulator(artifact)
        explain_crashes(as_json=as_json)
        progress("running on the simulator")
        microseconds = loaded.call([buffers[argument.name] for argument in arguments])
    (result_argument,) = (argument for argument in arguments if argument.direction != "in")
    result = crop(buffers[result_argument.name], result_argument)
    if result_argument.dtype == "bf16" and not keep_bf16:
        result = result.astype(np.float32)
        conversions.append(f"{result_argument.name}: bf16 written as float32, without loss")
    save_array(output, np.ascontiguousarray(result))
    return {
        "artifact": str(artifact.path),
        "device": loaded.device,
        "output": str(output),
        "shape": list(result.shape),
        "dtype": str(result.dtype),
        "simulated_us": microseconds,
        "conversions": conversions,
    }
