"""How close the model comes to the published measurements, and that it was not bent to fit them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from npukbuild.planner.calibration import (
    PARAMETERS,
    Sample,
    calibrate,
    calibrated,
    cross_validate,
    current_tables,
    errors,
    is_large,
    loss,
    samples,
    start_tables,
)
from npukbuild.planner.cost.estimate import Estimate, estimate_row, group, groups
from npukbuild.planner.cost.table import GemmRow, read_table
from npukbuild.targets import load_target

TABLE = Path(__file__).parents[1] / "data" / "published_gemm.csv"


@cache
def rows() -> tuple[GemmRow, ...]:
    return tuple(read_table(TABLE))


@cache
def estimates() -> tuple[Estimate, ...]:
    return tuple(estimate_row(row) for row in rows())


@cache
def known() -> tuple[Sample, ...]:
    return tuple(samples(rows()))


def timed() -> list[Estimate]:
    return [entry for entry in estimates() if entry.quantity == "time_us" and entry.measured is not None]


def test_every_row_with_a_time_is_predicted() -> None:
    assert len(timed()) == sum(row.time_us is not None for row in rows()) == 168


def test_large_rows_with_blocks_are_within_ten_percent() -> None:
    large = [entry for entry in timed() if entry.large]
    assert len(large) == 130
    assert group("large", large).mean_absolute <= 0.10


def test_all_rows_with_a_time_are_within_twenty_percent() -> None:
    assert group("all", timed()).mean_absolute <= 0.20


def test_no_source_is_off_by_thirty_percent_without_a_reason() -> None:
    reported = [entry for entry in estimates() if entry.measured is not None]
    families = [
        *groups(reported, lambda entry: entry.row.source),
        *groups(reported, lambda entry: f"{entry.row.source}: {entry.row.design}"),
        *groups(reported, lambda entry: entry.quantity),
    ]
    far = [found for found in families if found.far_off]
    assert len(far) >= 4
    for found in far:
        assert found.reasons, found
        assert found.others is None or found.others <= 0.30, found


def test_without_the_rows_that_have_a_reason_the_means_are_better() -> None:
    plain = [entry for entry in timed() if not entry.reason]
    assert len(plain) >= 160
    assert group("plain", plain).mean_absolute < group("all", timed()).mean_absolute


def test_core_function_calls_are_within_ten_percent() -> None:
    alone = [entry for entry in estimates() if entry.quantity == "mac_per_cycle"]
    assert len(alone) == 5
    assert all(abs(entry.error or 0.0) < 0.10 for entry in alone)


def test_there_is_no_systematic_lean() -> None:
    assert abs(group("all", [entry for entry in timed() if not entry.reason]).mean) < 0.03


def test_few_constants_for_many_rows() -> None:
    assert len(PARAMETERS) <= len(known()) / 6
    assert len(set(PARAMETERS)) == len({(parameter.array, parameter.path) for parameter in PARAMETERS})


def test_constants_are_within_their_physical_range() -> None:
    for parameter, value in calibrated(current_tables()).items():
        assert parameter.low <= value <= parameter.high, parameter


def test_constants_are_what_the_calibration_gives() -> None:
    """The targets' data reproduce: calibrating from the documented starts finds nothing better."""
    reached = loss(known(), calibrate(known(), start_tables()))
    assert loss(known(), current_tables()) <= 1.01 * reached
    assert reached < 0.5 * loss(known(), start_tables())


def test_rows_left_out_of_the_calibration_are_predicted_too() -> None:
    unseen = cross_validate(known(), folds=4)
    off = [abs(error) for sample, error in zip(known(), unseen, strict=True) if sample.shape is not None]
    large = [
        abs(error)
        for sample, error in zip(known(), unseen, strict=True)
        if sample.shape is not None and sample.row is not None and is_large(sample.row)
    ]
    assert sum(off) / len(off) <= 0.13
    assert sum(large) / len(large) <= 0.10


@pytest.mark.slow
@pytest.mark.parametrize("words", ["SILICON", "kernel_registry", "2512.13282", "iree", "IRON"])
def test_a_source_left_out_whole_stays_near(words: str) -> None:
    """Constants that only this source could tell stay at their documented start, so the bound is wide."""
    kept = [sample for sample in known() if sample.row is None or words not in sample.row.source]
    out = [
        sample for sample in known() if sample.row is not None and words in sample.row.source and sample.shape
    ]
    found = errors(out, calibrate(kept, start_tables()))
    assert len(out) >= 10
    assert sum(abs(error) for error in found) / len(found) <= 0.35


def test_the_calibration_reads_only_its_parameters() -> None:
    before = current_tables()
    calibrate(known(), before, rounds=1)
    assert before == current_tables(), "the caller's tables stay as they are"
    changed = calibrate(known(), before, rounds=1)
    free = {(parameter.array, parameter.path) for parameter in PARAMETERS}
    for array, table in changed.items():
        for path, value in _leaves(table):
            if (array, path) not in free:
                assert dict(_leaves(before[array]))[path] == value


def _leaves(table: object, path: str = "") -> list[tuple[str, object]]:
    if isinstance(table, dict):
        return [
            leaf for key, value in table.items() for leaf in _leaves(value, f"{path}.{key}" if path else key)
        ]
    return [(path, table)]


def test_every_constant_names_its_source() -> None:
    folder = Path(__file__).parents[2] / "npukbuild" / "targets"
    for array in ("npu1", "npu2"):
        text = (folder / f"{array}.toml").read_text(encoding="utf-8")
        start = text.index("[timing.gemm]")
        section = re.split(r"\n(?:# .*\n)*\[timing\.events", text[start:])[0]
        marked = {
            line.split("=")[0].strip() for line in section.splitlines() if "[C]" in line and "=" in line
        }
        free = {parameter.path.rpartition(".")[2] for parameter in PARAMETERS if parameter.array == array}
        assert {name.rpartition(".")[2] for name in marked} <= free | {"bf16", "bf16_bfp16"}
        for line in section.splitlines():
            if "=" in line and not line.startswith(
                ("#", "[", "m =", "k =", "n =", "compiler", "dtype", "cycles")
            ):
                assert "#" in line, line
        assert load_target(array).timing["gemm"]["clock_ghz"] > 0
