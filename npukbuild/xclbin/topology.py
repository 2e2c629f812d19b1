"""Typed views of MEM_TOPOLOGY, IP_LAYOUT and CONNECTIVITY (and their GROUP_ twins).

Layouts: ``struct mem_topology``, ``ip_layout`` and ``connectivity`` of Xilinx/XRT's ``xclbin.h``. A count
(int32) comes first; the rows follow at offset 8 (they hold 64-bit fields) or 4 (connections).
"""

from __future__ import annotations

from dataclasses import dataclass

from npukbuild.errors import ContainerError
from npukbuild.xclbin.binary import Heap, fixed_text
from npukbuild.xclbin.kinds import (
    IP_PS_KERNEL,
    IP_TYPES,
    MEM_TYPES,
    PS_FUNCTIONALS,
    PS_SUBTYPES,
    name_of,
)

NO_BASE_ADDRESS = 0xFFFF_FFFF_FFFF_FFFF
_ROWS_AFTER = 8
_CONNECTIONS_AFTER = 4
_MEM_BYTES, _IP_BYTES, _CONNECTION_BYTES = 40, 80, 12


@dataclass(frozen=True, slots=True)
class MemoryBank:
    """A bank that buffers can be allocated in; its index is the memory group of ``group_id``."""

    index: int
    type: str
    used: bool
    size_kb: int
    base_address: int
    tag: str


@dataclass(frozen=True, slots=True)
class Ip:
    """A row of IP_LAYOUT. For a kernel of the NPU, ``kernel_id`` ties it to the PDI's CDO group."""

    index: int
    type: str
    name: str
    base_address: int | None
    properties: int
    subtype: str | None = None
    functional: str | None = None
    kernel_id: int | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """Argument ``argument`` of IP row ``ip`` lives in memory bank ``memory``."""

    argument: int
    ip: int
    memory: int


def _count(heap: Heap, row_bytes: int, rows_after: int) -> int:
    """Read the leading count and hold it against the section's size."""
    (count,) = heap.unpack("i", 0, "count")
    needed = rows_after + count * row_bytes if count else _CONNECTIONS_AFTER
    if count < 0 or needed > len(heap.data):
        raise ContainerError(
            f"{heap.what} is cut short",
            where="count",
            why=f"{count} rows of {row_bytes} bytes do not fit in its {len(heap.data)} bytes",
        )
    return int(count)


def read_memory_banks(data: bytes, what: str = "MEM_TOPOLOGY") -> tuple[MemoryBank, ...]:
    """Read MEM_TOPOLOGY or GROUP_TOPOLOGY.

    Raises:
        ContainerError: The count does not fit the section.
    """
    heap = Heap(data, what)
    rows = heap.array("BB6xQQ16s", _ROWS_AFTER, _count(heap, _MEM_BYTES, _ROWS_AFTER), "banks")
    return tuple(
        MemoryBank(index, name_of(MEM_TYPES, kind), bool(used), size, base, fixed_text(tag))
        for index, (kind, used, size, base, tag) in enumerate(rows)
    )


def read_ips(data: bytes, what: str = "IP_LAYOUT") -> tuple[Ip, ...]:
    """Read IP_LAYOUT.

    Raises:
        ContainerError: The count does not fit the section.
    """
    heap = Heap(data, what)
    rows = heap.array("IIQ64s", _ROWS_AFTER, _count(heap, _IP_BYTES, _ROWS_AFTER), "rows")
    return tuple(_ip(index, *row) for index, row in enumerate(rows))


def _ip(index: int, kind: int, properties: int, base: int, name: bytes) -> Ip:
    """Decode one row; the bit fields of ``ps_kernel``: subtype 0-1, functional 4-5, kernel id 16-27."""
    address = None if base == NO_BASE_ADDRESS else base
    type_name = name_of(IP_TYPES, kind)
    if kind != IP_PS_KERNEL:
        return Ip(index, type_name, fixed_text(name), address, properties)
    return Ip(
        index,
        type_name,
        fixed_text(name),
        address,
        properties,
        subtype=name_of(PS_SUBTYPES, properties & 0x3),
        functional=name_of(PS_FUNCTIONALS, properties >> 4 & 0x3),
        kernel_id=properties >> 16 & 0xFFF,
    )


def read_connections(data: bytes, what: str = "CONNECTIVITY") -> tuple[Connection, ...]:
    """Read CONNECTIVITY or GROUP_CONNECTIVITY.

    Raises:
        ContainerError: The count does not fit the section.
    """
    heap = Heap(data, what)
    count = _count(heap, _CONNECTION_BYTES, _CONNECTIONS_AFTER)
    return tuple(Connection(*row) for row in heap.array("iii", _CONNECTIONS_AFTER, count, "rows"))
