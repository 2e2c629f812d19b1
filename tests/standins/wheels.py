"""Small wheels with the names of the real ones, and a lock file that pins them (stand-ins)."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
AIECC = "#!/bin/sh\necho 'aiecc (mlir-aie declarative driver) 7e00b57'\n"
CLANG = "#!/bin/sh\necho 'clang version 21.0.0 (https://github.com/Xilinx/llvm-aie c9c5ecb7)'\n"


@dataclass(frozen=True)
class Wheel:
    """A wheel file with its facts."""

    path: Path
    name: str
    version: str
    sha256: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str | bytes]) -> Wheel:
    """Write a pure wheel with ``files``; those below a ``bin`` folder are executable."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    content: dict[str, bytes] = {k: v.encode() if isinstance(v, str) else v for k, v in files.items()}
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    content[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    rows = []
    for path, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(data)}")
    content[f"{info}/RECORD"] = ("\n".join([*rows, f"{info}/RECORD,,"]) + "\n").encode()
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        for path, data in content.items():
            entry = zipfile.ZipInfo(path, date_time=(2026, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100755 if "/bin/" in path else 0o100644) << 16
            archive.writestr(entry, data)
    return Wheel(wheel, name, version, hashlib.sha256(wheel.read_bytes()).hexdigest())


def make_wheels(folder: Path, *, padding: int = 0, aiecc: str = AIECC) -> list[Wheel]:
    """Make the three stand-in wheels of a set: mlir_aie, llvm_aie and a small one from the index."""
    mlir: dict[str, str | bytes] = {
        "mlir_aie/bin/aiecc": aiecc,
        "mlir_aie/include/aie_api/aie.hpp": "#pragma once\n",
        "mlir_aie/blob.bin": bytes(range(256)) * (padding // 256),
        "aie.pth": "mlir_aie/python\n",
    }
    peano: dict[str, str | bytes] = {
        f"llvm-aie/bin/{tool}": CLANG for tool in ("clang++", "opt", "llc", "ld.lld")
    }
    return [
        make_wheel(folder, "mlir_aie", "1.4.2", mlir),
        make_wheel(folder, "llvm_aie", "21.0.0.2026080301+c9c5ecb7", peano),
        make_wheel(folder, "smallneed", "1.0", {"smallneed.py": "value = 1\n"}),
    ]


def write_lock(
    path: Path,
    wheels: list[Wheel],
    *,
    base: str | None = None,
    python: str = PYTHON,
    glibc: str = "2.17",
    installed_bytes: int = 1_000_000,
    generation: str = "declarative",
    indexed: tuple[str, ...] = ("smallneed",),
    extra: str = "",
) -> Path:
    """Write a lock file with one set ``t`` of ``wheels``, at ``base`` URLs but for those of the index."""
    lines = ["schema = 1", 'default = "t"', extra, "[sets.t]", f'python = "{python}"']
    lines += [f'generation = "{generation}"', 'summary = "test set"', "[sets.t.platforms.linux-x86_64]"]
    lines += [f'glibc = "{glibc}"', f"installed_bytes = {installed_bytes}"]
    for wheel in wheels:
        lines += ["[[sets.t.packages]]", f'name = "{wheel.name}"', f'version = "{wheel.version}"']
        lines += [f'filename = "{wheel.path.name}"', f'sha256 = "{wheel.sha256}"', f"size = {wheel.size}"]
        if base is not None and wheel.name not in indexed:
            lines.append(f'url = "{base}/{wheel.path.name.replace("+", "%2B")}"')
    path.write_text("\n".join(lines) + "\n")
    return path
