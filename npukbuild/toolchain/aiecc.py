"""Drive aiecc: one command line for its three generations, and checks of all that it should have written."""

from __future__ import annotations

import re
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from npukbuild.errors import FolderError, NpukbuildError, RequestError, ResourceError, ToolError
from npukbuild.toolchain.environment import fresh_folder
from npukbuild.toolchain.failures import step_failure
from npukbuild.toolchain.objects import AIE_MACHINE, ObjectFacts, read_object
from npukbuild.toolchain.process import Outcome, Step, check_outputs, run_step, save_record
from npukbuild.toolchain.spelling import spelled_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from npukbuild.toolchain.discovery import Toolchain

DEFAULT_TIMEOUT = 1800.0
INSTS_NAME = "insts.bin"
DESIGN_NAME = "design.mlir"
_SCRATCH = "t"
_ALLOC_SCHEMES = ("basic-sequential", "bank-aware")
_XCLBIN_MAGIC = b"xclbin2\0"
_LENGTH_AT = 304  # XRT xclbin.h: struct axlf puts m_header.m_length behind the signature block
_TILE = re.compile(r"core_(\d+)_(\d+)")


@dataclass(frozen=True, kw_only=True)
class CoreLimits:
    """What a core tile holds, from the target's model.

    Attributes:
        program_bytes: Program memory. The linker script of older releases says eight times as much, so the
            linker does not notice.
        data_bytes: Data memory, for stack, buffers, constants and variables together.
        default_stack: The stack in bytes of a core that names none.
        static_room: Bytes left for constants and variables beside the stack and the buffers, on the fullest
            core, from the account; ``None`` when it is not known.
    """

    program_bytes: int
    data_bytes: int
    default_stack: int
    static_room: int | None = None


@dataclass(frozen=True, kw_only=True)
class CoreElf:
    """One linked core: its place in the array, and its bytes of program and of constants and variables."""

    tile: str
    text_bytes: int
    data_bytes: int


@dataclass(frozen=True, kw_only=True)
class AieccOutputs:
    """What aiecc made, checked: the package, the instruction stream and the linked cores."""

    xclbin: Path
    insts: Path
    design: Path
    cores: tuple[CoreElf, ...]
    log: Path
    seconds: float
    notes: tuple[str, ...] = field(default=())


def aiecc_arguments(
    toolchain: Toolchain,
    *,
    xclbin: str,
    jobs: int | None = None,
    alloc_scheme: str | None = None,
) -> list[str]:
    """Return the arguments that all three generations take alike.

    Every name is given, as the defaults differ; Chess and the host compilation are switched off, as they are
    on by default in some; ``--peano`` is given and exported, as a wrong one is ignored silently.
    """
    if "{" in xclbin:
        raise RequestError("an XCLBIN's name may not have braces", why="aiecc reads them as a template")
    if alloc_scheme is not None and alloc_scheme not in _ALLOC_SCHEMES:
        raise RequestError(f"there is no allocation scheme {alloc_scheme!r}", why=", ".join(_ALLOC_SCHEMES))
    arguments = [
        "--aie-generate-xclbin",
        f"--xclbin-name={xclbin}",
        "--aie-generate-npu-insts",
        f"--npu-insts-name={INSTS_NAME}",
        "--no-compile-host",
        "--no-xchesscc",
        "--no-xbridge",
        f"--peano={toolchain.peano}",
        f"--tmpdir={_SCRATCH}",
    ]
    if alloc_scheme is not None:
        arguments.append(f"--alloc-scheme={alloc_scheme}")
    if jobs is not None:
        arguments += ["-j", str(jobs)]
    return [*arguments, DESIGN_NAME]


