"""What the host must pass to a kernel: arguments, types, shapes, padding."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

DTYPE_BYTES: dict[str, int] = {"bf16": 2, "f32": 4, "i8": 1, "i16": 2, "i32": 4}


@dataclass(frozen=True, slots=True)
class Argument:
    """One host buffer, row-major.

    ``shape`` is the buffer's, ``logical`` the part of it that is data; the rest is padding, zero on the way
    in and meaningless on the way out.
    """

    name: str
    direction: Literal["in", "out", "inout"]
    dtype: str
    shape: tuple[int, ...]
    logical: tuple[int, ...]
    layout: str = "row-major"

    @property
    def bytes(self) -> int:
        """Size of the buffer."""
        return prod(self.shape) * DTYPE_BYTES[self.dtype]

    def as_dict(self) -> dict[str, Any]:
        """Return the manifest's form."""
        return {
            "name": self.name,
            "direction": self.direction,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "logical": list(self.logical),
            "layout": self.layout,
            "bytes": self.bytes,
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Argument:
        """Read the manifest's form."""
        return Argument(
            name=data["name"],
            direction=data["direction"],
            dtype=data["dtype"],
            shape=tuple(data["shape"]),
            logical=tuple(data["logical"]),
            layout=data.get("layout", "row-major"),
        )


@dataclass(frozen=True, slots=True)
class Abi:
    """A kernel's calling convention: the name in the XCLBIN and its data arguments in order."""

    arguments: tuple[Argument, ...]
    kernel: str = "MLIR_AIE"

    def as_dict(self) -> dict[str, Any]:
        """Return the manifest's form."""
        return {"kernel": self.kernel, "arguments": [argument.as_dict() for argument in self.arguments]}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Abi:
        """Read the manifest's form."""
        return Abi(tuple(Argument.from_dict(entry) for entry in data["arguments"]), data["kernel"])
