"""Addresses of buffers: bank-aware first, packed when that fails, as mlir-aie's buffer assignment does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.ir.design import Buffer
from npukbuild.ir.lowering.order import introsort

if TYPE_CHECKING:
    from npukbuild.ir.design import TileId
    from npukbuild.ir.lowering.state import BufferSpec, State

ALLOCATIONS = ("auto", "bank-aware", "basic-sequential")


def place(state: State, allocation: str = "auto") -> dict[str, Buffer]:
    """Give every buffer its address.

    Args:
        state: The device after the fifos were lowered.
        allocation: ``auto`` tries banks and packs on failure (the compiler's default), the other two are
            the compiler's ``--alloc-scheme`` values.

    Returns:
        The buffers by name, in the order of the lowered text. A tile that is over-full is packed past its
        end: the account reports it with the numbers.
    """
    ordered = sorted(state.buffers, key=lambda spec: spec.order)
    addresses: dict[str, int] = {}
    for tile in dict.fromkeys(spec.tile for spec in ordered if not spec.external):
        specs = [spec for spec in ordered if spec.tile == tile and not spec.external]
        if all(spec.address is not None for spec in specs):
            addresses.update({spec.name: spec.address for spec in specs if spec.address is not None})
            continue
        found = None
        if allocation in ("auto", "bank-aware"):
            found = bank_aware(state, tile, specs)
        if found is None:
            found = sequential(state, tile, specs)
        addresses.update(found)
    return {
        spec.name: Buffer(
            spec.name, spec.tile, spec.type, addresses.get(spec.name), spec.initial, spec.fifo, spec.loc
        )
        for spec in ordered
    }


def bank_aware(state: State, tile: TileId, specs: list[BufferSpec]) -> dict[str, int] | None:
    """Spread buffers over banks, largest first, round robin; None when one fits in no bank."""
    limits = state.target.limits(state.kind(tile))
    if limits.banks == 0:
        return None
    size = limits.data_bytes // limits.banks
    free = [size * bank for bank in range(limits.banks)]
    free[0] += state.stacks.get(tile, 0)
    placed: dict[str, int] = {}
    rest: list[BufferSpec] = []
    for spec in specs:
        address = _given(spec, free, size)
        if address is None:
            rest.append(spec)
        else:
            placed[spec.name] = address
    bank = 0
    for spec in introsort(rest, lambda first, second: first.type.bytes > second.type.bytes):
        for _ in range(limits.banks):
            start = free[bank]
            fits = start + spec.type.bytes <= size * (bank + 1)
            if fits:
                placed[spec.name] = start
                free[bank] = start + spec.type.bytes
            bank = (bank + 1) % limits.banks
            if fits:
                break
        else:
            return None
    over = any(free[bank] > size * (bank + 1) for bank in range(limits.banks))
    return None if over else placed


def _given(spec: BufferSpec, free: list[int], size: int) -> int | None:
    """Honour an address or a bank in the text where that is still possible."""
    if spec.address is not None:
        bank = spec.address // size
        if bank < len(free) and spec.address >= free[bank]:
            free[bank] = spec.address + spec.type.bytes
            return spec.address
        return spec.address if bank >= len(free) else None
    if spec.bank is not None and spec.bank < len(free):
        start = free[spec.bank]
        if start + spec.type.bytes <= size * (spec.bank + 1):
            free[spec.bank] = start + spec.type.bytes
            return start
    return None


def sequential(state: State, tile: TileId, specs: list[BufferSpec]) -> dict[str, int]:
    """Pack buffers behind the stack, largest first; addresses in the text are overridden."""
    address = state.stacks.get(tile, 0)
    placed = {}
    for spec in introsort(specs, lambda first, second: first.type.bytes > second.type.bytes):
        placed[spec.name] = address
        address += spec.type.bytes
    return placed
