"""A registry with real releases: built, checked on the simulator, signed, published."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from npukbuild.cli.report import CHECK
from npukbuild.engine.pipeline import Options, build_artifact
from npukbuild.publish.keys import create_key
from npukbuild.publish.publisher import publish_artifact
from npukbuild.publish.registry import FolderRegistry
from npukbuild.smoke.artifact import open_artifact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for builds, with a cache and keys of its own."""
    folder = tmp_path_factory.mktemp("workshop")
    before = os.environ.get("NPUKBUILD_KEYS_DIR")
    os.environ["NPUKBUILD_KEYS_DIR"] = str(folder / "keys")
    create_key("tests")
    yield folder
    if before is None:
        del os.environ["NPUKBUILD_KEYS_DIR"]
    else:
        os.environ["NPUKBUILD_KEYS_DIR"] = before


@pytest.fixture(scope="session")
def registry_with(workshop: Path) -> Callable[..., str]:
    """Return a function that makes a registry with matmuls of some sizes."""
    from npukbuild.publish.keys import load_signing_key

    count = iter(range(100))

    def make(*sizes: tuple[int, int, int], into: str | None = None, **fields: Any) -> str:
        place = Path(into) if into else workshop / f"registry{next(count)}"
        registry = FolderRegistry(place, create=True)
        options = Options(workshop / "build", cache_dir=workshop / "cache", remote="")
        for m, k, n in sizes:
            request = {"family": "matmul", "m": m, "k": k, "n": n, "target": "npu1", **fields}
            artifact, _ = build_artifact(request, options, CHECK)
            publish_artifact(
                open_artifact(artifact.folder), registry, channel="candidate", key=load_signing_key(None)
            )
        return str(place)

    return make
