"""What is in a container, as plain data for people and for ``--json``."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from npukbuild.errors import ContainerError
from npukbuild.xclbin import kinds
from npukbuild.xclbin.binary import fixed_text
from npukbuild.xclbin.build import read_build
from npukbuild.xclbin.fault import one_line
from npukbuild.xclbin.metadata import Kernel, read_kernels
from npukbuild.xclbin.mirror import read_mirror
from npukbuild.xclbin.partition import Partition, PdiEntry, read_partition
from npukbuild.xclbin.pdi import read_pdi
from npukbuild.xclbin.topology import read_connections, read_ips, read_memory_banks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from npukbuild.xclbin.container import Container


def inspect(container: Container) -> dict[str, Any]:
    """Describe a container.

    A section that cannot be read is described by its fault instead, so that a damaged file still shows
    what is whole.

    Returns:
        ``format``, ``identity``, ``made_by``, ``kernels``, ``memory``, ``ips``, ``partitions``,
        ``sections``, ``mirror`` and ``unreadable`` (faults by section), all of plain data.
    """
    unreadable: list[str] = []

    def view(kind: int, reader: Callable[[bytes], Any]) -> Any:
        section = container.only(kind)
        try:
            return reader(section.data) if section else ()
        except ContainerError as error:
            unreadable.append(one_line(error))
            return ()

    partitions = []
    for section in container.of_kind(kinds.AIE_PARTITION):
        try:
            partitions.append(read_partition(section.data))
        except ContainerError as error:
            unreadable.append(one_line(error))
    memory = view(kinds.MEM_TOPOLOGY, read_memory_banks)
    groups = view(kinds.GROUP_TOPOLOGY, read_memory_banks) or memory
    connections = view(kinds.GROUP_CONNECTIVITY, read_connections) or view(
        kinds.CONNECTIVITY, read_connections
    )
    ips = view(kinds.IP_LAYOUT, read_ips)
    wired = _wiring(connections, ips)
    return {
        "format": _format(container),
        "identity": _identity(container, partitions),
        "made_by": _made_by(container, view),
        "kernels": [_kernel(kernel, wired, groups) for kernel in view(kinds.EMBEDDED_METADATA, read_kernels)],
        "memory": [asdict(bank) for bank in memory],
        "ips": [asdict(ip) for ip in ips],
        "partitions": [_partition(partition) for partition in partitions],
        "sections": _sections(container),
        "mirror": _mirror(container, unreadable),
        "unreadable": unreadable,
    }


def _format(container: Container) -> dict[str, Any]:
    header = container.header
    return {
        "file_bytes": container.file_size,
        "length": header.length,
        "signed": header.signed,
        "mode": kinds.name_of(kinds.MODE_NAMES, header.mode),
        "action_mask": header.action_mask,
        "platform": fixed_text(header.platform),
        "interface_uuid": header.interface_uuid.hex(),
        "debug_bin": fixed_text(header.debug_bin),
    }


def _identity(container: Container, partitions: Iterable[Partition]) -> dict[str, Any]:
    header = container.header
    return {
        "uuid": str(uuid.UUID(bytes=header.uuid)),
        "unique_id": header.unique_id,
        "timestamp": header.timestamp,
        "created": _time(header.timestamp),
        "feature_rom_timestamp": header.feature_rom_timestamp,
        "pdi_uuids": [str(uuid.UUID(bytes=p.uuid)) for part in partitions for p in part.pdis],
    }


def _time(seconds: int) -> str | None:
    """Return the UTC time in ISO format, None beyond what a calendar holds."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return None


def _made_by(container: Container, view: Callable[[int, Callable[[bytes], Any]], Any]) -> dict[str, Any]:
    return {
        "packager_version": container.header.version,
        **dict(view(kinds.BUILD_METADATA, read_build)),
    }


def _wiring(connections: Iterable[Any], ips: Iterable[Any]) -> dict[str, dict[int, list[int]]]:
    """Map kernel name (IP rows are ``KERNEL:INSTANCE``) to argument to memory groups."""
    names = {ip.index: ip.name.split(":", 1)[0] for ip in ips}
    wired: dict[str, dict[int, list[int]]] = {}
    for row in connections:
        banks = wired.setdefault(names.get(row.ip, ""), {}).setdefault(row.argument, [])
        if row.memory not in banks:
            banks.append(row.memory)
    return wired


def _kernel(
    kernel: Kernel, wired: dict[str, dict[int, list[int]]], memory: tuple[Any, ...]
) -> dict[str, Any]:
    banks = wired.get(kernel.name, {})

    def group(index: int) -> list[str]:
        return [
            memory[bank].tag if 0 <= bank < len(memory) else f"bank {bank}" for bank in banks.get(index, [])
        ]

    return {
        "name": kernel.name,
        "type": kernel.type,
        "language": kernel.language,
        "kernel_id": kernel.kernel_id,
        "instances": list(kernel.instances),
        "arguments": [
            {
                "index": argument.index,
                "name": argument.name,
                "type": argument.type,
                "kind": argument.qualifier_name,
                "offset": argument.offset,
                "size": argument.size,
                "groups": banks.get(argument.index, []),
                "memory": group(argument.index),
            }
            for argument in kernel.arguments
        ],
    }


def _partition(partition: Partition) -> dict[str, Any]:
    return {
        "name": partition.name,
        "schema_version": partition.schema_version,
        "columns": partition.column_width,
        "start_columns": list(partition.start_columns),
        "operations_per_cycle": partition.operations_per_cycle,
        "inference_fingerprint": partition.inference_fingerprint,
        "pre_post_fingerprint": partition.pre_post_fingerprint,
        "kernel_commit_id": partition.kernel_commit_id,
        "pdis": [_pdi(pdi) for pdi in partition.pdis],
    }


def _pdi(entry: PdiEntry) -> dict[str, Any]:
    out: dict[str, Any] = {
        "bytes": len(entry.image),
        "sha256": hashlib.sha256(entry.image).hexdigest(),
        "groups": [
            {
                "name": group.name,
                "type": group.type,
                "pdi_id": group.pdi_id,
                "kernel_ids": list(group.kernel_ids),
                "pre_cdo_groups": list(group.pre_cdo_groups),
            }
            for group in entry.groups
        ],
    }
    try:
        pdi = read_pdi(entry.image)
    except ContainerError as error:
        out["fault"] = one_line(error)
        return out
    out["id_code"] = f"{pdi.id_code:#010x}"
    out["images"] = [{"name": name, "id": f"{image_id:#010x}"} for name, image_id in pdi.images]
    out["commands"] = [dict(cdo.commands) for cdo in pdi.cdos]
    out["tiles"] = [list(tile) for tile in pdi.tiles]
    return out


def _sections(container: Container) -> list[dict[str, Any]]:
    return [
        {
            "kind": section.kind_name,
            "name": section.name,
            "offset": section.offset,
            "bytes": section.size,
            "sha256": hashlib.sha256(section.data).hexdigest(),
        }
        for section in container.sections
    ]


def _mirror(container: Container, unreadable: list[str]) -> dict[str, Any] | None:
    start, tail = container.tail
    try:
        mirror = read_mirror(tail)
    except ContainerError as error:
        unreadable.append(one_line(error))
        return None
    if mirror is None:
        return None
    return {
        "offset": start + mirror.start,
        "bytes": mirror.end - mirror.start,
        "sections": len(mirror.sections),
        "sha256": hashlib.sha256(tail[mirror.start : mirror.end]).hexdigest(),
    }
