"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from npukbuild.simulator.kernel_library import KernelLibrary


class Load(Protocol):
    """Compile (once per session) and load a source."""

    def __call__(self, source: str, arch: str = "aie2", defines: Sequence[str] = ()) -> KernelLibrary: ...


class Check(Protocol):
    """Type-check a source; the compiler's complaints, or nothing."""

    def __call__(self, source: str, arch: str = "aie2") -> str: ...


def kernel_file(name: str) -> str:
    return (Path(__file__).parent / name).read_text()
