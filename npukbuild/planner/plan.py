"""The planner's answer: a scheme, its schedule, its predicted time, and everything a reader asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from npukbuild.planner.limits import room_for_constants, tile_uses
from npukbuild.planner.memory import core_items, l1_bytes, l2_bytes, mem_items
from npukbuild.planner.program import program_bytes
from npukbuild.planner.ranking import predicted
from npukbuild.planner.scheme import STACK_BYTES, STATIC_BYTES
from npukbuild.planner.sequence import schedule, task_count

if TYPE_CHECKING:
    from npukbuild.kernels.abi import Abi
    from npukbuild.kernels.matmul import MatmulProblem
    from npukbuild.planner.cost import Prediction
    from npukbuild.planner.memory import Item
    from npukbuild.planner.scheme import Scheme
    from npukbuild.planner.sequence import Schedule


@dataclass(frozen=True)
class MatmulPlan:
    """How a matmul will be done. Blocks are in elements, memory in bytes, times estimated.

    ``alternatives`` are the next best plans (with no alternatives of their own), best first.
    """

    scheme: Scheme
    schedule: Schedule
    prediction: Prediction
    alternatives: tuple[MatmulPlan, ...] = ()

    @property
    def problem(self) -> MatmulProblem:
        """What was asked for."""
        return self.scheme.problem

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.problem.family

    @property
    def name(self) -> str:
        """Name of the kernel, also of its folder."""
        return self.problem.name

    @property
    def target_name(self) -> str:
        """Name of the target."""
        return self.scheme.target.name

    @cached_property
    def abi(self) -> Abi:
        """Calling convention: A, B, C with the padded shapes of their buffers."""
        return self.problem.abi(*self.scheme.padded)

    @property
    def block(self) -> tuple[int, int, int]:
        """The block (m, k, n) of one core."""
        return self.scheme.block

    @property
    def columns(self) -> int:
        """Columns in use."""
        return self.scheme.columns

    @property
    def rows(self) -> int:
        """Core rows in use."""
        return self.scheme.rows

    @cached_property
    def l1_bytes(self) -> int:
        """Bytes of a core's data memory in use, stack included."""
        return l1_bytes(self.scheme)

    @cached_property
    def l2_bytes(self) -> int:
        """Bytes in use of the fullest memtile."""
        return l2_bytes(self.scheme)

    @property
    def calls(self) -> int:
        """Kernel calls that the host makes: always one."""
        return 1

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is legal but may surprise."""
        room = room_for_constants(self.scheme)
        if room >= STATIC_BYTES:
            return ()
        packed = self.scheme.target.core.data_bytes - self.l1_bytes
        warning = (
            f"only {room:,} bytes are left behind the highest L1 buffer for the program's constants: linking "
            f"fails if the compiler makes any (aiecc --alloc-scheme=basic-sequential leaves {packed:,})"
        )
        return (warning,)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of plan.json."""
        scheme = self.scheme
        padded_m, padded_k, padded_n = scheme.padded
        return {
            "name": self.name,
            "family": self.family,
            "target": self.target_name,
            "problem": self.problem.as_dict(),
            "block": dict(zip("mkn", self.block, strict=True)),
            "columns": self.columns,
            "rows": self.rows,
            "calls": self.calls,
            "l1_bytes": self.l1_bytes,
            "l2_bytes": self.l2_bytes,
            "padded": {"m": padded_m, "k": padded_k, "n": padded_n},
            "blocks": {"m": scheme.m_blocks, "k": scheme.k_blocks, "n": scheme.n_blocks},
            "micro_tile": list(scheme.micro),
            "register_tiles": list(scheme.registers),
            "program": scheme.program,
            "resident": scheme.resident or None,
            "c_buffers": scheme.c_depth,
            "order": "n inner" if self.schedule.j_inner else "m inner",
            "groups": self.schedule.count,
            "tasks": task_count(scheme, self.schedule),
            "memory": self._memory(),
            "tiles": self._tiles(),
            "prediction": self.prediction.as_dict(),
            "warnings": list(self.warnings),
            "alternatives": [plan.outline() for plan in self.alternatives],
        }

    def outline(self) -> dict[str, Any]:
        """Return what is needed to compare this plan with another."""
        return {
            "block": dict(zip("mkn", self.block, strict=True)),
            "columns": self.columns,
            "rows": self.rows,
            "resident": self.scheme.resident or None,
            "c_buffers": self.scheme.c_depth,
            "l1_bytes": self.l1_bytes,
            "l2_bytes": self.l2_bytes,
            "groups": self.schedule.count,
            "prediction": self.prediction.as_dict(),
        }

    def _memory(self) -> dict[str, Any]:
        columns = {str(column): _items(mem_items(self.scheme, column)) for column in range(self.columns)}
        return {
            "core": {**_items(core_items(self.scheme)), "stack": {"count": 1, "bytes": STACK_BYTES}},
            "memtile": columns,
            "program_bytes_estimated": program_bytes(self.scheme),
        }

    def _tiles(self) -> list[dict[str, Any]]:
        return [
            {
                "kind": use.kind,
                "column": use.column,
                "s2mm": use.s2mm,
                "mm2s": use.mm2s,
                "bds": use.bds,
                "bds_even": use.bds_even,
                "bds_odd": use.bds_odd,
                "locks": use.locks,
            }
            for use in tile_uses(self.scheme)
        ]


def make_plan(scheme: Scheme, alternatives: tuple[MatmulPlan, ...] = ()) -> MatmulPlan:
    """Return the plan of a legal scheme, timed with the tasks that it really has."""
    cut = schedule(scheme)
    assert cut is not None, "only legal schemes are made into plans"
    return MatmulPlan(scheme, cut, predicted(scheme, task_count(scheme, cut)), alternatives)


def _items(items: tuple[Item, ...]) -> dict[str, Any]:
    return {item.name: {"count": item.count, "bytes": item.bytes} for item in items}
