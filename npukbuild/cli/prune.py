"""``npukbuild prune``: remove old releases."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import click

from npukbuild.cli.publish import DEFAULT_REGISTRY
from npukbuild.cli.report import print_json


@click.command()
@click.option("--registry", "location", default=DEFAULT_REGISTRY, show_default=True)
@click.option("--keep", type=click.IntRange(min=1), default=3, show_default=True,
              help="How many releases of each kernel and channel to keep, newest first.")  # fmt: skip
@click.option("--channel", type=click.Choice(["candidate", "stable"]), default="candidate", show_default=True)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def prune(location: str, keep: int, channel: str, dry_run: bool, as_json: bool) -> None:
    """Remove old releases of a channel; stable ones only when asked for by name."""
    from npukbuild.publish.dsse import signed_payload
    from npukbuild.publish.registry import FolderRegistry, open_registry
    from npukbuild.publish.release import ATTESTATION

    registry = open_registry(location)
    groups: dict[tuple[str, str], list[tuple[str, Any]]] = defaultdict(list)
    for release_id in registry.ids():
        release = registry.get(release_id)
        if release.channel == channel:
            about = signed_payload(release.files[ATTESTATION])["predicate"]["runDetails"]["metadata"]
            groups[release_id.target, release_id.name].append((about["finishedOn"], release_id))
    gone = [release_id for group in groups.values() for _, release_id in sorted(group, reverse=True)[keep:]]
    if not dry_run:
        for release_id in gone:
            registry.remove(release_id)
        if isinstance(registry, FolderRegistry):
            registry.sweep()
    if as_json:
        print_json({"registry": registry.location, "removed": [str(i) for i in gone], "dry_run": dry_run})
        return
    for release_id in gone:
        click.echo(f"{'would remove' if dry_run else 'removed'} {release_id}")
    if not gone:
        click.echo("nothing to remove", err=True)
