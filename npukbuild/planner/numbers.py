"""The numbers and names that the matmul's templates are given.

Templates own the text; whatever they have to know of a plan is here, as plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.planner.layout import a_dims, b_dims, c_dims
from npukbuild.planner.memory import core_items, l1_bytes
from npukbuild.planner.scheme import STACK_BYTES
from npukbuild.planner.sequence import operations

if TYPE_CHECKING:
    from npukbuild.planner.plan import MatmulPlan
    from npukbuild.planner.scheme import Scheme

FOREVER = 2147483640
"""Trip count of a core's endless loop: unrolling by 2, 3, 4, 5 or 8 leaves no remainder."""

CPP_TYPES = {"bf16": "bfloat16", "f32": "float", "i8": "int8_t", "i16": "int16_t", "i32": "int32_t"}


@dataclass(frozen=True, slots=True)
class CoreFunction:
    """A function of kernel.cc: its kind, its name, the types of its arguments as the design spells them."""

    kind: str
    name: str
    arguments: tuple[str, ...]
    shift: bool = False


@dataclass(frozen=True, slots=True)
class ElementType:
    """One element type as the design and as C++ spell it."""

    mlir: str
    cpp: str


def core_functions(scheme: Scheme) -> tuple[CoreFunction, ...]:
    """Return the functions that the cores call, in the order in which they are declared."""
    problem = scheme.problem
    m, k, n = scheme.block
    a, b, c, sums = (_memrefs(scheme)[key] for key in ("a", "b", "c", "sums"))
    shift = ("i32",) if problem.narrow_integer else ()
    size = f"{m}x{k}x{n}"
    if scheme.program == "direct":
        types = (
            problem.dtype if problem.dtype == problem.out_dtype else f"{problem.dtype}_to_{problem.out_dtype}"
        )
        return (CoreFunction("multiply", f"mm_{types}_{size}", (a, b, c, *shift), bool(shift)),)
    acc = problem.acc_dtype
    functions = [
        CoreFunction("zero", f"zero_{acc}_{m}x{n}", (sums,)),
        CoreFunction("multiply_add", f"mm_{problem.dtype}_{acc}_{size}", (a, b, sums)),
    ]
    if scheme.program == "private":
        kind, verb = ("requantise", "requant") if shift else ("convert", "cvt")
        name = f"{verb}_{acc}_{problem.out_dtype}_{m}x{n}"
        functions.append(CoreFunction(kind, name, (sums, c, *shift), bool(shift)))
    return tuple(functions)


def kernel_numbers(plan: MatmulPlan) -> dict[str, Any]:
    """Return what ``kernel.cc.j2`` needs."""
    scheme, problem = plan.scheme, plan.problem
    m, k, n = scheme.block
    return {
        "name": plan.name,
        "m": m,
        "k": k,
        "n": n,
        "dtype": problem.dtype,
        "out_dtype": problem.out_dtype,
        "b_layout": problem.b_layout,
        "micro": scheme.micro,
        "registers": scheme.registers,
        "input": _type(problem.stored_dtype),
        "block_floating": problem.dtype == "bfp16",
        "sum": _type(problem.acc_dtype),
        "output": _type(problem.out_dtype),
        "functions": core_functions(scheme),
    }


def design_numbers(plan: MatmulPlan) -> dict[str, Any]:
    """Return what ``design.mlir.j2`` needs."""
    scheme = plan.scheme
    functions = core_functions(scheme)
    by_kind = {function.kind: function for function in functions}
    finish = by_kind.get("convert") or by_kind.get("requantise")
    return {
        "about": _about(plan),
        "device": plan.target_name,
        "columns": [_column(scheme, index) for index in range(scheme.columns)],
        "a_streams": _a_streams(scheme),
        "functions": functions,
        "function": by_kind | ({"finish": finish} if finish else {}),
        "memref": _memrefs(scheme),
        "memrefs": _host_memrefs(plan),
        "depth": _depths(scheme),
        "dims": {"a": a_dims(scheme), "b": b_dims(scheme), "c": c_dims(scheme)},
        "program": scheme.program,
        "k_blocks": scheme.k_blocks,
        "resident": _resident(scheme),
        "shift": scheme.problem.shift if scheme.problem.narrow_integer else None,
        "forever": FOREVER,
        "stack": STACK_BYTES,
        "operations": operations(scheme, plan.schedule),
    }


def _depths(scheme: Scheme) -> dict[str, str]:
    """Return the depths as the dialect spells them.

    A link of one fifo to one takes its memtile buffers from the fifo that comes in, so where a single core's
    C has one buffer in L1 its two in L2 have to be asked for; a join takes them from the fifo that goes out.
    """
    alone = scheme.rows == 1 and scheme.c_depth == 1
    return {
        "a": f"{scheme.a_depth} : i32",
        "b": f"{scheme.b_depth} : i32",
        "c": "[1, 2]" if alone else f"{scheme.c_depth} : i32",
        "joined": "2 : i32",
    }


