"""From sources to a checked, normalised XCLBIN: Peano, then aiecc."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from npukbuild.errors import FolderError, ResourceError
from npukbuild.toolchain.aiecc import AieccOutputs, CoreLimits, run_aiecc
from npukbuild.toolchain.objects import read_object
from npukbuild.toolchain.peano import CompiledKernel, archive_objects, check_symbols, compile_kernel
from npukbuild.toolchain.spelling import smallest_stack, with_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from npukbuild.toolchain.discovery import Toolchain


@dataclass(frozen=True, kw_only=True)
class BuiltXclbin:
    """A built package.

    Attributes:
        xclbin, insts: Below the work folder; the package is normalised if a normaliser was given.
        stack_size: The stack in bytes that the design was built with.
        stack_raised: The design's own stack was too small and was raised.
        notes: Things worth a warning.
    """

    xclbin: Path
    insts: Path
    kernels: tuple[CompiledKernel, ...]
    aiecc: AieccOutputs
    stack_size: int
    stack_raised: bool
    toolchain: Toolchain
    notes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return what an artifact records about its build; nothing in it names this machine or a time."""
        return {
            "toolchain": self.toolchain.as_dict(),
            "stack_size": self.stack_size,
            "stack_needed": max((k.stack_bytes or 0 for k in self.kernels), default=0) or None,
            "soft_calls": sorted(str(call) for kernel in self.kernels for call in kernel.soft_calls),
            "cores": [
                {"tile": core.tile, "program_bytes": core.text_bytes, "static_bytes": core.data_bytes}
                for core in self.aiecc.cores
            ],
            "notes": list(self.notes),
        }


def build_xclbin(
    design: Path,
    kernels: Sequence[Path],
    name: str,
    *,
    toolchain: Toolchain,
    work: Path,
    arch: str,
    symbols: Sequence[str],
    limits: CoreLimits,
    link_name: str = "kernel.o",
    vector: bool = True,
    jobs: int | None = None,
    alloc_scheme: str | None = None,
    normalise: Callable[[bytes], bytes] | None = None,
    parsers: Mapping[str, Callable[[bytes], object]] | None = None,
) -> BuiltXclbin:
    """Compile the kernels, check them against the design, run aiecc and check what it made.

    Args:
        design: The design's file.
        kernels: Kernel sources. One becomes the object ``link_name``; several become an archive of that name.
        name: The package is ``NAME.xclbin``.
        work: A folder for this build; ``work/k0``, ``work/k1``, ... and ``work/a`` are its steps' folders.
        toolchain: What to build with.
        arch: ``aie2`` (npu1) or ``aie2p`` (npu2).
        symbols: Names that the design calls, over all kernels together.
        limits: The core tile's memories.
        link_name: What the design's ``link_with`` says.
        vector: The family promises vector code.
        jobs: aiecc's parallel compilations.
        alloc_scheme: aiecc's buffer allocation.
        normalise: Makes the package's bytes depend on the inputs only.
        parsers: Full checks of ``xclbin`` and ``insts``, beyond the frames that are checked anyway.

    Raises:
        CompileError: A kernel is wrong.
        ToolError: A tool failed or left bad outputs.
        ResourceError: Stack, constants or program do not fit.
    """
    work = work.absolute()
    compiled = [
        compile_kernel(
            source,
            toolchain=toolchain,
            arch=arch,
            work=work / f"k{number}",
            symbols=symbols if len(kernels) == 1 else (),
            output=link_name if len(kernels) == 1 else f"{source.stem}.o",
            vector=vector,
            complete=len(kernels) == 1,
        )
        for number, source in enumerate(kernels)
    ]
    return link_xclbin(
        design, compiled, name, toolchain=toolchain, work=work, symbols=symbols, limits=limits,
        link_name=link_name, jobs=jobs, alloc_scheme=alloc_scheme, normalise=normalise, parsers=parsers,
    )  # fmt: skip


