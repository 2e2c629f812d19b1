"""The reports of a night: one HTML page for people, JSON and JUnit XML for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from npukbuild import __version__
from npukbuild.publish.night import KernelNight, Nights, totals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def write_reports(rows: Sequence[KernelNight], nights: Nights, about: dict[str, Any]) -> dict[str, Path]:
    """Write report.html, report.json and junit.xml into the night's folder and return their paths.

    Args:
        rows: All kernels of the night.
        nights: Earlier nights, for the times' history.
        about: What holds for the whole night: manifest, seconds, toolchain, registry, channel.
    """
    facts = {"night": nights.night, "npukbuild": __version__, **about, "totals": totals(rows)}
    paths = {name: nights.folder / name for name in ("report.html", "report.json", "junit.xml")}
    history = {row.kernel: _history(row, nights) for row in rows}
    _write(
        paths["report.json"], json.dumps({**facts, "kernels": [asdict(row) for row in rows]}, indent=1) + "\n"
    )
    _write(paths["junit.xml"], junit(rows, nights.night))
    _write(paths["report.html"], html(rows, history, facts))
    return paths


def junit(rows: Sequence[KernelNight], night: str) -> str:
    """Return the night as a JUnit test suite, one case per kernel."""
    counted = totals(rows)
    suite = ET.Element(
        "testsuite", name="npukbuild nightly", timestamp=night, tests=str(counted["kernels"]),
        failures=str(counted["failed"]), skipped=str(counted["skipped"]),
        time=f"{sum(row.seconds for row in rows):.3f}",
    )  # fmt: skip
    for row in rows:
        target, _, name = row.kernel.partition("/")
        case = ET.SubElement(suite, "testcase", classname=target, name=name, time=f"{row.seconds:.3f}")
        if row.status == "failed":
            error = row.error or {}
            failure = ET.SubElement(case, "failure", message=_xml_text(str(error.get("what"))))
            failure.text = _xml_text("\n".join(str(v) for v in (error.get("why"), error.get("hint")) if v))
        elif row.status == "skipped":
            ET.SubElement(case, "skipped")
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def html(
    rows: Sequence[KernelNight], history: dict[str, list[tuple[str, float]]], facts: dict[str, Any]
) -> str:
    """Return the page; it needs no network, no script and nothing beside it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("npukbuild.publish", "report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["sparkline"] = sparkline
    order = {"failed": 0, "skipped": 1, "passed": 2}
    ordered = sorted(rows, key=lambda row: (order[row.status], _change_rank(row), row.kernel))
    return environment.get_template("night.html.j2").render(rows=ordered, history=history, facts=facts)


def sparkline(points: Sequence[tuple[str, float]], width: int = 96, height: int = 20) -> str:
    """Return the ``points`` attribute of an SVG polyline: times over nights, the largest at the top.

    The height stands for a tenth of the largest value at least, so that noise looks as small as it is.
    """
    values = [value for _, value in points]
    high = max(values)
    span = max(high - min(values), high / 10) or 1.0
    low = high - span
    step = (width - 4) / max(len(values) - 1, 1)
    return " ".join(
        f"{2 + i * step:.1f},{2 + (height - 4) * (1 - (value - low) / span):.1f}"
        for i, value in enumerate(values)
    )


def _history(row: KernelNight, nights: Nights) -> list[tuple[str, float]]:
    points = [
        (night, float(past.timing["median_us"]))
        for night, past in nights.before(row.kernel)
        if past.timing and past.device == row.device
    ]
    if row.timing:
        points.append((nights.night, float(row.timing["median_us"])))
    return points


def _change_rank(row: KernelNight) -> int:
    verdict = (row.comparison or {}).get("verdict")
    return {"slower": 0, "faster": 1}.get(str(verdict), 2 if row.built == "built" else 3)


def _xml_text(text: str) -> str:
    """Drop the control characters that XML 1.0 cannot hold."""
    return "".join(character for character in text if character in "\t\n\r" or ord(character) >= 32)


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
