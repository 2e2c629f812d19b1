"""The canonical encoding of a value, and the key that is its SHA-256.

The encoding is injective: every value carries its type and its length, so that no two different values share
bytes. Types whose order or text depends on the process (sets, objects, paths) are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any


def encode(value: Any) -> bytes:
    """Return the canonical bytes of ``value``.

    Args:
        value: None, bool, int, float, str, bytes, or lists, tuples and str-keyed mappings of these. A
            mapping's order does not count, a sequence's does. 1, 1.0, True and "1" are four different values.

    Raises:
        TypeError: The value, or one inside it, has another type. A set or an arbitrary object would bring the
            process's hash seed or an address into a key.
    """
    parts: list[bytes] = []
    _encode(value, parts)
    return b"".join(parts)


def key_of(value: Any) -> str:
    """Return the SHA-256 of the canonical encoding of ``value`` in hexadecimal."""
    return hashlib.sha256(encode(value)).hexdigest()


def _encode(value: Any, parts: list[bytes]) -> None:
    kind = type(value)
    if kind is str:
        _tagged(b"s", value.encode("utf-8", "surrogateescape"), parts)
    elif kind is bool:
        parts.append(b"T" if value else b"F")
    elif value is None:
        parts.append(b"N")
    elif kind is int:
        _tagged(b"i", str(value).encode(), parts)
    elif kind is float:
        _tagged(b"f", value.hex().encode(), parts)
    elif kind is bytes:
        _tagged(b"b", value, parts)
    elif kind in (list, tuple):
        parts.append(b"l%d:" % len(value))
        for item in value:
            _encode(item, parts)
    elif isinstance(value, Mapping):
        parts.append(b"d%d:" % len(value))
        for name in sorted(value):
            if type(name) is not str:
                raise TypeError(f"a key's mapping has the name {name!r}, which is not a str")
            _encode(name, parts)
            _encode(value[name], parts)
    else:
        raise TypeError(f"a value of type {kind.__name__} cannot be part of a key")


def _tagged(tag: bytes, data: bytes, parts: list[bytes]) -> None:
    parts.append(b"%s%d:" % (tag, len(data)))
    parts.append(data)
