"""``npukbuild cache``: what the build cache holds, and cleaning it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from npukbuild.cli.report import print_json

if TYPE_CHECKING:
    from npukbuild.engine.evict import Usage
    from npukbuild.engine.store import LocalStore


@click.group()
def cache() -> None:
    """Inspect and clean the build cache.

    It lies in NPUKBUILD_CACHE_DIR, by default ~/.cache/npukbuild, and holds at
    most NPUKBUILD_CACHE_SIZE (5G). What was used longest ago goes first; what a
    running build uses never goes.
    """


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def stats(as_json: bool) -> None:
    """Show how much the cache holds."""
    from npukbuild.engine.evict import cap_bytes, usage
    from npukbuild.engine.progress import size

    store = _open()
    held, cap = usage(store), cap_bytes()
    if as_json:
        print_json(
            {
                "folder": str(store.folder),
                "results": held.results,
                "contents": held.contents,
                "bytes": held.bytes,
                "cap_bytes": cap,
                "writable": store.writable,
            }
        )
        return
    click.echo(f"folder   {store.folder}" + ("" if store.writable else " (cannot be written)"))
    click.echo(f"results  {held.results:,}, with {held.contents:,} files")
    click.echo(f"size     {size(held.bytes)} of {size(cap)}")


@cache.command()
@click.option("--size", "limit", metavar="SIZE", help="Go down to this size, as in 500M. [default: the cap]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def gc(limit: str | None, as_json: bool) -> None:
    """Remove what was used longest ago until the cache is small enough."""
    from npukbuild.engine.evict import cap_bytes, collect, parse_size

    _removed(collect(_open(), parse_size(limit) if limit else cap_bytes()), as_json=as_json)


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def clear(as_json: bool) -> None:
    """Remove everything that no running build uses."""
    from npukbuild.engine.evict import clear as clear_store

    _removed(clear_store(_open()), as_json=as_json)


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def verify(as_json: bool) -> None:
    """Read and check every entry; damaged ones are removed."""
    from npukbuild.engine.evict import verify as verify_store

    found = verify_store(_open())
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found['checked']:,} entries checked, {found['damaged']:,} damaged and removed")


def _open() -> LocalStore:
    from npukbuild.engine.store import LocalStore, default_cache_dir

    return LocalStore(default_cache_dir(), lambda text: click.echo(text, err=True))


def _removed(left: Usage, *, as_json: bool) -> None:
    from npukbuild.engine.progress import size

    if as_json:
        print_json(left.as_dict())
    else:
        click.echo(f"removed {left.removed:,} entries, {size(left.freed_bytes)}; {size(left.bytes)} left")
