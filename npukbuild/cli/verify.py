"""``npukbuild verify``: is a release what its signer said, and does it come out of its sources again?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.publish import DEFAULT_REGISTRY
from npukbuild.cli.report import Progress, print_json
from npukbuild.cli.show import find_release
from npukbuild.errors import SignatureError, ToolchainMissingError

if TYPE_CHECKING:
    from npukbuild.publish.release import Release


@click.command()
@click.argument("entry")
@click.option("--registry", "location", default=DEFAULT_REGISTRY, show_default=True)
@click.option("--key", "key_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None,
              help="Accept only this public key, instead of all trusted ones.")  # fmt: skip
@click.option("--rebuild", is_flag=True, help="Build it again from its request and compare the bytes.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def verify(entry: str, location: str, key_file: Path | None, rebuild: bool, as_json: bool) -> None:
    """Check the release ENTRY: signature, every file's hash, and with --rebuild bit identity."""
    from npukbuild.publish.keys import known_keys, read_public_key
    from npukbuild.publish.registry import open_registry
    from npukbuild.publish.release import verify_release

    registry = open_registry(location)
    release = registry.get(find_release(registry, entry))
    keys = known_keys()
    if key_file is not None:
        only = read_public_key(key_file)
        keys = {only.id: only}
    _, signer = verify_release(release, keys)
    report: dict[str, Any] = {
        "release": str(release.id),
        "channel": release.channel,
        "signed_by": {"name": signer.name, "id": signer.id},
        "files": sorted(release.files),
        "verified_on": release.json("verdict.json")["device"],
    }
    if rebuild:
        report["rebuilt"] = _rebuild(release)
    if as_json:
        print_json(report)
        return
    click.echo(
        f"{release.id}: signature of {signer.name} ({signer.id[:12]}) and {len(release.files)} files hold"
    )
    click.echo(f"checked on the {report['verified_on']}, channel {release.channel}")
    if rebuild:
        click.echo(f"rebuilt bit for bit: {', '.join(report['rebuilt'])}")


def _rebuild(release: Release) -> list[str]:
    from npukbuild.cli.rebuild import rebuild_request
    from npukbuild.publish.release import PRODUCT_FILES

    with tempfile.TemporaryDirectory(prefix="npukbuild-rebuild-") as work, Progress() as progress:
        folder = rebuild_request(release.manifest["request"], Path(work), progress)
        same: list[str] = []
        different: list[str] = []
        for name in PRODUCT_FILES:
            if name in release.files:
                path = folder / name
                equal = path.is_file() and path.read_bytes() == release.files[name]
                (same if equal else different).append(name)
    if "kernel.xclbin" in different and not (folder / "kernel.xclbin").is_file():
        producer = release.manifest["producer"]
        raise ToolchainMissingError(
            f"the XCLBIN of {release.id} cannot be built here",
            why=f"it was made with {_said(producer['toolchain'])}, and no toolchain is installed",
            hint="npukbuild toolchain install",
        )
    if different:
        raise SignatureError(
            f"{release.id} does not come out of its sources again",
            why=f"other bytes in {', '.join(different)}",
            details=[_made_with(release)],
            hint="rebuild with the npukbuild version and toolchain that its provenance names",
        )
    return same


def _made_with(release: Release) -> str:
    producer = release.manifest["producer"]
    return f"released with npukbuild {producer['npukbuild']}, {_said(producer.get('toolchain'))}"


def _said(toolchain: dict[str, Any] | None) -> str:
    """Name a toolchain as a manifest records it."""
    if not toolchain:
        return "without a toolchain"
    return f"mlir-aie {toolchain.get('mlir_aie')} and Peano {toolchain.get('peano')}"
