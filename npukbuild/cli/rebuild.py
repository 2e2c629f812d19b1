"""Build a request as a manifest recorded it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def rebuild_request(
    request: Mapping[str, Any], build_dir: Path, progress: Callable[[str], None] | None = None
) -> Path:
    """Build ``request`` into ``build_dir`` and return the artifact's folder.

    Raises:
        RequestError: The request is of a family this npukbuild does not know.
    """
    from npukbuild.cli.report import CHECK
    from npukbuild.engine.families import family_names
    from npukbuild.engine.pipeline import Options, build_artifact

    if request.get("family") not in family_names():
        raise RequestError(f"cannot rebuild a kernel of family {request.get('family')!r}")
    artifact, _ = build_artifact(request, Options(build_dir, force=True), CHECK, progress=progress)
    return artifact.folder
