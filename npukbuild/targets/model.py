"""Typed array models. Units: bytes, 32-bit words, elements per field as the name says."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from npukbuild.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ARRAYS = ("npu1", "npu2")


@dataclass(frozen=True, slots=True)
class TileLimits:
    """What one kind of tile has. Fields that a kind lacks are 0 or empty.

    ``wrap`` are the largest sizes, from the innermost dimension (D0) on, that have a field; ``dim_size``
    is the largest size that mlir-aie's verifier lets through.
    """

    locks: int
    lock_max: int
    bds: int
    s2mm: int
    mm2s: int
    dims: int
    length_words: int
    wrap: tuple[int, ...]
    stride_words: int
    iteration: int
    queue: int
    repeat: int
    data_bytes: int = 0
    banks: int = 0
    program_bytes: int = 0
    bds_per_parity: int = 0
    dim_size: int = 512
    pad_words: int = 0
    pad_runs: tuple[int, ...] = ()
    neighbour_channels: int = 0
    accumulators: int = 0
    default_stack: int = 0


@dataclass(frozen=True)
class Target:
    """One array model. ``timing`` holds the constants of the timing model as plain numbers."""

    name: str
    array: str
    arch: str
    columns: int
    core_rows: int
    first_core_row: int
    insts_generation: int
    host_arguments: int
    memory_alignment: int
    core: TileLimits
    mem: TileLimits
    shim: TileLimits
    streams: Mapping[str, int]
    macs: Mapping[str, int]
    mmul: Mapping[str, tuple[int, int, int]]
    timing: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """All rows: shim, memtile and cores."""
        return self.first_core_row + self.core_rows

    @property
    def cores(self) -> int:
        """Number of cores."""
        return self.columns * self.core_rows

    def limits(self, kind: str) -> TileLimits:
        """Return the limits of ``shim``, ``mem`` or ``core``."""
        return {"shim": self.shim, "mem": self.mem, "core": self.core}[kind]

    def kind(self, row: int) -> str:
        """Return the kind of the tiles in ``row``."""
        return "shim" if row == 0 else "mem" if row < self.first_core_row else "core"


def target_names() -> tuple[str, ...]:
    """Return every target that can be asked for, whole arrays first."""
    names: list[str] = []
    for array in _ARRAYS:
        names.append(array)
        names.extend(f"{array}_{count}col" for count in _data(array)["partial_columns"])
    return tuple(names)


@cache
def load_target(name: str) -> Target:
    """Return the model of ``name``.

    Raises:
        RequestError: The name is none of :func:`target_names`.
    """
    if name not in target_names():
        hint = "npu1 has 4 columns: npu1_4col is spelled npu1" if name == "npu1_4col" else None
        raise RequestError(
            f"unknown target {name!r}", why=f"known targets: {', '.join(target_names())}", hint=hint
        )
    array, _, partial = name.partition("_")
    data = _data(array)
    return Target(
        name=name,
        array=array,
        arch=data["arch"],
        columns=int(partial.removesuffix("col")) if partial else data["columns"],
        core_rows=data["core_rows"],
        first_core_row=data["first_core_row"],
        insts_generation=data["insts_generation"],
        host_arguments=data["host_arguments"],
        memory_alignment=data["memory_alignment"],
        core=_limits(data["core"]),
        mem=_limits(data["mem"]),
        shim=_limits(data["shim"]),
        streams=data["streams"],
        macs=data["macs"],
        mmul={key: (value[0], value[1], value[2]) for key, value in data["mmul"].items()},
        timing=data.get("timing", {}),
    )


def _limits(table: dict[str, Any]) -> TileLimits:
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    return TileLimits(**fields)


@cache
def _data(array: str) -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath(f"{array}.toml").read_text(encoding="utf-8"))
