"""The identity of an existing install: what decides the bytes that it produces, by content."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

from npukbuild.toolchain.known_hashes import KnownHashes

if TYPE_CHECKING:
    from pathlib import Path

# What decides the bytes that an install produces; the rest of it (docs, other tools) does not.
_PATTERNS_MLIR_AIE = (
    "bin/aiecc*",
    "bin/aie-opt",
    "bin/aie-translate",
    "bin/bootgen",
    "include/aie_api/**/*",
    "aie_runtime_lib/**/*",
    "python/aie/compiler/**/*.py",
)
_PATTERNS_PEANO = (
    "bin/clang*",
    "bin/opt",
    "bin/llc",
    "bin/*lld*",
    "bin/llvm-ar",
    "lib/**/*.a",
    "lib/**/crt*.o",
)


@functools.cache
def identity_of(root: Path, peano: Path) -> str:
    """Return the sha256 (hex) of an existing install's tools and headers, by relative name and content."""
    total = hashlib.sha256()
    known = KnownHashes()
    for label, base, patterns in (
        ("mlir_aie", root, _PATTERNS_MLIR_AIE),
        ("peano", peano, _PATTERNS_PEANO),
    ):
        seen: dict[Path, str | None] = {}
        files = sorted({path for pattern in patterns for path in base.glob(pattern) if path.is_file()})
        for path in files:
            real = path.resolve()
            if real not in seen:
                seen[real] = known.of(real)
            total.update(f"{label}/{path.relative_to(base).as_posix()} {seen[real]}\n".encode())
    known.save()
    return total.hexdigest()
