"""Designs: their text, what the hardware makes of them, and what they need.

``read_design`` parses, ``lower`` gives the lowered form, ``take_account`` counts what that form uses.
xDSL is imported when the first design is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xdsl.dialects.builtin import ModuleOp

    from npukbuild.ir.account import Account
    from npukbuild.ir.design import Design, TileId

__all__ = ["Account", "Design", "load_design", "lower", "read_design", "take_account"]


def read_design(text: str, *, file: str | None = None) -> ModuleOp:
    """Read a design; see :func:`npukbuild.ir.reader.read_design`."""
    from npukbuild.ir.reader import read_design as read

    return read(text, file=file)


def lower(
    module: ModuleOp,
    *,
    allocation: str = "auto",
    device: str | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Design:
    """Lower a design; see :func:`npukbuild.ir.lowering.lower`."""
    from npukbuild.ir.lowering import lower as lower_module

    return lower_module(module, allocation=allocation, device=device, sizes=sizes)


def load_design(
    text: str,
    *,
    file: str | None = None,
    allocation: str = "auto",
    device: str | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Design:
    """Read and lower a design (of several devices, the one called ``device``); see :func:`lower`.

    Raises:
        DesignError: The text cannot be read or breaks a rule; every broken rule is in the error.
    """
    return lower(read_design(text, file=file), allocation=allocation, device=device, sizes=sizes)


def take_account(
    design: Design,
    *,
    program_bytes: Mapping[TileId, int] | None = None,
    static_bytes: Mapping[TileId, int] | None = None,
) -> Account:
    """Count what a lowered design uses; see :func:`npukbuild.ir.account.take_account`."""
    from npukbuild.ir.account import take_account as take

    return take(design, program_bytes=program_bytes, static_bytes=static_bytes)


def __getattr__(name: str) -> Any:
    """Give ``Design`` and ``Account`` without importing them before they are asked for."""
    if name == "Design":
        from npukbuild.ir.design import Design

        return Design
    if name == "Account":
        from npukbuild.ir.account import Account

        return Account
    raise AttributeError(name)
