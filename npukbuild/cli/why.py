"""``npukbuild why``: the reason of a build in one line."""

from __future__ import annotations

from pathlib import Path

import click

from npukbuild.cli.report import CHECK, print_json


@click.command()
@click.argument("kernel")
@click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build"), show_default=True,
              help="Where it was built.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def why(kernel: str, build_dir: Path, as_json: bool) -> None:
    """Say in a line why KERNEL was built, or would be built now.

    \b
    Examples:
      npukbuild why matmul_bf16_64x64x512
      npukbuild why build/npu1/matmul_bf16_64x64x512
    """
    from npukbuild.engine.why import explain

    answer = explain(build_dir, kernel, CHECK)
    if as_json:
        print_json(answer.as_dict())
    else:
        click.echo(answer.line())
