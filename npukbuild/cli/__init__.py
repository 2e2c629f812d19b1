"""The command line: one module per command, imported only when that command is called.

What needs no command at all (an unchanged build, ``--version``) is answered by ``cli.fast`` before the
command line library is imported.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # spelled out: importing typing takes as long as half the interpreter's start
if TYPE_CHECKING:
    from typing import Any

ABOUT = "Build, simulate, check and publish kernels for AMD Ryzen AI NPUs."

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:function, help line)
    "matmul": ("matmul:matmul", "Build and check C[M,N] = A[M,K] x B[K,N]"),
    "run": ("run:run", "Run a built kernel on your own arrays"),
    "plan": ("plan:plan", "Show and explain a plan without building"),
    "render": ("render:render", "Write only design.mlir and kernel.cc"),
    "simulate": ("simulate:simulate", "Execute any NPU design on the embedded simulator"),
    "estimate": ("estimate:estimate", "Predict the time of a table of GEMMs"),
    "build": ("build:build", "Build every kernel of a kernels.toml"),
    "why": ("why:why", "Say why a kernel was built, or would be"),
    "cache": ("cache:cache", "Inspect and clean the build cache"),
    "smoke": ("smoke:smoke", "Check a built kernel on the NPU or the simulator"),
    "bench": ("bench:bench", "Time a built kernel and compare with an earlier run"),
    "publish": ("publish:publish", "Release kernels that passed their check"),
    "verify": ("verify:verify", "Check a release's signature, hashes and rebuild"),
    "list": ("list:list_", "List the releases of a registry"),
    "show": ("show:show", "Show one release"),
    "prune": ("prune:prune", "Remove old releases"),
    "keys": ("keys:keys", "Make and list signing keys"),
    "nightly": ("nightly:nightly", "Build, check, time and publish a manifest, with a report"),
    "toolchain": ("toolchain:toolchain", "Install and inspect the pinned toolchain"),
    "doctor": ("doctor:doctor", "Check this machine, and say what to fix first"),
    "diagnose": ("diagnose:diagnose", "Explain a tool's log"),
    "replay": ("replay:replay", "Run a failed step again exactly"),
    "xclbin": ("xclbin:xclbin", "Inspect, verify, normalise and compare XCLBIN files"),
    "insts": ("insts:insts", "Decode an instruction stream"),
}


def main(argv: list[str] | None = None) -> Any:
    """Run the command line and map every failure to a message and an exit code."""
    from npukbuild.cli import fast

    code = fast.answer(sys.argv[1:] if argv is None else argv)
    if code is None:
        from npukbuild.cli.group import cli
        from npukbuild.cli.report import run_guarded

        code = run_guarded(cli, argv)
    sys.exit(code)


def __getattr__(name: str) -> Any:
    """Give the group of all commands when it is first asked for."""
    if name != "cli":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from npukbuild.cli.group import cli

    return cli
