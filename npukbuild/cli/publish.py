"""``npukbuild publish``: from checked artifacts to signed releases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.report import print_json, show_error
from npukbuild.errors import FolderError, NpukbuildError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_REGISTRY = "build/registry"


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", "location", default=DEFAULT_REGISTRY, show_default=True, metavar="REGISTRY",
              help="A folder, or oci://HOST/REPOSITORY.")  # fmt: skip
@click.option("--channel", type=click.Choice(["candidate", "stable"]), default="candidate", show_default=True,
              help="stable needs a passing check on the NPU.")  # fmt: skip
@click.option("--key", "key_name", default=None, help="Which of your keys signs; the only one by default.")
@click.option("--version", default=None, help="A version of your own; by default the bytes give it.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def publish(
    folders: tuple[Path, ...],
    location: str,
    channel: str,
    key_name: str | None,
    version: str | None,
    as_json: bool,
) -> int:
    """Release the artifacts in FOLDERS (or everything below them) that passed their check.

    Refuses whatever lacks a passing verdict for exactly its bytes. The others are still published; the exit
    code is that of the first refusal.
    """
    from npukbuild.publish.keys import load_signing_key
    from npukbuild.publish.publisher import publish_artifact
    from npukbuild.publish.registry import open_registry
    from npukbuild.smoke.artifact import open_artifact

    key = load_signing_key(key_name)
    artifacts = [open_artifact(folder) for folder in artifact_folders(folders)]
    registry = open_registry(location, create=True)
    rows: list[dict[str, Any]] = []
    code = 0
    for artifact in artifacts:
        try:
            done = publish_artifact(artifact, registry, channel=channel, key=key, version=version)
        except NpukbuildError as error:
            code = code or error.exit_code
            rows.append({"artifact": str(artifact.path), **error.as_dict()})
            show_error(error, as_json=False)
            continue
        rows.append({"artifact": str(artifact.path), "release": str(done.id), "channel": channel,
                     "new": done.new, "verified_on": done.device})  # fmt: skip
        if not as_json:
            click.echo(f"{done.id}  {channel}, checked on the {done.device}"
                       f"{'' if done.new else '; was there already'}")  # fmt: skip
    if as_json:
        print_json({"registry": registry.location, "published": rows})
    return code


def artifact_folders(paths: Iterable[Path]) -> list[Path]:
    """Return the artifact folders at or below ``paths``.

    Raises:
        FolderError: A path holds none.
    """
    found: list[Path] = []
    for path in paths:
        here = [path] if (path / "manifest.json").is_file() else []
        below = sorted(
            manifest.parent
            for manifest in path.glob("*/*/manifest.json")
            if not manifest.parent.name.endswith(".failed") and not manifest.parent.name.startswith(".")
        )
        if not here and not below:
            raise FolderError(
                f"{path} holds no artifact",
                hint="give the folder that `npukbuild matmul` printed, or the build folder",
            )
        found += here or below
    return found
