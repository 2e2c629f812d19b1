"""From a table's row to what the timing model needs: which design was run, how it was timed, what is odd.

A published row states sizes and blocks but not the dataflow; that follows from the design's name.
Everything here goes by rule, never by row: :data:`DESIGNS` says what each known design does, :data:`CLOCKS`
which clock a kind of time starts and stops, :data:`REASONS` which notes explain why a row may be far off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.planner.cost.shape import GemmShape
from npukbuild.targets import load_target
from npukbuild.targets.timing import clock_for, element_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npukbuild.planner.cost.table import GemmRow
    from npukbuild.targets.timing import GemmTiming


@dataclass(frozen=True, slots=True)
class DesignRule:
    """What a design's name tells.

    Args:
        words: The rule applies when the row's design contains this (lower case).
        m_axis: See :class:`GemmShape`.
        serial_blocks: See :class:`GemmShape`.
        cast_pass: See :class:`GemmShape`.
        f32_in_l1: C stays in the wide accumulator type in L1 until it is done.
        compiler: Overrides the row's compiler.
        emulated: bf16 goes through BFP16 emulation on AIE2P.
        staged: Calls of k that one contiguous DDR run holds, where the table does not state ``tile_k_l2``.
        block: Block of the design where the table states none.
        c_double: C has two buffers.
        b_resident: L2 keeps B, so it crosses from DDR once.
    """

    words: str
    m_axis: str = "rows"
    serial_blocks: bool = False
    cast_pass: bool = False
    f32_in_l1: bool = False
    compiler: str | None = None
    emulated: bool = False
    staged: int = 1
    block: tuple[int, int, int] | None = None
    c_double: bool = True
    b_resident: bool = False


DESIGNS: tuple[DesignRule, ...] = (
    # mlir-air spreads M over the columns and N over the rows, stages tile_k_l2 in L2, and finishes one round
    # of blocks before the next (its kernel registry's documentation).
    DesignRule(
        "mlir-air fused-cast",
        m_axis="cols",
        serial_blocks=True,
        cast_pass=True,
        f32_in_l1=True,
        emulated=True,
    ),
    DesignRule("mlir-air drain", m_axis="cols", serial_blocks=True, f32_in_l1=True, emulated=True),
    DesignRule("mlir-air direct", m_axis="cols", serial_blocks=True, compiler="codegen", emulated=True),
    DesignRule("mlir-air", m_axis="cols", serial_blocks=True, f32_in_l1=True, emulated=True),
    # "Striking the Balance": k_mt contiguous elements of K per DDR run; its example is 4 k (56 -> 224).
    DesignRule("output-stationary", staged=4, emulated=True, c_double=False),
    DesignRule("ablation", staged=4, emulated=True, c_double=False),
    DesignRule("kernel only", emulated=True),
    # IREE's default tiling: 32 x 32 blocks, 64 x 64 with the deeper ("4-level") tiling.
    DesignRule("iree-amd-aie ukernel", block=(32, 64, 32)),
    DesignRule("iree-amd-aie codegen", compiler="codegen", block=(32, 64, 32)),
    # flm.GEMM: 512 deep blocks, B packed by the caller and (with BFP16 B) kept in L2; the overlay that
    # FastFlowLM ships cuts k to 32 for its wider blocks (the operator's README).
    DesignRule(
        "flm.gemm tile_n=64, b bfp16", f32_in_l1=True, emulated=True, block=(64, 512, 64), b_resident=True
    ),
    DesignRule("flm.gemm", f32_in_l1=True, emulated=True, block=(64, 512, 64)),
    DesignRule("fastflowlm", f32_in_l1=True, emulated=True, block=(64, 32, 128)),
    DesignRule("block_datatypes"),
    DesignRule("native"),
    DesignRule("single_core", block=(64, 64, 32)),
    DesignRule("triton-xdna", emulated=True),
    DesignRule("max over sweep", staged=4, emulated=True, c_double=False),
)

WHOLE_ARRAY = DesignRule("")
"""mlir-aie's whole_array and everything unknown: A broadcast along rows, B down columns, blocks overlap."""

CLOCKS: tuple[tuple[str, str], ...] = (
    ("cycles", "none"),
    ("host copies", "copies"),
    ("python", "python"),
    ("batched", "batched"),
    ("registry", "kernel"),
    ("submit", "device"),
    ("min of", "best"),
    ("wall", "wall"),
)
"""Words in a row's time_kind, and the kind in ``[timing.gemm.launch]`` they mean; the first match counts."""

REASONS: tuple[tuple[str, str], ...] = (
    ("is not a multiple of", "the size as printed does not divide into the blocks as printed"),
    ("issue thread asks why", "slower than a single core; its own reporters do not know why"),
    ("sub-calls", "several calls through the host, whose work between them is not modelled"),
    ("reconfiguration/pdi load", "no GEMM ran: the time of loading a configuration"),
    ("no overlap of shim bd", "the runtime sequence waits where the modelled ones overlap"),
    ("max over", "the most of many sizes, none of which is stated, nor a block"),
    ("short dram bursts", "its short DDR runs took three times as long as in all other sources"),
    ("rebuilds device state", "the launcher's own work around the call, not the array's"),
)
"""Words in a row's note, design or source, and why such a row may be far off."""


def rule_of(design: str) -> DesignRule:
    """Return the first rule whose words the design's name contains."""
    name = design.lower()
    return next((rule for rule in DESIGNS if rule.words in name), WHOLE_ARRAY)


