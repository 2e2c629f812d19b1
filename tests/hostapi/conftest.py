"""Kernels for tests: each source is compiled once per session, whoever asks for it."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from npukbuild.simulator.hostcc import HostCompiler, command_line, compile_kernels, find_compiler
from npukbuild.simulator.kernel_library import KernelLibrary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.hostapi.tools import Check, Load


@pytest.fixture(scope="session")
def compiler() -> HostCompiler:
    return find_compiler()


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory, compiler: HostCompiler) -> Load:
    folder = tmp_path_factory.mktemp("kernels")

    def load(source: str, arch: str = "aie2", defines: Sequence[str] = ()) -> KernelLibrary:
        name = hashlib.sha256(repr((source, arch, tuple(defines))).encode()).hexdigest()[:16]
        library = folder / f"{name}.so"
        if not library.exists():
            file = folder / f"{name}.cc"
            file.write_text(source)
            compile_kernels([file], arch=arch, output=library, defines=defines, compiler=compiler)
        return KernelLibrary(library)

    return load


@pytest.fixture(scope="session")
def check(tmp_path_factory: pytest.TempPathFactory, compiler: HostCompiler) -> Check:
    """Type-check a source; the answer is what the compiler says of it, empty if it accepts."""
    folder = tmp_path_factory.mktemp("checks")
    headers: dict[str, Path] = {}

    def words(arch: str) -> list[str]:
        dropped = ("-O", "-fmax-errors", "-ferror-limit")
        command = [word for word in command_line(compiler, arch=arch) if not word.startswith(dropped)]
        every_error = "-fmax-errors=0" if compiler.kind == "gcc" else "-ferror-limit=0"
        return [*command[: command.index("-include")], every_error]

    def header(arch: str) -> Path:
        if arch not in headers:  # precompiled: these checks are many and small
            headers[arch] = folder / f"{arch}.hpp"
            headers[arch].write_text("#include <aie_api/host/support.hpp>\n#include <aie_api/aie.hpp>\n")
            target = folder / f"{arch}.hpp.gch"
            subprocess.run(
                [*words(arch), "-x", "c++-header", str(headers[arch]), "-o", str(target)], check=True
            )
        return headers[arch]

    def check(source: str, arch: str = "aie2") -> str:
        file = folder / "sample.cc"
        file.write_text(source)
        command = [*words(arch), "-include", str(header(arch)), "-fsyntax-only", str(file)]
        run = subprocess.run(command, capture_output=True, text=True)
        return run.stderr if run.returncode else ""

    return check
