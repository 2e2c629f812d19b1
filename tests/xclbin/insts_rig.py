"""Instruction streams to test with: golden ones, made ones, and designs of a single transfer."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from npukbuild.ir.design import Allocation, Array, Descriptor, Dim, Push, TileId
from tests.xclbin.golden_sequences import GOLDEN, read_sequence

if TYPE_CHECKING:
    from npukbuild.ir.design import Design, SequenceOp

SHORT = ["G1_matmul_64x64x512_bf16", "G2_matmul_128x512x512_bf16", "G8_attention_head_64x64_bf16"]


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.insts.bin").read_bytes()


def stream(*operations: list[int], columns: int = 1, generation: int = 3) -> bytes:
    body = [word for operation in operations for word in operation]
    head = [6 << 24 | generation << 16 | 0x100, 0x100 | columns, len(operations), 4 * (len(body) + 4)]
    return struct.pack(f"<{len(body) + 4}I", *head, *body)


def one_push(
    *more: SequenceOp, dims: tuple[Dim, ...] = (), direction: str = "MM2S", **changes: Any
) -> Design:
    """Return G1's device with a single transfer of its first argument (as i32) and what follows."""
    length = 1
    for dim in dims:
        length *= dim.size
    descriptor = Descriptor("A", 0, length if dims else 64, dims, id=0)
    target = Allocation("a", TileId(0, 0), direction, 0)  # type: ignore[arg-type]
    push = replace(Push(target, (descriptor,), 0, None, direction == "S2MM"), **changes)
    return with_operations(push, *more)


def with_operations(*operations: SequenceOp) -> Design:
    base = read_sequence(SHORT[0])
    sequence = replace(base.sequence, arguments=(("A", Array("i32", (1 << 20,))),), operations=operations)
    return replace(base, sequences={"sequence": sequence})
