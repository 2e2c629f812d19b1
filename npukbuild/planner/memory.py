"""Bytes of L1 and L2 that a scheme takes, and where the compiler will put them.

The planner's own arithmetic; the account of the rendered design counts the same again from the text alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.planner.scheme import ACCUMULATOR_BYTES, STACK_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.planner.scheme import Scheme


@dataclass(frozen=True, slots=True)
class Item:
    """``count`` buffers of ``bytes`` each that serve one purpose."""

    name: str
    count: int
    bytes: int

    @property
    def total(self) -> int:
        """Bytes of all of them."""
        return self.count * self.bytes

    def __str__(self) -> str:
        return (
            f"{self.name} {self.bytes:,}" if self.count == 1 else f"{self.name} {self.count} x {self.bytes:,}"
        )


def core_items(scheme: Scheme) -> tuple[Item, ...]:
    """Return the buffers of one core (all cores have the same), without the stack."""
    size, out = scheme.element_bytes
    items = [
        Item("A", scheme.a_depth, scheme.m * scheme.k * size),
        Item("B", scheme.b_depth, scheme.k * scheme.n * size),
    ]
    if scheme.program == "private":
        items.append(Item("sum", 1, scheme.m * scheme.n * ACCUMULATOR_BYTES))
    items.append(Item("C", scheme.c_depth, scheme.m * scheme.n * out))
    return tuple(items)


def mem_items(scheme: Scheme, column: int) -> tuple[Item, ...]:
    """Return the buffers of one column's memtile."""
    size, out = scheme.element_bytes
    items = [
        Item("A", scheme.a_depth, len(rows) * scheme.m * scheme.k * size)
        for source, rows in scheme.a_groups
        if source == column
    ]
    items.append(Item("B", scheme.b_depth, scheme.k * scheme.n * size))
    items.append(Item("C", 2, scheme.rows * scheme.m * scheme.n * out))
    return tuple(items)


def l1_bytes(scheme: Scheme) -> int:
    """Bytes of one core: buffers and stack."""
    return STACK_BYTES + sum(item.total for item in core_items(scheme))


def l2_bytes(scheme: Scheme) -> int:
    """Bytes of the fullest memtile."""
    return max(sum(item.total for item in mem_items(scheme, column)) for column in range(scheme.columns))


def arithmetic(items: Sequence[Item], capacity: int, *, stack: int = STACK_BYTES) -> str:
    """Write a sum out: ``A 2 x 8,192 + B 2 x 65,536 + stack 1,024 = 148,480 > 65,536``."""
    total = sum(item.total for item in items) + stack
    parts = [str(item) for item in items]
    if stack:
        parts.append(f"stack {stack:,}")
    return f"{' + '.join(parts)} = {total:,} {'>' if total > capacity else '<='} {capacity:,}"


def static_room(sizes: Sequence[int], stack: int, capacity: int, banks: int) -> int:
    """Bytes behind the highest buffer, where the linker puts a program's constants; < 0 if it overflows.

    mlir-aie places buffers bank by bank first (largest first, round robin over the banks, the stack at the
    start of bank 0, no buffer across a bank's end) and packs them one after the other where that fails
    (lib/Dialect/AIE/Transforms/AIEAssignBuffers.cpp); the data region of the linker script begins at the end
    of the highest buffer (lib/Targets/AIETargetLdScript.cpp).

    Args:
        sizes: Bytes of every single buffer.
        stack: Bytes of the stack.
        capacity: Bytes of the memory.
        banks: Number of equal banks.
    """
    bank_bytes = capacity // banks
    ends = [bank * bank_bytes for bank in range(banks)]
    ends[0] += stack
    turn = 0
    highest = stack
    for size in sorted(sizes, reverse=True):
        for offset in range(banks):
            bank = (turn + offset) % banks
            if ends[bank] + size <= (bank + 1) * bank_bytes:
                ends[bank] += size
                highest = max(highest, ends[bank])
                turn = (bank + 1) % banks
                break
        else:
            return capacity - stack - sum(sizes)
    return capacity - highest
