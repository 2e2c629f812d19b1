"""Typed view of EMBEDDED_METADATA: the kernel that the host calls and its arguments.

The section is XML; a kernel stands in ``project/platform/device/core/kernel`` with one ``arg`` per
argument. Document types (and with them entities) are refused: nobody needs them here, and an entity that
expands without end is the oldest attack on XML readers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from xml.parsers import expat

from npukbuild.errors import ContainerError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_DEPTH = 64
_MAX_ELEMENTS = 100_000
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")
_KERNEL_PATH = ("project", "platform", "device", "core", "kernel")

QUALIFIERS = ("scalar", "global", "constant", "local", "stream")
"""Meaning of ``addressQualifier``: 0 a value in the argument itself, 1 a buffer."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One kernel argument; ``offset`` and ``size`` are bytes in the argument block."""

    index: int
    name: str
    type: str
    qualifier: int
    size: int
    offset: int
    host_size: int

    @property
    def is_buffer(self) -> bool:
        """Whether the host passes a buffer (address qualifier 1)."""
        return self.qualifier == 1

    @property
    def qualifier_name(self) -> str:
        """``scalar``, ``global``, ... or the number."""
        if 0 <= self.qualifier < len(QUALIFIERS):
            return QUALIFIERS[self.qualifier]
        return str(self.qualifier)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel as the metadata declares it."""

    name: str
    type: str
    language: str
    kernel_id: int | None
    subtype: str | None
    functional: str | None
    arguments: tuple[Argument, ...]
    instances: tuple[str, ...]


@dataclass(slots=True)
class _Draft:
    """A kernel element while it is being read."""

    attributes: Mapping[str, str]
    extended: Mapping[str, str] = field(default_factory=dict)
    arguments: list[Argument] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)

    def finish(self) -> Kernel:
        get = self.attributes.get
        kernel_id = self.extended.get("dpu_kernel_id")
        return Kernel(
            name=get("name", ""),
            type=get("type", ""),
            language=get("language", ""),
            kernel_id=None if kernel_id is None else _number(kernel_id, "dpu_kernel_id"),
            subtype=self.extended.get("subtype"),
            functional=self.extended.get("functional"),
            arguments=tuple(self.arguments),
            instances=tuple(self.instances),
        )


@lru_cache(maxsize=4)
def read_kernels(data: bytes) -> tuple[Kernel, ...]:
    """Read the kernels of an EMBEDDED_METADATA section.

    Raises:
        ContainerError: The XML is damaged, nests absurdly, declares a document type, or a number in it is
            none.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(data.rstrip(b"\0"), True)
    except expat.ExpatError as error:
        raise ContainerError(
            "EMBEDDED_METADATA is not well-formed XML",
            where=f"line {error.lineno}, column {error.offset}",
            why=expat.ErrorString(error.code) or "unknown",
        ) from None
    except (ValueError, LookupError) as error:  # an encoding expat does not know, a text Python refuses
        raise ContainerError("EMBEDDED_METADATA cannot be decoded", why=str(error)) from None
    return tuple(draft.finish() for draft in reader.kernels)


class _Reader:
    """Collects kernels from expat's events; nothing else of the document is kept."""

    def __init__(self) -> None:
        self.kernels: list[_Draft] = []
        self._path: list[str] = []
        self._elements = 0
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.EntityDeclHandler = self._doctype

    def _doctype(self, *_: object) -> None:
        raise ContainerError(
            "EMBEDDED_METADATA declares a document type",
            why="no packager writes one, and entities in it could expand without end",
            hint="do not load this file",
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        self._elements += 1
        if len(self._path) > _MAX_DEPTH or self._elements > _MAX_ELEMENTS:
            raise ContainerError(
                "EMBEDDED_METADATA is nested or repeated absurdly",
                why=f"limits: depth {_MAX_DEPTH}, {_MAX_ELEMENTS} elements",
            )
        path = tuple(self._path)
        if path == _KERNEL_PATH:
            self.kernels.append(_Draft(attributes))
        elif path[:-1] == _KERNEL_PATH:
            draft = self.kernels[-1]
            if name == "extended-data":
                draft.extended = attributes
            elif name == "arg":
                draft.arguments.append(_argument(attributes, len(draft.arguments)))
            elif name == "instance":
                draft.instances.append(attributes.get("name", ""))

    def _end(self, _name: str) -> None:
        self._path.pop()


def _argument(attributes: Mapping[str, str], position: int) -> Argument:
    name = attributes.get("name", "")

    def number(key: str, default: int) -> int:
        value = attributes.get(key)
        return default if value is None else _number(value, f"argument {name or position}, {key}")

    return Argument(
        index=number("id", position),
        name=name,
        type=attributes.get("type", ""),
        qualifier=number("addressQualifier", 0),
        size=number("size", 0),
        offset=number("offset", 0),
        host_size=number("hostSize", 0),
    )


def _number(text: str, where: str) -> int:
    """Read a decimal or 0x number of at most 64 bits."""
    if _NUMBER.fullmatch(text.strip()) is None:
        raise ContainerError("EMBEDDED_METADATA has a number that is none", where=where, why=f"{text[:40]!r}")
    return int(text.strip(), 16 if text.strip()[:2].lower() == "0x" else 10)
