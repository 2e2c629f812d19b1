"""Where things stand in a TOML text: ``tomllib`` gives values without lines, this the lines."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_HEADER = re.compile(r"(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(
    r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=\s*"""
)
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'', re.DOTALL)


def places(text: str) -> dict[Path, int]:
    """Return the line (from 1) of every table, key and element of an array in a valid TOML text.

    A path is the keys from the top, with an index for each element of an array or an array of tables:
    ``("kernel", 2, "shapes", 0)``.
    """
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    prefix: Path = ()
    at, line = 0, 1
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        row = text[at:end]
        if (header := _HEADER.match(row.strip())) is not None and row.lstrip().startswith("["):
            prefix = _table(_parts(header[2]), header[1] == "[[", counts)
            found[prefix] = line
        elif (key := _KEY.match(row)) is not None:
            path = (*prefix, *_parts(key[1]))
            found[path] = line
            end = _value(text, at + key.end(), line, path, found)
        line += text.count("\n", at, end) + 1
        at = end + 1
    return found


def nearest(found: dict[Path, int], path: Path) -> int:
    """Return the line of ``path`` or of the innermost thing around it that has one."""
    for length in range(len(path), 0, -1):
        if path[:length] in found:
            return found[path[:length]]
    return 1


def _parts(text: str) -> tuple[str, ...]:
    return tuple(one or two or three for one, two, three in _PART.findall(text))


def _table(parts: tuple[str, ...], array: bool, counts: dict[Path, int]) -> Path:
    path: Path = ()
    for index, part in enumerate(parts):
        path = (*path, part)
        last = index == len(parts) - 1
        if array and last:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _value(text: str, at: int, line: int, path: Path, found: dict[Path, int]) -> int:
    """Walk over the value at ``at``, note the elements of arrays, return where its last line ends."""
    stack: list[list[int | str]] = []  # (bracket, index of the next element)
    fresh = False
    while at < len(text):
        char = text[at]
        if char == "\n":
            line += 1
            if not stack:
                return at
        elif char == "#":
            at = text.find("\n", at)
            if at < 0:
                return len(text)
            continue
        elif not char.isspace() and char not in ",]}":
            if fresh and all(kind == "[" for kind, _ in stack):
                found.setdefault((*path, *(index for _, index in stack)), line)
                fresh = False
            if char in "[{":
                stack.append([char, 0])
                fresh = char == "["
            elif (string := _STRING.match(text, at)) is not None:
                line += string[0].count("\n")
                at = string.end()
                continue
        elif char in "]}" and stack:
            stack.pop()
            fresh = False
        elif char == "," and stack:
            stack[-1][1] = int(stack[-1][1]) + 1
            fresh = stack[-1][0] == "["
        at += 1
    return len(text)
