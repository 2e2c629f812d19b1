"""``npukbuild show``: one release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from npukbuild.cli.publish import DEFAULT_REGISTRY
from npukbuild.cli.report import print_json
from npukbuild.errors import ReleaseMissingError

if TYPE_CHECKING:
    from npukbuild.publish.registry import Registry
    from npukbuild.publish.release import ReleaseId


@click.command()
@click.argument("entry")
@click.option("--registry", "location", default=DEFAULT_REGISTRY, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def show(entry: str, location: str, as_json: bool) -> None:
    """Show the release ENTRY: TARGET/NAME@VERSION, or any unambiguous part of it."""
    from npukbuild.publish.registry import open_registry

    registry = open_registry(location)
    release = registry.get(find_release(registry, entry))
    verdict = release.json("verdict.json")
    if as_json:
        print_json(
            {
                "release": str(release.id),
                "channel": release.channel,
                "manifest": release.manifest,
                "verdict": verdict,
                "files": {name: len(data) for name, data in sorted(release.files.items())},
            }
        )
        return
    click.echo(f"{release.id}  {release.channel}")
    bias = f", bias {verdict['bias']:.3g} ({verdict['bias_bound']:.3g})" if "bias" in verdict else ""
    click.echo(f"  check    {verdict['status']} on the {verdict['device']}, "
               f"largest error {verdict['max_error']:.3g} (bound {verdict['bound']:.3g}){bias}")  # fmt: skip
    for argument in release.manifest["abi"]["arguments"]:
        shape = " x ".join(str(size) for size in argument["shape"])
        kind = f"{argument['name']} {shape} {argument['dtype']}, {argument['layout']}"
        click.echo(f"  {argument['direction']:<8} {kind}")
    for name, data in sorted(release.files.items()):
        click.echo(f"  file     {name} {len(data):,} bytes")


def find_release(registry: Registry, text: str) -> ReleaseId:
    """Return the one release that ``text`` means.

    Raises:
        ReleaseMissingError: None or several fit; the nearest are listed.
    """
    ids = registry.ids()
    exact = [release_id for release_id in ids if str(release_id) == text]
    found = exact or [release_id for release_id in ids if text in str(release_id)]
    if len(found) == 1:
        return found[0]
    import difflib

    nearest = [str(i) for i in found] or difflib.get_close_matches(
        text, [str(i) for i in ids], n=5, cutoff=0.3
    )
    raise ReleaseMissingError(
        f"{len(found)} releases fit {text!r}" if found else f"no release is called {text!r}",
        where=registry.location,
        details=nearest[:10],
        hint="npukbuild list",
    )
