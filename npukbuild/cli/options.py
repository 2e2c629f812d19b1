"""Command line options that several commands share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import click

from npukbuild.kernels.matmul import B_LAYOUTS, DTYPE_PAIRS

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.kernels.matmul import MatmulProblem

F = TypeVar("F", bound="Callable[..., Any]")

_OUT_DTYPES = tuple(dict.fromkeys(out for outs in DTYPE_PAIRS.values() for out in outs))


class BlockType(click.ParamType[tuple[int, int, int]]):
    """A block size ``MxKxN``, as in ``64x64x64``."""

    name = "MxKxN"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int]:
        """Return (m, k, n)."""
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().split("x")
        if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"{value!r} is not a block size like 64x64x64 (M x K x N)", param, ctx)
        m, k, n = (int(part) for part in parts)
        return m, k, n


def matmul_options(command: F) -> F:
    """Add the options that describe a matmul and its plan.

    The command gets the keyword arguments m, k, n, dtype, out_dtype, b_layout, shift (see
    :func:`matmul_problem`), target (a name), cols and block (or None), and ``as_json``.
    """
    for option in reversed(_MATMUL_OPTIONS):
        command = option(command)
    return command


def matmul_problem(
    *, m: int, k: int, n: int, dtype: str, out_dtype: str | None, b_layout: str, shift: int
) -> MatmulProblem:
    """Make the problem from the options' values.

    Raises:
        RequestError: The options contradict each other or a size is below 1.
    """
    from npukbuild.kernels.matmul import MatmulProblem

    return MatmulProblem(m, k, n, dtype, out_dtype or "", b_layout, shift)


_MATMUL_OPTIONS: list[Callable[[F], F]] = [
    click.option("--m", "m", type=int, required=True, help="Rows of A and C."),
    click.option("--k", "k", type=int, default=64, show_default=True, help="Columns of A, rows of B."),
    click.option("--n", "n", type=int, required=True, help="Columns of B and C."),
    click.option(
        "--dtype",
        type=click.Choice(list(DTYPE_PAIRS)),
        default="bf16",
        show_default=True,
        help="Type of A and B; bfp16 multiplies bf16 matrices in block floating point (npu2 only).",
    ),
    click.option(
        "--out-dtype", type=click.Choice(_OUT_DTYPES), default=None, help="Type of C; by default that of A."
    ),
    click.option(
        "--b-layout",
        type=click.Choice(B_LAYOUTS),
        default="row",
        show_default=True,
        help="B as a row-major K x N matrix, or (col) as a row-major N x K one.",
    ),
    click.option(
        "--shift",
        type=int,
        default=0,
        show_default=True,
        help="Right shift of i8 and i16 results, rounded half to even, then saturated.",
    ),
    click.option("--target", default="npu1", show_default=True, help="The array: npu1, npu2, npu1_1col, ..."),
    click.option("--cols", type=click.IntRange(min=1), default=None, help="Use exactly this many columns."),
    click.option(
        "--block", type=BlockType(), default=None, help="Use exactly this block per core, as in 64x64x64."
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words."),
]


def toolchain_options(command: F) -> F:
    """Add --mlir-aie and --peano: an existing install instead of the pinned one.

    They are other spellings of ``NPUKBUILD_MLIR_AIE`` and ``NPUKBUILD_PEANO``, which every process of a build
    reads; the artifact records the toolchain that was used.
    """
    for name, words in (("peano", "Peano"), ("mlir-aie", "mlir_aie")):
        command = click.option(
            f"--{name}",
            type=click.Path(exists=True, file_okay=False, resolve_path=True),
            callback=_exported,
            expose_value=False,
            help=f"Use the {words} in this folder instead of the pinned one.",
        )(command)
    return command


def _exported(_context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        assert parameter.name is not None
        os.environ[f"NPUKBUILD_{parameter.name.upper()}"] = value