def run_aiecc(
    design: str,
    objects: Sequence[Path],
    *,
    toolchain: Toolchain,
    work: Path,
    name: str,
    limits: CoreLimits,
    jobs: int | None = None,
    alloc_scheme: str | None = None,
    parsers: Mapping[str, Callable[[bytes], object]] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> AieccOutputs:
    """Build ``design`` in the fresh folder ``work`` and check all that came out.

    Args:
        design: The design's text. It is spelled as this release reads it.
        objects: What its ``link_with`` names; they are put beside the design, where every generation looks.
        toolchain: Whose aiecc to run.
        work: A folder that is empty or not there yet.
        name: The package is written as ``NAME.xclbin``.
        limits: The core tile's memories.
        jobs: Parallel compilations; 0 is as many as the machine has. The default differs by generation.
        alloc_scheme: ``basic-sequential`` or ``bank-aware``; else bank-aware, then basic-sequential.
        parsers: Further checks by output (``xclbin``, ``insts``): each raises when the bytes are bad.
        timeout: Seconds after which aiecc and all that it started are killed.

    Raises:
        ToolError: aiecc failed, hung, or ended well and left missing, empty, old or damaged outputs.
        ResourceError: A linked core needs more program or data memory than it has.
        FolderError: The work folder is not fresh.
    """
    work = fresh_folder(work)
    xclbin = f"{name}.xclbin"
    _lay_out(work, spelled_for(design, toolchain), objects)
    arguments = aiecc_arguments(toolchain, xclbin=xclbin, jobs=jobs, alloc_scheme=alloc_scheme)
    step = Step(
        name="aiecc",
        argv=tuple(toolchain.aiecc_command(*arguments)),
        cwd=work,
        environment=toolchain.environment(work),
        timeout=timeout,
        inputs=(DESIGN_NAME, *(path.name for path in objects)),
        outputs=(xclbin, INSTS_NAME),
    )
    started = time.time()
    outcome = run_step(step)
    faults = check_outputs(step, started) or _parse_outputs(work, xclbin, parsers or {})
    if outcome.returncode != 0 or outcome.timed_out or faults:
        silent = _silent_cause(toolchain) if not (work / xclbin).exists() else None
        raise step_failure(step, outcome, faults, what=f"aiecc cannot build {xclbin}", silent=silent)
    try:
        cores = check_cores(work / _SCRATCH, limits)
    except NpukbuildError as error:
        save_record(step, state="failed", outcome=outcome, verdict=error.what)
        raise
    save_record(step, state="ok", outcome=outcome)
    return _outputs(work, xclbin, cores, outcome)


def _silent_cause(toolchain: Toolchain) -> tuple[str, str]:
    """Why aiecc may leave no package and say nothing: the C++ driver of 1.3 does so without xclbinutil."""
    found = toolchain.xclbinutil
    if found is None:
        return (
            "xclbinutil was not found, and some aiecc skip the package then",
            "install XRT's tools, or set NPUKBUILD_XCLBINUTIL to xclbinutil's path",
        )
    return f"{found} wrote nothing", "npukbuild doctor tries it; NPUKBUILD_XCLBINUTIL names another"


def _outputs(work: Path, xclbin: str, cores: tuple[CoreElf, ...], outcome: Outcome) -> AieccOutputs:
    notes = () if cores else ("aiecc kept no linked core: program and data memory were not checked",)
    return AieccOutputs(
        xclbin=work / xclbin,
        insts=work / INSTS_NAME,
        design=work / DESIGN_NAME,
        cores=cores,
        log=outcome.log,
        seconds=outcome.seconds,
        notes=notes,
    )


def _lay_out(work: Path, design: str, objects: Sequence[Path]) -> None:
    """Put the design and its objects into ``work``, and the scratch folder: not every driver makes it."""
    try:
        (work / _SCRATCH).mkdir()
        (work / DESIGN_NAME).write_text(design, encoding="utf-8")
        for path in objects:
            (work / path.name).write_bytes(path.read_bytes())
    except OSError as error:
        raise FolderError(
            "the work folder cannot be filled", where=str(error.filename or work), why=error.strerror
        ) from error


def _parse_outputs(work: Path, xclbin: str, parsers: Mapping[str, Callable[[bytes], object]]) -> list[str]:
    """Return what is wrong inside the outputs."""
    faults = []
    for label, name, check in (("xclbin", xclbin, _check_xclbin), ("insts", INSTS_NAME, _check_insts)):
        content = (work / name).read_bytes()
        try:
            check(content)
            if label in parsers:
                parsers[label](content)
        except NpukbuildError as error:
            said = "; ".join(part for part in (error.what, error.why, *error.details) if part)
            faults.append(f"{name} is not good: {said}")
        except ValueError as error:
            faults.append(f"{name} is damaged: {error}")
    return faults


def _check_xclbin(content: bytes) -> None:
    """Check the container's frame: its magic, and that it is as long as it says."""
    if not content.startswith(_XCLBIN_MAGIC):
        raise ValueError("it does not begin with xclbin2")
    if len(content) < _LENGTH_AT + 8:
        raise ValueError(f"it has only {len(content)} bytes")
    (length,) = struct.unpack_from("<Q", content, _LENGTH_AT)
    if length != len(content):
        raise ValueError(f"its header says {length} bytes, the file has {len(content)}")


def _check_insts(content: bytes) -> None:
    """Check the instruction stream's header: words, version 0.1 and its own length (word 3)."""
    if len(content) < 16 or len(content) % 4:
        raise ValueError(f"{len(content)} bytes are not a stream of 32-bit words with a header")
    first, _, _, length = struct.unpack_from("<4I", content)
    if first & 0xFFFF != 0x0100:
        raise ValueError(f"its first word is {first:#010x}, not an instruction stream's")
    if length != len(content):
        raise ValueError(f"its header says {length} bytes, the file has {len(content)}")


def check_cores(folder: Path, limits: CoreLimits) -> tuple[CoreElf, ...]:
    """Check every linked core below ``folder`` against its memories.

    Raises:
        ToolError: An ELF file is damaged or not for an AIE core.
        ResourceError: Program or data memory is exceeded; every core that does is in ``details``.
    """
    cores = []
    too_large: list[str] = []
    for path in sorted(folder.rglob("*.elf")):
        facts = read_object(path)
        tile = _TILE.search(path.name)
        place = f"core ({tile[1]}, {tile[2]})" if tile else path.name
        if facts.machine != AIE_MACHINE:
            raise ToolError(
                f"the linked program of {place} is not for an AIE core",
                where=str(path),
                why=f"its ELF machine is {facts.machine}, an AIE core's is {AIE_MACHINE}",
                hint="npukbuild doctor",
            )
        cores.append(CoreElf(tile=place, text_bytes=facts.text_bytes, data_bytes=facts.data_bytes))
        too_large += [f"{place}: {fault}" for fault in _excess(facts, limits)]
    if too_large:
        raise ResourceError(
            "a linked core does not fit into its tile",
            details=too_large,
            why="neither the linker nor aiecc of every release notices, and the hardware would run garbage",
            hint="unroll less, build fewer entry points per core, or use smaller tables",
        )
    return tuple(cores)


def _excess(facts: ObjectFacts, limits: CoreLimits) -> list[str]:
    """Return which of a core's memories its program exceeds, with the numbers."""
    excess = []
    over = facts.text_bytes - limits.program_bytes
    if over > 0:
        excess.append(f"program {facts.text_bytes} bytes, {over} too many for {limits.program_bytes}")
    room = limits.static_room
    if room is not None and facts.data_bytes > room:
        excess.append(
            f"constants and variables {facts.data_bytes} bytes, "
            f"and stack and buffers leave {room} of {limits.data_bytes}"
        )
    if facts.data_span is not None:
        first, last = facts.data_span
        end = first - first % limits.data_bytes + limits.data_bytes
        if last > end:
            excess.append(f"data ends at {last:#x}, its memory at {end:#x}")
    return excess
