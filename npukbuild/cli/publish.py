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
@click.argument("places", nargs=-1, metavar="[FOLDER|MANIFEST]...", type=click.Path(path_type=Path))
@click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build"), show_default=True,
              help="Where the kernels of a manifest were built.")  # fmt: skip
@click.option("--to", "location", default=DEFAULT_REGISTRY, show_default=True, metavar="REGISTRY",
              help="A folder, or oci://HOST/REPOSITORY.")  # fmt: skip
@click.option("--channel", type=click.Choice(["candidate", "stable"]), default="candidate", show_default=True,
              help="stable needs a passing check on the NPU.")  # fmt: skip
@click.option("--key", "key_name", default=None, help="Which of your keys signs; the only one by default.")
@click.option("--version", default=None, help="A version of your own; by default the bytes give it.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def publish(
    places: tuple[Path, ...],
    build_dir: Path,
    location: str,
    channel: str,
    key_name: str | None,
    version: str | None,
    as_json: bool,
) -> int:
    """Release the artifacts in the given folders, or the kernels of a manifest, that passed their check.

    A folder means every artifact in or below it; without any, the build folder is taken.
    Refuses whatever lacks a passing verdict for exactly its bytes. The others are still published; the exit
    code is that of the first refusal.
    """
    from npukbuild.publish.keys import load_signing_key
    from npukbuild.publish.publisher import publish_artifact
    from npukbuild.publish.registry import open_registry
    from npukbuild.smoke.artifact import open_artifact

    key = load_signing_key(key_name)
    artifacts = [open_artifact(folder) for folder in artifact_folders(places or (build_dir,), build_dir)]
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


def artifact_folders(places: Iterable[Path], build_dir: Path) -> list[Path]:
    """Return the artifact folders at or below ``places``, or of the manifests among them, each once.

    Raises:
        FolderError: A place holds none, or a manifest's kernel has not been built.
    """
    found: dict[Path, None] = {}
    for place in places:
        folders = _of_manifest(place, build_dir) if place.suffix == ".toml" else _below(place)
        found.update(dict.fromkeys(folders))
    return list(found)


def _below(folder: Path) -> list[Path]:
    if (folder / "manifest.json").is_file():
        return [folder]
    below = sorted(
        manifest.parent
        for pattern in ("*/manifest.json", "*/*/manifest.json")
        for manifest in folder.glob(pattern)
        if not manifest.parent.name.endswith(".failed") and not manifest.parent.name.startswith(".")
    )
    if not below:
        raise FolderError(
            f"{folder} holds no artifact",
            hint="give the folder that `npukbuild matmul` printed, the build folder, or a kernels.toml",
        )
    return below


def _of_manifest(manifest: Path, build_dir: Path) -> list[Path]:
    from npukbuild.engine.manifest import read_manifest

    folders = [build_dir.joinpath(*kernel.group.split("/")) for kernel in read_manifest(manifest).kernels]
    if missing := [str(folder) for folder in folders if not (folder / "manifest.json").is_file()]:
        raise FolderError(
            f"{len(missing)} of {len(folders)} kernels of {manifest} are not built",
            details=missing[:10],
            hint=f"npukbuild build {manifest}",
        )
    return folders
