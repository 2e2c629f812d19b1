"""The command line: one module per command, imported only when that command is called."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

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


class LazyGroup(click.Group):
    """A group that knows its commands' names and help lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(f"npukbuild.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="npukbuild", message="%(prog)s %(version)s")
def cli() -> None:
    """Build, simulate, check and publish kernels for AMD Ryzen AI NPUs."""


def main(argv: list[str] | None = None) -> Any:
    """Run the command line and map every failure to a message and an exit code."""
    from npukbuild.cli.report import run_guarded

    sys.exit(run_guarded(cli, argv))
