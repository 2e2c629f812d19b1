"""From a plan to proof: render, lower and count it, compile its kernel, run it against the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.ir import load_design, take_account
from npukbuild.planner.limits import tile_uses
from npukbuild.planner.memory import core_items, mem_items
from npukbuild.planner.scheme import STACK_BYTES
from npukbuild.render import render

if TYPE_CHECKING:
    from pathlib import Path

    from npukbuild.ir.account import Account, TileAccount
    from npukbuild.ir.design import Design
    from npukbuild.planner.plan import MatmulPlan
    from npukbuild.planner.scheme import Scheme
    from npukbuild.smoke.judge import Judgement


def lowered(plan: MatmulPlan) -> tuple[Design, Account]:
    """Render, read, lower and count; whatever the account finds fails the test."""
    design = load_design(render(plan).design)
    account = take_account(design)
    assert not account.violations, [str(one) for one in account.violations]
    return design, account


def check_numbers_agree(plan: MatmulPlan, account: Account) -> None:
    """Hold the planner's own arithmetic against what the account counted from the text."""
    scheme = plan.scheme
    tiles = {(row.tile.column, row.kind): row for row in account.tiles if row.kind != "core"}
    for use in tile_uses(scheme):
        if use.kind == "core":
            continue
        row = tiles[use.column, use.kind]
        assert (use.s2mm, use.mm2s, use.locks) == (row.s2mm, row.mm2s, row.locks), row
        if use.kind == "mem":
            assert (use.bds_even, use.bds_odd) == (row.bds_even, row.bds_odd), row
            assert sum(item.total for item in mem_items(scheme, use.column)) == row.bytes
    for row in (row for row in account.tiles if row.kind == "core"):
        _check_core(scheme, row)
    assert sum(row.kind == "core" for row in account.tiles) == scheme.cores


def _check_core(scheme: Scheme, row: TileAccount) -> None:
    use = tile_uses(scheme)[-1]
    assert (use.s2mm, use.mm2s, use.bds, use.locks) == (row.s2mm, row.mm2s, row.bds, row.locks), row
    assert sum(item.total for item in core_items(scheme)) + STACK_BYTES == row.bytes


def judgements(plan: MatmulPlan, design: Design, folder: Path) -> list[Judgement]:
    """Compile the kernel for the host and run all trials of the family on the simulator."""
    from npukbuild.kernels import matmul_numerics
    from npukbuild.simulator.hostcc import compile_kernels
    from npukbuild.simulator.kernel_library import KernelLibrary
    from npukbuild.smoke.harness import run_trials
    from npukbuild.smoke.simulated import SimulatedKernel

    source = folder / "kernel.cc"
    source.write_text(render(plan).kernel, encoding="utf-8")
    library = compile_kernels([source], arch=plan.scheme.target.arch, output=folder / "kernel.so")
    loaded = SimulatedKernel(design, KernelLibrary(library))
    found, _ = run_trials(loaded, plan.abi, plan.problem, matmul_numerics)
    return found
