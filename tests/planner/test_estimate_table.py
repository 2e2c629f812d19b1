"""Reading tables of GEMMs, and the rules that turn a row into a run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npukbuild.errors import FolderError, InputError
from npukbuild.planner.cost.designs import block_of, clock_kind, reason_of, rule_of, shape_of
from npukbuild.planner.cost.estimate import estimate_row, groups, planned
from npukbuild.planner.cost.table import GemmRow, read_table

if TYPE_CHECKING:
    from pathlib import Path

    from npukbuild.planner.cost import GemmShape

HEADER = "device,dtype_in,dtype_out,M,K,N"
FULL = (
    f"{HEADER},n_rows,n_cols,tile_m,tile_k,tile_n,b_layout,c_buffering,time_us,design,note,time_kind,compiler"
)


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def one(folder: Path, line: str, header: str = FULL) -> GemmRow:
    (row,) = read_table(write(folder, line, header=header))
    return row


def test_the_smallest_table(tmp_path: Path) -> None:
    row = one(tmp_path, "npu1,i8,i32,512,512,512", HEADER)
    assert row.size == (512, 512, 512)
    assert row.block is None
    assert row.line == 2


def test_spreadsheets_byte_order_mark_and_blank_cells(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{FULL}\nnpu2,bf16,bf16,64, 64 ,64,,,,,,,,,,,,\n".encode())
    (row,) = read_table(path)
    assert row.size == (64, 64, 64)
    assert row.time_us is None


def test_lines_count_as_in_an_editor_with_quoted_line_breaks(tmp_path: Path) -> None:
    path = write(tmp_path, 'npu1,i8,i8,1,1,1,"two\nlines"', "npu9,i8,i8,1,1,1,x", header=f"{HEADER},note")
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert caught.value.details[0].startswith("line 4: device is 'npu9'")


def test_all_mistakes_come_at_once_with_their_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "npu3,i8,i8,64,64,64,4,4,,,,,,,,,,",
        "npu1,f64,q8,64,64,64,4,4,,,,,,,,,,",
        "npu1,i8,i8,0,64,-5,4,4,,,,,,,,,,",
        "npu1,i8,i8,1e3,64,64,4,4,,,,,,,,,,",
        "npu1,i8,i8,64,64,64,4,,64,,64,,,,,,,",
        "npu1,i8,i8,64,64,64,4,4,,,,diagonal,triple,-3,,,,",
        "npu1,i8,i8,64",
        "npu1,i8,i8,64,,64,4,4,,,,,,nan,,,,",
        "npu1,i8,i8,64,64,64,4,4,64,64,64,row,double,100,,,,",
        header=FULL,
    )
    with pytest.raises(InputError) as caught:
        read_table(path)
    details = "\n".join(caught.value.details)
    for expected in (
        "line 2: device is 'npu3'",
        "line 3: dtype_in is 'f64'",
        "line 3: dtype_out is 'q8'",
        "line 4: M is '0'",
        "line 4: N is '-5'",
        "line 5: M is '1e3'",
        "line 6: n_rows without n_cols",
        "line 6: tile_m, tile_n without tile_k",
        "line 7: b_layout is 'diagonal'",
        "line 7: c_buffering is 'triple'",
        "line 7: time_us is '-3'",
        "line 8: another number of cells than the header has",
        "line 9: M, N without K",
        "line 9: time_us is 'nan'",
    ):
        assert expected in details
    assert "line 10" not in details
    assert caught.value.what == f"{len(caught.value.details)} mistakes in the table"


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a table of GEMMs") as caught:
        read_table(write(tmp_path, "npu1,64", header="device,M"))
    assert caught.value.why == "missing columns: dtype_in, dtype_out, K, N"


def test_an_empty_file_and_an_empty_table_are_mistakes(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(InputError):
        read_table(tmp_path / "empty.csv")
    with pytest.raises(InputError, match="no rows"):
        read_table(write(tmp_path))


def test_what_is_no_file_or_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="cannot read"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(FolderError):
        read_table(tmp_path)
    (tmp_path / "binary.csv").write_bytes(HEADER.encode() + b"\n\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        read_table(tmp_path / "binary.csv")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.text(max_size=6), max_size=8), max_size=5))
def test_any_cells_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, cells: list[list[str]]
) -> None:
    import csv

    path = tmp_path_factory.mktemp("cells") / "table.csv"
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER.split(","))
        writer.writerows(cells)
    with contextlib.suppress(InputError):
        assert read_table(path)


def test_time_kinds_map_to_clocks() -> None:
    assert clock_kind("Python wall median of 5 (XRT), pmode default") == "python"
    assert clock_kind("wall, avg of 100 runs, turbo power mode") == "wall"
    assert clock_kind("NPU time: submit+wait average") == "device"
    assert clock_kind("kernel time (registry)") == "kernel"
    assert clock_kind("iree-benchmark mean (batched run, ctrlpkt)") == "batched"
    assert clock_kind("per-dispatch wall incl. host copies, median") == "copies"
    assert clock_kind("single-core kernel, cycles") == "none"
    assert clock_kind("") == "wall"


def test_designs_are_known_by_name() -> None:
    assert rule_of("mlir-air fused-cast (best)").cast_pass
    assert not rule_of("mlir-air direct").cast_pass
    assert rule_of("mlir-air direct").compiler == "codegen"
    assert rule_of("mlir-air external (best)").f32_in_l1
    assert rule_of("something of tomorrow").m_axis == "rows"


def test_a_row_becomes_the_run_it_reports(tmp_path: Path) -> None:
    line = 'npu1,bf16,f32,2048,1024,512,4,4,64,64,32,col,single,100,whole_array,"C col-major; fast",,Peano'
    row = one(tmp_path, line)
    shape = shape_of(row, (64, 64, 32), (4, 4))
    assert (shape.M, shape.K, shape.N) == (2048, 1024, 512)
    assert (shape.b_layout, shape.c_layout, shape.c_double, shape.compiler) == ("col", "col", False, "peano")


def test_notes_that_change_the_run_are_read(tmp_path: Path) -> None:
    def shape(note: str, design: str = "") -> GemmShape:
        row = one(tmp_path, f'npu1,bf16,bf16,4096,4096,4096,4,4,64,64,64,,,1,{design},"{note}",,')
        return shape_of(row, (64, 64, 64), (4, 4))

    assert shape("kernel call repeated 100x inside the core loop").repeats == 100
    assert shape("NO COMPUTE (kernel calls removed)").repeats == 0
    assert shape("k_mt=56 instead of 224").k_run == 56
    assert shape("matmul4d_512").a_layout == "packed"
    assert shape("C double-buffered ablation", "ablation").c_double is True
    assert shape("", "ablation").c_double is False


def test_blocks_come_from_the_row_then_the_design_then_the_planner(tmp_path: Path) -> None:
    stated = one(tmp_path, "npu1,i8,i32,512,512,512,4,4,32,64,32,,,100,iree-amd-aie codegen,,,")
    assert block_of(stated) == (32, 64, 32)
    assert estimate_row(stated).block_from == "table"
    designed = one(tmp_path, "npu1,bf16,f32,512,512,512,4,4,,,,,,100,iree-amd-aie ukernel,4_level_tiling,,")
    assert block_of(designed) == (64, 64, 64)
    assert estimate_row(designed).block_from == "design"
    free = one(tmp_path, "npu1,i8,i32,512,512,512", HEADER)
    found = planned(free)
    assert found is not None
    assert estimate_row(free).block == found[0]
    assert estimate_row(free).block_from == "planner"
    asked: list[GemmRow] = []

    def plan(row: GemmRow) -> None:
        asked.append(row)

    assert estimate_row(free, plan).block_from == "default"
    assert asked == [free]


def test_types_that_the_planner_does_not_know_still_get_an_estimate(tmp_path: Path) -> None:
    row = one(tmp_path, "npu2,bfp16ebs8,bfp16ebs8,512,512,512", HEADER)
    assert planned(row) is None
    assert estimate_row(row).block_from == "default"


def test_rates_are_compared_where_a_row_has_no_size(tmp_path: Path) -> None:
    row = one(tmp_path, "npu1,i8,i16,,,,64,216,64,4.03", f"{HEADER},tile_m,tile_k,tile_n,tops")
    found = estimate_row(row)
    assert found.quantity == "tops"
    assert found.measured == 4.03
    assert 1 < found.predicted < 8.2


def test_a_row_that_reports_nothing_has_no_error(tmp_path: Path) -> None:
    found = estimate_row(one(tmp_path, "npu2,i8,i8,512,512,512", HEADER))
    assert found.error is None
    assert found.predicted > 0
    assert groups([found], lambda entry: entry.row.device) == []


def test_reasons_go_by_rule(tmp_path: Path) -> None:
    plain = one(tmp_path, "npu1,i8,i8,512,512,512,4,4,64,64,64,,,100,whole_array,,,")
    assert reason_of(plain) is None
    odd = one(tmp_path, "npu1,i8,i8,512,512,512,4,4,64,64,64,,,100,whole_array,partition_N=4 (4 sub-calls),,")
    assert "sub" not in (reason_of(plain) or "")
    assert reason_of(odd) == "several calls through the host, whose work between them is not modelled"
    untyped = one(tmp_path, "npu1,,,512,512,512", HEADER)
    assert reason_of(untyped) == "the row does not state its types"