def clock_kind(time_kind: str) -> str:
    """Return which kind of clock took the time; a wall clock where the table does not say."""
    kind = time_kind.lower()
    return next((launch for words, launch in CLOCKS if words in kind), "wall")


def reason_of(row: GemmRow) -> str | None:
    """Return the stated reason why a row cannot be expected to fit, if there is one."""
    if not row.dtype_in:
        return "the row does not state its types"
    text = f"{row.note} {row.design} {row.source}".lower()
    return next((reason for words, reason in REASONS if words in text), None)


def is_kernel_alone(row: GemmRow) -> bool:
    """Whether the row is one core-function call, not a GEMM on the array."""
    return "kernel only" in row.design.lower()


def kernel_of(row: GemmRow) -> tuple[str, str, str]:
    """Return compiler, input type and type of C in L1 of the row's core function."""
    rule = rule_of(row.design)
    return rule.compiler or _compiler(row), _input_type(row, rule), _accumulator(row, rule) or _output(row)


def default_array(row: GemmRow) -> tuple[int, int]:
    """Return all core rows and columns of the row's device, for rows that do not state what they used."""
    target = load_target(row.device)
    return target.core_rows, target.columns


def clock_of(row: GemmRow, timing: GemmTiming) -> float:
    """Return the row's AIE clock in GHz; if not stated the one known for its SoC, else the array's."""
    return row.clock_ghz or clock_for(timing, row.soc)


def block_of(row: GemmRow) -> tuple[int, int, int] | None:
    """Return the row's block, its design's own one, or None: then the planner's is due."""
    if row.block is not None:
        return row.block
    block = rule_of(row.design).block
    if block is not None and "4_level_tiling" in row.note:
        return (2 * block[0], block[1], 2 * block[2])
    return block


def shape_of(row: GemmRow, block: tuple[int, int, int], array: tuple[int, int]) -> GemmShape:
    """Describe the run that a row reports.

    Args:
        row: The row; ``row.size`` must be given.
        block: m, k, n as :func:`block_of` or a planner gives them.
        array: Core rows and columns in use.
    """
    assert row.size is not None
    rule = rule_of(row.design)
    m, k, n = block
    packed = "matmul4d" in row.note
    return GemmShape(
        *row.size,
        m=m,
        k=k,
        n=n,
        rows=array[0],
        cols=array[1],
        dtype_in=_input_type(row, rule),
        dtype_out=_output(row),
        dtype_acc=_accumulator(row, rule),
        a_layout="packed" if packed else "row",
        b_layout="packed" if packed or row.b_layout == "pre-packed" else row.b_layout or "row",
        a_reads=_stated_reads(row),
        b_reads=1 if rule.b_resident else None,
        c_layout="col" if "c col-major" in row.note.lower() else "row",
        c_double=_double(row, rule),
        k_run=_contiguous(row) or row.tile_k_l2 or rule.staged * block[1],
        m_axis=rule.m_axis,
        serial_blocks=rule.serial_blocks,
        cast_pass=rule.cast_pass,
        compiler=rule.compiler or _compiler(row),
        repeats=_repeats(row),
        launch=clock_kind(row.time_kind),
    )


def _stated_reads(row: GemmRow) -> int | None:
    """Times A was read, where B stays in L2 and the note states the bytes moved in all."""
    moved = re.search(r"(\d+) MB moved", row.note)
    if moved is None or row.size is None or not rule_of(row.design).b_resident:
        return None
    rows, depth, columns = row.size
    size, out = element_bytes(row.dtype_in), element_bytes(row.dtype_out)
    return max(
        1,
        round((int(moved[1]) * 1e6 - depth * columns * size - rows * columns * out) / (rows * depth * size)),
    )


def _repeats(row: GemmRow) -> int:
    """How often the core makes each call: compute-only and data-movement-only runs say so in their note."""
    if "no compute" in row.note.lower():
        return 0
    times = re.search(r"kernel call repeated (\d+)x", row.note)
    return int(times[1]) if times else 1


def is_emulated(row: GemmRow) -> bool:
    """Whether the row multiplies bf16 through BFP16 emulation."""
    return _input_type(row, rule_of(row.design)) == "bf16_bfp16"


def _input_type(row: GemmRow, rule: DesignRule) -> str:
    """The type as the kernel constants name it; mlir-aie's single-core example defaults to i16."""
    if row.dtype_in == "bf16" and rule.emulated and row.device.startswith("npu2"):
        return "bf16_bfp16"
    return row.dtype_in or "i16"


def _double(row: GemmRow, rule: DesignRule) -> bool:
    """Whether C has two buffers in L1: as the row says, else as its design does."""
    if row.c_buffering:
        return row.c_buffering == "double"
    return rule.c_double or "double-buffered" in row.note


def _output(row: GemmRow) -> str:
    return row.dtype_out or row.dtype_in or "i32"


def _accumulator(row: GemmRow, rule: DesignRule) -> str | None:
    """Type of C in L1 where it is not the output's."""
    if not rule.f32_in_l1:
        return None
    return "i32" if row.dtype_in.startswith("i") else "f32"


def _contiguous(row: GemmRow) -> int | None:
    """Elements of K per DDR run, where the note gives it as k_mt."""
    stated = re.search(r"k_mt=(\d+)", row.note)
    return int(stated[1]) if stated else None


def _compiler(row: GemmRow) -> str:
    names: Mapping[str, str] = {"xchesscc": "xchesscc", "chess": "xchesscc"}
    return names.get(row.compiler.lower(), "peano")
