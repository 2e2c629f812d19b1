"""Build a request as a manifest recorded it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def rebuild_request(
    request: Mapping[str, Any], work: Path, progress: Callable[[str], None] | None = None
) -> Path:
    """Build ``request`` below ``work`` with an empty cache, and return the artifact's folder.

    Raises:
        RequestError: The request is of a family this npukbuild does not know.
    """
    from npukbuild.cli.report import CHECK
    from npukbuild.engine.pipeline import Options, build_artifact

    options = Options(work / "build", cache_dir=work / "cache", force=True, remote="")
    return build_artifact(request, options, CHECK, progress=progress)[0].folder
