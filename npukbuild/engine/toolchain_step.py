"""The action that makes the XCLBIN, when the toolchain is installed."""

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

_DRIVING = ("errors.py", "targets", "toolchain", "xclbin", "engine/steps.py", "engine/toolchain_step.py")
AIECC_SECONDS = 3600.0
_PRIVATE = re.compile(r"func\.func\s+private\s+@([\w$.]+)")


@dataclass(frozen=True)
class XclbinMaker:
    """Makes the XCLBIN node of kernels."""

    toolchain: Toolchain
    tools: tuple[Tool, ...]

    def node(self, kernel: KernelRequest, arch: str) -> Node:
        """Return the node that builds ``kernel``'s XCLBIN from its rendered sources."""
        group = kernel.group
        action = Action(
            kind="xclbin",
            label=group,
            call=f"{__name__}:build",
            parameters={"target": kernel.target, "arch": arch, "identity": self.toolchain.identity},
            inputs={
                "design.mlir": OutputOf(f"{group}:render", "design.mlir"),
                "kernel.cc": OutputOf(f"{group}:render", "kernel.cc"),
                "account.json": OutputOf(f"{group}:check", "account.json"),
            },
            outputs=("kernel.xclbin", "insts.bin", "xclbin.json"),
            tools=self.tools,
            timeout=AIECC_SECONDS,
        )
        return Node(f"{group}:xclbin", action, group)


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


def build(parameters: Mapping[str, Any]) -> None:
    """Build kernel.xclbin and insts.bin in the work folder.

    Raises:
        NpukbuildError: What the toolchain's room raises.
    """
    import hashlib
    import json
    import shutil

    from npukbuild.engine.steps import write_json
    from npukbuild.engine.xclbin_checks import OutputChecks
    from npukbuild.render import naming_templates
    from npukbuild.toolchain import build_xclbin, require_toolchain
    from npukbuild.toolchain.aiecc import CoreLimits
    from npukbuild.xclbin import normalise

    toolchain = require_toolchain()
    design = Path("design.mlir")
    text = design.read_text(encoding="utf-8")
    seed = hashlib.sha256(design.read_bytes() + Path("kernel.cc").read_bytes())
    seed.update(str(parameters["identity"]).encode())
    core = load_target(str(parameters["target"])).core
    account = json.loads(Path("account.json").read_text(encoding="utf-8"))
    checks = OutputChecks(text, design.name)
    with naming_templates(text):
        built = build_xclbin(
            design,
            [Path("kernel.cc")],
            "kernel",
            toolchain=toolchain,
            work=Path("t"),
            arch=str(parameters["arch"]),
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
