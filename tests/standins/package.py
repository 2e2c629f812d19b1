"""What the stand-in xclbinutil writes: the golden package, with the partition that the JSON file asks for."""

from __future__ import annotations

import json
import struct
from pathlib import Path

_AIE_PARTITION = 32
_WIDTH_AT, _STARTS_AT = 0x20, 0x28


def pack(source: str, output: str) -> None:
    """Copy ``source`` to ``output`` and set the partition's width and start columns in it."""
    data = bytearray(Path(source).read_bytes())
    asked = Path("aie_partition.json")
    if asked.is_file():
        partition = json.loads(asked.read_text())["aie_partition"]["partition"]
        at = _section(data, _AIE_PARTITION)
        (_, starts_at) = struct.unpack_from("<II", data, at + _STARTS_AT)
        starts = partition["start_columns"]
        struct.pack_into("<H", data, at + _WIDTH_AT, partition["column_width"])
        struct.pack_into("<I", data, at + _STARTS_AT, len(starts))
        struct.pack_into(f"<{len(starts)}H", data, at + starts_at, *starts)
    Path(output).write_bytes(data)


def _section(data: bytearray, kind: int) -> int:
    (count,) = struct.unpack_from("<I", data, 0x1C0)
    for row in range(count):
        found, offset = struct.unpack_from("<I20xQ", data, 0x1C8 + 40 * row)
        if found == kind:
            return int(offset)
    raise AssertionError(f"no section {kind}")
