"""The mirror metadata: JSON behind the last section that repeats the header, between two markers.

xclbinutil writes it for its own repairs. Its objects repeat the key ``section_header``, so that they are
read as lists of pairs. All values are texts.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from npukbuild.errors import ContainerError

if TYPE_CHECKING:
    from collections.abc import Mapping

START = b"XCLBIN_MIRROR_DATA_START"
END = b"XCLBIN_MIRROR_DATA_END"
_MAX_DEPTH = 64
_MAX_BYTES = 16 << 20
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_HEADER_KEY = re.compile(rb'"header"\s*:\s*\{')
_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,16}|[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class MirrorSection:
    """What the mirror says of one section."""

    kind: int
    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Mirror:
    """The mirror metadata as found.

    ``start`` and ``end`` are offsets of the JSON text (without the markers) in the bytes searched.
    """

    start: int
    end: int
    header: Mapping[str, str]
    sections: tuple[MirrorSection, ...]


def find_mirror(tail: bytes) -> tuple[int, int] | None:
    """Return start and end of the JSON text in the bytes behind the last section, None without one.

    Raises:
        ContainerError: The start marker has no end marker.
    """
    begin = tail.find(START)
    if begin < 0:
        return None
    begin += len(START)
    end = tail.find(END, begin)
    if end < 0:
        raise ContainerError(
            "the mirror metadata has no end",
            why=f"{START.decode()} without {END.decode()}",
            hint="the file was not written completely; build or download it again",
        )
    return begin, end


@lru_cache(maxsize=4)
def read_mirror(tail: bytes) -> Mirror | None:
    """Read the mirror metadata, None where there is none.

    The last few are kept: everything done with a file (verify, inspect, normalise) asks for the same one.

    Raises:
        ContainerError: It is cut off, not JSON, or nested absurdly.
    """
    span = find_mirror(tail)
    if span is None:
        return None
    pairs = _load(tail[span[0] : span[1]])
    header: Mapping[str, str] = {}
    sections = []
    for key, value in pairs:
        if key == "header" and isinstance(value, list):
            header = {str(k): str(v) for k, v in value if not isinstance(v, list)}
        elif key == "section_header" and isinstance(value, list):
            sections.append(_section(dict(value)))
    return Mirror(*span, header, tuple(sections))


class _Pairs(list[Any]):
    """An object's pairs, apart from an array."""


def _load(text: bytes) -> list[tuple[str, Any]]:
    """Parse the JSON text; objects become lists of pairs, arrays are dropped (nothing we read is in one)."""
    if len(text) > _MAX_BYTES:
        raise ContainerError("the mirror metadata is absurdly long", why=f"{len(text)} bytes")
    _check_depth(text)

    def pairs(items: list[tuple[str, Any]]) -> _Pairs:
        return _Pairs((k, None if type(v) is list else v) for k, v in items)

    try:
        value = json.loads(text.decode("utf-8", "replace"), object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise ContainerError("the mirror metadata is not JSON", why=str(error)[:200]) from None
    if not isinstance(value, _Pairs):
        raise ContainerError("the mirror metadata is not a JSON object")
    return value


def _check_depth(text: bytes) -> None:
    if text.count(b"{") + text.count(b"[") <= _MAX_DEPTH:
        return
    depth = 0
    for char in _STRING.sub(b"", text).translate(None, _NOT_BRACKETS):
        depth += 1 if char in b"{[" else -1
        if depth > _MAX_DEPTH:
            raise ContainerError("the mirror metadata is nested absurdly", why=f"deeper than {_MAX_DEPTH}")


def _section(fields: Mapping[str, Any]) -> MirrorSection:
    return MirrorSection(
        kind=_number(fields.get("Kind"), "Kind"),
        name=str(fields.get("Name", "")),
        offset=_number(fields.get("Offset"), "Offset"),
        size=_number(fields.get("Size"), "Size"),
    )


def _number(value: object, key: str) -> int:
    text = str(value)
    if _NUMBER.fullmatch(text) is None:
        raise ContainerError("the mirror metadata has a number that is none", where=key, why=f"{text[:40]!r}")
    return int(text, 16 if text.startswith("0x") else 10)


def replace_fields(tail: bytes, values: Mapping[str, str]) -> bytes:
    """Return ``tail`` with fields of the mirror's ``header`` object set; every other byte stays.

    Fields that the header object does not have are left out.

    Raises:
        ContainerError: The mirror is damaged, so that the fields cannot be set safely.
    """
    before = read_mirror(tail)
    if before is None:
        return tail
    text = tail[before.start : before.end]
    for key, value in values.items():
        if key in before.header:
            text = _set_field(text, key, before.header[key], value)
    out = tail[: before.start] + text + tail[before.end :]
    after = read_mirror(out)
    wanted = {**before.header, **{k: v for k, v in values.items() if k in before.header}}
    if after is None or after.header != wanted or after.sections != before.sections:
        raise ContainerError(
            "the mirror metadata cannot be rewritten",
            why="its header object is not laid out as xclbinutil lays it out",
        )
    return out


def _set_field(text: bytes, key: str, old: str, new: str) -> bytes:
    """Replace the first ``"key" : "old"`` behind the ``header`` key."""
    head = _HEADER_KEY.search(text)
    wanted = b'"' + old.encode() + b'"'
    for found in _field(key).finditer(text, head.end()) if head else ():
        if text.startswith(wanted, found.end()):
            return text[: found.end()] + b'"' + new.encode() + b'"' + text[found.end() + len(wanted) :]
    return text


@cache
def _field(key: str) -> re.Pattern[bytes]:
    return re.compile(rb'"%s"\s*:\s*' % re.escape(key.encode()))
