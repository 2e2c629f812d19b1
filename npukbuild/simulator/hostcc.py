"""Compile AIE C++ kernels for this machine, against the AIE API in ``simulator/include``."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.errors import CompileError, DiskFullError, FolderError
from npukbuild.simulator.compile_errors import INCLUDE_DIR, explain
from npukbuild.simulator.host_compiler import HostCompiler, find_compiler, run_compiler

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ARCHITECTURES",
    "INCLUDE_DIR",
    "HostCompiler",
    "command_line",
    "compile_kernels",
    "dependencies",
    "find_compiler",
    "undefined_or_libm_symbols",
]

ARCHITECTURES: dict[str, int] = {"aie2": 20, "aie2p": 21}
"""Our architecture names and the ``__AIE_ARCH__`` that Peano predefines for them."""

MODEL_VERSIONS: dict[str, int] = {"aie2": 10500, "aie2p": 11500}
"""``__AIE_MODEL_VERSION__`` as Peano's intrinsic headers define it (aiev2intrin.h, aie2pintrin.h)."""

COMPILE_TIMEOUT_S = 180.0

_EXPECTED_IMPORTS = frozenset(
    {"memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen", "abort", "syscall", "usleep"}
    | {"__tls_get_addr", "__cxa_finalize", "__gmon_start__", "__stack_chk_fail"}
)


_OF_A_PROCESS = frozenset(
    {"exit", "_exit", "_Exit", "quick_exit", "pthread_exit", "raise", "kill", "fork", "vfork", "system"}
    | {"execl", "execlp", "execle", "execv", "execvp", "execve", "sleep", "usleep", "nanosleep", "longjmp"}
    | {"pause", "pthread_create", "pthread_kill", "signal", "sigaction", "alarm"}
)
"""What would end, stop or leave the simulator's own process; a core has no operating system."""


def compile_kernels(
    sources: Sequence[Path],
    *,
    arch: str,
    output: Path,
    include_dirs: Sequence[Path] = (),
    defines: Sequence[str] = (),
    compiler: HostCompiler | None = None,
    timeout: float = COMPILE_TIMEOUT_S,
) -> Path:
    """Compile kernels into one library for :class:`~npukbuild.simulator.kernel_library.KernelLibrary`.

    The library appears whole or not at all. Beside it lie ``<output>.log`` (the compiler's words, also of a
    failure) and ``<output>.d`` (every file that was read, see :func:`dependencies`).

    Args:
        sources: C++ files; files and lines in their ``#line`` directives are what errors name.
        arch: ``"aie2"`` or ``"aie2p"``.
        output: The ``.so`` to write.
        include_dirs: Further include folders, searched before the AIE API's.
        defines: ``NAME`` or ``NAME=VALUE``. ``NPUK_CHECK_ALIGNMENT`` makes misaligned vector accesses known
            through ``CoreState.faults``.
        compiler: From :func:`find_compiler`; found when not given.
        timeout: Seconds for each source.

    Returns:
        ``output``.

    Raises:
        CompileError: The first real error, at its place in the kernel, with an excerpt.
        CompilerMissingError: See :func:`find_compiler`.
        DiskFullError: No space for the output.
        FolderError: The output's folder cannot be written to.
    """
    if arch not in ARCHITECTURES:
        raise CompileError(f"unknown architecture {arch!r}", hint=f"one of {', '.join(ARCHITECTURES)}")
    if missing := [source for source in sources if not Path(source).is_file()]:
        raise CompileError(f"no kernel source {missing[0]}", details=[str(source) for source in missing[1:]])
    compiler = compiler or find_compiler()
    output = Path(output)
    common = command_line(compiler, arch=arch, include_dirs=include_dirs, defines=defines)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent)
    except OSError as error:
        raise FolderError(f"cannot write to {output.parent}", why=error.strerror) from error
    with scratch as folder:
        job = _Job(Path(folder), output, compiler, timeout)
        job.compile([Path(source) for source in sources], common)
        job.publish()
    return output


def command_line(
    compiler: HostCompiler, *, arch: str, include_dirs: Sequence[Path] = (), defines: Sequence[str] = ()
) -> list[str]:
    """Return the compiler's words up to the source.

    A key of a compiled library names these besides the sources' bytes, :data:`INCLUDE_DIR`'s content and
    ``compiler.identity``.
    """
    number = ARCHITECTURES[arch]
    macros = [
        *(f"__AIE_ARCH__={number}", f"__AIEARCH__={number}"),
        f"__AIE_MODEL_VERSION__={MODEL_VERSIONS[arch]}",
        # Not __AIECC__: kernels take it for a promise that Peano's own pragmas are understood.
        *("__aie__", "__AIENGINE__", "__NPUKBUILD_HOST__"),
        *defines,
    ]
    includes = [f"-I{folder}" for folder in [*include_dirs, INCLUDE_DIR]]
    forced = ["-include", "aie_api/host/support.hpp"]
    return [*compiler.command, *compiler.flags, *(f"-D{macro}" for macro in macros), *includes, *forced]


