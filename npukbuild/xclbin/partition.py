"""Typed view of AIE_PARTITION: columns, PDIs, and which kernel each PDI serves.

Layout: ``struct aie_partition`` of Xilinx/XRT's ``xclbin.h``. Arrays and texts are (count, offset) or
offsets into the section itself::

    0x00  schema version, 3 pad, name offset, operations per cycle, 4 pad
    0x10  inference fingerprint, pre-post fingerprint (64 bit each)
    0x20  column width (16 bit), 6 pad, start columns (count, offset), 72 reserved
    0x78  PDIs (count, offset), kernel commit id offset, 52 reserved            -> 0xb8
    PDI:        UUID (16), image (size, offset), CDO groups (count, offset), 64 reserved
    CDO group:  name offset, type, 3 pad, PDI id (64), DPU kernel ids (count, offset; 64 bit each),
                pre-CDO groups (count, offset; 32 bit each), 64 reserved
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from npukbuild.xclbin.binary import Heap
from npukbuild.xclbin.kinds import CDO_TYPES, name_of

_HEAD = "B3xII4xQQH6xII72xIII52x"
_PDI = "16sIIII64x"
_GROUP = "IB3xQIIII64x"
PDI_BYTES = 96
_GROUP_BYTES = 96


@dataclass(frozen=True, slots=True)
class CdoGroup:
    """What a PDI offers: the kernels (by id) that run on it, and the groups to load before it."""

    name: str
    type: str
    pdi_id: int
    kernel_ids: tuple[int, ...]
    pre_cdo_groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PdiEntry:
    """One programmable device image of the partition.

    ``uuid_offset`` and ``image_offset`` are offsets in the section.
    """

    uuid: bytes
    uuid_offset: int
    image_offset: int
    image: bytes = field(repr=False)
    groups: tuple[CdoGroup, ...]


@dataclass(frozen=True, slots=True)
class Partition:
    """The array's columns that the design takes, and its images."""

    name: str
    schema_version: int
    operations_per_cycle: int
    inference_fingerprint: int
    pre_post_fingerprint: int
    column_width: int
    start_columns: tuple[int, ...]
    kernel_commit_id: str
    pdis: tuple[PdiEntry, ...]


@lru_cache(maxsize=4)
def read_partition(data: bytes) -> Partition:
    """Read an AIE_PARTITION section.

    Raises:
        ContainerError: A structure lies outside the section, or structures claim more than it holds.
    """
    heap = Heap(data, "AIE_PARTITION")
    (schema, name, operations, inference, pre_post, width, starts, starts_at, pdis, pdis_at, commit) = (
        heap.unpack(_HEAD, 0, "header")
    )
    return Partition(
        name=heap.text(name, "name"),
        schema_version=schema,
        operations_per_cycle=operations,
        inference_fingerprint=inference,
        pre_post_fingerprint=pre_post,
        column_width=width,
        start_columns=tuple(row[0] for row in heap.array("H", starts_at, starts, "start columns")),
        kernel_commit_id=heap.text(commit, "kernel commit id"),
        pdis=tuple(
            _read_pdi(heap, pdis_at + index * PDI_BYTES, index, row)
            for index, row in enumerate(heap.array(_PDI, pdis_at, pdis, "PDIs"))
        ),
    )


def _read_pdi(heap: Heap, at: int, index: int, row: tuple[bytes, int, int, int, int]) -> PdiEntry:
    uuid, size, image_at, groups, groups_at = row
    where = f"PDI {index}"
    rows = heap.array(_GROUP, groups_at, groups, f"{where}, CDO groups")
    image = heap.slice(image_at, size, f"{where}, image")
    return PdiEntry(uuid, at, image_at, image, tuple(_read_group(heap, i, *r) for i, r in enumerate(rows)))


def _read_group(
    heap: Heap,
    index: int,
    name: int,
    kind: int,
    pdi_id: int,
    kernels: int,
    kernels_at: int,
    before: int,
    before_at: int,
) -> CdoGroup:
    where = f"CDO group {index}"
    return CdoGroup(
        name=heap.text(name, f"{where}, name"),
        type=name_of(CDO_TYPES, kind),
        pdi_id=pdi_id,
        kernel_ids=_words(heap, kernels_at, kernels, f"{where}, kernel ids"),
        pre_cdo_groups=_words(heap, before_at, before, f"{where}, pre-CDO groups", "I"),
    )


def _words(heap: Heap, at: int, count: int, where: str, layout: str = "Q") -> tuple[int, ...]:
    return tuple(row[0] for row in heap.array(layout, at, count, where))
