"""The actions that compile the kernel's object and make the XCLBIN, when the toolchain is installed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.engine.action import Action, OutputOf, Tool
from npukbuild.engine.dependencies import Dependencies
from npukbuild.engine.graph import Node
from npukbuild.engine.key import key_of
from npukbuild.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npukbuild.engine.digest import FileDigests
    from npukbuild.engine.identity import Identities
    from npukbuild.engine.kernel_graph import KernelRequest
    from npukbuild.toolchain import Toolchain

_DRIVING = (
    "errors.py", "targets", "ir", "toolchain", "xclbin", "engine/steps.py", "engine/toolchain_step.py",
    "engine/xclbin_checks.py",
)  # fmt: skip
PEANO_SECONDS = 900.0
AIECC_SECONDS = 3600.0
_PRIVATE = re.compile(r"func\.func\s+private\s+@([\w$.]+)")


@dataclass(frozen=True)
class XclbinMaker:
    """Makes the nodes of kernels that need the toolchain."""

    toolchain: Toolchain
    tools: tuple[Tool, ...]

    def nodes(self, kernel: KernelRequest, arch: str) -> tuple[Node, ...]:
        """Return the nodes that compile ``kernel``'s object and make its XCLBIN, needs first.

        The object depends on the kernel's source alone: a change of the design links it again and compiles
        nothing.
        """
        group = kernel.group
        compile_ = Action(
            kind="compile",
            label=group,
            call=f"{__name__}:compile_object",
            parameters={"arch": arch, "identity": self.toolchain.identity},
            inputs={"kernel.cc": OutputOf(f"{group}:render", "kernel.cc")},
            outputs=("kernel.o", "object.json"),
            tools=self.tools,
            timeout=PEANO_SECONDS,
        )
        package = Action(
            kind="xclbin",
            label=group,
            call=f"{__name__}:make_package",
            parameters={"target": kernel.target, "identity": self.toolchain.identity},
            inputs={
                "design.mlir": OutputOf(f"{group}:render", "design.mlir"),
                "account.json": OutputOf(f"{group}:check", "account.json"),
                "kernel.o": OutputOf(f"{group}:compile", "kernel.o"),
                "object.json": OutputOf(f"{group}:compile", "object.json"),
            },
            outputs=("kernel.xclbin", "insts.bin", "xclbin.json"),
            tools=self.tools,
            timeout=AIECC_SECONDS,
        )
        return Node(f"{group}:compile", compile_, group), Node(f"{group}:xclbin", package, group)


def find_maker(
    digests: FileDigests, identities: Identities, *, required: bool
) -> tuple[XclbinMaker | None, Dependencies]:
    """Return the maker, or None when no toolchain is installed, and what this answer depends on.

    Args:
        digests: States of files.
        identities: Makes tools.
        required: Whether a missing toolchain is an error.

    Raises:
        ToolchainMissingError: It is required and missing, or damaged.
    """
    from npukbuild.toolchain import find_toolchain, require_toolchain
    from npukbuild.toolchain.lock import read_lock, user_lock_path
    from npukbuild.toolchain.marker import MARKER_NAME, environment_folder
    from npukbuild.toolchain.platforms import host_platform

    lock = read_lock()
    chosen = lock.choose(None)
    marker = environment_folder(chosen, host_platform().name) / MARKER_NAME
    about = Dependencies(0.0)
    about.files[str(lock.path)] = digests.file(lock.path)  # another default set is another toolchain
    if lock.path != user_lock_path():
        about.absent.add(str(user_lock_path()))
    if marker.is_file():
        about.files[str(marker)] = digests.file(marker)
    else:
        about.absent.add(str(marker))
    toolchain = require_toolchain() if required else find_toolchain()
    if toolchain is None:
        return None, about
    for program in _programs(toolchain):
        about.files[str(program)] = digests.file(program)
    own = identities.code("npukbuild", _DRIVING, ("pyelftools",))
    return XclbinMaker(toolchain, (_tool(toolchain, about.files), own)), about


def _programs(toolchain: Toolchain) -> list[Path]:
    named = [toolchain.aiecc, toolchain.clang, toolchain.python, toolchain.xclbinutil]
    return [path for path in named if path is not None and path.is_file()]


def _tool(toolchain: Toolchain, files: Mapping[str, str]) -> Tool:
    """Return the toolchain by content: its own identity, and the packer that comes from elsewhere."""
    packer = toolchain.xclbinutil
    identity = key_of({"toolchain": toolchain.identity, "packer": files[str(packer)] if packer else None})
    return Tool("toolchain", identity, toolchain.mlir_aie_version, files)


def compile_object(parameters: Mapping[str, Any]) -> None:
    """Compile kernel.cc with Peano, check the object, and write kernel.o and object.json.

    Raises:
        NpukbuildError: What the toolchain's room raises.
    """
    import shutil

    from npukbuild.engine.steps import write_json
    from npukbuild.toolchain import compile_kernel, require_toolchain

    compiled = compile_kernel(
        Path("kernel.cc"), toolchain=require_toolchain(), arch=str(parameters["arch"]),
        work=Path("k").absolute(), symbols=(),
    )  # fmt: skip
    shutil.copyfile(compiled.object, "kernel.o")
    write_json(Path("object.json"), compiled.as_dict())


def make_package(parameters: Mapping[str, Any]) -> None:
    """Run aiecc on design.mlir and kernel.o, check and normalise; write kernel.xclbin and insts.bin.

    Raises:
        NpukbuildError: What the toolchain's room raises.
    """
    import hashlib
    import json
    import shutil

    from npukbuild.engine.steps import write_json
    from npukbuild.engine.xclbin_checks import OutputChecks
    from npukbuild.render import naming_templates
    from npukbuild.toolchain import link_xclbin, require_toolchain
    from npukbuild.toolchain.aiecc import CoreLimits
    from npukbuild.toolchain.peano import CompiledKernel
    from npukbuild.xclbin import normalise

    design, kernel = Path("design.mlir"), Path("kernel.o").absolute()
    text = design.read_text(encoding="utf-8")
    facts = json.loads(Path("object.json").read_text(encoding="utf-8"))
    seed = hashlib.sha256(design.read_bytes() + kernel.read_bytes())
    seed.update(str(parameters["identity"]).encode())
    core = load_target(str(parameters["target"])).core
    account = json.loads(Path("account.json").read_text(encoding="utf-8"))
    checks = OutputChecks(text, design.name)
    with naming_templates(text):
        built = link_xclbin(
            design,
            [CompiledKernel.from_dict(facts, kernel, kernel.with_suffix(".log"))],
            "kernel",
            toolchain=require_toolchain(),
            work=Path("t"),
            symbols=tuple(dict.fromkeys(_PRIVATE.findall(text))),
            limits=CoreLimits(
                program_bytes=core.program_bytes,
                data_bytes=core.data_bytes,
                default_stack=core.default_stack,
                static_room=static_room(account),
            ),
            # Early C++ drivers left PDIs without a UUID: run lists over several such packages time out.
            normalise=lambda data: normalise(data, seed.digest(), fill_zero_pdi=True),
            parsers={"xclbin": checks.package, "insts": checks.stream},
        )
    checks.notes.clear()  # of the package as aiecc wrote it; what counts is the one that leaves
    checks.package(built.xclbin.read_bytes())
    checks.stream(built.insts.read_bytes())
    shutil.copyfile(built.xclbin, "kernel.xclbin")
    shutil.copyfile(built.insts, "insts.bin")
    record = built.as_dict()
    write_json(Path("xclbin.json"), {**record, "notes": [*record["notes"], *checks.notes]})


def static_room(account: Mapping[str, Any]) -> int | None:
    """Return the bytes left for constants on the fullest core of an account, or None when it does not say."""
    rooms = [
        int(row["static_room"])
        for row in account.get("tiles", ())
        if isinstance(row, dict) and row.get("static_room") is not None and row.get("kind", "core") == "core"
    ]
    return min(rooms, default=None)