class _Job:
    """One library in the making: steps, their log, and what to move into place at the end."""

    def __init__(self, folder: Path, output: Path, compiler: HostCompiler, timeout: float) -> None:
        self.folder = folder
        self.output = output
        self.compiler = compiler
        self.timeout = timeout
        self.library = folder / "kernels.so"
        self.log: list[str] = []
        self.depfiles: list[Path] = []

    def compile(self, sources: Sequence[Path], common: Sequence[str]) -> None:
        objects = []
        for index, source in enumerate(sources):
            depfile, item = self.folder / f"{index}.d", self.folder / f"{index}.o"
            entry_points = ["-DNPUK_SUPPORT"] if index == 0 else []
            depends = ["-MD", "-MF", str(depfile), "-MT", "kernels"]
            registers = ["-include", "aie_api/aie.hpp"] if _names_registers_only(source) else []
            words = [*common, *entry_points, *registers, *depends]
            self.step([*words, "-c", str(source), "-o", str(item)], source)
            self.depfiles.append(depfile)
            objects.append(str(item))
        options = ["-shared", "-Wl,--strip-debug", "-Wl,-z,defs", "-Wl,--build-id=none"]
        self.step([*self.compiler.command, *options, *objects, "-o", str(self.library)], sources[0])
        if not self.library.is_file() or self.library.stat().st_size == 0:
            raise CompileError("the host compiler reports success but left no library", details=self.log[-5:])
        if found := sorted(_OF_A_PROCESS.intersection(undefined_or_libm_symbols(self.library))):
            raise CompileError(
                f"a kernel calls {', '.join(found)}",
                where=_place_of_call(found, sources) or str(sources[0]),
                why="a core has no operating system and no process to end or stop",
                hint="return from the core function instead",
            )

    def step(self, command: Sequence[str], source: Path) -> None:
        self.log.append(shlex.join(command))
        try:
            code, _, stderr = run_compiler(command, self.folder, self.timeout)
        except subprocess.TimeoutExpired as error:
            why = f"it was stopped after {self.timeout:.0f} s"
            raise CompileError("the host compiler did not finish", where=str(source), why=why) from error
        self.log.extend(stderr.splitlines())
        if "No space left on device" in stderr:
            raise DiskFullError("no space left while compiling a kernel", where=str(self.output.parent))
        if code != 0:
            log_file = _beside(self.output, ".log")
            log_file.write_text("".join(f"{line}\n" for line in self.log))
            raise explain(stderr, code, source, log_file)

    def publish(self) -> None:
        texts = (depfile.read_text(errors="replace") for depfile in self.depfiles)
        names = dict.fromkeys(name for text in texts for name in _prerequisites(text))
        try:
            for suffix, lines in ((".d", list(names)), (".log", self.log)):
                part = self.folder / f"output{suffix}"
                part.write_text("".join(f"{line}\n" for line in lines))
                part.replace(_beside(self.output, suffix))
            self.library.replace(self.output)
        except OSError as error:
            raise FolderError(f"cannot write {self.output}", why=error.strerror) from error


def _names_registers_only(source: Path) -> bool:
    """Say whether a kernel uses the compiler's register types (``v16int32``), and not the AIE API.

    AIE compilers know those types and their intrinsics without any ``#include``; here the API's headers
    define them.
    """
    text = source.read_text(errors="replace")
    types = r"\bv\d+(?:u?int\d+|float|bfloat16|acc(?:32|64|float))\b"
    return re.search(r"aie_api/|\baie::", text) is None and re.search(types, text) is not None


def _place_of_call(names: Sequence[str], sources: Sequence[Path]) -> str | None:
    """Return ``file:line`` of the first line that seems to call one of the functions."""
    call = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\s*\(")
    for source in sources:
        for number, line in enumerate(source.read_text(errors="replace").splitlines(), 1):
            if call.search(line.partition("//")[0]):
                return f"{source}:{number}"
    return None


def _beside(output: Path, suffix: str) -> Path:
    return output.with_name(output.name + suffix)


def _prerequisites(rule: str) -> list[str]:
    """File names of a make rule: target dropped, escaped blanks and dollars undone."""
    body = rule.replace("\\\n", " ").partition(":")[2]
    return [name.replace("\\ ", " ").replace("$$", "$") for name in re.findall(r"(?:\\ |\S)+", body)]


def dependencies(library: Path) -> tuple[Path, ...]:
    """Return every file, the system's headers too, that went into a library of :func:`compile_kernels`."""
    return tuple(Path(line) for line in _beside(Path(library), ".d").read_text().splitlines())


def undefined_or_libm_symbols(library: Path) -> tuple[str, ...]:
    """Return what a compiled kernel calls that an AIE core lacks or does in slow software.

    Square roots, exponentials and the like of libm have no hardware on AIE: a core runs them as soft-float
    routines of hundreds of cycles, which also take program memory; ``new``, ``printf`` and files do not
    exist at all. Scalar divisions are soft as well, but the host divides inline, so they do not show.

    Args:
        library: A library of :func:`compile_kernels`.
    """
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    with Path(library).open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".dynsym")
        symbols = list(section.iter_symbols()) if isinstance(section, SymbolTableSection) else []
        names = {symbol.name.partition("@")[0] for symbol in symbols if symbol["st_shndx"] == "SHN_UNDEF"}
    return tuple(sorted(name for name in names - _EXPECTED_IMPORTS if name and not name.startswith("_ITM_")))
