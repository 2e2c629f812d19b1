"""Layouts that name parts of 4-byte words and yet move whole ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npukbuild.ir.design import Descriptor


def is_unwrapped(descriptor: Descriptor, width: int) -> bool:
    """Say whether a descriptor is one run whose innermost dimension is shorter than a 4-byte word.

    It moves right although it names parts of words: that wrap is written as 0 words, which stands for no wrap
    at all, and the outer dimensions never count.

    Args:
        descriptor: The descriptor.
        width: Bytes of one of its elements.
    """
    run = 1
    for dim in reversed(descriptor.dims):
        if dim.size > 1 and dim.stride != run:
            return False
        run *= dim.size
    return bool(descriptor.dims) and descriptor.dims[-1].size * width < 4