def _type(dtype: str) -> ElementType:
    return ElementType(dtype, CPP_TYPES[dtype])


def _memrefs(scheme: Scheme) -> dict[str, str]:
    problem = scheme.problem
    return {
        "a": f"memref<{scheme.m * scheme.k}x{problem.stored_dtype}>",
        "b": f"memref<{scheme.k * scheme.n}x{problem.stored_dtype}>",
        "c": f"memref<{scheme.m * scheme.n}x{problem.out_dtype}>",
        "sums": f"memref<{scheme.m * scheme.n}x{problem.acc_dtype}>",
    }


def _host_memrefs(plan: MatmulPlan) -> dict[str, str]:
    return {
        argument.name: f"memref<{'x'.join(str(size) for size in argument.shape)}x{argument.dtype}>"
        for argument in plan.abi.arguments
    }


def _column(scheme: Scheme, index: int) -> dict[str, Any]:
    block = scheme.m * scheme.n
    return {
        "index": index,
        "shim": f"shim{index}",
        "mem": f"mem{index}",
        "b_l3": f"b{index}_l3",
        "b_l2": f"b{index}_l2",
        "c_l2": f"c{index}_l2",
        "c_memref": f"memref<{scheme.rows * block}x{scheme.problem.out_dtype}>",
        "offsets": [row * block for row in range(scheme.rows)] if scheme.rows > 1 else [],
        "cores": [_core(scheme, index, row) for row in range(scheme.rows)],
    }


def _core(scheme: Scheme, column: int, row: int) -> dict[str, Any]:
    c = f"c{column}_{row}_l1"
    return {
        "tile": f"core{column}_{row}",
        "row": scheme.target.first_core_row + row,
        "name": f"core_{column}_{row}",
        "a": f"a{row}_l2",
        "b": f"b{column}_l2",
        "c": c,
        "sums": f"acc_{column}_{row}" if scheme.program == "private" else c,
    }


def _a_streams(scheme: Scheme) -> list[dict[str, Any]]:
    block = scheme.m * scheme.k
    return [
        {
            "l3": f"a{number}_l3",
            "shim": f"shim{column}",
            "mem": f"mem{column}",
            "memref": f"memref<{len(rows) * block}x{scheme.problem.stored_dtype}>",
            "offsets": [index * block for index in range(len(rows))] if len(rows) > 1 else [],
            "rows": [
                {"l2": f"a{row}_l2", "cores": [f"core{index}_{row}" for index in range(scheme.columns)]}
                for row in rows
            ],
        }
        for number, (column, rows) in enumerate(scheme.a_groups)
    ]


def _resident(scheme: Scheme) -> dict[str, Any] | None:
    if not scheme.resident:
        return None
    return {
        "operand": scheme.resident,
        "count": scheme.n_blocks if scheme.resident == "a" else scheme.m_blocks,
    }


def _about(plan: MatmulPlan) -> list[str]:
    scheme, problem = plan.scheme, plan.problem
    padded = scheme.padded
    b = "B" if problem.b_layout == "row" else "B^T (stored N x K)"
    sums = {"f32": "float32", "i32": "int32"}[problem.acc_dtype]
    product = f"C[{problem.m},{problem.n}] = A[{problem.m},{problem.k}] * {b}"
    types = f"{problem.dtype} in, {problem.out_dtype} out, {sums} sums"
    lines = [f"{plan.name}: {product}; {types}; one call."]
    if padded != (problem.m, problem.k, problem.n):
        lines.append(f"The host pads to M x K x N = {' x '.join(str(size) for size in padded)} with zeros.")
    lines.append(
        f"{scheme.columns} x {scheme.rows} cores (columns x rows), each on blocks of "
        f"{scheme.m} x {scheme.k} x {scheme.n} (m x k x n): "
        f"{scheme.m_blocks} x {scheme.k_blocks} x {scheme.n_blocks} blocks."
    )
    lines.append(_flow(scheme))
    lines.append(
        f"Memtile DMA: row-major to tiles of {' x '.join(map(str, scheme.micro))} (r x s x t) and back."
    )
    items = " + ".join(str(item) for item in core_items(scheme))
    lines.append(f"L1: {items} + stack {STACK_BYTES:,} = {l1_bytes(scheme):,} bytes.")
    return lines


def _flow(scheme: Scheme) -> str:
    if scheme.resident == "a":
        return "The A block stays in L1 while all blocks of N go by; B and C are streamed."
    if scheme.resident == "b":
        return "The B block stays in L1 while all blocks of M go by; A and C are streamed."
    if scheme.cores == 1:
        return "A, B and C are streamed through the memtile."
    return (
        "A is broadcast along the core rows, B up the columns; a column's C blocks are joined in its memtile."
    )
