"""Reading a table of GEMMs: the columns of the published measurements, every mistake reported at once."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.errors import FolderError, InputError
from npukbuild.targets import target_names
from npukbuild.targets.timing import ELEMENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REQUIRED = ("device", "dtype_in", "dtype_out", "M", "K", "N")
"""Columns a table must have; a cell of them may still be empty where a row does not state it."""

_INTEGERS = ("M", "K", "N", "n_rows", "n_cols", "tile_m", "tile_k", "tile_n", "tile_k_l2")
_NUMBERS = ("aie_clock_ghz", "time_us", "tops", "mac_per_cycle_per_core")
_TOGETHER = (("M", "K", "N"), ("tile_m", "tile_k", "tile_n"), ("n_rows", "n_cols"))
_WORDS = {"b_layout": ("", "row", "col", "pre-packed"), "c_buffering": ("", "single", "double")}
_LARGEST = 2**31


@dataclass(frozen=True, slots=True)
class GemmRow:
    """One row as written; what it does not state is None or the empty string. Sizes in elements."""

    line: int
    device: str
    soc: str
    clock_ghz: float | None
    dtype_in: str
    dtype_out: str
    size: tuple[int, int, int] | None
    block: tuple[int, int, int] | None
    array: tuple[int, int] | None
    tile_k_l2: int | None
    b_layout: str
    c_buffering: str
    compiler: str
    time_us: float | None
    tops: float | None
    mac_per_cycle: float | None
    time_kind: str
    design: str
    source: str
    note: str


def read_table(path: Path) -> list[GemmRow]:
    """Read ``path``, a CSV file with a header line in the columns of the published measurements.

    Columns beyond the known ones are ignored, known ones beyond :data:`REQUIRED` may be missing.

    Raises:
        FolderError: The file cannot be read.
        InputError: It is no such table; every mistake with its line is in ``details``.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return _read(csv.DictReader(stream, strict=True), str(path))
    except OSError as error:
        raise FolderError(f"cannot read {path}", why=error.strerror) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file", why=f"byte {error.start} is not UTF-8") from error


def _read(reader: csv.DictReader[str], where: str) -> list[GemmRow]:
    mistakes: list[str] = []
    rows: list[GemmRow] = []
    try:
        missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(
                "not a table of GEMMs", where=f"{where}:1", why=f"missing columns: {', '.join(missing)}"
            )
        for record in reader:
            line = reader.line_num
            found = _mistakes(record)
            mistakes.extend(f"line {line}: {text}" for text in found)
            if not found:
                rows.append(_row(line, record))
    except csv.Error as error:
        mistakes.append(f"line {reader.line_num}: {error}")
    if mistakes:
        raise InputError(f"{len(mistakes)} mistakes in the table", where=where, details=mistakes)
    if not rows:
        raise InputError("the table has no rows", where=where)
    return rows


def _mistakes(record: Mapping[str, str | None]) -> list[str]:
    """Say everything that is wrong with one record."""
    if None in record or None in record.values():
        return ["another number of cells than the header has"]
    cells = {name: (value or "").strip() for name, value in record.items()}
    found = [
        f"{name} is {cells[name]!r}, not a whole number from 1 to {_LARGEST}"
        for name in _INTEGERS
        if cells.get(name) and not (cells[name].isdecimal() and 1 <= int(cells[name]) <= _LARGEST)
    ]
    found += [
        f"{name} is {cells[name]!r}, not a number above 0"
        for name in _NUMBERS
        if cells.get(name) and _number(cells[name]) is None
    ]
    for group in _TOGETHER:
        given = [name for name in group if cells.get(name)]
        if 0 < len(given) < len(group):
            found.append(
                f"{', '.join(given)} without {', '.join(name for name in group if name not in given)}"
            )
    if cells["device"] not in target_names():
        found.append(
            f"device is {cells['device']!r}, known: npu1, npu2 and their partitions such as npu1_1col"
        )
    found += [
        f"{name} is {cells[name]!r}, known: {', '.join(ELEMENT_BYTES)}"
        for name in ("dtype_in", "dtype_out")
        if cells[name] and cells[name] not in ELEMENT_BYTES
    ]
    found += [
        f"{name} is {cells[name]!r}, known: {', '.join(word for word in words if word)}"
        for name, words in _WORDS.items()
        if cells.get(name, "") not in words
    ]
    return found


def _number(text: str) -> float | None:
    """Return a finite number above 0, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 < value < float("inf") else None


def _row(line: int, record: Mapping[str, str | None]) -> GemmRow:
    cells = {name: (value or "").strip() for name, value in record.items()}

    def integers(*names: str) -> tuple[int, ...] | None:
        return tuple(int(cells[name]) for name in names) if cells.get(names[0]) else None

    size, block, array = (
        integers("M", "K", "N"),
        integers("tile_m", "tile_k", "tile_n"),
        integers("n_rows", "n_cols"),
    )
    depth = integers("tile_k_l2")
    return GemmRow(
        line=line,
        device=cells["device"],
        soc=cells.get("soc", ""),
        clock_ghz=_number(cells.get("aie_clock_ghz", "")),
        dtype_in=cells["dtype_in"],
        dtype_out=cells["dtype_out"],
        size=(size[0], size[1], size[2]) if size else None,
        block=(block[0], block[1], block[2]) if block else None,
        array=(array[0], array[1]) if array else None,
        tile_k_l2=depth[0] if depth else None,
        b_layout=cells.get("b_layout", ""),
        c_buffering=cells.get("c_buffering", ""),
        compiler=cells.get("compiler", ""),
        time_us=_number(cells.get("time_us", "")),
        tops=_number(cells.get("tops", "")),
        mac_per_cycle=_number(cells.get("mac_per_cycle_per_core", "")),
        time_kind=cells.get("time_kind", ""),
        design=cells.get("design", ""),
        source=cells.get("source", ""),
        note=cells.get("note", ""),
    )
