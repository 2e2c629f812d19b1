"""What the sections of a container say to each other: kernels, arguments, memory, PDIs, mirror."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.errors import ContainerError
from npukbuild.xclbin import kinds
from npukbuild.xclbin.fault import Fault, one_line
from npukbuild.xclbin.metadata import Argument, Kernel, read_kernels
from npukbuild.xclbin.mirror import END, find_mirror, read_mirror
from npukbuild.xclbin.partition import Partition, PdiEntry, read_partition
from npukbuild.xclbin.pdi import read_pdi
from npukbuild.xclbin.topology import (
    Connection,
    Ip,
    MemoryBank,
    read_connections,
    read_ips,
    read_memory_banks,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from npukbuild.xclbin.container import Container

# The calling convention of an NPU kernel, as mlir-aie's aiecc writes it into kernels.json.
_CONVENTION = (("opcode", False, 0x00, 8), ("instr", True, 0x08, 8), ("ninstr", False, 0x10, 4))
USUAL_BUFFERS = 5
"""Data buffers that aiecc's kernels.json has always had (bo0 .. bo4)."""

_NEEDED: dict[int, str] = {
    kinds.AIE_PARTITION: "it holds the array's configuration; without it nothing can be loaded",
    kinds.EMBEDDED_METADATA: "it names the kernel and its arguments; the host cannot find a kernel",
    kinds.IP_LAYOUT: "it names the compute unit; the host cannot open a kernel",
    kinds.MEM_TOPOLOGY: "it names the memory banks; no buffer can be allocated",
    kinds.CONNECTIVITY: "it ties arguments to memory; every argument would have no memory group",
}


@dataclass(slots=True)
class _Views:
    """The sections that could be read; the others are faults already."""

    partition: Partition | None = None
    kernels: tuple[Kernel, ...] = ()
    ips: tuple[Ip, ...] = ()
    memory: tuple[MemoryBank, ...] = ()
    connections: tuple[Connection, ...] = ()
    group_memory: tuple[MemoryBank, ...] = ()
    group_connections: tuple[Connection, ...] = ()


def meaning_faults(container: Container) -> Iterator[Fault]:
    """Yield the faults in what the sections say."""
    for kind, why in _NEEDED.items():
        if not container.of_kind(kind):
            yield Fault("error", "missing-section", kinds.section_name(kind), f"is missing: {why}")
    for kind in (kinds.GROUP_TOPOLOGY, kinds.GROUP_CONNECTIVITY):
        if not container.of_kind(kind):
            yield Fault(
                "warning",
                "missing-section",
                kinds.section_name(kind),
                "is missing: XRT falls back to the section without GROUP_",
            )
    views = _Views()
    yield from _read_views(container, views)
    if views.partition is not None:
        yield from _partition_faults(views.partition)
    yield from _kernel_faults(container, views)
    yield from _memory_faults(container, views)
    yield from _mirror_faults(container)


def _read_views(container: Container, views: _Views) -> Iterator[Fault]:
    readers: tuple[tuple[int, str, Callable[[bytes], Any]], ...] = (
        (kinds.AIE_PARTITION, "partition", read_partition),
        (kinds.EMBEDDED_METADATA, "kernels", read_kernels),
        (kinds.IP_LAYOUT, "ips", read_ips),
        (kinds.MEM_TOPOLOGY, "memory", read_memory_banks),
        (kinds.CONNECTIVITY, "connections", read_connections),
        (kinds.GROUP_TOPOLOGY, "group_memory", read_memory_banks),
        (kinds.GROUP_CONNECTIVITY, "group_connections", read_connections),
    )
    for kind, name, reader in readers:
        section = container.only(kind)
        if section is None:
            continue
        try:
            setattr(views, name, reader(section.data))
        except ContainerError as error:
            yield Fault("error", "section-damaged", section.kind_name, one_line(error))


def _partition_faults(partition: Partition) -> Iterator[Fault]:
    where = "AIE_PARTITION"
    if partition.column_width == 0:
        yield Fault("error", "columns", where, "the partition is 0 columns wide")
    if not partition.start_columns:
        yield Fault("error", "start-columns", where, "no start column is given")
    if not partition.pdis:
        yield Fault("error", "no-pdi", where, "it holds no PDI")
    seen: dict[bytes, int] = {}
    for index, pdi in enumerate(partition.pdis):
        yield from _pdi_faults(partition, index, pdi)
        if any(pdi.uuid):
            first = seen.setdefault(pdi.uuid, index)
            if partition.pdis[first].image != pdi.image:
                yield Fault(
                    "error",
                    "pdi-uuid-twice",
                    f"PDI {index}",
                    f"it has the UUID of PDI {first} and another image",
                )


