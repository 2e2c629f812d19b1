"""The result of an action as bytes: an ``ActionResult`` of the Remote Execution API, as Bazel has it.

Servers such as bazel-remote refuse anything else under ``/ac/``; plain ones such as nginx store any bytes.
The fields used are output_files = 2 {path = 1, digest = 2 {hash = 1, size_bytes = 2}, is_executable = 4},
exit_code = 4 and stdout_raw = 5 (build/bazel/remote/execution/v2/remote_execution.proto). ``stdout_raw``
carries what we know beyond that, with a checksum over everything and the key it belongs to: an entry that
was damaged, or stored under another key, is noticed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.engine.digest import digest_bytes
from npukbuild.engine.key import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VARINT, _BYTES = 0, 2
_SKIP = {1: 8, 5: 4}


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """Content of one output: SHA-256, size in bytes, and whether it may be executed."""

    digest: str
    size: int
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What an action gave, and what it cost: seconds of wall time, bytes of resident memory at the peak."""

    outputs: Mapping[str, OutputRecord]
    seconds: float = 0.0
    peak_bytes: int = 0

    def check(self, key: str) -> str:
        """Return the checksum that binds this result to ``key``."""
        rows = [[name, o.digest, o.size, o.executable] for name, o in sorted(self.outputs.items())]
        return digest_bytes(encode([key, rows, self.seconds, self.peak_bytes]))


class DamagedError(ValueError):
    """Bytes that are not a whole result for their key."""


def pack(result: Result, key: str) -> bytes:
    """Return ``result`` as the bytes to store under ``key``."""
    parts = []
    for name, output in sorted(result.outputs.items()):
        digest = _field(1, output.digest.encode()) + _number(2, output.size)
        parts.append(
            _field(
                2,
                _field(1, name.encode()) + _field(2, digest) + (_number(4, 1) if output.executable else b""),
            )
        )
    extra = {"seconds": result.seconds, "peak_bytes": result.peak_bytes, "check": result.check(key)}
    parts.append(_field(5, json.dumps({"npukbuild": extra}).encode()))
    return b"".join(parts)


def unpack(data: bytes, key: str) -> Result:
    """Return the result in ``data``.

    Raises:
        DamagedError: The bytes are cut, changed, or belong to another key.
    """
    outputs: dict[str, OutputRecord] = {}
    extra: dict[str, object] = {}
    try:
        for number, value in _fields(data):
            if number == 2 and isinstance(value, bytes):
                name, output = _output(value)
                outputs[name] = output
            elif number == 5 and isinstance(value, bytes):
                extra = json.loads(value)["npukbuild"]
        result = Result(outputs, float(str(extra["seconds"])), int(str(extra["peak_bytes"])))
        check = extra["check"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise DamagedError("not a result") from error
    if check != result.check(key):
        raise DamagedError("the checksum does not match")
    return result


def _output(data: bytes) -> tuple[str, OutputRecord]:
    fields = dict(_fields(data))
    digest = dict(_fields(_as_bytes(fields[2])))
    return _as_bytes(fields[1]).decode(), OutputRecord(
        _as_bytes(digest[1]).decode(), int(digest.get(2, 0)), bool(fields.get(4, 0))
    )


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise DamagedError("a number where bytes belong")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of a protobuf message; fixed-width fields are passed over."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
        elif kind == _BYTES:
            length, at = _read_varint(data, at)
            if at + length > len(data):
                raise DamagedError("cut short")
            yield tag >> 3, data[at : at + length]
            at += length
        elif kind in _SKIP:
            at += _SKIP[kind]
        else:
            raise DamagedError("an unknown kind of field")


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise DamagedError("a number too long")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)
