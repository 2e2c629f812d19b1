"""``npukbuild render``: write the sources of a kernel, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.options import matmul_options, matmul_problem
from npukbuild.cli.report import print_json

if TYPE_CHECKING:
    from npukbuild.render import Sources


@click.group()
def render() -> None:
    """Write only design.mlir and kernel.cc."""


@render.command()
@matmul_options
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the two files; made if it is not there.",
)
def matmul(
    target: str,
    cols: int | None,
    block: tuple[int, int, int] | None,
    as_json: bool,
    output: Path,
    **options: Any,
) -> None:
    """Write design.mlir and kernel.cc of C[M,N] = A[M,K] x B[K,N] into a folder.

    \b
    Example:
      npukbuild render matmul --m 64 --n 512 -o out
    """
    from npukbuild.planner import plan_matmul
    from npukbuild.render import render as render_plan
    from npukbuild.targets import load_target

    plan = plan_matmul(matmul_problem(**options), load_target(target), block=block, cols=cols)
    files = write_sources(render_plan(plan), output)
    if as_json:
        print_json({"name": plan.name, "target": plan.target_name, "files": [str(file) for file in files]})
    else:
        click.echo("\n".join(f"wrote {file}" for file in files))


def write_sources(sources: Sources, folder: Path) -> tuple[Path, Path]:
    """Write both files into ``folder``, each whole or not at all, and return their paths.

    Raises:
        FolderError: The folder or a file cannot be written.
    """
    from npukbuild.errors import FolderError

    design, kernel = folder / "design.mlir", folder / "kernel.cc"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace_all({design: sources.design, kernel: sources.kernel})
    except OSError as error:
        import errno

        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FolderError(
            f"cannot write into {folder}", why=error.strerror, hint="choose another folder with -o"
        ) from error
    return design, kernel


def _replace_all(texts: dict[Path, str]) -> None:
    """Write every text beside its place first and rename only when all are on the disk."""
    import os
    import tempfile

    written: dict[Path, str] = {}
    try:
        for place, text in texts.items():
            handle, temporary = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
            written[place] = temporary
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(0o644)
        for place, temporary in list(written.items()):
            Path(temporary).replace(place)
            del written[place]
    finally:
        for temporary in written.values():
            Path(temporary).unlink(missing_ok=True)
