"""The pinned toolchain: lock file, install, discovery, Peano, aiecc, diagnosis and doctor.

Names are loaded when first asked for, so that a command pays only for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npukbuild.toolchain.aiecc import AieccOutputs, run_aiecc
    from npukbuild.toolchain.build import BuiltXclbin, build_xclbin, link_xclbin
    from npukbuild.toolchain.diagnosis import Diagnosis, diagnose_log
    from npukbuild.toolchain.discovery import (
        Toolchain,
        find_toolchain,
        missing_toolchain_message,
        require_toolchain,
    )
    from npukbuild.toolchain.peano import CompiledKernel, compile_kernel

_HOMES = {
    "AieccOutputs": "aiecc",
    "run_aiecc": "aiecc",
    "BuiltXclbin": "build",
    "build_xclbin": "build",
    "link_xclbin": "build",
    "Diagnosis": "diagnosis",
    "diagnose_log": "diagnosis",
    "Toolchain": "discovery",
    "find_toolchain": "discovery",
    "missing_toolchain_message": "discovery",
    "require_toolchain": "discovery",
    "CompiledKernel": "peano",
    "compile_kernel": "peano",
}

__all__ = [
    "AieccOutputs",
    "BuiltXclbin",
    "CompiledKernel",
    "Diagnosis",
    "Toolchain",
    "build_xclbin",
    "compile_kernel",
    "diagnose_log",
    "find_toolchain",
    "link_xclbin",
    "missing_toolchain_message",
    "require_toolchain",
    "run_aiecc",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
