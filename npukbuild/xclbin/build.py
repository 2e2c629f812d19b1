"""BUILD_METADATA: which tools made the container, where the packager wrote it down."""

from __future__ import annotations

import json
from typing import Any

from npukbuild.errors import ContainerError

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 64
_TOOLS = ("generated_by", "packaged_by")


def read_build(data: bytes) -> dict[str, Any]:
    """Return ``generated_by`` and ``packaged_by`` (name, version, ...) of a BUILD_METADATA section.

    Raises:
        ContainerError: The section is not JSON, or is absurdly long or nested.
    """
    text = data.rstrip(b"\0")
    if len(text) > _MAX_BYTES or text.count(b"{") + text.count(b"[") > 10_000:
        raise ContainerError("BUILD_METADATA is absurdly long", why=f"{len(text)} bytes")
    try:
        value = json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise ContainerError("BUILD_METADATA is not JSON", why=str(error)[:200]) from None
    found: dict[str, Any] = {}
    _search(value, found, 0)
    return found


def _search(value: Any, found: dict[str, Any], depth: int) -> None:
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return
    for key, inner in value.items():
        if key in _TOOLS and isinstance(inner, dict):
            found.setdefault(key, {k: v for k, v in inner.items() if isinstance(v, str)})
        else:
            _search(inner, found, depth + 1)
