"""Whether a scheme obeys every limit of its target: what it breaks, in words and numbers.

The limits come from the array model (``npukbuild/targets/*.toml``). Anything that follows from the fixed
shape of our designs is checked all the same, so that an array model with other numbers is planned rightly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.planner.memory import arithmetic, core_items, mem_items, static_room
from npukbuild.planner.program import program_bytes
from npukbuild.planner.scheme import STACK_BYTES, STATIC_BYTES
from npukbuild.planner.sequence import schedule
from npukbuild.planner.streams import WORD

if TYPE_CHECKING:
    from npukbuild.planner.scheme import Scheme

HOST_BYTES = 2**31 - 1
"""Largest host buffer: ``npu.address_patch`` adds a signed 32-bit offset in bytes to a buffer's address."""


@dataclass(frozen=True, slots=True)
class TileUse:
    """What one tile uses: channels in and out, BDs (also per channel parity), locks."""

    kind: str
    column: int
    s2mm: int
    mm2s: int
    bds: int
    bds_even: int
    bds_odd: int
    locks: int


def violations(scheme: Scheme, *, static_bytes: int = STATIC_BYTES) -> list[str]:
    """Return every limit that ``scheme`` breaks, the memories first; empty means legal.

    Args:
        scheme: What to check.
        static_bytes: Room that has to be left behind the highest L1 buffer for the program's constants.
    """
    found = shape_violations(scheme)
    if found:
        return found
    return [
        *_memory_violations(scheme, static_bytes),
        *_descriptor_violations(scheme),
        *_use_violations(scheme),
        *_host_violations(scheme),
    ]


def shape_violations(scheme: Scheme) -> list[str]:
    """Return what is wrong with the block's sizes themselves: not whole micro-tiles, grid too large."""
    r, s, t = scheme.micro
    size, out = scheme.element_bytes
    found = [
        f"block {letter} = {value} is not a multiple of {unit}, the aie::mmul tile"
        for letter, value, unit in (("m", scheme.m, r), ("k", scheme.k, s), ("n", scheme.n, t))
        if value % unit
    ]
    target = scheme.target
    if scheme.columns > target.columns:
        found.append(f"{scheme.columns} columns asked for, {target.name} has {target.columns}")
    if found:
        return found
    unit = target.memory_alignment
    for letter, elements, width in (
        ("A", scheme.m * scheme.k, size),
        ("B", scheme.k * scheme.n, size),
        ("C", scheme.m * scheme.n, out),
    ):
        if elements * width % unit:
            found.append(f"{letter}'s block of {elements * width:,} bytes is not a multiple of {unit} bytes")
    return found


def _memory_violations(scheme: Scheme, static_bytes: int) -> list[str]:
    core, mem = scheme.target.core, scheme.target.mem
    items = core_items(scheme)
    found = []
    if sum(item.total for item in items) + STACK_BYTES > core.data_bytes:
        found.append(f"L1: {arithmetic(items, core.data_bytes)}")
    else:
        room = room_for_constants(scheme)
        if room < static_bytes:
            found.append(
                f"L1: {arithmetic(items, core.data_bytes)}, but only {room:,} bytes are left behind the "
                f"highest buffer for the program's constants ({static_bytes:,} needed)"
            )
    for column in range(scheme.columns):
        here = mem_items(scheme, column)
        if sum(item.total for item in here) > mem.data_bytes:
            found.append(f"L2 of column {column}: {arithmetic(here, mem.data_bytes, stack=0)}")
    return found


def room_for_constants(scheme: Scheme) -> int:
    """Return the bytes behind the highest L1 buffer, where the linker puts the program's constants."""
    core = scheme.target.core
    sizes = [item.bytes for item in core_items(scheme) for _ in range(item.count)]
    return static_room(sizes, STACK_BYTES, core.data_bytes, core.banks)


