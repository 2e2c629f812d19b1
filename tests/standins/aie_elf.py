"""Write small ELF32 files of machine 264, as Peano's objects and linked cores are (no real code)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

MACHINE = 264
_ALLOC, _WRITE, _EXEC, _LINK_ORDER, _INFO = 0x2, 0x1, 0x4, 0x80, 0x40


@dataclass
class Function:
    """A function: its size in bytes, frame in bytes, the symbols that it calls, and branches inside it."""

    name: str
    size: int = 64
    frame: int | None = 0
    calls: list[str] = field(default_factory=list)
    local: bool = False
    branches: list[int] = field(default_factory=list)


def _uleb(value: int) -> bytes:
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


class _Strings:
    def __init__(self) -> None:
        self.data = bytearray(b"\0")

    def add(self, text: str) -> int:
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


@dataclass
class _Section:
    name: str
    kind: int
    flags: int
    content: bytes
    size: int | None = None
    address: int = 0
    link: int = 0
    info: int = 0
    entry: int = 0


def build_object(functions: list[Function], *, data: int = 0, machine: int = MACHINE) -> bytes:
    """Return a relocatable object with ``.text``, ``.data``, ``.stack_sizes`` and their relocations."""
    return _build(functions, data=data, machine=machine, kind=1)


def build_core(
    functions: list[Function], *, data: int = 0, machine: int = MACHINE, data_at: int = 0x70400
) -> bytes:
    """Return a linked core: no relocations, data at an address."""
    return _build(functions, data=data, machine=machine, kind=2, data_at=data_at)


def _build(functions: list[Function], *, data: int, machine: int, kind: int, data_at: int = 0) -> bytes:
    names = _Strings()
    symbols: list[tuple[int, int, int, int, int]] = [(0, 0, 0, 0, 0), (0, 0, 0, 3, 1)]  # null, section .text
    numbers: dict[str, int] = {}
    at = 0
    starts: dict[str, int] = {}
    for function in sorted(functions, key=lambda f: not f.local):
        starts[function.name] = at
        at += function.size
    text_size = at
    for function in sorted(functions, key=lambda f: not f.local):
        numbers[function.name] = len(symbols)
        info = 2 if function.local else (1 << 4) | 2
        symbols.append((names.add(function.name), starts[function.name], function.size, info, 1))
    first_global = 2 + sum(f.local for f in functions)
    undefined = sorted({c for f in functions for c in f.calls} - set(starts)) if kind == 1 else []
    for name in undefined:
        numbers[name] = len(symbols)
        symbols.append((names.add(name), 0, 0, 1 << 4, 0))
    calls = bytearray()
    stack = bytearray()
    stack_relocations = bytearray()
    for function in functions:
        for index, callee in enumerate(function.calls):
            place = starts[function.name] + 4 * index
            calls += struct.pack("<IIi", place, (numbers.get(callee, 0) << 8) | 1, 0)
        for index, offset in enumerate(function.branches):
            # Against the section, as a compiler writes a branch whose target has no symbol of its own.
            place = starts[function.name] + 4 * (len(function.calls) + index)
            calls += struct.pack("<IIi", place, (1 << 8) | 1, starts[function.name] + offset)
        if function.frame is not None:
            stack_relocations += struct.pack("<IIi", len(stack), (1 << 8) | 2, starts[function.name])
            address = starts[function.name] if kind == 2 else 0
            stack += struct.pack("<I", address) + _uleb(function.frame)
    sections = [_Section(".text", 1, _ALLOC | _EXEC, bytes(text_size))]
    if kind == 1:
        sections.append(_Section(".rela.text", 4, _INFO, bytes(calls), info=1, entry=12))
    if data:
        sections.append(_Section(".data", 1, _ALLOC | _WRITE, bytes(data), address=data_at))
    if stack and kind == 1:
        sections.append(_Section(".stack_sizes", 1, _LINK_ORDER, bytes(stack), link=1))
        sections.append(
            _Section(".rela.stack_sizes", 4, _INFO, bytes(stack_relocations), info=len(sections), entry=12)
        )
    table = b"".join(struct.pack("<IIIBBH", n, v, s, i, 0, x) for n, v, s, i, x in symbols)
    sections.append(_Section(".symtab", 2, 0, table, info=first_global, entry=16))
    sections.append(_Section(".strtab", 3, 0, bytes(names.data)))
    symtab = len(sections) - 1
    for section in sections:
        if section.kind == 4:
            section.link = symtab
        if section.kind == 2:
            section.link = symtab + 1
    return _assemble(sections, machine, kind)


def _assemble(sections: list[_Section], machine: int, kind: int) -> bytes:
    headers = _Strings()
    sections.append(_Section(".shstrtab", 3, 0, b""))
    offsets = [headers.add(section.name) for section in sections]
    sections[-1].content = bytes(headers.data)
    body = bytearray()
    table = bytearray(40)
    for section, name in zip(sections, offsets, strict=True):
        body += bytes(-len(body) % 4)
        size = len(section.content) if section.size is None else section.size
        table += struct.pack(
            "<10I",
            name,
            section.kind,
            section.flags,
            section.address,
            52 + len(body),
            size,
            section.link,
            section.info,
            4,
            section.entry,
        )
        body += section.content
    body += bytes(-len(body) % 4)
    ident = b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)
    header = ident + struct.pack(
        "<HHIIIIIHHHHHH",
        kind,
        machine,
        1,
        0,
        0,
        52 + len(body),
        0x2000000,
        52,
        0,
        0,
        40,
        len(sections) + 1,
        len(sections),
    )
    return header + bytes(body) + bytes(table)
