"""``npukbuild list``: the releases of a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.publish import DEFAULT_REGISTRY
from npukbuild.cli.report import print_json
from npukbuild.errors import RegistryError

if TYPE_CHECKING:
    from npukbuild.publish.registry import Registry
    from npukbuild.publish.release import ReleaseId


@click.command(name="list")
@click.option("--registry", "location", default=DEFAULT_REGISTRY, show_default=True)
@click.option("--family", default=None, help="Only this family.")
@click.option("--target", default=None, help="Only this target.")
@click.option("--dtype", default=None, help="Only this input type.")
@click.option("--shape", default=None, metavar="MxKxN", help="Only this problem size.")
@click.option("--channel", type=click.Choice(["candidate", "stable"]), default=None)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def list_(location: str, as_json: bool, **filters: str | None) -> None:
    """List the releases of a registry, by target, name and version."""
    from npukbuild.publish.registry import open_registry

    rows = [row for row in describe(open_registry(location)) if matches(row, filters)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo(f"no release in {location} fits", err=True)
        return
    width = max(len(row["release"]) for row in rows)
    for row in rows:
        said = row["damaged"] or f"{row['channel']:<9}  checked on the {row['verified_on']}"
        click.echo(f"{row['release']:<{width}}  {said}")


def describe(registry: Registry) -> list[dict[str, Any]]:
    """Return one row per release, without checking signatures; one that cannot be read says so in its row."""
    return [_row(registry, release_id) for release_id in registry.ids()]


def _row(registry: Registry, release_id: ReleaseId) -> dict[str, Any]:
    row: dict[str, Any] = {
        "release": str(release_id), "target": release_id.target, "name": release_id.name,
        "version": release_id.version, "channel": None, "family": release_id.name.partition("_")[0],
        "dtype": None, "shape": None, "verified_on": None, "bytes": None, "damaged": None,
    }  # fmt: skip
    try:
        release = registry.get(release_id)
        problem = release.json("plan.json").get("problem", {})
        return row | {
            "channel": release.channel,
            "family": release.manifest["request"].get("family"),
            "dtype": problem.get("dtype"),
            "shape": "x".join(str(problem.get(size)) for size in ("m", "k", "n")),
            "verified_on": release.json("verdict.json")["device"],
            "bytes": sum(len(data) for data in release.files.values()),
        }
    except RegistryError as error:
        return row | {"damaged": f"damaged: {error.what}"}
    except (KeyError, TypeError, AttributeError) as error:
        return row | {"damaged": f"damaged: {type(error).__name__}: {error}"}


def matches(row: dict[str, Any], filters: dict[str, str | None]) -> bool:
    """Say whether a row passes every filter that is set."""
    return all(wanted is None or row[name] == wanted for name, wanted in filters.items())
