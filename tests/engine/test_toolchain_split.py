"""A changed design links the compiled kernel again and compiles nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.engine.kernel_graph import KernelRequest
from npukbuild.engine.toolchain_step import XclbinMaker

if TYPE_CHECKING:
    from npukbuild.toolchain import Toolchain


class _Named:
    """As much of a toolchain as naming its nodes takes."""

    identity = "t"


def test_the_object_does_not_depend_on_the_design() -> None:
    maker = XclbinMaker(_toolchain(), ())
    request = {"family": "matmul", "m": 64, "k": 64, "n": 512, "target": "npu1"}
    compiled, package = maker.nodes(KernelRequest.of(request), "aie2")
    assert set(compiled.action.inputs) == {"kernel.cc"}
    assert {"design.mlir", "kernel.o"} <= set(package.action.inputs)
    assert "kernel.cc" not in package.action.inputs


def _toolchain() -> Toolchain:
    return _Named()  # type: ignore[return-value]
