"""What an AIE object or core ELF holds: symbols, calls, frames and sizes, read with pyelftools."""

from __future__ import annotations

import bisect
import functools
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from npukbuild.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

AIE_MACHINE = 264
"""``e_machine`` of an AIE core's ELF (the generic ABI's machine list: EM_AIENGINE)."""

_SHF_ALLOC = 0x2
_SHF_EXECINSTR = 0x4
_SHF_EXCLUDE = 0x80000000
_STACK_SECTION = ".stack_sizes"


@dataclass(frozen=True, kw_only=True)
class SoftCall:
    """A call of a run-time library function: who makes it, what, and what it means."""

    function: str
    callee: str
    group: str
    slow: bool
    means: str
    fix: str

    def __str__(self) -> str:
        return f"{self.function} calls {self.callee}: {self.means}"


@dataclass(frozen=True, kw_only=True)
class ObjectFacts:
    """One object file or linked core.

    Attributes:
        machine: ``e_machine``; 264 for an AIE core.
        functions: Defined functions by name, with their size in bytes.
        defined: All defined global names.
        undefined: Names that the link must supply.
        calls: (function, callee) pairs from the relocations of executable sections.
        frames: Frame size in bytes of every function in ``.stack_sizes``; empty when the section is absent.
        text_bytes: Sum of the executable sections' sizes.
        data_bytes: Sum of the other allocated sections' sizes, ``.bss`` included.
        data_span: First and last-plus-one address of those sections, for a linked core.
    """

    path: Path
    machine: int
    functions: Mapping[str, int]
    defined: frozenset[str]
    undefined: tuple[str, ...]
    calls: tuple[tuple[str, str], ...]
    frames: Mapping[str, int]
    text_bytes: int
    data_bytes: int
    data_span: tuple[int, int] | None = field(default=None)


