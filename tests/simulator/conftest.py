from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.simulator.hostcc import compile_kernels
from npukbuild.simulator.kernel_library import KernelLibrary

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def golden_kernels(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], KernelLibrary]:
    """Give the compiled core functions of the golden designs, once per architecture."""
    made: dict[str, Path] = {}

    def give(arch: str) -> KernelLibrary:
        if arch not in made:
            output = tmp_path_factory.mktemp("golden") / f"{arch}.so"
            made[arch] = compile_kernels([HERE / "kernels" / "golden.cc"], arch=arch, output=output)
        return KernelLibrary(made[arch])

    return give


@pytest.fixture
def compile_cc(tmp_path: Path) -> Callable[[str], Any]:
    """Compile a piece of C++ into a kernel library."""

    def compile_text(text: str, arch: str = "aie2") -> KernelLibrary:
        source = tmp_path / "kernel.cc"
        source.write_text(text)
        return KernelLibrary(compile_kernels([source], arch=arch, output=tmp_path / "kernel.so"))

    return compile_text
