"""``npukbuild xclbin``: look into XCLBIN files, check them, make them reproducible, compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npukbuild.cli.report import print_json
from npukbuild.errors import ContainerError, RequestError

if TYPE_CHECKING:
    from npukbuild.xclbin import Container

_FILE = click.Path(dir_okay=False, path_type=Path)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")


@click.group()
def xclbin() -> None:
    """Inspect, verify, normalise and compare XCLBIN files."""


@xclbin.command("inspect")
@click.argument("file", type=_FILE)
@_JSON
def inspect_(file: Path, as_json: bool) -> None:
    """Show what FILE holds: kernels, arguments, columns, PDIs, identity, what made it."""
    from npukbuild.xclbin import inspect

    report = inspect(_load(file))
    if as_json:
        print_json({"file": str(file), **report})
    else:
        click.echo("\n".join(_report_lines(report)))


@xclbin.command("verify")
@click.argument("file", type=_FILE)
@_JSON
def verify_(file: Path, as_json: bool) -> None:
    """List every fault of FILE; exit code 18 if one keeps it from loading."""
    from npukbuild.xclbin import verify

    faults = verify(_load(file))
    errors = [fault for fault in faults if fault.severity == "error"]
    if as_json:
        print_json({"file": str(file), "ok": not errors, "faults": [f.as_dict() for f in faults]})
    else:
        for fault in faults:
            click.echo(f"{fault.severity:<9}{fault.where}: {fault.what}")
        click.echo(_summary(str(file), len(errors), len(faults) - len(errors)))
    if errors:
        raise click.exceptions.Exit(ContainerError.exit_code)


@xclbin.command("normalise")
@click.argument("file", type=_FILE)
@click.option("-o", "--output", type=_FILE, help="Write here instead of over FILE.")
@click.option("--key", metavar="HEX", help="Derive the identity from this action key as well.")
@click.option("--fill-zero-pdi-uuids", is_flag=True, help="Give PDIs without a UUID one, too.")
@_JSON
def normalise_(
    file: Path, output: Path | None, key: str | None, fill_zero_pdi_uuids: bool, as_json: bool
) -> None:
    """Derive UUIDs, unique id and time stamps from the content, so that equal builds are equal bytes."""
    from npukbuild.xclbin import inspect, normalise, read
    from npukbuild.xclbin.files import replace_file
    from npukbuild.xclbin.identity import leftovers

    before = _load(file)
    data = normalise(before.to_bytes(), _key(key), fill_zero_pdi=fill_zero_pdi_uuids)
    target = output or file
    changed = data != before.to_bytes()
    if changed or target != file:
        replace_file(target, data)
    identity = inspect(read(data))["identity"]
    notes = leftovers(before)
    if as_json:
        print_json({"file": str(target), "changed": changed, "identity": identity, "notes": notes})
        return
    click.echo(f"{target}: {'normalised' if changed else 'was normalised already'}, {identity['uuid']}")
    for note in notes:
        click.echo(f"note: {note}", err=True)


@xclbin.command("diff")
@click.argument("left", type=_FILE)
@click.argument("right", type=_FILE)
@click.option("--identity", is_flag=True, help="Compare UUIDs, unique ids and time stamps as well.")
@_JSON
def diff_(left: Path, right: Path, identity: bool, as_json: bool) -> None:
    """Compare what LEFT and RIGHT hold; exit code 18 if they differ."""
    from npukbuild.xclbin import diff

    found = diff(_load(left), _load(right), identity=identity)
    if as_json:
        print_json({"same": not found, "differences": [difference.as_dict() for difference in found]})
    else:
        for difference in found:
            click.echo(difference.path)
            click.echo(f"  - {_short(difference.left)}\n  + {_short(difference.right)}")
        click.echo(
            f"{len(found)} difference{'s' * (len(found) != 1)}"
            if found
            else "the same" + ("" if identity else "; UUIDs and time stamps were not compared")
        )
    if found:
        raise click.exceptions.Exit(ContainerError.exit_code)


def _load(file: Path) -> Container:
    from npukbuild.xclbin import read
    from npukbuild.xclbin.files import read_file

    data = read_file(file)
    try:
        return read(data)
    except ContainerError as error:
        error.where = str(file) if error.where is None else f"{file}, {error.where}"
        raise


def _key(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise RequestError(
            "the key is not hexadecimal", where="--key", hint="give an even number of hex digits"
        ) from None


def _summary(name: str, errors: int, others: int) -> str:
    if not errors and not others:
        return f"{name}: no faults"
    return f"{name}: {errors} error{'s' * (errors != 1)}, {others} warning{'s' * (others != 1)} or note" + (
        "s" * (others != 1)
    )


def _short(value: Any) -> str:
    text = "(absent)" if value is None else str(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _report_lines(report: dict[str, Any]) -> list[str]:
    """Lay a report out for the screen."""
    form, identity = report["format"], report["identity"]
    lines = [
        f"uuid        {identity['uuid']}",
        f"created     {identity['created'] or identity['timestamp']}  (unique id {identity['unique_id']})",
        f"made by     xclbinutil {report['made_by']['packager_version']}"
        + "".join(
            f"; {role.replace('_', ' ')} {tool.get('name', '?')} {tool.get('version', '')}"
            for role, tool in report["made_by"].items()
            if isinstance(tool, dict)
        ),
        f"file        {form['file_bytes']} bytes, mode {form['mode']}"
        + (", signed" if form["signed"] else ""),
    ]
    for partition in report["partitions"]:
        starts = ", ".join(map(str, partition["start_columns"]))
        lines.append(f"columns     {partition['columns']}, may start at {starts or 'no column'}")
        lines.extend(_pdi_lines(partition["pdis"], identity["pdi_uuids"]))
    for kernel in report["kernels"]:
        lines.extend(_kernel_lines(kernel))
    lines += ["", f"{'section':<22}{'bytes':>10}{'offset':>10}  name"]
    lines += [
        f"{row['kind']:<22}{row['bytes']:>10}{row['offset']:>10}  {row['name']}".rstrip()
        for row in report["sections"]
    ]
    lines += [f"unreadable: {fault}" for fault in report["unreadable"]]
    return lines


def _pdi_lines(pdis: list[dict[str, Any]], uuids: list[str]) -> list[str]:
    lines = []
    for index, (pdi, uuid) in enumerate(zip(pdis, uuids, strict=False)):
        ids = ", ".join(f"{i:#x}" for group in pdi["groups"] for i in group["kernel_ids"])
        lines.append(f"PDI {index}       {pdi['bytes']} bytes, kernel {ids or 'none'}, uuid {uuid}")
        if "fault" in pdi:
            lines.append(f"            unreadable: {pdi['fault']}")
        else:
            lines.append(f"            {len(pdi['tiles'])} tiles, sha256 {pdi['sha256'][:16]}")
    return lines


def _kernel_lines(kernel: dict[str, Any]) -> list[str]:
    kernel_id = "none" if kernel["kernel_id"] is None else f"{kernel['kernel_id']:#x}"
    instances = ", ".join(kernel["instances"])
    head = f"kernel {kernel['name']} ({kernel['type']}, id {kernel_id}, instances {instances or 'none'})"
    lines = ["", head, f"  {'#':>2}  {'argument':<12}{'type':<12}{'offset':>7}{'size':>6}  group"]
    for row in kernel["arguments"]:
        groups = ", ".join(f"{group} {tag}" for group, tag in zip(row["groups"], row["memory"], strict=True))
        lines.append(
            f"  {row['index']:>2}  {row['name']:<12}{row['type']:<12}{row['offset']:>#7x}{row['size']:>6}  "
            f"{groups or '-'}"
        )
    return lines
