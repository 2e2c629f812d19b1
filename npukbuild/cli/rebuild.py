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
    from npukbuild.cli.options import matmul_problem
    from npukbuild.engine.pipeline import build_artifact
    from npukbuild.planner import plan_matmul
    from npukbuild.smoke.kernel_check import check_on_simulator
    from npukbuild.targets import load_target

    if request.get("family") != "matmul":
        raise RequestError(f"cannot rebuild a kernel of family {request.get('family')!r}")
    options = {key: request[key] for key in ("m", "k", "n", "dtype", "out_dtype", "b_layout", "shift")}
    block = tuple(request["block"]) if request["block"] else None
    plan = plan_matmul(
        matmul_problem(**options), load_target(request["target"]), block=block, cols=request["cols"]
    )
    return build_artifact(plan, build_dir, check_on_simulator, request=request, progress=progress).folder