def read_object(path: Path) -> ObjectFacts:
    """Read an object file or a linked core.

    Raises:
        ToolError: It is not an ELF file or is damaged.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except ToolError:
        raise
    except Exception as error:  # pyelftools raises whatever its parser stumbles over
        raise ToolError(
            f"{path.name} is not a readable ELF file",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            hint="the compiler may have been stopped while it wrote; build again",
        ) from error


def _read(path: Path, file: Any) -> ObjectFacts:
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    elf = ELFFile(file)
    sections = list(elf.iter_sections())
    table = next((s for s in sections if isinstance(s, SymbolTableSection)), None)
    symbols = list(table.iter_symbols()) if table is not None else []
    text = data = 0
    spans = []
    for section in sections:
        flags = section["sh_flags"]
        if not flags & _SHF_ALLOC:
            continue
        if flags & _SHF_EXECINSTR:
            text += section["sh_size"]
        else:
            data += section["sh_size"]
            if section["sh_addr"]:
                spans.append((section["sh_addr"], section["sh_addr"] + section["sh_size"]))
    machine = elf["e_machine"]
    functions = _Functions(symbols)
    named = [s for s in symbols if s.name and s["st_info"]["bind"] in ("STB_GLOBAL", "STB_WEAK")]
    return ObjectFacts(
        path=path,
        machine=machine if isinstance(machine, int) else _machine_number(machine),
        functions=functions.sizes,
        defined=frozenset(s.name for s in named if s["st_shndx"] != "SHN_UNDEF"),
        undefined=tuple(sorted({s.name for s in named if s["st_shndx"] == "SHN_UNDEF"})),
        calls=tuple(sorted(set(_calls(sections, symbols, functions)))),
        frames=dict(_frames(elf, sections, symbols, functions)),
        text_bytes=text,
        data_bytes=data,
        data_span=(min(s for s, _ in spans), max(e for _, e in spans)) if spans else None,
    )


def _machine_number(name: str) -> int:
    from elftools.elf.enums import ENUM_E_MACHINE

    return int(ENUM_E_MACHINE.get(name, -1))


class _Functions:
    """Defined functions by section and address."""

    def __init__(self, symbols: Sequence[Any]) -> None:
        self.sizes: dict[str, int] = {}
        self._starts: dict[int, list[tuple[int, int, str]]] = {}
        for symbol in symbols:
            if symbol["st_info"]["type"] != "STT_FUNC" or not isinstance(symbol["st_shndx"], int):
                continue
            self.sizes[symbol.name] = symbol["st_size"]
            entry = (symbol["st_value"], symbol["st_size"], symbol.name)
            self._starts.setdefault(symbol["st_shndx"], []).append(entry)
        for entries in self._starts.values():
            entries.sort()

    def containing(self, section: int, offset: int) -> str | None:
        """Return the function that holds ``offset`` of section number ``section``."""
        entries = self._starts.get(section, [])
        place = bisect.bisect_right(entries, (offset, 1 << 62, "")) - 1
        if place < 0:
            return None
        start, size, name = entries[place]
        return name if offset < start + max(size, 1) else None

    def starting(self, section: int, offset: int) -> str | None:
        """Return the function that begins exactly there."""
        name = self.containing(section, offset)
        found = next((n for s, _, n in self._starts.get(section, []) if s == offset), None)
        return found if name is not None else None

    def at_address(self, address: int) -> str | None:
        """Return the function that begins at ``address`` in a linked file."""
        return next((n for entries in self._starts.values() for s, _, n in entries if s == address), None)


def _relocations(sections: Sequence[Any], target: int) -> Iterator[Any]:
    from elftools.elf.relocation import RelocationSection

    for section in sections:
        if isinstance(section, RelocationSection) and section["sh_info"] == target:
            yield from section.iter_relocations()


def _calls(
    sections: Sequence[Any], symbols: Sequence[Any], functions: _Functions
) -> Iterator[tuple[str, str]]:
    for number, section in enumerate(sections):
        if not section["sh_flags"] & _SHF_EXECINSTR:
            continue
        for relocation in _relocations(sections, number):
            symbol = symbols[relocation["r_info_sym"]]
            caller = functions.containing(number, relocation["r_offset"]) or f"({section.name})"
            kind = symbol["st_info"]["type"]
            if kind == "STT_SECTION" and isinstance(symbol["st_shndx"], int):
                addend = relocation["r_addend"] if relocation.is_RELA() else 0
                callee = functions.starting(symbol["st_shndx"], symbol["st_value"] + addend)
                # A branch inside a function is written against its section too: that is no call.
                if callee and callee != caller:
                    yield caller, callee
            elif symbol.name and (kind == "STT_FUNC" or symbol["st_shndx"] == "SHN_UNDEF"):
                yield caller, symbol.name


def _frames(
    elf: Any, sections: Sequence[Any], symbols: Sequence[Any], functions: _Functions
) -> Iterator[tuple[str, int]]:
    """Decode ``.stack_sizes``: per function its address, then its frame size as ULEB128 (LLVM's format)."""
    width = elf.elfclass // 8
    order: Literal["little", "big"] = "little" if elf.little_endian else "big"
    for number, section in enumerate(sections):
        if section.name != _STACK_SECTION:
            continue
        names: dict[int, str | None] = {}
        for relocation in _relocations(sections, number):
            symbol = symbols[relocation["r_info_sym"]]
            addend = relocation["r_addend"] if relocation.is_RELA() else 0
            if symbol["st_info"]["type"] == "STT_FUNC":
                names[relocation["r_offset"]] = symbol.name
            elif isinstance(symbol["st_shndx"], int):
                place = symbol["st_value"] + addend
                names[relocation["r_offset"]] = functions.starting(symbol["st_shndx"], place)
        content = section.data()
        at = 0
        while at + width < len(content):
            address = int.from_bytes(content[at : at + width], order)
            name = names.get(at) if names else functions.at_address(address)
            size, at = _uleb128(content, at + width)
            if name:
                yield name, size


def _uleb128(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if not byte & 0x80:
            return value, at


@functools.cache
def soft_call_groups() -> Mapping[str, tuple[str, bool, str, str]]:
    """Return run-time library names with their group, slowness, meaning and fix."""
    text = Path(__file__).with_name("softcalls.toml").read_text(encoding="utf-8")
    return {
        symbol: (group["name"], group["slow"], group["means"], group["fix"])
        for group in tomllib.loads(text)["group"]
        for symbol in group["symbols"]
    }


def soft_calls(facts: ObjectFacts) -> tuple[SoftCall, ...]:
    """Return the run-time library calls of an object with the function that makes each."""
    known = soft_call_groups()
    found = []
    for function, callee in facts.calls:
        if callee in known and callee not in facts.functions:
            group, slow, means, fix = known[callee]
            found.append(
                SoftCall(function=function, callee=callee, group=group, slow=slow, means=means, fix=fix)
            )
    return tuple(found)


def stack_depth(facts: ObjectFacts, entry: str) -> tuple[int, tuple[str, ...]]:
    """Return the deepest stack below ``entry`` in bytes, and the chain of functions that needs it.

    Frames add up along the calls inside the object. Run-time library functions, whose frames are not in the
    object, count as zero: the caller adds a margin.

    Raises:
        ToolError: Functions call each other in a circle: the depth has no bound.
    """
    callees: dict[str, list[str]] = {}
    for function, callee in facts.calls:
        if callee in facts.functions:
            callees.setdefault(function, []).append(callee)
    known: dict[str, tuple[int, tuple[str, ...]]] = {}

    def visit(name: str, path: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
        if name in path:
            raise ToolError(
                "the kernel is recursive",
                where=" -> ".join([*path[path.index(name) :], name]),
                why="a core's stack is a fixed number of bytes and overflows into the first buffer unnoticed",
                hint="write the recursion as a loop",
            )
        if name not in known:
            below = max((visit(callee, (*path, name)) for callee in callees.get(name, [])), default=(0, ()))
            known[name] = (facts.frames.get(name, 0) + below[0], (name, *below[1]))
        return known[name]

    return visit(entry, ())


def exclude_stack_section(path: Path) -> bool:
    """Mark ``.stack_sizes`` of an object so that linkers drop it; return whether it was there.

    aiecc links with ``--orphan-handling=error`` and, by version, a linker script without that section. The
    ELF flag SHF_EXCLUDE makes a linker leave a section out; only that one flag's bit changes.

    Raises:
        ToolError: The object cannot be read or written.
    """
    read_object(path)
    content = bytearray(path.read_bytes())
    wide = content[4] == 2
    order: Literal["little", "big"] = "little" if content[5] == 1 else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(content[at : at + size], order)

    table, entry = (number(0x28, 8), number(0x3A, 2)) if wide else (number(0x20, 4), number(0x2E, 2))
    count, names = (number(0x3C, 2), number(0x3E, 2)) if wide else (number(0x30, 2), number(0x32, 2))
    at_flags, flag_size, at_offset = (8, 8, 24) if wide else (8, 4, 16)
    strings = number(table + names * entry + at_offset, flag_size)
    found = False
    for index in range(count):
        header = table + index * entry
        name_at = strings + number(header, 4)
        if content[name_at : content.index(0, name_at)] == _STACK_SECTION.encode():
            flags = number(header + at_flags, flag_size) | _SHF_EXCLUDE
            content[header + at_flags : header + at_flags + flag_size] = flags.to_bytes(flag_size, order)
            found = True
    if found:
        path.write_bytes(content)
    return found
