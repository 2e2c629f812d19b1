"""Small rewrites of a design's text: what older releases spell differently, and the stack size.

Sources: mlir-aie's history. ``link_with`` on a function is used for the link since 2026-03-13 (#2922), before
that only the one on the core is; ``aiex.runtime_sequence`` became ``aie.runtime_sequence`` on 2025-11-18.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from npukbuild.errors import DesignError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from npukbuild.toolchain.discovery import Toolchain

_STACK = re.compile(r"\bstack_size\s*=\s*(0x[0-9a-fA-F]+|\d+)(\s*:\s*i32)?")
_LINK = re.compile(r'\blink_with\s*=\s*"([^"]+)"')
_CORE = re.compile(r"\baie\.core\s*\(")
_LINKED_FUNCTION = re.compile(r'func\.func\s+private\s+@([\w$.]+)[^\n]*?\blink_with\s*=\s*"([^"]+)"')
_CALL = re.compile(r"\bcall\s+@([\w$.]+)")
_SEQUENCE_MOVED = 20251118
# A day later than the change: the wheel of that day was built in the night before it.
_LINK_MOVED = 20260314
_NEWEST = 99999999


def core_attributes(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, attributes) of what stands behind each ``aie.core`` region.

    ``start`` and ``end`` bracket the attribute dictionary with its braces; both are the place right behind
    the region, and ``attributes`` is empty, when there is none.

    Raises:
        DesignError: A core's braces do not close.
    """
    for _, start, end, attributes in _cores(text):
        yield start, end, attributes


def _cores(text: str) -> Iterator[tuple[str, int, int, str]]:
    """Yield each ``aie.core``'s region, and what :func:`core_attributes` says of it."""
    for core in _CORE.finditer(text):
        opening = text.find("{", core.end())
        closing = _matching(text, opening)
        if opening < 0 or closing < 0:
            line = text.count("\n", 0, core.start()) + 1
            raise DesignError("the core's braces do not close", where=f"design.mlir:{line}")
        behind = closing + 1
        rest = re.compile(r"[ \t]*\{").match(text, behind)
        if rest is None:
            yield text[opening:behind], behind, behind, ""
            continue
        end = _matching(text, rest.end() - 1)
        yield text[opening:behind], rest.end() - 1, end + 1, text[rest.end() : end]


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

    def raised(_region: str, attributes: str) -> str:
        found = _STACK.search(attributes)
        if found and int(found[1], 0) >= size:
            return attributes
        if found:
            return attributes[: found.start()] + f"stack_size = {size} : i32" + attributes[found.end() :]
        return _added(attributes, f"stack_size = {size} : i32") if default < size else attributes

    return _rewritten(text, raised)


def spelled_for(text: str, toolchain: Toolchain) -> str:
    """Return the design as this toolchain's aiecc reads it.

    Raises:
        DesignError: A core calls functions of several objects, and this release links one to a core.
    """
    released = _released(toolchain)
    if released < _SEQUENCE_MOVED:
        text = re.sub(r"\baie\.runtime_sequence\b", "aiex.runtime_sequence", text)
    if released < _LINK_MOVED:
        text = _linked_on_cores(text, toolchain)
    return text


def _linked_on_cores(text: str, toolchain: Toolchain) -> str:
    """Name on every core the object of the functions that it calls; newer releases take both spellings."""
    objects = dict(_LINKED_FUNCTION.findall(text))

    def linked(region: str, attributes: str) -> str:
        called = dict.fromkeys(objects[name] for name in _CALL.findall(region) if name in objects)
        if not called or _LINK.search(attributes):
            return attributes
        if len(called) > 1:
            raise DesignError(
                "this release of aiecc links one object to a core",
                why=f"a core calls functions of {', '.join(called)}, and aiecc is of mlir_aie "
                f"{toolchain.mlir_aie_version}",
                hint="put them into one object or archive, or use mlir_aie 1.3 or newer",
            )
        return _added(attributes, f'link_with = "{next(iter(called))}"')

    return _rewritten(text, linked)


def _released(toolchain: Toolchain) -> int:
    """Return the date (YYYYMMDD) from which on this release behaves, as far as it matters here.

    A build that names no release (from source) counts as one that still wants ``link_with`` on the core,
    unless it is of the newest generation: those in between take both.
    """
    dated = re.match(r"0\.0\.1\.(\d{8})", toolchain.mlir_aie_version)
    if dated:
        return int(dated[1])
    release = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", toolchain.mlir_aie_version)
    if release is None:
        return _NEWEST if toolchain.generation == "declarative" else _SEQUENCE_MOVED
    version = tuple(int(part or 0) for part in release.groups())
    if version < (1, 1, 3):
        return 0
    return _SEQUENCE_MOVED if version < (1, 3, 0) else _NEWEST


def _added(attributes: str, extra: str) -> str:
    return f"{extra}, {attributes.strip()}" if attributes.strip() else extra


def _rewritten(text: str, change: Callable[[str, str], str]) -> str:
    """Return the design with every core's attributes as ``change(region, attributes)`` gives them."""
    pieces = []
    at = 0
    for region, start, end, attributes in _cores(text):
        changed = change(region, attributes)
        pieces.append(text[at:start])
        if changed != attributes:
            pieces.append((" " if start == end else "") + "{" + changed + "}")
        else:
            pieces.append(text[start:end])
        at = end
    return "".join([*pieces, text[at:]])
