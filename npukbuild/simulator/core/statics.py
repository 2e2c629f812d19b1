"""Static variables of compiled kernels: on the array every core has its own copy of them.

A loaded kernel library holds one copy. So libraries with static data are loaded once per core, and a core
function that is called twice for the differential check gets its static data back in between.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

_RUNTIME = ("__dso_handle", "completed.", "__TMC_END__", "_ZN4npuk")
"""How the names begin of what a library without static variables writes: the C runtime's, the host API's."""


class StaticData:
    """The writable memory of a loaded kernel library (Linux; elsewhere empty)."""

    def __init__(self, kernels: Any) -> None:
        self.ranges: list[tuple[int, int]] = []
        symbols = getattr(kernels, "symbols", ())
        if symbols and hasattr(kernels, "address") and sys.platform == "linux":
            self.ranges = _writable(kernels.address(symbols[0]))

    def snapshot(self) -> list[bytes]:
        """Return the present values."""
        return [ctypes.string_at(start, size) for start, size in self.ranges]

    def restore(self, values: list[bytes]) -> None:
        """Put values back."""
        for (start, size), value in zip(self.ranges, values, strict=True):
            ctypes.memmove(start, value, size)


def has_statics(kernels: Any) -> bool:
    """Say whether a kernel library has static variables that are written, by its symbols."""
    path = getattr(kernels, "path", None)
    if path is None or not Path(path).is_file():
        return False
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    with Path(path).open("rb") as stream:
        elf = ELFFile(stream)
        table = elf.get_section_by_name(".symtab")
        if not isinstance(table, SymbolTableSection):  # stripped: assume that it has
            return True
        written = {
            number
            for number, section in enumerate(elf.iter_sections())
            if section.name.startswith((".data", ".bss", ".tdata", ".tbss"))
            and not section.name.startswith(".data.rel.ro")
        }
        return any(
            symbol["st_shndx"] in written
            and symbol["st_info"]["type"] in ("STT_OBJECT", "STT_TLS")
            and symbol["st_size"]
            and not symbol.name.startswith(_RUNTIME)
            for symbol in table.iter_symbols()
        )


def _writable(inside: int) -> list[tuple[int, int]]:
    """Return (start, size) of the writable mappings of the file that is mapped at address ``inside``."""
    entries = []
    name = None
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        parts = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in parts[0].split("-"))
        label = parts[5] if len(parts) > 5 else ""
        entries.append((start, end, parts[1], label))
        if start <= inside < end:
            name = label
    return [
        (start, end - start) for start, end, mode, label in entries if name and label == name and "w" in mode
    ]
