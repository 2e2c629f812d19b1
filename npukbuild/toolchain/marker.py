"""The note that makes a folder an installed environment: written last, checked first."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from npukbuild.toolchain.paths import toolchains_folder

if TYPE_CHECKING:
    from pathlib import Path

    from npukbuild.toolchain.lock import ToolchainSet

MARKER_NAME = "npukbuild-toolchain.json"
MARKER_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Marker:
    """What an installed environment is.

    Attributes:
        identity: The lock set's hash on this platform.
        manifest: sha256 (hex) over the name and hash of every installed file.
        site_packages: Its site-packages, relative to the environment.
    """

    set_name: str
    identity: str
    manifest: str
    site_packages: str
    python_version: str
    generation: str
    mlir_aie_version: str
    peano_version: str
    schema: int = MARKER_SCHEMA

    def to_json(self) -> str:
        """Return the marker's text."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def environment_folder(chosen: ToolchainSet, platform: str) -> Path:
    """Return the folder of a set's environment: its name and the start of its hash."""
    return toolchains_folder() / f"{chosen.name}-{chosen.identity(platform)[:16]}"


def read_marker(folder: Path) -> Marker | None:
    """Return the marker of ``folder``, or ``None`` when the folder is not a finished environment."""
    try:
        value = json.loads((folder / MARKER_NAME).read_text(encoding="utf-8"))
        marker = Marker(**value)
    except (OSError, ValueError, TypeError):
        return None
    return marker if marker.schema == MARKER_SCHEMA else None


def finished_marker(folder: Path, chosen: ToolchainSet, platform: str) -> Marker | None:
    """Return the marker of ``folder`` if it is the finished environment of this very set, else ``None``."""
    marker = read_marker(folder)
    return marker if marker is not None and marker.identity == chosen.identity(platform) else None


def manifest_of(folder: Path) -> str:
    """Return the sha256 (hex) over every regular file below ``folder`` but the marker, by name and content.

    Byte code is left out: an interpreter may write it at any time.
    """
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == MARKER_NAME or path.suffix == ".pyc" or not path.is_file() or path.is_symlink():
            continue
        with path.open("rb") as file:
            total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
