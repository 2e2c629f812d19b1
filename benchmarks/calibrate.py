"""Calibrate the timing model on a table: ``python -m benchmarks.calibrate [TABLE.csv]``.

Prints every free constant as it stands in the targets' data and as this table gives it, then how close the
model comes: on the rows it was calibrated on, on rows left out (four folds), and on whole sources left out.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from npukbuild.planner.calibration import (
    Sample,
    calibrate,
    calibrated,
    cross_validate,
    current_tables,
    errors,
    is_large,
    samples,
    start_tables,
)
from npukbuild.planner.cost.table import read_table

TABLE = Path(__file__).parents[1] / "tests" / "data" / "published_gemm.csv"


@dataclass(frozen=True, slots=True)
class Row:
    """Mean absolute error over some rows, as a fraction."""

    name: str
    rows: int
    mean_absolute: float


def run(table: Path = TABLE) -> list[Row]:
    """Return the errors of the targets' constants, of fresh ones, and on rows and sources left out."""
    known = samples(read_table(table))
    fresh = calibrate(known, start_tables())
    rows = [
        *_rows("constants of the targets", known, errors(known, current_tables())),
        *_rows("calibrated on this table", known, errors(known, fresh)),
        *_rows("rows left out, four folds", known, cross_validate(known, folds=4)),
    ]
    sources = dict.fromkeys(sample.row.source for sample in known if sample.row is not None)
    for source in sources:
        out = [sample for sample in known if sample.row is not None and sample.row.source == source]
        kept = [sample for sample in known if sample.row is None or sample.row.source != source]
        rows += _rows(f"left out: {source[:60]}", out, errors(out, calibrate(kept, start_tables())))[:1]
    return rows


def _rows(name: str, known: list[Sample], found: list[float]) -> list[Row]:
    """Return the error over all rows with a time, and over the large ones with a block."""
    timed = [
        (sample, abs(error)) for sample, error in zip(known, found, strict=True) if sample.shape is not None
    ]
    large = [error for sample, error in timed if sample.row is not None and is_large(sample.row)]
    rows = [Row(name, len(timed), sum(error for _, error in timed) / len(timed))] if timed else []
    return [*rows, Row(f"{name}, large", len(large), sum(large) / len(large))] if large else rows


def main(arguments: list[str]) -> None:
    """Print constants and errors."""
    table = Path(arguments[0]) if arguments else TABLE
    fresh = calibrated(calibrate(samples(read_table(table)), start_tables()))
    print(f"{'constant':48} {'start':>8} {'now':>8} {'this table':>10}")
    for parameter, now in calibrated(current_tables()).items():
        name = f"{parameter.array} {parameter.path}"
        print(f"{name:48} {parameter.start:8.4g} {now:8.4g} {fresh[parameter]:10.4g}")
    print(f"\n{'mean absolute error':76} {'rows':>5} {'error':>7}")
    for row in run(table):
        print(f"{row.name:76} {row.rows:5} {100 * row.mean_absolute:5.1f} %")


if __name__ == "__main__":
    main(sys.argv[1:])
