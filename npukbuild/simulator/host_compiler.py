"""Find a C++ compiler of this machine that can compile kernels.

A compiler is *found* only when it has compiled and linked a probe: a command on PATH may be too old, be a
wrapper of a missing file, or lack its standard library.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from npukbuild.errors import CompilerMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROBE_TIMEOUT_S = 30.0
ZIG_PROBE_TIMEOUT_S = 180.0
"""zig builds its C++ library the first time it is used; that takes about a minute."""

_INSTALL_HINT = "apt-get install g++ (12 or newer), or pip install 'npukbuild[ziglang]'"
_VERSIONED = [f"g++-{n}" for n in range(16, 11, -1)] + [f"clang++-{n}" for n in range(22, 13, -1)]
_SHADOWED = {
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "GCC_EXEC_PREFIX",
    "COMPILER_PATH",
}

Kind = Literal["gcc", "clang", "zig"]

# The warnings Peano's users silence; integers that wrap as AIE's do; no contraction of a * b + c into a
# fused operation that AIE does not have.
_FLAGS = [
    *("-std=c++20", "-march=native", "-fPIC", "-fwrapv", "-fno-exceptions", "-fno-threadsafe-statics"),
    *("-ffp-contract=off", "-fno-trapping-math", "-fno-strict-aliasing", "-fno-asynchronous-unwind-tables"),
    *("-Wno-parentheses", "-Wno-attributes", "-Wno-unknown-pragmas", "-Wno-psabi", "-DNDEBUG"),
]
_CLANG_FLAGS = ["-O2", "-ferror-limit=20", "-Wno-unknown-warning-option"]
# gcc would share inline variables and static locals of templates among all libraries of the process, and so
# among cores and designs.
_KIND_FLAGS: dict[Kind, list[str]] = {
    "gcc": ["-O3", "-fmax-errors=20", "-fno-gnu-unique"],
    "clang": _CLANG_FLAGS,
    "zig": [*_CLANG_FLAGS, "-fno-sanitize=undefined"],
}
# Functions of libm stay calls instead of host instructions, so that a kernel's use of them can be seen.
_LIBM = (
    *("acos", "asin", "atan", "atan2", "cbrt", "ceil", "cos", "cosh", "erf", "exp", "exp2", "expm1", "floor"),
    *(
        "fma",
        "fmod",
        "hypot",
        "ldexp",
        "log",
        "log10",
        "log1p",
        "log2",
        "pow",
        "rint",
        "round",
        "sin",
        "sinh",
    ),
    *("sqrt", "tan", "tanh", "trunc"),
)
_NO_BUILTINS = [f"-fno-builtin-{name}{suffix}" for name in _LIBM for suffix in ("", "f")]

_PROBE = """
#include <type_traits>
#include <utility>
template <class T> concept Number = std::is_arithmetic_v<T>;
typedef float quad __attribute__((vector_size(16)));
inline thread_local constinit int state{};
extern "C" quad npuk_probe(quad a, quad b) { state++; return __builtin_shufflevector(a, b, 0, 5, 2, 7); }
static_assert(Number<float> && !Number<void>);
"""


@dataclass(frozen=True, slots=True)
class HostCompiler:
    """A C++20 compiler that compiled and linked the probe.

    Attributes:
        path: The program (for ``zig`` the Python interpreter that carries it).
        kind: Which family of options it takes.
        identity: Version and the CPU it compiles for: part of the key of whatever it makes.
        command: The words that start it.
    """

    path: Path
    kind: Kind
    identity: str
    command: tuple[str, ...]

    @property
    def flags(self) -> list[str]:
        """Options that every kernel is compiled with."""
        return [*_FLAGS, *_KIND_FLAGS[self.kind], *_NO_BUILTINS]


@dataclass(frozen=True, slots=True)
class _Candidate:
    origin: str
    command: tuple[str, ...]
    required: bool = False


def find_compiler(environ: Mapping[str, str] | None = None) -> HostCompiler:
    """Find a usable host compiler: ``NPUKBUILD_CXX``, ``CXX``, g++ >= 12, clang++, then PyPI's ziglang.

    ``NPUKBUILD_CXX`` is an order: if it does not work nothing else is tried.

    Raises:
        CompilerMissingError: None works; ``details`` say what was tried and what each one answered.
    """
    env = os.environ if environ is None else environ
    tried: list[str] = []
    for candidate in _candidates(env):
        found = _probe(candidate.command, env.get("PATH"))
        if isinstance(found, HostCompiler):
            return found
        tried.append(f"{candidate.origin}: {found}")
        if candidate.required:
            raise CompilerMissingError(
                f"the compiler that {candidate.origin} names cannot be used",
                where=shlex.join(candidate.command),
                why=found,
                hint=f"unset {candidate.origin}, or {_INSTALL_HINT}",
            )
    raise CompilerMissingError(
        "no C++ compiler for the simulator",
        why="none of those found works" if tried else "g++, clang++ and ziglang are all missing",
        details=tried,
        hint=_INSTALL_HINT,
    )


def _candidates(env: Mapping[str, str]) -> list[_Candidate]:
    candidates = [
        _Candidate(variable, tuple(words), required)
        for variable, required in (("NPUKBUILD_CXX", True), ("CXX", False))
        if (words := shlex.split(env.get(variable, "")))
    ]
    programs = (shutil.which(name, path=env.get("PATH")) for name in ["g++", "clang++", *_VERSIONED])
    candidates += [_Candidate(program, (program,)) for program in programs if program]
    if _has_ziglang():
        candidates.append(_Candidate("ziglang", (sys.executable, "-m", "ziglang", "c++")))
    return candidates


def _has_ziglang() -> bool:
    from importlib.util import find_spec

    return find_spec("ziglang") is not None


@functools.lru_cache(maxsize=32)
def _probe(command: tuple[str, ...], path: str | None) -> HostCompiler | str:
    """Return the compiler, or in words why it cannot be used."""
    program = shutil.which(command[0], path=path)
    if program is None:
        return f"{command[0]} is not a program"
    words = (program, *command[1:])
    is_zig = "ziglang" in words or Path(program).name == "zig"
    timeout = ZIG_PROBE_TIMEOUT_S if is_zig else PROBE_TIMEOUT_S
    with tempfile.TemporaryDirectory(prefix="npukbuild-probe-") as name:
        folder = Path(name)
        macros = _answer([*words, "-x", "c++", "-march=native", "-dM", "-E", os.devnull], folder, timeout)
        if not isinstance(macros, _Answer):
            return macros
        kind: Kind = "zig" if is_zig else "clang" if "#define __clang__" in macros.text else "gcc"
        source, library = folder / "probe.cc", folder / "probe.so"
        source.write_text(_PROBE)
        compiler = HostCompiler(Path(program), kind, _identity(kind, macros.text), words)
        linked = _answer(
            [*words, *compiler.flags, "-shared", str(source), "-o", str(library)], folder, timeout
        )
        if not isinstance(linked, _Answer):
            return linked
        return compiler if library.exists() else "it reports success but writes no output"


def _identity(kind: Kind, macros: str) -> str:
    """Version, and a digest of the predefined macros: these name the CPU features ``native`` stands for."""
    version = re.search(r'#define __VERSION__ "(.*)"', macros)
    digest = hashlib.sha256("\n".join(sorted(macros.splitlines())).encode()).hexdigest()[:12]
    return f"{kind} {version[1] if version else 'unknown'} [{digest}]"


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str


def _answer(command: Sequence[str], folder: Path, timeout: float) -> _Answer | str:
    try:
        code, stdout, stderr = run_compiler(command, folder, timeout)
    except OSError as error:
        return f"cannot be started ({error.strerror})"
    except subprocess.TimeoutExpired:
        return f"did not answer within {timeout:.0f} s"
    if code == 0:
        return _Answer(stdout)
    lines = [line for line in stderr.splitlines() if line.strip()] or ["no message"]
    return "cannot compile C++20: " + next((line for line in lines if "error" in line.lower()), lines[-1])


def run_compiler(command: Sequence[str], scratch: Path, timeout: float) -> tuple[int, str, str]:
    """Run a compiler in a process group of its own; whatever ends the wait early ends the whole group.

    Args:
        command: Its words.
        scratch: Where it puts its temporary files.
        timeout: Seconds.

    Returns:
        Exit code, stdout and stderr.

    Raises:
        subprocess.TimeoutExpired: It took longer.
        OSError: It cannot be started.
    """
    env = {name: value for name, value in os.environ.items() if name not in _SHADOWED}
    env.update(LC_ALL="C", TMPDIR=str(scratch))
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace")
