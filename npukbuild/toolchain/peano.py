"""Compile a kernel for an AIE core with Peano, and check what came out before anything links it."""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.errors import CompileError, FolderError, RequestError, ToolError
from npukbuild.toolchain.environment import clean_environment, fresh_folder
from npukbuild.toolchain.failures import step_failure
from npukbuild.toolchain.objects import (
    AIE_MACHINE,
    ObjectFacts,
    SoftCall,
    exclude_stack_section,
    read_object,
    soft_call_groups,
    soft_calls,
    stack_depth,
)
from npukbuild.toolchain.process import Step, check_outputs, run_step, save_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from npukbuild.toolchain.discovery import Toolchain
    from npukbuild.toolchain.process import Outcome

    _Facts = tuple[ObjectFacts, tuple[SoftCall, ...], int | None, tuple[str, ...]]
    """What the object holds, its library calls, and the deepest stack with the calls that lead there."""

# mlir-aie programming_examples/makefile-common; the same for both architectures.
KERNEL_FLAGS = (
    "-O2",
    "-std=c++20",
    "-Wno-parentheses",
    "-Wno-attributes",
    "-Wno-macro-redefined",
    "-Wno-empty-body",
    "-Wno-missing-template-arg-list-after-template-kw",
    "-DNDEBUG",
)
ARCHITECTURES = ("aie2", "aie2p")
DEFAULT_TIMEOUT = 600.0
STACK_MARGIN = 256
"""Our allowance in bytes for the core function's own frame and for library calls: no object shows them."""
STACK_STEP = 64
"""The stack's size keeps the buffers behind it aligned for vector loads (aie_api: 32 bytes, 64 on AIE2P)."""


