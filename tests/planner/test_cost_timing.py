"""The timing primitives: units, limits, and the counts that are facts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.errors import RequestError
from npukbuild.targets import load_target
from npukbuild.targets.timing import (
    convert_cycles,
    ddr_bandwidth,
    default_clock,
    element_bytes,
    gemm_timing,
    kernel_cycles,
    kernel_timing,
    launch_us,
    parse_gemm_timing,
    run_ns,
    zero_cycles,
)

NPU1, NPU2 = load_target("npu1"), load_target("npu2")
ARRAYS = (NPU1, NPU2)


@pytest.mark.parametrize(("n", "cycles"), [(64, 2388), (32, 1263)])
def test_kernel_cycles_meet_the_counts_from_object_code(n: int, cycles: int) -> None:
    assert kernel_cycles("i8", "i32", 64, 64, n, NPU1) == pytest.approx(cycles, rel=0.1)


def test_zeroing_meets_the_counts_from_object_code() -> None:
    assert zero_cycles("i32", 64, 64, NPU1) == pytest.approx(783, rel=0.05)
    assert zero_cycles("i32", 64, 32, NPU1) == pytest.approx(400, rel=0.05)


def test_no_kernel_beats_the_datapath() -> None:
    for target in ARRAYS:
        for (_, dtype), kernel in gemm_timing(target).kernels.items():
            # bfp16ebs8 multiplies at the rate of its 8-bit mantissas.
            peak = target.macs[
                "i8_i8"
                if dtype == "bfp16ebs8"
                else "bf16_bfp16"
                if dtype == "bf16_bfp16"
                else f"{dtype}_{dtype}"
            ]
            assert 0 < kernel.issue <= peak, (target.name, dtype)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([("i8", "i32"), ("i8", "i8"), ("bf16", "f32"), ("i16", "i32")]),
    *(st.integers(1, 16).map(lambda x: 16 * x) for _ in range(3)),
    st.sampled_from(ARRAYS),
)
def test_a_deeper_call_is_cheaper_per_multiply(
    types: tuple[str, str], m: int, k: int, n: int, target: Any
) -> None:
    once = kernel_cycles(*types, m, k, n, target)
    deeper = kernel_cycles(*types, m, 2 * k, n, target)
    assert once < deeper < 2 * once
    assert m * k * n / once < target.macs[f"{types[0]}_{types[0]}"]


def test_converting_costs_only_where_types_differ() -> None:
    assert convert_cycles("f32", "f32", 64, 64, NPU1) == 0.0
    small, large = convert_cycles("f32", "bf16", 64, 32, NPU1), convert_cycles("f32", "bf16", 64, 64, NPU1)
    assert 0 < small < large < 2 * small + 1


def test_a_long_run_moves_at_the_channels_width() -> None:
    ddr = gemm_timing(NPU1).ddr
    megabyte = 1 << 20
    rate = megabyte / run_ns(ddr, megabyte, megabyte, 1.8)
    assert rate == pytest.approx(4 * 1.8, rel=0.03), "one channel reads 7.0 GB/s at 1.8 GHz"


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4096), st.integers(1, 1 << 16), st.floats(0.4, 2.0), st.sampled_from(ARRAYS))
def test_runs_cost_more_when_longer_or_further_apart(run: int, row: int, clock: float, target: Any) -> None:
    ddr = gemm_timing(target).ddr
    here = run_ns(ddr, run, row, clock)
    assert here >= run / (ddr.channel_bytes * clock)
    if row > run:
        assert run_ns(ddr, run, 2 * row, clock) >= here
        assert run_ns(ddr, run, row, clock / 2) >= here


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 14), st.integers(1, 3), st.sampled_from(ARRAYS))
def test_bandwidth_grows_with_run_and_columns_up_to_the_ceiling(
    power: int, columns: int, target: Any
) -> None:
    run = 1 << power
    here = ddr_bandwidth(run, columns, target)
    assert here <= ddr_bandwidth(2 * run, columns, target) * (1 + 1e-12)
    assert here <= ddr_bandwidth(run, columns + 1, target) * (1 + 1e-12)
    ddr = gemm_timing(target).ddr
    assert here <= ddr.total_gbs * 1e9
    assert here <= columns * ddr.port_bytes * gemm_timing(target).clock_ghz * 1e9


def test_published_bandwidths() -> None:
    """npu1 reads 16 GB/s at 1.0 GHz and 26 to 28 at 1.8 GHz, npu2 37 to 70 GB/s."""
    assert ddr_bandwidth(1 << 20, 4, NPU1, 1.0) == pytest.approx(16e9, rel=0.05)
    assert 26e9 <= ddr_bandwidth(1 << 20, 4, NPU1, 1.8) <= 29e9
    assert 37e9 <= ddr_bandwidth(1 << 20, 8, NPU2) <= 70e9
    assert ddr_bandwidth(16, 8, NPU2) < 0.25 * ddr_bandwidth(1024, 8, NPU2)


def test_the_clock_follows_from_the_machine() -> None:
    assert default_clock(NPU1) == 1.0
    assert default_clock(NPU1, "Ryzen 7 8700G (Phoenix), Windows") == 1.8
    assert default_clock(NPU2, "Strix Halo") == 1.8


def test_partial_targets_share_the_arrays_constants() -> None:
    assert gemm_timing(load_target("npu2_3col")) == gemm_timing(NPU2)


def test_typed_constants_are_read_once_per_table() -> None:
    assert gemm_timing(NPU1) is gemm_timing(NPU1)
    table = dict(NPU1.timing["gemm"])
    table["clock_ghz"] = 0.5
    assert parse_gemm_timing(table).clock_ghz == 0.5


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(RequestError, match="f64") as caught:
        element_bytes("f64")
    assert "bf16" in str(caught.value)
    with pytest.raises(RequestError, match="sundial") as caught:
        launch_us(NPU1, "sundial")
    assert "python" in str(caught.value)
    with pytest.raises(RequestError, match="bfp16ebs8"):
        kernel_timing(gemm_timing(NPU1), "bfp16ebs8", "peano")


def test_another_compilers_constants_stand_in_where_one_was_never_measured() -> None:
    timing = gemm_timing(NPU1)
    assert ("codegen", "i16") not in timing.kernels
    assert kernel_timing(timing, "i16", "codegen") == timing.kernels["peano", "i16"]


def test_launch_times_are_ordered_as_clocks_see_more() -> None:
    for target in ARRAYS:
        launch = gemm_timing(target).launch
        assert (
            launch["none"]
            == 0
            < launch["kernel"]
            <= launch["device"]
            < launch["python"]
            <= max(launch.values())
        )
        assert all(math.isfinite(value) for value in launch.values())