def _descriptor_violations(scheme: Scheme) -> list[str]:
    target = scheme.target
    size, out = scheme.element_bytes
    r, s, t = scheme.micro
    found = []
    for letter, elements, width in (
        ("A", scheme.m * scheme.k, size),
        ("B", scheme.k * scheme.n, size),
        ("C", scheme.m * scheme.n, out),
    ):
        if elements * width // WORD > target.core.length_words:
            found.append(
                f"{letter}'s block of {elements * width // WORD:,} words exceeds the "
                f"{target.core.length_words:,} words of one core descriptor"
            )
    for what, size_ in (("m/r", scheme.m // r), ("k/s", scheme.k // s), ("n/t", scheme.n // t)):
        if size_ > target.mem.dim_size:
            found.append(
                f"{what} = {size_} exceeds {target.mem.dim_size}, the largest size of a memtile dimension"
            )
    if not found and schedule(scheme) is None:
        found.append(_schedule_words(scheme))
    return found


def _schedule_words(scheme: Scheme) -> str:
    size, out = scheme.element_bytes
    shim = scheme.target.shim
    _, padded_k, padded_n = scheme.padded
    return (
        f"no shim descriptor can walk the host's matrices: row pitches {padded_k * size // WORD:,} (A) and "
        f"{padded_n * max(size, out) // WORD:,} (B, C) words of at most {shim.stride_words:,}; "
        f"runs of {scheme.k * size // WORD:,} and {scheme.n * max(size, out) // WORD:,} words of at most "
        f"{shim.wrap[0]:,}; {scheme.rows * scheme.m:,} rows of C per task of at most {shim.wrap[1]:,}"
    )


def _use_violations(scheme: Scheme) -> list[str]:
    found = []
    for use in tile_uses(scheme):
        limits = scheme.target.limits(use.kind)
        place = f"{use.kind} tile of column {use.column}"
        counts = [("S2MM channels", use.s2mm, limits.s2mm), ("MM2S channels", use.mm2s, limits.mm2s)]
        counts += [("descriptors", use.bds, limits.bds), ("locks", use.locks, limits.locks)]
        if limits.bds_per_parity:
            counts.append(("descriptors of even channels", use.bds_even, limits.bds_per_parity))
            counts.append(("descriptors of odd channels", use.bds_odd, limits.bds_per_parity))
        found += [f"{place}: {used} {what} of {limit}" for what, used, limit in counts if used > limit]
    found += _stream_violations(scheme)
    estimate = program_bytes(scheme)
    if estimate > scheme.target.core.program_bytes:
        found.append(f"program memory: about {estimate:,} bytes of {scheme.target.core.program_bytes:,}")
    return found


def _stream_violations(scheme: Scheme) -> list[str]:
    streams = scheme.target.streams
    found = []
    for column in range(scheme.columns):
        rows = sum(len(rows) for source, rows in scheme.a_groups if source == column)
        if rows + 1 > streams["north"]:
            found.append(
                f"column {column}: {rows + 1} streams go up from the memtile, {streams['north']} fit"
            )
        if scheme.rows > streams["south"]:
            found.append(
                f"column {column}: {scheme.rows} streams come down to the memtile, {streams['south']} fit"
            )
    return found


def _host_violations(scheme: Scheme) -> list[str]:
    abi = scheme.problem.abi(*scheme.padded)
    found = [
        f"host buffer {argument.name} of {argument.bytes:,} bytes exceeds {HOST_BYTES:,}"
        for argument in abi.arguments
        if argument.bytes > HOST_BYTES
    ]
    if len(abi.arguments) > scheme.target.host_arguments:
        found.append(f"{len(abi.arguments)} host buffers of {scheme.target.host_arguments}")
    return found


def tile_uses(scheme: Scheme) -> tuple[TileUse, ...]:
    """Return what the shim and the memtile of every column and (once) a core use.

    A link's memtile side has ``depth`` BDs per sub-block: a distribute has them on its way in, a join on its
    way out. Channels are given out in the order of the design's text: A, B, then C.
    """
    uses = []
    for column in range(scheme.columns):
        rows = next((rows for source, rows in scheme.a_groups if source == column), ())
        uses.append(_shim_use(column, bool(rows)))
        uses.append(_mem_use(scheme, column, len(rows)))
    depths = scheme.a_depth + scheme.b_depth + scheme.c_depth
    uses.append(TileUse("core", 0, 2, 1, depths, 0, 0, 6))
    return tuple(uses)


def _shim_use(column: int, has_a: bool) -> TileUse:
    inputs = 2 if has_a else 1
    return TileUse("shim", column, 1, inputs, 2 * (inputs + 1), 0, 0, 2 * (inputs + 1))


def _mem_use(scheme: Scheme, column: int, fed: int) -> TileUse:
    inward = ([scheme.a_depth * fed] if fed else []) + [scheme.b_depth] + [2] * scheme.rows
    outward = [scheme.a_depth] * fed + [scheme.b_depth, 2 * scheme.rows]
    even = sum(inward[0::2]) + sum(outward[0::2])
    odd = sum(inward[1::2]) + sum(outward[1::2])
    locks = 2 * (fed + 1 + scheme.rows)
    return TileUse("mem", column, len(inward), len(outward), even + odd, even, odd, locks)
