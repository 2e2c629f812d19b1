"""An upper estimate of a core's program size.

No tool refuses a program that is too long for the 16 KB of program memory, so the planner estimates it: the
inner loop in instructions of at most 16 bytes, with a prologue and an epilogue as long as a software-
pipelined loop has them, plus fixed parts for the C runtime and for each call and lock operation in the core's
loop nest. The true size is checked once the object exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npukbuild.planner.scheme import Scheme

INSTRUCTION = 16
"""Bytes of the longest VLIW instruction (AM020)."""

RUNTIME = 1024
"""Start-up code and main's frame."""

FUNCTION = 512
"""A helper's own loop (zero, convert) or the frame and address arithmetic around the matmul's."""

SITE = 256
"""One call with the acquires and releases around it, per unrolled copy."""


def program_bytes(scheme: Scheme) -> int:
    """Return the estimated bytes of one core's program."""
    rows, columns = scheme.registers
    tiles = rows * columns
    # Loads of A and B, one multiply per tile; a col-major B adds a shuffle per tile of B and halves of it.
    inner = 2 * (rows + columns) + tiles + (2 * columns if scheme.problem.b_layout == "col" else 0)
    # Prologue, kernel and epilogue; then loads, conversion and stores of the accumulators around the loop.
    matmul = INSTRUCTION * (3 * inner + 6 * tiles) + 2 * FUNCTION
    helpers = {"direct": 0, "in_place": 1, "private": 2}[scheme.program]
    copies = 1 if scheme.program == "direct" else 2
    sites = 2 * copies * (1 + helpers)
    return RUNTIME + matmul + helpers * FUNCTION + sites * SITE