def _pdi_faults(partition: Partition, index: int, entry: PdiEntry) -> Iterator[Fault]:
    where = f"PDI {index}"
    if not any(entry.uuid):
        yield Fault(
            "warning",
            "pdi-uuid-zero",
            where,
            "its UUID is all zeros: run lists over several such files time out",
        )
    if not entry.groups:
        yield Fault("error", "no-cdo-group", where, "it has no CDO group, so no kernel can use it")
    elif not any(group.kernel_ids for group in entry.groups):
        yield Fault("error", "no-kernel-id", where, "its CDO groups name no kernel")
    if not entry.image:
        yield Fault("error", "pdi-empty", where, "its image has no bytes")
        return
    try:
        pdi = read_pdi(entry.image)
    except ContainerError as error:
        yield Fault("error", "pdi-damaged", where, one_line(error))
        return
    width = partition.column_width
    outside = sorted({column for column, _ in pdi.tiles if column >= width})
    if width and outside:
        yield Fault(
            "error",
            "pdi-columns",
            where,
            f"it writes to column {outside[0]} of a partition of {width} columns",
        )


def _kernel_faults(container: Container, views: _Views) -> Iterator[Fault]:
    offered = {
        kernel_id
        for pdi in (views.partition.pdis if views.partition else ())
        for group in pdi.groups
        for kernel_id in group.kernel_ids
    }
    names = {ip.name: ip for ip in views.ips}
    dpu = [kernel for kernel in views.kernels if kernel.type == "dpu"]
    if container.of_kind(kinds.EMBEDDED_METADATA) and not dpu:
        yield Fault("error", "no-kernel", "EMBEDDED_METADATA", "no kernel of type dpu is declared")
    for kernel in dpu:
        where = f"kernel {kernel.name}"
        if kernel.kernel_id is None:
            yield Fault("error", "kernel-id", where, "it has no dpu_kernel_id")
        elif views.partition is not None and kernel.kernel_id not in offered:
            ids = ", ".join(f"{i:#x}" for i in sorted(offered)[:8]) or "none"
            yield Fault(
                "error",
                "kernel-id",
                where,
                f"id {kernel.kernel_id:#x} has no PDI; the partition offers {ids}",
            )
        if not kernel.instances:
            yield Fault("error", "no-instance", where, "it has no instance")
        for instance in kernel.instances:
            yield from _instance_faults(kernel, names.get(f"{kernel.name}:{instance}"), instance, views)
        yield from _argument_faults(kernel)


def _instance_faults(kernel: Kernel, ip: Ip | None, instance: str, views: _Views) -> Iterator[Fault]:
    where = f"kernel {kernel.name}"
    if ip is None:
        if views.ips:
            yield Fault("error", "ip-missing", where, f"IP_LAYOUT has no row {kernel.name}:{instance}")
    elif ip.kernel_id is None:
        yield Fault("error", "ip-type", where, f"its row in IP_LAYOUT is of type {ip.type}")
    # IP_LAYOUT keeps 12 bits of the id.
    elif kernel.kernel_id is not None and ip.kernel_id != kernel.kernel_id & 0xFFF:
        yield Fault(
            "error",
            "kernel-id",
            where,
            f"id {kernel.kernel_id:#x} in the metadata, {ip.kernel_id:#x} in IP_LAYOUT",
        )


def _argument_faults(kernel: Kernel) -> Iterator[Fault]:
    where = f"kernel {kernel.name}"
    for position, argument in enumerate(kernel.arguments):
        if argument.index != position:
            yield Fault(
                "error",
                "argument-index",
                where,
                f"argument {argument.name} is number {position} and says {argument.index}",
            )
    yield from _block_faults(where, kernel.arguments)
    head = tuple((a.name, a.is_buffer, a.offset, a.size) for a in kernel.arguments[:3])
    if head != _CONVENTION:
        wanted = ", ".join(name for name, *_ in _CONVENTION)
        yield Fault(
            "warning",
            "convention",
            where,
            f"its first arguments are not {wanted} at their usual offsets: "
            "it cannot be called with an instruction stream the usual way",
        )
    buffers = sum(argument.is_buffer for argument in kernel.arguments[3:])
    if buffers == 0:
        yield Fault("error", "no-buffers", where, "it takes no data buffer")
    elif buffers > USUAL_BUFFERS:
        yield Fault(
            "note",
            "many-buffers",
            where,
            f"{buffers} data buffers; aiecc before 1.4 always declared {USUAL_BUFFERS}",
        )


