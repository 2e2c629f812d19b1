"""An artifact folder read back: its manifest, and whether its files are still the ones that were checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.errors import FolderError
from npukbuild.kernels.abi import Abi

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class ArtifactFolder:
    """A built kernel on disk."""

    path: Path
    manifest: dict[str, Any]
    abi: Abi

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return str(self.manifest["name"])

    @property
    def target(self) -> str:
        """Name of the target it was built for."""
        return str(self.manifest["target"])

    def read_text(self, name: str) -> str:
        """Return the text of one of its files."""
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except OSError as error:
            raise FolderError(f"{self.path / name} cannot be read", why=error.strerror) from error

    def changed_files(self) -> list[str]:
        """Return the files that are missing or differ from what the manifest says.

        The verdict does not count: a later check replaces it.
        """
        changed = []
        for name, digest in self.manifest["files"].items():
            if name == "verdict.json":
                continue
            path = self.path / name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                changed.append(name)
        return changed


def open_artifact(path: Path) -> ArtifactFolder:
    """Read the manifest of the artifact at ``path``.

    Raises:
        FolderError: There is none, or it is damaged.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        return ArtifactFolder(
            path, {**manifest, "files": dict(manifest["files"])}, Abi.from_dict(manifest["abi"])
        )
    except FileNotFoundError:
        raise FolderError(
            f"{path} is not an artifact folder",
            why="it has no manifest.json",
            hint="give the folder that `npukbuild matmul` printed, such as build/npu1/matmul_bf16_64x64x512",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FolderError(
            f"{path / 'manifest.json'} is damaged",
            why=f"{type(error).__name__}: {error}",
            hint="build it again",
        ) from error