@dataclass(frozen=True, kw_only=True)
class CompiledKernel:
    """A checked kernel object.

    Attributes:
        object: The object file (an archive when there were several sources).
        headers: Every header that was read, absolute, from the dependency file.
        soft_calls: Run-time library calls with the function that makes each.
        stack_bytes: Stack that the deepest entry needs, margin included and rounded up; ``None`` when the
            compiler reported no frames.
        stack_chain: The calls that need it.
        text_bytes, data_bytes: Sizes of code and of constants, tables and variables.
        notes: Things worth a warning.
    """

    object: Path
    headers: tuple[Path, ...]
    soft_calls: tuple[SoftCall, ...]
    frames: Mapping[str, int]
    stack_bytes: int | None
    stack_chain: tuple[str, ...]
    text_bytes: int
    data_bytes: int
    log: Path
    seconds: float
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return what a later link must know, without any path of this machine or time."""
        return {
            "soft_calls": [asdict(call) for call in self.soft_calls],
            "frames": dict(self.frames),
            "stack_bytes": self.stack_bytes,
            "stack_chain": list(self.stack_chain),
            "text_bytes": self.text_bytes,
            "data_bytes": self.data_bytes,
            "notes": list(self.notes),
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any], path: Path, log: Path) -> CompiledKernel:
        """Return the kernel of :meth:`as_dict` with its object, wherever that now lies."""
        return CompiledKernel(
            object=path,
            headers=(),
            soft_calls=tuple(SoftCall(**call) for call in data["soft_calls"]),
            frames=data["frames"],
            stack_bytes=data["stack_bytes"],
            stack_chain=tuple(data["stack_chain"]),
            text_bytes=data["text_bytes"],
            data_bytes=data["data_bytes"],
            log=log,
            seconds=0.0,
            notes=tuple(data["notes"]),
        )


def peano_command(
    toolchain: Toolchain,
    *,
    arch: str,
    source: str,
    output: str,
    depfile: str,
    defines: Sequence[str] = (),
    include_dirs: Sequence[Path] = (),
) -> list[str]:
    """Return the documented kernel command line, with a dependency file and frame sizes added."""
    if arch not in ARCHITECTURES:
        raise RequestError(f"Peano has no architecture {arch!r}", why=f"it has {', '.join(ARCHITECTURES)}")
    return [
        str(toolchain.clang),
        f"--target={arch}-none-unknown-elf",
        *KERNEL_FLAGS,
        *(f"-D{define}" for define in defines),
        *(f"-I{folder}" for folder in include_dirs),
        f"-I{toolchain.include}",
        "-fstack-size-section",
        "-MD",
        "-MF",
        depfile,
        "-c",
        source,
        "-o",
        output,
    ]


def compile_kernel(
    source: Path,
    *,
    toolchain: Toolchain,
    arch: str,
    work: Path,
    symbols: Sequence[str],
    output: str = "kernel.o",
    vector: bool = True,
    complete: bool = True,
    defines: Sequence[str] = (),
    include_dirs: Sequence[Path] = (),
    timeout: float = DEFAULT_TIMEOUT,
) -> CompiledKernel:
    """Compile one kernel source in the fresh folder ``work`` and check the object.

    Args:
        source: The kernel's C++; it is copied into ``work`` and compiled there by its plain name, so that no
            path of this machine reaches the object.
        toolchain: Whose Peano and headers to use.
        arch: ``aie2`` (npu1) or ``aie2p`` (npu2).
        work: A folder that is empty or not there yet.
        symbols: Names that the design calls: each must be defined with C linkage.
        vector: The family promises vector code: soft-float and math library calls are an error.
        output: Name of the object.
        complete: The object must hold all that it uses; false for one of several that are linked together.
        defines: Macros, ``NAME`` or ``NAME=VALUE``.
        include_dirs: Folders searched before mlir_aie's headers.
        timeout: Seconds after which the compiler is killed.

    Raises:
        CompileError: The source does not compile, a symbol is missing or mangled, or a soft call was made.
        ToolError: The compiler hung, crashed, or left no good object.
        FolderError: The work folder is not fresh.
    """
    work = fresh_folder(work)
    local = _copied(source, work)
    command = peano_command(
        toolchain,
        arch=arch,
        source=local.name,
        output=output,
        depfile=_depfile_of(output),
        defines=defines,
        include_dirs=include_dirs,
    )
    step = _peano_step(command, local, output, toolchain=toolchain, timeout=timeout)
    outcome = _run_peano(step, source.name)
    with _refusal_recorded(step, outcome):
        checked = _checked(work / output, symbols, vector=vector, complete=complete)
        headers = read_depfile(work / _depfile_of(output), work)
    save_record(step, state="ok", outcome=outcome)
    return _described(step, outcome, checked, tuple(h for h in headers if h != local))


def _copied(source: Path, work: Path) -> Path:
    local = work / source.name
    try:
        shutil.copyfile(source, local)
    except OSError as error:
        raise FolderError(
            "the kernel source cannot be copied", where=str(source), why=error.strerror
        ) from error
    return local


def _depfile_of(output: str) -> str:
    return f"{output}.d"


def _peano_step(
    command: Sequence[str], local: Path, output: str, *, toolchain: Toolchain, timeout: float
) -> Step:
    """Return the step that runs in the folder of ``local`` and must leave the object and its depfile."""
    return Step(
        name="peano",
        argv=tuple(command),
        cwd=local.parent,
        environment=clean_environment(local.parent, peano=toolchain.peano),
        timeout=timeout,
        inputs=(local.name,),
        outputs=(output, _depfile_of(output)),
    )


def _run_peano(step: Step, source: str) -> Outcome:
    started = time.time()
    outcome = run_step(step)
    faults = check_outputs(step, started)
    if outcome.returncode != 0 or outcome.timed_out or faults:
        raise step_failure(step, outcome, faults, what=f"Peano cannot compile {source}", error=CompileError)
    return outcome


@contextmanager
def _refusal_recorded(step: Step, outcome: Outcome) -> Iterator[None]:
    try:
        yield
    except (ToolError, CompileError) as error:
        save_record(step, state="failed", outcome=outcome, verdict=error.what)
        raise


def _described(step: Step, outcome: Outcome, checked: _Facts, headers: tuple[Path, ...]) -> CompiledKernel:
    """Describe the object of a good compile, and take the section with its frame sizes out of the link."""
    facts, calls, stack, chain = checked
    path = step.cwd / step.outputs[0]
    notes = [str(call) for call in calls if call.slow]
    if not exclude_stack_section(path):
        notes.append("the compiler reported no frame sizes: the stack was not checked")
    return CompiledKernel(
        object=path,
        headers=headers,
        soft_calls=calls,
        frames=facts.frames,
        stack_bytes=stack,
        stack_chain=chain,
        text_bytes=facts.text_bytes,
        data_bytes=facts.data_bytes,
        log=step.log,
        seconds=outcome.seconds,
        notes=tuple(notes),
    )


def _checked(path: Path, symbols: Sequence[str], *, vector: bool, complete: bool) -> _Facts:
    facts = read_object(path)
    if facts.machine != AIE_MACHINE:
        raise ToolError(
            f"{path.name} is not an AIE object",
            where=str(path),
            why=f"its ELF machine is {facts.machine}, an AIE core's is {AIE_MACHINE}",
            hint="another clang than Peano's compiled it: npukbuild doctor",
        )
    check_symbols([facts], symbols, complete=complete)
    calls = soft_calls(facts)
    slow = [call for call in calls if call.slow]
    if vector and slow:
        raise CompileError(
            "the kernel computes in scalar software floating point",
            where=f"{path.name}: " + ", ".join(sorted({call.function for call in slow})),
            why="its family promises vector code, and each of these calls takes hundreds of cycles",
            details=[str(call) for call in slow],
            hint=slow[0].fix,
        )
    if not facts.frames:
        return facts, calls, None, ()
    entries = [name for name in symbols if name in facts.functions] or list(facts.functions)
    deepest = max((stack_depth(facts, name) for name in entries), default=(0, ()))
    return facts, calls, round_stack(deepest[0] + STACK_MARGIN), deepest[1]


def round_stack(size: int) -> int:
    """Round a stack size up to the step that keeps the buffers behind it aligned."""
    return -(-size // STACK_STEP) * STACK_STEP


def check_symbols(objects: Sequence[ObjectFacts], symbols: Sequence[str], *, complete: bool = True) -> None:
    """Check that the design's names are defined with C linkage and that nothing unknown is undefined.

    Args:
        objects: All objects that are linked together.
        symbols: The names that the design calls.
        complete: Nothing else is linked, so every other name must be defined here too.

    Raises:
        CompileError: Otherwise; every bad name is in ``details``.
    """
    defined = frozenset[str]().union(*(facts.defined for facts in objects))
    details = []
    for name in symbols:
        if name in defined:
            continue
        mangled = sorted(other for other in defined if other.startswith(f"_Z{len(name)}{name}"))
        if mangled:
            details.append(f'{name} is there only as {mangled[0]}: declare it extern "C"')
        else:
            details.append(f"{name} is not defined")
    if complete:
        known = defined | soft_call_groups().keys()
        undefined = sorted({name for facts in objects for name in facts.undefined} - known)
        details.extend(f"{name} is used and nowhere defined" for name in undefined)
    if details:
        raise CompileError(
            "the kernel object does not hold what the design calls",
            where=", ".join(facts.path.name for facts in objects),
            details=details,
            why="it defines " + (", ".join(sorted(defined)[:12]) or "nothing"),
            hint='every function that the design calls must be extern "C" and defined in the kernel',
        )


def read_depfile(path: Path, base: Path) -> tuple[Path, ...]:
    """Return the prerequisites of a make dependency file, absolute, sorted.

    Raises:
        ToolError: It is not one.
    """
    text = path.read_text(encoding="utf-8", errors="surrogateescape").replace("\\\n", " ")
    _, colon, prerequisites = text.partition(": ")
    if not colon:
        raise ToolError("the compiler's dependency file is damaged", where=str(path), why="it has no target")
    names = re.findall(r"(?:\\.|[^\s\\])+", prerequisites)
    files = {base / re.sub(r"\\(.)", r"\1", name).replace("$$", "$") for name in names}
    return tuple(sorted(Path(os.path.normpath(file)) for file in files))


def archive_objects(
    objects: Sequence[Path], output: Path, *, toolchain: Toolchain, timeout: float = 60.0
) -> Path:
    """Put several objects into one archive, without dates or owners, for ``link_with``.

    Raises:
        ToolError: ``llvm-ar`` is missing or left no archive.
    """
    work = output.parent
    step = Step(
        name="archive",
        argv=(
            str(toolchain.peano / "bin" / "llvm-ar"),
            "rcsD",
            output.name,
            *(str(path) for path in objects),
        ),
        cwd=work,
        environment=clean_environment(work, peano=toolchain.peano),
        timeout=timeout,
        outputs=(output.name,),
    )
    started = time.time()
    outcome = run_step(step)
    faults = check_outputs(step, started)
    if not faults:
        with output.open("rb") as file:
            if file.read(8) != b"!<arch>\n":
                faults.append(f"{output.name} is not an archive")
    if outcome.returncode != 0 or outcome.timed_out or faults:
        raise step_failure(
            step, outcome, faults, what="the kernel objects cannot be archived", error=ToolError
        )
    save_record(step, state="ok", outcome=outcome)
    return output