def _block_faults(where: str, arguments: tuple[Argument, ...]) -> Iterator[Fault]:
    """Check that arguments do not share bytes of the argument block."""
    reached, owner = 0, ""
    for argument in sorted(arguments, key=lambda a: a.offset):
        if argument.size == 0:
            yield Fault("error", "argument-size", where, f"argument {argument.name} has no size")
        if argument.offset < reached:
            yield Fault(
                "error",
                "argument-overlap",
                where,
                f"argument {argument.name} at {argument.offset:#x} lies in {owner}",
            )
        reached, owner = max(reached, argument.offset + argument.size), argument.name


def _memory_faults(container: Container, views: _Views) -> Iterator[Fault]:
    pairs = (
        (kinds.MEM_TOPOLOGY, kinds.CONNECTIVITY, views.memory, views.connections),
        (
            kinds.GROUP_TOPOLOGY,
            kinds.GROUP_CONNECTIVITY,
            views.group_memory or views.memory,
            views.group_connections,
        ),
    )
    by_name = {kernel.name: kernel for kernel in views.kernels}
    for memory_kind, wiring_kind, memory, connections in pairs:
        if container.of_kind(memory_kind) and not any(bank.used for bank in memory):
            yield Fault("error", "no-memory", kinds.section_name(memory_kind), "no bank is in use")
        if container.of_kind(wiring_kind):
            yield from _wiring_faults(
                kinds.section_name(wiring_kind), memory, connections, views.ips, by_name
            )


def _wiring_faults(
    where: str,
    memory: tuple[MemoryBank, ...],
    connections: tuple[Connection, ...],
    ips: tuple[Ip, ...],
    kernels: dict[str, Kernel],
) -> Iterator[Fault]:
    wired: dict[str, set[int]] = {}
    for row in connections:
        if not 0 <= row.ip < len(ips):
            yield Fault("error", "wiring-ip", where, f"a row names IP {row.ip} of {len(ips)}")
            continue
        name = ips[row.ip].name.split(":", 1)[0]
        wired.setdefault(name, set()).add(row.argument)
        kernel = kernels.get(name)
        if kernel is not None and not 0 <= row.argument < len(kernel.arguments):
            yield Fault(
                "error",
                "wiring-argument",
                where,
                f"a row names argument {row.argument} of {name}, which has {len(kernel.arguments)}",
            )
        if not 0 <= row.memory < len(memory):
            yield Fault("error", "wiring-memory", where, f"a row names bank {row.memory} of {len(memory)}")
        elif not memory[row.memory].used:
            yield Fault("error", "wiring-memory", where, f"bank {row.memory} is not in use")
    for kernel in kernels.values():
        for argument in kernel.arguments:
            if argument.is_buffer and argument.index not in wired.get(kernel.name, set()):
                yield Fault(
                    "error",
                    "argument-without-memory",
                    where,
                    f"argument {argument.index} ({argument.name}) of {kernel.name} has no memory bank",
                )


def _mirror_faults(container: Container) -> Iterator[Fault]:
    where = "mirror metadata"
    _, tail = container.tail
    try:
        mirror, span = read_mirror(tail), find_mirror(tail)
    except ContainerError as error:
        yield Fault("error", "mirror-damaged", where, one_line(error))
        return
    if mirror is None or span is None:
        yield Fault("warning", "mirror-missing", where, "is missing: xclbinutil always writes it")
        return
    header = container.header
    told = {
        "XclBinUUID": header.uuid.hex(),
        "UniqueID": struct.pack("<Q", header.unique_id).hex(),
        "TimeStamp": str(header.timestamp),
        "FeatureRomTimeStamp": str(header.feature_rom_timestamp),
        "InterfaceUUID": header.interface_uuid.hex(),
    }
    for key, value in told.items():
        if key in mirror.header and mirror.header[key].replace("-", "").lower() != value:
            yield Fault(
                "error",
                "mirror-disagrees",
                where,
                f"{key} is {mirror.header[key][:40]!r} there and {value!r} in the header",
            )
    rows = [(s.kind, s.offset, s.size) for s in container.sections]
    mirrored = [(s.kind, s.offset, s.size) for s in mirror.sections]
    if rows != mirrored:
        yield Fault(
            "error",
            "mirror-disagrees",
            where,
            f"its {len(mirrored)} sections are not the section table's {len(rows)}",
        )
    if tail[span[1] + len(END) :].strip(b"\0\r\n"):
        yield Fault("warning", "trailing-bytes", where, "bytes follow it")
