"""Pieces of designs that tests put together: cores that add, transfers of whole buffers, a device around."""

from __future__ import annotations

from typing import Any

import numpy as np

from npukbuild.ir import load_design
from npukbuild.simulator import Simulator


def core(
    name: str, inputs: list[tuple[str, int]], outputs: list[tuple[str, int]], body: str, kind: str = "i32"
) -> str:
    """A core that for ever acquires one object of each fifo; the body sees %FIFO, %c0, %c1 and %cN."""
    lines = [f"aie.core(%{name}) {{"]
    numbers = {0, 1, 0xFFFFFF} | {size for _, size in (*inputs, *outputs)}
    lines += [f"%c{n} = arith.constant {n} : index" for n in sorted(numbers)]
    lines.append(f"scf.for %forever = %c0 to %c{0xFFFFFF} step %c1 {{")
    for port, fifos in (("Consume", inputs), ("Produce", outputs)):
        lines += [f"%{f} = aie.objectfifo.acquire @{f}({port}, 1) : memref<{n}x{kind}>" for f, n in fifos]
    lines.append(body)
    for port, fifos in (("Consume", inputs), ("Produce", outputs)):
        lines += [f"aie.objectfifo.release @{f}({port}, 1)" for f, _ in fifos]
    return "\n".join([*lines, "}", "aie.end", "}"])


def adds(source: str, target: str, size: int, amount: int, kind: str = "i32") -> str:
    """A loop that writes every element plus a constant."""
    return (
        f"%k_{target} = arith.constant {amount} : {kind}\n"
        f"scf.for %i = %c0 to %c{size} step %c1 {{\n"
        f"%v = memref.load %{source}[%i] : memref<{size}x{kind}>\n"
        f"%w = arith.addi %v, %k_{target} : {kind}\n"
        f"memref.store %w, %{target}[%i] : memref<{size}x{kind}>\n}}"
    )


def adder(name: str, source: str, target: str, size: int, amount: int, kind: str = "i32") -> str:
    """A core between two fifos that adds a constant."""
    return core(name, [(source, size)], [(target, size)], adds(source, target, size, amount, kind), kind)


def fifo(
    name: str, source: str, targets: str, depth: str, size: int, rest: str = "", kind: str = "i32"
) -> str:
    """An objectfifo; ``source`` and ``targets`` may have layouts behind the tile's name."""
    return (
        f"aie.objectfifo @{name}(%{source}, {{{targets}}}, {depth}){rest} : "
        f"!aie.objectfifo<memref<{size}x{kind}>>"
    )


def move(argument: str, fifo_name: str, count: int, ident: int, offset: int = 0, kind: str = "i32") -> str:
    """A transfer of ``count`` elements."""
    return (
        f"aiex.npu.dma_memcpy_nd(%{argument}[0,0,0,{offset}][1,1,1,{count}][0,0,0,1]) "
        f"{{id = {ident} : i64, metadata = @{fifo_name}}} : memref<{{}}x{kind}>"
    )


def wait(*fifos: str) -> str:
    """Waits for outputs."""
    return "\n".join(f"aiex.npu.dma_wait {{symbol = @{name}}}" for name in fifos)


def device(
    parts: list[str], sequence: list[str], sizes: dict[str, int], kind: str = "i32", name: str = "npu1"
) -> str:
    """A device with tiles %sC, %mC and %cC_R, ``parts`` in it and a sequence over host buffers."""
    columns = 4 if name == "npu1" else 8
    tiles = [f"%s{c} = aie.tile({c}, 0)\n%m{c} = aie.tile({c}, 1)" for c in range(columns)]
    tiles += [f"%c{c}_{r} = aie.tile({c}, {r})" for c in range(columns) for r in range(2, 6)]
    text = "\n".join([*tiles, *parts])
    arguments = ", ".join(f"%{one}: memref<{size}x{kind}>" for one, size in sizes.items())
    lines = []
    for line in sequence:
        argument = line.partition("(%")[2].partition("[")[0]
        lines.append(line.replace("memref<{}x", f"memref<{sizes[argument]}x") if argument in sizes else line)
    body = "\n".join(lines)
    sequence_text = f"aie.runtime_sequence({arguments}) {{\n{body}\n}}"
    return f"module {{\naie.device({name}) {{\n{text}\n{sequence_text}\n}}\n}}\n"


def call(
    text: str, *arrays: Any, kernels: Any = None, warnings: tuple[str, ...] = (), **options: Any
) -> None:
    """Run a design timed and untimed, twice each, from equal arrays; the last call's results stay in them."""
    first = [array.copy() for array in arrays]
    for timed in (False, True):
        simulator = Simulator(load_design(text, file="design.mlir"), kernels, timed=timed, **options)
        for _ in range(2):
            given = [array.copy() for array in first]
            result = simulator.run(given)
            assert tuple(result.warnings) == warnings, result.warnings
            if timed:
                assert all((a == b).all() for a, b in zip(arrays, given, strict=True))
            for array, new in zip(arrays, given, strict=True):
                np.copyto(array, new)