def link_xclbin(
    design: Path,
    compiled: Sequence[CompiledKernel],
    name: str,
    *,
    toolchain: Toolchain,
    work: Path,
    symbols: Sequence[str],
    limits: CoreLimits,
    link_name: str = "kernel.o",
    jobs: int | None = None,
    alloc_scheme: str | None = None,
    normalise: Callable[[bytes], bytes] | None = None,
    parsers: Mapping[str, Callable[[bytes], object]] | None = None,
) -> BuiltXclbin:
    """Make the package of a design whose kernels are compiled already; arguments as of :func:`build_xclbin`.

    Raises:
        CompileError: The objects together do not define what the design calls.
        ToolError: aiecc failed or left bad outputs.
        ResourceError: Stack, constants or program do not fit.
    """
    text = _read(design)
    work = work.absolute()
    check_symbols([read_object(kernel.object) for kernel in compiled], symbols)
    objects = [kernel.object for kernel in compiled]
    if len(objects) > 1:
        (work / "l").mkdir(parents=True, exist_ok=True)
        objects = [archive_objects(objects, work / "l" / link_name, toolchain=toolchain)]
    text, stack, raised, limits = fit_stack(text, compiled, limits)
    outputs = run_aiecc(
        text,
        objects,
        toolchain=toolchain,
        work=work / "a",
        name=name,
        limits=limits,
        jobs=jobs,
        alloc_scheme=alloc_scheme,
        parsers=parsers,
    )
    if normalise is not None:
        _replace(outputs.xclbin, normalise(outputs.xclbin.read_bytes()))
    notes = [note for kernel in compiled for note in kernel.notes] + list(outputs.notes)
    if raised:
        notes.append(f"the design's stack was too small for its kernel and was raised to {stack} bytes")
    return BuiltXclbin(
        xclbin=outputs.xclbin,
        insts=outputs.insts,
        kernels=tuple(compiled),
        aiecc=outputs,
        stack_size=stack,
        stack_raised=raised,
        toolchain=toolchain,
        notes=tuple(dict.fromkeys(notes)),
    )


def fit_stack(
    text: str, kernels: Sequence[CompiledKernel], limits: CoreLimits
) -> tuple[str, int, bool, CoreLimits]:
    """Check constants and stack against the tile, and raise the design's ``stack_size`` when there is room.

    Returns the design's text, its stack in bytes, whether it was raised, and the limits that remain.

    Raises:
        ResourceError: The kernel's frames or constants do not fit beside the buffers. A stack that is too
            small overflows into the first buffer without any sign.
    """
    static = sum(kernel.data_bytes for kernel in kernels)
    room = limits.static_room
    if room is not None and static > room:
        raise ResourceError(
            "the kernel's constants do not fit beside the buffers",
            why=f"tables, constants and variables take {static} bytes; stack and buffers leave {room} "
            f"of {limits.data_bytes}",
            hint="use smaller tables, a smaller block or a smaller depth",
        )
    has = smallest_stack(text, limits.default_stack)
    needs = max((kernel.stack_bytes or 0 for kernel in kernels), default=0)
    if needs <= has:
        return text, has, False, limits
    chain = max(kernels, key=lambda kernel: kernel.stack_bytes or 0).stack_chain
    extra = needs - has
    if room is None or static + extra > room:
        raise ResourceError(
            "the kernel's frames do not fit into the core's stack",
            where=" -> ".join(chain),
            why=f"they need {needs} bytes with the margin, stack_size is {has}"
            + (f", and only {room - static} bytes are free to raise it" if room is not None else ""),
            hint="keep fewer and smaller arrays in the kernel's functions, or use a smaller block",
        )
    smaller = CoreLimits(
        program_bytes=limits.program_bytes,
        data_bytes=limits.data_bytes,
        default_stack=limits.default_stack,
        static_room=room - extra,
    )
    return with_stack(text, needs, limits.default_stack), needs, True, smaller


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FolderError("the design cannot be read", where=str(path), why=error.strerror) from error


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
