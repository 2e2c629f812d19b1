"""Bounds-checked reading of little-endian structures."""

from __future__ import annotations

import struct
from typing import Any

from npukbuild.errors import ContainerError


class Heap:
    """A section's bytes, read through checks and a budget.

    The structures of a section may point anywhere into it. Nothing stops a damaged file from pointing at
    the same bytes a million times, so every read is charged against a budget of twice the section's size:
    a real file uses each byte once, and what we make of any file stays in proportion to its size.

    Args:
        data: The section's bytes.
        what: Name for messages, ``AIE_PARTITION``.
    """

    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.what = what
        self._budget = 2 * len(data) + 64

    def charge(self, count: int, item: str) -> None:
        """Take ``count`` bytes from the budget.

        Raises:
            ContainerError: The structures claim more bytes than the section could hold.
        """
        self._budget -= count
        if self._budget < 0:
            raise ContainerError(
                f"{self.what} points at the same bytes again and again",
                where=item,
                why=f"its structures claim more than twice its {len(self.data)} bytes",
            )

    def slice(self, offset: int, size: int, item: str) -> bytes:
        """Return ``size`` bytes at ``offset``.

        Raises:
            ContainerError: They do not lie inside the section.
        """
        if size < 0 or offset < 0 or offset + size > len(self.data):
            raise ContainerError(
                f"{self.what} is cut short or points outside itself",
                where=item,
                why=f"{size} bytes at offset {offset} are needed, the section has {len(self.data)}",
            )
        self.charge(size, item)
        return self.data[offset : offset + size]

    def unpack(self, layout: str, offset: int, item: str) -> tuple[Any, ...]:
        """Unpack one structure (``struct`` syntax, little-endian) at ``offset``."""
        layout = "<" + layout
        return struct.unpack(layout, self.slice(offset, struct.calcsize(layout), item))

    def array(self, layout: str, offset: int, count: int, item: str) -> list[tuple[Any, ...]]:
        """Unpack ``count`` structures that follow each other from ``offset``."""
        layout = "<" + layout
        size = struct.calcsize(layout)
        if count < 0:
            raise ContainerError(f"{self.what} has a negative count", where=item, why=f"count {count}")
        return list(struct.iter_unpack(layout, self.slice(offset, count * size, item)))

    def text(self, offset: int, item: str, limit: int = 4096) -> str:
        """Return the NUL-terminated text at ``offset`` (at most ``limit`` bytes)."""
        if offset < 0 or offset >= len(self.data):
            raise ContainerError(
                f"{self.what} points outside itself",
                where=item,
                why=f"offset {offset}, the section has {len(self.data)} bytes",
            )
        end = self.data.find(b"\0", offset, offset + limit)
        if end < 0:
            raise ContainerError(
                f"{self.what} has a text without an end",
                where=item,
                why=f"no NUL within {limit} bytes of offset {offset}",
            )
        self.charge(end - offset + 1, item)
        return self.data[offset:end].decode("utf-8", "replace")


def fixed_text(raw: bytes) -> str:
    """Decode a fixed-width, NUL-padded name."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")
