"""``npukbuild keys``: make, list, export and trust signing keys."""

from __future__ import annotations

from pathlib import Path

import click

from npukbuild.cli.report import print_json


@click.group()
def keys() -> None:
    """Make and list signing keys (ed25519)."""


@keys.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def new(name: str, as_json: bool) -> None:
    """Make a key pair called NAME; its private half never leaves this machine's key folder."""
    from npukbuild.publish.keys import create_key, keys_folder

    key = create_key(name)
    if as_json:
        print_json({"name": name, "id": key.id, "folder": str(keys_folder())})
        return
    click.echo(f"{name} {key.id[:12]} in {keys_folder()}")
    click.echo(
        f"for those who are to trust your releases: npukbuild keys export {name} > {name}.pub", err=True
    )


@keys.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def list_(as_json: bool) -> None:
    """List your own keys and those you trust."""
    from npukbuild.publish.keys import keys_folder, known_keys

    known = sorted(known_keys().values(), key=lambda key: (not key.own, key.name))
    if as_json:
        print_json([{"name": key.name, "id": key.id, "own": key.own} for key in known])
        return
    if not known:
        click.echo(f"no keys in {keys_folder()}; npukbuild keys new NAME makes one", err=True)
    for key in known:
        click.echo(f"{key.id[:12]}  {'own    ' if key.own else 'trusted'}  {key.name}")


@keys.command()
@click.argument("name")
def export(name: str) -> None:
    """Print the public half of the key NAME, for those who are to trust it."""
    from npukbuild.errors import SignatureError
    from npukbuild.publish.keys import keys_folder, known_keys, public_text

    for key in known_keys().values():
        if key.name == name:
            click.echo(public_text(key), nl=False)
            return
    raise SignatureError(
        f"there is no key called {name!r}", where=str(keys_folder()), hint="npukbuild keys list"
    )


@keys.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def trust(file: Path) -> None:
    """Trust the public key in FILE: releases signed with it verify from now on."""
    from npukbuild.publish.keys import trust_key

    key = trust_key(file)
    click.echo(f"{key.id[:12]} {key.name} is trusted")
