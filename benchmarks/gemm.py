"""The planner's GEMMs next to the best published ones of the same size, all by the calibrated timing model.

``python -m benchmarks.gemm [TABLE.csv]``. Nothing is run: the planner's times are estimated, the published
ones measured by their authors. The ratio is estimated speed over published speed: 1 and more is as fast or
faster; below, the column ``bound`` says what holds the planner's choice back. Only rows at the target's
default clock are compared.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from npukbuild.errors import NpukbuildError
from npukbuild.kernels.matmul import MatmulProblem
from npukbuild.planner import plan_matmul
from npukbuild.planner.cost.designs import clock_kind, clock_of, is_emulated
from npukbuild.planner.cost.table import GemmRow, read_table
from npukbuild.targets import Target, load_target
from npukbuild.targets.timing import gemm_timing, launch_us

TABLE = Path(__file__).parents[1] / "tests" / "data" / "published_gemm.csv"

HEADLINES = (
    ("npu1", "i8", "i8", 6.76),
    ("npu1", "bf16", "bf16", 3.14),
    ("npu2", "i8", "i8", 38.05),
    ("npu2", "bfp16", "bf16", 14.71),
)
"""Most TOPS published at any size, at 1.0 GHz (npu1) and 1.8 GHz (npu2): arXiv 2512.13282 sec. 5."""

LARGE_SQUARES = (3072, 4096, 6144, 8192)


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison; ``published`` and ``estimated`` in TOPS, ``roofline`` the share of the ceiling."""

    name: str
    published: float
    published_by: str
    estimated: float
    roofline: float
    bound: str
    block: tuple[int, int, int]

    @property
    def ratio(self) -> float:
        """Estimated speed of the planner's choice over the published speed."""
        return self.estimated / self.published


def roofline_tops(
    target: Target, dtype: str, size: tuple[int, int, int], out_bytes: float, in_bytes: float
) -> float:
    """Return the target's ceiling: its multiply peak, or DDR if every matrix crossed exactly once."""
    timing = gemm_timing(target)
    peak = (
        2e-3
        * target.macs["bf16_bfp16" if dtype == "bfp16" else f"{dtype}_{dtype}"]
        * target.cores
        * timing.clock_ghz
    )
    m, k, n = size
    once = (m * k + k * n) * in_bytes + m * n * out_bytes
    return min(peak, 2e-3 * m * k * n / once * timing.ddr.total_gbs)


def headline(device: str, dtype: str, out_dtype: str, published: float) -> Row:
    """Compare the planner's best large square with the most that was published at any size."""
    rows = [
        _row(device, dtype, out_dtype, (size, size, size), "col", None, published, "most over all sizes")
        for size in LARGE_SQUARES
    ]
    return max((row for row in rows if row is not None), key=lambda row: row.estimated)


def run(table: Path = TABLE) -> list[Row]:
    """Return the headlines, then one row per published size and type, the fastest published run of each."""
    best: dict[tuple[object, ...], GemmRow] = {}
    for row in read_table(table):
        if row.time_us is None or row.size is None or row.tops is None or not _comparable(row):
            continue
        key = (row.device, row.dtype_in, row.dtype_out, row.size)
        if key not in best or row.time_us < (best[key].time_us or 0.0):
            best[key] = row
    found = [headline(*entry) for entry in HEADLINES]
    for row in best.values():
        assert row.size is not None
        layout = row.b_layout if row.b_layout in ("row", "col") else "row"
        dtype = "bfp16" if is_emulated(row) else row.dtype_in
        made = _row(
            row.device,
            dtype,
            row.dtype_out,
            row.size,
            layout,
            clock_kind(row.time_kind),
            row.tops or 0.0,
            row.design,
        )
        if made is not None:
            found.append(made)
    return found


def _comparable(row: GemmRow) -> bool:
    """Whether the row is one call of a GEMM at the clock the planner assumes."""
    timing = gemm_timing(load_target(row.device))
    repeated = "repeated" in row.note or "NO COMPUTE" in row.note
    return clock_of(row, timing) == timing.clock_ghz and not repeated


def _row(
    device: str,
    dtype: str,
    out_dtype: str,
    size: tuple[int, int, int],
    layout: str,
    kind: str | None,
    published: float,
    published_by: str,
) -> Row | None:
    target = load_target(device)
    try:
        problem = MatmulProblem(*size, dtype=dtype, out_dtype=out_dtype, b_layout=layout)
        plan = plan_matmul(problem, target)
    except NpukbuildError:
        return None
    total = plan.prediction.total_us
    if kind is not None:
        total += launch_us(target, kind) - plan.prediction.launch_us
    estimated = 2e-6 * problem.macs / total
    width = {"i8": 1.0, "i16": 2.0, "bf16": 2.0, "bfp16": 2.0, "i32": 4.0, "f32": 4.0}
    ceiling = roofline_tops(target, dtype, size, width[problem.out_dtype], width[dtype])
    name = f"{device} {dtype}>{problem.out_dtype} {'x'.join(map(str, size))}"
    return Row(
        name, published, published_by, estimated, estimated / ceiling, plan.prediction.bound, plan.block
    )


def main(arguments: list[str]) -> None:
    """Print the comparison."""
    rows = run(Path(arguments[0]) if arguments else TABLE)
    print(f"{'GEMM':38} {'published':>9} {'estimated':>9} {'ratio':>6} {'of roofline':>11}  bound     block")
    for row in rows:
        block = "x".join(map(str, row.block))
        figures = f"{row.published:9.2f} {row.estimated:9.2f} {row.ratio:6.2f} {100 * row.roofline:9.1f} %"
        print(f"{row.name:38} {figures}   {row.bound:9} {block}  ({row.published_by})")
    behind = sum(row.ratio < 1 for row in rows)
    print(f"\nTOPS; {len(rows) - behind} of {len(rows)} as fast as published or faster, all estimated")


if __name__ == "__main__":
    main(sys.argv[1:])
