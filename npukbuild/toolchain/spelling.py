"""Small rewrites of a design's text: what older releases spell differently, and the stack size.

Sources: mlir-aie's history. ``link_with`` on a function is used for the link since 2026-03-13 (#2922), before
that only the one on the core is; ``aiex.runtime_sequence`` became ``aie.runtime_sequence`` on 2025-11-18.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from npukbuild.errors import DesignError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npukbuild.toolchain.discovery import Toolchain

_STACK = re.compile(r"\bstack_size\s*=\s*(0x[0-9a-fA-F]+|\d+)(\s*:\s*i32)?")
_LINK = re.compile(r'\blink_with\s*=\s*"([^"]+)"')
_CORE = re.compile(r"\baie\.core\s*\(")
_SEQUENCE_MOVED = 20251118
_LINK_MOVED = 20260313


def core_attributes(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, attributes) of what stands behind each ``aie.core`` region.

    ``start`` and ``end`` bracket the attribute dictionary with its braces; both are the place right behind
    the region, and ``attributes`` is empty, when there is none.

    Raises:
        DesignError: A core's braces do not close.
    """
    for core in _CORE.finditer(text):
        opening = text.find("{", core.end())
        closing = _matching(text, opening)
        if opening < 0 or closing < 0:
            line = text.count("\n", 0, core.start()) + 1
            raise DesignError("the core's braces do not close", where=f"design.mlir:{line}")
        behind = closing + 1
        rest = re.compile(r"[ \t]*\{").match(text, behind)
        if rest is None:
            yield behind, behind, ""
            continue
        end = _matching(text, rest.end() - 1)
        yield rest.end() - 1, end + 1, text[rest.end() : end]


def _matching(text: str, opening: int) -> int:
    """Return the place of the brace that closes the one at ``opening``, or -1.

    Braces in strings and comments do not count.
    """
    if opening < 0:
        return -1
    depth = 0
    for token in re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|[{}]').finditer(text, opening):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                return token.start()
    return -1


def smallest_stack(text: str, default: int) -> int:
    """Return the smallest ``stack_size`` in bytes over the design's cores; ``default`` is one left out."""
    sizes = []
    for _, _, attributes in core_attributes(text):
        found = _STACK.search(attributes)
        sizes.append(int(found[1], 0) if found else default)
    return min(sizes, default=default)


def with_stack(text: str, size: int, default: int) -> str:
    """Return the design with every core's ``stack_size`` raised to at least ``size`` bytes."""

    def raised(attributes: str) -> str:
        found = _STACK.search(attributes)
        if found and int(found[1], 0) >= size:
            return attributes
        if found:
            return attributes[: found.start()] + f"stack_size = {size} : i32" + attributes[found.end() :]
        return _added(attributes, f"stack_size = {size} : i32") if default < size else attributes

    return _rewritten(text, raised)


def spelled_for(text: str, toolchain: Toolchain) -> str:
    """Return the design as this toolchain's aiecc reads it."""
    released = _released(toolchain)
    if released < _SEQUENCE_MOVED:
        text = re.sub(r"\baie\.runtime_sequence\b", "aiex.runtime_sequence", text)
    if released < _LINK_MOVED:
        objects = list(dict.fromkeys(_LINK.findall(text)))
        if len(objects) == 1:
            link = f'link_with = "{objects[0]}"'
            text = _rewritten(text, lambda a: a if _LINK.search(a) else _added(a, link))
    return text


def _released(toolchain: Toolchain) -> int:
    """Return the date (YYYYMMDD) from which on this release behaves, as far as it matters here."""
    dated = re.match(r"0\.0\.1\.(\d{8})", toolchain.mlir_aie_version)
    if dated:
        return int(dated[1])
    release = re.match(r"(\d+)\.(\d+)\.(\d+)", toolchain.mlir_aie_version)
    if release is None:
        return _SEQUENCE_MOVED if toolchain.generation == "python" else 99999999
    version = tuple(int(part) for part in release.groups())
    if version < (1, 1, 3):
        return 0
    return _SEQUENCE_MOVED if version < (1, 3, 0) else 99999999


def _added(attributes: str, extra: str) -> str:
    return f"{extra}, {attributes.strip()}" if attributes.strip() else extra


def _rewritten(text: str, change: object) -> str:
    assert callable(change)
    pieces = []
    at = 0
    for start, end, attributes in core_attributes(text):
        changed = change(attributes)
        pieces.append(text[at:start])
        if changed != attributes:
            pieces.append((" " if start == end else "") + "{" + changed + "}")
        else:
            pieces.append(text[start:end])
        at = end
    return "".join([*pieces, text[at:]])
