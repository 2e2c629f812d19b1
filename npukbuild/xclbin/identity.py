"""Normalise: make two builds of one design bit-identical.

xclbinutil puts the time of day into the unique id and the time stamp, and random numbers into the UUID
(and the compiler into the PDI's UUID); the mirror metadata repeats them. Here they are derived instead,
from the caller's key and from the content, so that equal builds are equal bytes and different designs keep
different identities (XRT and the drivers tell designs apart by them).
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from dataclasses import dataclass, replace

from npukbuild.errors import ContainerError
from npukbuild.xclbin import kinds
from npukbuild.xclbin.container import Container, read
from npukbuild.xclbin.mirror import replace_fields
from npukbuild.xclbin.partition import read_partition

_DOMAIN = b"npukbuild xclbin identity 1\0"
# Ten digits, like every real time stamp until 2286, so that the mirror's length does not change.
_FIRST_TIME = 1_000_000_000
_TIMES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Identity:
    """The values that differ from build to build, and what they are replaced by."""

    uuid: bytes
    unique_id: int
    timestamp: int
    pdi_seed: bytes

    def pdi_uuid(self, index: int) -> bytes:
        """Return the UUID for the partition's PDI number ``index``."""
        return _uuid(self.pdi_seed + struct.pack("<I", index))


_BLANK = Identity(bytes(16), 0, 0, b"")


def normalise(data: bytes, key: bytes | None = None, *, fill_zero_pdi: bool = False) -> bytes:
    """Return the container with derived UUIDs, unique id and time stamps; every other byte stays.

    Idempotent: normalising with the same key again changes nothing.

    Args:
        data: The container's bytes.
        key: The action key, any bytes; None takes the content alone.
        fill_zero_pdi: Give PDIs without a UUID (all zeros) a derived one too. Early C++ generations of
            aiecc left them zero, and run lists over several such files time out.

    Raises:
        ContainerError: The bytes are no readable container, or it is signed.
    """
    container = read(data)
    if container.header.signed:
        raise ContainerError(
            "a signed XCLBIN cannot be normalised",
            why=f"its signature of {container.header.signature_length} bytes covers the fields to change",
            hint="normalise first, sign afterwards",
        )
    result = _apply(container, derive(container, key), fill_zero_pdi=fill_zero_pdi)
    data = result.to_bytes()
    if read(data).header != result.header:
        raise ContainerError(
            "this XCLBIN cannot be normalised",
            why="a section lies over the header, so that its fields cannot be set",
            hint="run: npukbuild xclbin verify",
        )
    return data


def derive(container: Container, key: bytes | None = None) -> Identity:
    """Derive the identity from the key and everything in the container that is not identity."""
    shared = blank(container)
    # The length follows from the rest where it is right; a wrong one must not come into it, since rewriting
    # the mirror can make it right by chance.
    shared = replace(shared, header=replace(shared.header, length=0))
    content = hashlib.sha256(shared.to_bytes()).digest()
    key = b"" if key is None else key
    seed = hashlib.sha256(_DOMAIN + struct.pack("<Q", len(key)) + key + content).digest()
    return Identity(
        uuid=_uuid(seed + b"xclbin"),
        unique_id=int.from_bytes(hashlib.sha256(seed + b"unique id").digest()[:8], "little") >> 1,
        timestamp=_FIRST_TIME
        + int.from_bytes(hashlib.sha256(seed + b"time stamp").digest()[:8], "little") % _TIMES,
        pdi_seed=seed + b"pdi",
    )


def blank(container: Container) -> Container:
    """Return the container with all identity set to zero: what two builds of one design share."""
    return _apply(container, _BLANK, fill_zero_pdi=False)


def leftovers(container: Container) -> tuple[str, ...]:
    """Say which sections may still differ between builds: those that carry a time of their own."""
    found = []
    for kind in (kinds.BUILD_METADATA, kinds.KEYVALUE_METADATA, kinds.USER_METADATA):
        for section in container.of_kind(kind):
            lowered = section.data.lower()
            if any(word in lowered for word in (b"time_stamp", b"timestamp", b'"date', b"xclbinuuid")):
                found.append(f"{section.kind_name} carries a time or UUID of its own and is left as it is")
    return tuple(found)


def _apply(container: Container, identity: Identity, *, fill_zero_pdi: bool) -> Container:
    header = container.header
    rom = identity.timestamp if header.feature_rom_timestamp else 0
    container = replace(
        container,
        header=replace(
            header,
            uuid=identity.uuid,
            unique_id=identity.unique_id,
            timestamp=identity.timestamp,
            feature_rom_timestamp=rom,
        ),
    )
    container = _with_pdi_uuids(container, identity, fill_zero=fill_zero_pdi)
    _, tail = container.tail
    fields = {
        "XclBinUUID": identity.uuid.hex(),
        "UniqueID": struct.pack("<Q", identity.unique_id).hex(),
        "TimeStamp": str(identity.timestamp),
        "FeatureRomTimeStamp": str(rom),
    }
    return container.with_tail(replace_fields(tail, fields))


def _with_pdi_uuids(container: Container, identity: Identity, *, fill_zero: bool) -> Container:
    """Set the UUID of every PDI; zero ones stay zero unless asked for."""
    for position, section in enumerate(container.sections):
        if section.kind != kinds.AIE_PARTITION:
            continue
        data = bytearray(section.data)
        for index, pdi in enumerate(read_partition(section.data).pdis):
            if fill_zero or any(pdi.uuid):
                value = identity.pdi_uuid(index) if identity.pdi_seed else bytes(16)
                data[pdi.uuid_offset : pdi.uuid_offset + 16] = value
        container = container.with_section(position, bytes(data))
    return container


def _uuid(seed: bytes) -> bytes:
    """Make a version-4-shaped UUID of a seed."""
    return uuid.UUID(bytes=hashlib.sha256(seed).digest()[:16], version=4).bytes
