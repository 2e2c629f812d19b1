"""The graph of one kernel: render, check, host compile, simulate; with the toolchain the XCLBIN."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.engine.action import Action, OutputOf, Tool
from npukbuild.engine.families import normal_request
from npukbuild.engine.graph import Node
from npukbuild.engine.identity import compiler_parts
from npukbuild.engine.roots import Roots
from npukbuild.engine.steps import DEPENDS
from npukbuild.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from npukbuild.engine.digest import FileDigests
    from npukbuild.engine.identity import Identities
    from npukbuild.simulator.hostcc import HostCompiler

_STEPS = "npukbuild.engine.steps"
_PLANNING = (
    "errors.py",
    "targets",
    "kernels",
    "planner",
    "render.py",
    "engine/steps.py",
    "engine/families.py",
)
_READING = ("errors.py", "targets", "ir", "engine/steps.py")
_RUNNING = (
    "errors.py",
    "targets",
    "kernels",
    "planner",
    "ir",
    "simulator",
    "smoke",
    "engine/steps.py",
    "engine/families.py",
)
_COMPILING = ("errors.py", "simulator", "engine/steps.py")

SIMULATE_SECONDS = 3600.0


@dataclass(frozen=True)
class KernelRequest:
    """A kernel to build: its family's fields, its target, and the name that follows from them."""

    request: Mapping[str, Any]
    name: str
    target: str

    @staticmethod
    def of(request: Mapping[str, Any]) -> KernelRequest:
        """Return the request with its name.

        Raises:
            RequestError: It is no legal request.
        """
        load_target(str(request["target"]))
        name, normal = normal_request(request)
        return KernelRequest(normal, name, str(normal["target"]))

    @property
    def group(self) -> str:
        """Unique name: ``<target>/<kernel name>``, also the artifact's place in the build folder."""
        return f"{self.target}/{self.name}"


@dataclass
class KernelGraph:
    """Makes nodes; holds what all kernels of a build share.

    Args:
        identities: Makes tools.
        digests: States of files.
        check: ``module:function`` of the numeric check, which belongs to a room behind this one.
        toolchain: The toolchain's action maker, or None when it is not installed.
    """

    identities: Identities
    digests: FileDigests
    check: str
    toolchain: Any = None
    _compiler: HostCompiler | None = field(default=None, init=False)

    @property
    def compiler(self) -> HostCompiler:
        """The host compiler, found once.

        Raises:
            CompilerMissingError: There is none.
        """
        if self._compiler is None:
            from npukbuild.simulator.hostcc import find_compiler

            self._compiler = find_compiler()
        return self._compiler

    def roots(self) -> Roots:
        """Return the names of the folders that the steps read from."""
        from npukbuild.render import data_folder
        from npukbuild.simulator.hostcc import INCLUDE_DIR

        system = {f"system{index}": folder for index, folder in enumerate(self._system_folders())}
        return Roots(
            {
                "templates": data_folder("templates"),
                "kernels_src": data_folder("kernels_src"),
                "aie_api": INCLUDE_DIR,
                "cxx": self.compiler.path,
                **system,
            }
        )

    def nodes(self, kernel: KernelRequest) -> Iterator[Node]:
        """Yield the nodes of ``kernel``, needs first."""
        group = kernel.group
        arch = load_target(kernel.target).arch

        def node(kind: str, **about: Any) -> Node:
            return Node(f"{group}:{kind}", Action(kind=kind, label=group, **about), group)

        design = OutputOf(f"{group}:render", "design.mlir")
        source = OutputOf(f"{group}:render", "kernel.cc")
        yield node(
            "render",
            call=f"{_STEPS}:render",
            parameters={
                "request": dict(kernel.request), "templates": "{templates}", "kernels_src": "{kernels_src}",
            },
            outputs=("design.mlir", "kernel.cc", "plan.json", "kernel.json"),
            depfile=DEPENDS,
            tools=(self.identities.code("npukbuild", _PLANNING, ("jinja2", "numpy")),),
        )  # fmt: skip
        yield node(
            "check",
            call=f"{_STEPS}:check",
            parameters={"target": kernel.target},
            inputs={"design.mlir": design},
            outputs=("account.json",),
            tools=(self.identities.code("npukbuild", _READING, ("xdsl",)),),
        )
        yield node(
            "host-compile",
            call=f"{_STEPS}:host_compile",
            parameters={
                "arch": arch,
                "compiler": "{cxx}",
                "kind": self.compiler.kind,
                "identity": self.compiler.identity,
                "words": ["{cxx}", *self.compiler.command[1:]],
            },
            inputs={"kernel.cc": source},
            outputs=("kernel.so", "host-compile.log"),
            may_be_empty=("host-compile.log",),
            depfile=DEPENDS,
            search=("{aie_api}", *(f"{{system{index}}}" for index, _ in enumerate(self._system_folders()))),
            tools=(self._compiler_tool(), self.identities.code("npukbuild", _COMPILING)),
        )
        if self.toolchain is not None:
            yield from self.toolchain.nodes(kernel, arch)
        yield node(
            "simulate",
            call=f"{_STEPS}:simulate",
            parameters={"request": dict(kernel.request), "check": self.check},
            inputs={
                "design.mlir": design,
                "kernel.cc": source,
                "kernel.so": OutputOf(f"{group}:host-compile", "kernel.so"),
            },
            outputs=("verdict.json",),
            tools=(self.identities.code("npukbuild", _RUNNING, ("numpy", "ml_dtypes", "simpy", "xdsl")),),
            timeout=SIMULATE_SECONDS,
        )

    def _compiler_tool(self) -> Tool:
        compiler = self.compiler
        return _compiler_tool(self.identities, str(compiler.path), compiler.identity)

    def _system_folders(self) -> tuple[str, ...]:
        return system_folders(self.compiler.command)


@cache
def _compiler_tool(identities: Identities, path: str, said: str) -> Tool:
    return identities.program("compiler", path, parts=compiler_parts(path), version=said.partition(" [")[0])


@cache
def system_folders(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folders that a compiler searches by itself, in its order, as it says with ``-v``."""
    try:
        said = subprocess.run(
            [*command, "-x", "c++", "-E", "-v", "/dev/null"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            errors="replace",
            env=_plain_environment(),
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return ()
    _, _, rest = said.partition("#include <...> search starts here:")
    listed, _, _ = rest.partition("End of search list")
    return tuple(str(Path(line.strip()).resolve()) for line in listed.splitlines() if line.strip())


def _plain_environment() -> dict[str, str]:
    import os

    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": os.environ.get("HOME", "/")}
