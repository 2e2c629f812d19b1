"""How many accumulator tiles an inner loop holds in registers, and what fewer than enough of them cost."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npukbuild.targets.model import Target

MAC_LATENCY = 5
"""Cycles until an accumulator can be used again, estimated from the pipeline's depth (load-use latency is
6-7): an inner loop with fewer independent accumulator tiles than this waits."""


def accumulator_bits(dtype: str) -> int:
    """Bits of one accumulator lane of ``aie::mmul``: acc64 for i16, accfloat and acc32 otherwise."""
    return 64 if dtype == "i16" else 32


@cache
def register_blocking(tile_rows: int, tile_columns: int, tile_bits: int, registers: int) -> tuple[int, int]:
    """Choose how many accumulator tiles to hold at once, as (rows, columns) of micro-tiles.

    Args:
        tile_rows: Micro-tiles along m; the choice divides it.
        tile_columns: Micro-tiles along n; the choice divides it.
        tile_bits: Accumulator bits of one micro-tile.
        registers: 1024-bit accumulator registers of the core; one is left for the compiler.
    """
    budget = (registers - 1) * 1024
    best = (1, 1)
    for rows in (4, 2, 1):
        for columns in (4, 2, 1):
            divides = tile_rows % rows == 0 and tile_columns % columns == 0
            # Of equal areas the squarest needs the fewest loads, then the taller one.
            larger = (rows * columns, -abs(rows - columns)) > (best[0] * best[1], -abs(best[0] - best[1]))
            if divides and larger and rows * columns * tile_bits <= budget:
                best = (rows, columns)
    return best


def register_rate(dtype: str, m: int, n: int, target: Target) -> float:
    """Return the inner loop's rate relative to one multiply per cycle, from loads and latency (<= 1).

    The timing model is calibrated on inner loops that fill the accumulator registers; smaller register blocks
    pay for loads and latencies that they cannot hide.

    Args:
        dtype: What is multiplied, as :attr:`Target.mmul` names it.
        m: Rows of the block of C.
        n: Columns of the block of C.
        target: The array model.
    """
    shape = target.mmul.get(dtype)
    if shape is None or m % shape[0] or n % shape[2]:
        return 1.0
    r, s, t = shape
    tile_bits = r * t * accumulator_bits(dtype)
    rows, columns = register_blocking(m // r, n // t, tile_bits, target.core.accumulators)
    bits = 8 if dtype == "i8" else 16
    # Two load ports of 256 bit on AIE2, 512 bit on AIE2P: as wide as the memory's alignment unit.
    port = 8 * target.memory_alignment
    loads = -(-rows * r * s * bits // port) + -(-columns * s * t * bits // port)
    chain = max(1, MAC_LATENCY * 512 // tile_bits)
    work = rows * columns
    return work / max(work, loads / 2, chain)
