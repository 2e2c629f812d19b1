"""The closed form: units, what bounds a run, and that it moves the right way with every parameter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from npukbuild.errors import RequestError
from npukbuild.planner.cost import GemmShape, predict
from npukbuild.targets import load_target
from npukbuild.targets.timing import element_bytes, gemm_timing

NPU1, NPU2 = load_target("npu1"), load_target("npu2")
SQUARE = GemmShape(2048, 2048, 2048, m=64, k=64, n=64, rows=4, cols=4, dtype_in="i8", dtype_out="i32")


@st.composite
def shapes(draw: st.DrawFn) -> tuple[GemmShape, Any]:
    target = draw(st.sampled_from([NPU1, NPU2]))
    m, k, n = (16 * draw(st.integers(1, 8)) for _ in range(3))
    rows, cols = draw(st.integers(1, 4)), draw(st.integers(1, target.columns))
    dtype_in, dtype_out = draw(
        st.sampled_from([("i8", "i8"), ("i8", "i32"), ("bf16", "bf16"), ("i16", "i32")])
    )
    shape = GemmShape(
        M=m * rows * draw(st.integers(1, 20)),
        K=k * draw(st.integers(1, 40)),
        N=n * cols * draw(st.integers(1, 20)),
        m=m,
        k=k,
        n=n,
        rows=rows,
        cols=cols,
        dtype_in=dtype_in,
        dtype_out=dtype_out,
        b_layout=draw(st.sampled_from(["row", "col", "packed"])),
        c_double=draw(st.booleans()),
        dtype_acc=draw(st.sampled_from([None, "i32"])),
    )
    return shape, target


PROPERTY = settings(max_examples=60, deadline=None)


@PROPERTY
@given(shapes())
def test_parts_add_up_and_units_agree(given_: tuple[GemmShape, Any]) -> None:
    shape, target = given_
    found = predict(shape, target)
    parts = (found.compute_us, found.stream_us, found.ddr_us, found.sequence_us)
    around = found.stall_us + found.fill_us + found.serial_us + found.launch_us
    assert any(found.total_us == pytest.approx(part + around) for part in parts)
    assert found.total_us >= max(parts)
    assert min(found.stall_us, found.fill_us) >= 0
    assert found.macs == shape.M * shape.K * shape.N
    assert found.tops == pytest.approx(2 * found.macs / (found.total_us * 1e-6) / 1e12)
    peak = target.macs[f"{shape.dtype_in}_{shape.dtype_in}"] * shape.rows * shape.cols * found.clock_ghz * 1e3
    assert found.compute_us >= found.macs / peak
    assert found.ddr_bytes >= (shape.M * shape.K + shape.K * shape.N) + shape.M * shape.N


@PROPERTY
@given(shapes())
def test_nothing_is_read_faster_than_the_ports_and_the_memory_allow(given_: tuple[GemmShape, Any]) -> None:
    shape, target = given_
    found, ddr = predict(shape, target), gemm_timing(target).ddr
    written = shape.M * shape.N * element_bytes(shape.dtype_out)
    port_gbs = shape.cols * ddr.port_bytes * found.clock_ghz
    assert found.ddr_us * 1e3 >= (found.ddr_bytes - written) / port_gbs * (1 - 1e-9)
    assert found.ddr_us * 1e3 >= found.ddr_bytes / ddr.total_gbs * (1 - 1e-9)


@PROPERTY
@given(shapes(), st.integers(2, 4))
def test_more_work_never_takes_less_time(given_: tuple[GemmShape, Any], times: int) -> None:
    shape, target = given_
    here = predict(shape, target).total_us
    for axis in ("M", "K", "N"):
        grown = predict(replace(shape, **{axis: times * getattr(shape, axis)}), target)
        # Rows that share a page get cheaper runs, so time need not grow in proportion; it must not shrink.
        assert grown.total_us >= here * (1 - 1e-9), axis
        assert grown.compute_us > predict(shape, target).compute_us


@PROPERTY
@given(shapes(), st.floats(0.4, 1.7))
def test_a_faster_clock_never_hurts(given_: tuple[GemmShape, Any], clock: float) -> None:
    shape, target = given_
    slow, fast = predict(shape, target, clock_ghz=clock), predict(shape, target, clock_ghz=1.1 * clock)
    assert fast.total_us <= slow.total_us
    assert fast.compute_us == pytest.approx(slow.compute_us / 1.1)


@PROPERTY
@given(shapes())
def test_each_read_saved_helps(given_: tuple[GemmShape, Any]) -> None:
    shape, target = given_
    usual = predict(shape, target)
    kept = predict(replace(shape, a_reads=1, b_reads=1), target)
    assert kept.ddr_us <= usual.ddr_us
    assert kept.ddr_bytes <= usual.ddr_bytes


@PROPERTY
@given(shapes())
def test_longer_runs_help(given_: tuple[GemmShape, Any]) -> None:
    shape, target = given_
    assume(4 * shape.k <= shape.K)
    staged = predict(replace(shape, k_run=4 * shape.k), target)
    assert staged.ddr_us <= predict(shape, target).ddr_us * (1 + 1e-9)


@PROPERTY
@given(shapes())
def test_two_buffers_of_c_never_hurt(given_: tuple[GemmShape, Any]) -> None:
    shape, target = given_
    double, single = (predict(replace(shape, c_double=flag), target) for flag in (True, False))
    assert double.total_us <= single.total_us


@PROPERTY
@given(shapes())
def test_the_launch_is_a_constant_on_top(given_: tuple[GemmShape, Any]) -> None:
    shape, target = given_
    bare, python = (predict(replace(shape, launch=kind), target) for kind in ("none", "python"))
    assert python.total_us - bare.total_us == pytest.approx(python.launch_us)
    assert bare.launch_us == 0.0


def test_a_big_product_of_small_reads_is_bound_by_compute() -> None:
    kept = replace(SQUARE, a_reads=1, b_reads=1, b_layout="packed", a_layout="packed")
    assert predict(kept, NPU1).bound == "compute"


def test_thin_blocks_are_bound_by_ddr() -> None:
    assert predict(replace(SQUARE, m=16, n=16, M=4096, N=4096), NPU1).bound == "DDR"


def test_a_tiny_product_is_bound_by_its_launch() -> None:
    assert predict(GemmShape(64, 64, 64, 64, 64, 64, 1, 1, "i8", "i32"), NPU1).bound == "launch"


def test_wide_blocks_with_a_fast_kernel_are_bound_by_the_streams() -> None:
    shape = GemmShape(
        2048, 4096, 1024, 16, 128, 128, 4, 8, "i8", "i8", b_layout="packed", a_reads=1, b_reads=1
    )
    assert predict(shape, NPU2).bound == "streams"


def test_thousands_of_tasks_are_bound_by_the_sequence() -> None:
    assert predict(replace(SQUARE, tasks=20_000), NPU1).bound == "sequence"


def test_the_chosen_clock_and_compiler_count() -> None:
    assert predict(SQUARE, NPU1).clock_ghz == 1.0
    assert predict(SQUARE, NPU1, clock_ghz=1.8).clock_ghz == 1.8
    assert predict(SQUARE, NPU1, compiler="xchesscc").compute_us < predict(SQUARE, NPU1).compute_us


def test_rows_and_columns_swap_roles_with_the_axis_of_m() -> None:
    tall = GemmShape(4096, 512, 256, 64, 64, 64, 4, 8, "bf16", "bf16")
    along_rows, along_columns = predict(tall, NPU2), predict(replace(tall, m_axis="cols"), NPU2)
    # 256 columns of C fill four of eight columns; spread over the four rows they fill them all.
    assert along_columns.compute_us == pytest.approx(along_rows.compute_us / 2)
    assert along_columns.ddr_bytes < along_rows.ddr_bytes


def test_an_operand_that_stays_in_l1_is_streamed_once() -> None:
    shape = GemmShape(256, 64, 8192, 64, 64, 32, 4, 4, "i8", "i8")
    streamed, kept = predict(shape, NPU1), predict(replace(shape, a_reads=1), NPU1)
    assert kept.stream_us < 0.6 * streamed.stream_us


def test_blocks_that_do_not_overlap_and_a_second_pass_cost_extra() -> None:
    serial, cast = replace(SQUARE, serial_blocks=True), replace(SQUARE, cast_pass=True)
    assert predict(serial, NPU1).serial_us > 0
    assert predict(cast, NPU1).serial_us > predict(SQUARE, NPU1).serial_us == 0


def test_repeated_calls_cost_compute_alone() -> None:
    hundred, none = (predict(replace(SQUARE, repeats=times), NPU1) for times in (100, 0))
    usual = predict(SQUARE, NPU1)
    assert hundred.ddr_us == none.ddr_us == usual.ddr_us
    assert hundred.compute_us > 90 * usual.compute_us
    assert none.compute_us < 0.05 * usual.compute_us
    assert none.macs == 0


def test_unknown_types_are_refused() -> None:
    with pytest.raises(RequestError):
        predict(replace(SQUARE, dtype_in="f64"), NPU1)
    with pytest.raises(RequestError, match="kind of time"):
        predict(replace(SQUARE, launch="sundial"), NPU1)


def test_the_answer_is_plain_data() -> None:
    data = predict(SQUARE, NPU1).as_dict()
    assert data["bound"] == "DDR" or data["bound"] == "compute"
    assert data["macs"] == 2048**3
    assert all(isinstance(value, (int, float, str)) for value in data.values())
