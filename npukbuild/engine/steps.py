"""The steps of a kernel's build, as workers run them, from inputs to outputs in the work folder.

A step depends on its parameters, on the files in its folder and on what it declares to have read, and on
nothing else; whatever else could change its result is part of its action as a tool.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.engine.families import plan_request, resolve
from npukbuild.errors import CheckFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PRELOAD = {
    "render": ("numpy", "jinja2", "npukbuild.planner", "npukbuild.render"),
    "check": ("npukbuild.ir",),
    "host_compile": ("npukbuild.simulator.hostcc",),
    "simulate": ("numpy", "ml_dtypes", "simpy", "npukbuild.ir", "npukbuild.simulator"),
}
"""What a worker imports once for all runs of a step."""

RUNS_KERNELS = ("simulate",)
"""Steps that call compiled core functions, whose crash must be told as what it is."""

DEPENDS = "depends"


def render(parameters: Mapping[str, Any]) -> None:
    """Plan the request and write design.mlir, kernel.cc and plan.json."""
    opened = _watch_opens([parameters["templates"], parameters["kernels_src"]])
    from npukbuild.render import render as render_plan

    plan = plan_request(parameters["request"])
    sources = render_plan(plan)
    Path("design.mlir").write_text(sources.design, encoding="utf-8")
    Path("kernel.cc").write_text(sources.kernel, encoding="utf-8")
    write_json(Path("plan.json"), plan.as_dict())
    write_json(
        Path("kernel.json"), {"name": plan.name, "target": plan.target_name, "abi": plan.abi.as_dict()}
    )
    write_depends(sorted(opened))


def check(parameters: Mapping[str, Any]) -> None:
    """Read, lower and account design.mlir; write account.json."""
    from npukbuild.ir import load_design, take_account
    from npukbuild.render import naming_templates

    text = Path("design.mlir").read_text(encoding="utf-8")
    with naming_templates(text):
        account = take_account(load_design(text, file=f"design.mlir ({parameters['target']})"))
        account.check()
    write_json(Path("account.json"), account.as_dict())


def host_compile(parameters: Mapping[str, Any]) -> None:
    """Compile kernel.cc for this machine into kernel.so."""
    from npukbuild.simulator.hostcc import HostCompiler, compile_kernels, dependencies

    compiler = HostCompiler(
        Path(parameters["compiler"]), parameters["kind"], parameters["identity"], tuple(parameters["words"])
    )
    library = compile_kernels(
        [Path("kernel.cc")], arch=parameters["arch"], output=Path("kernel.so"), compiler=compiler
    )
    Path("kernel.so.log").rename("host-compile.log")
    write_depends([str(path) for path in dependencies(library)])


def simulate(parameters: Mapping[str, Any]) -> None:
    """Run the family's trials on the simulator; write verdict.json.

    Raises:
        CheckFailedError: The numbers are wrong; verdict.json is written all the same.
    """
    from npukbuild.ir import load_design
    from npukbuild.simulator.kernel_library import KernelLibrary

    plan = plan_request(parameters["request"])
    design = load_design(
        Path("design.mlir").read_text(encoding="utf-8"), file=f"design.mlir ({plan.target_name})"
    )
    library = KernelLibrary(Path("kernel.so").absolute())
    verdict = resolve(parameters["check"])(plan, design, library, Path.cwd())
    write_json(Path("verdict.json"), verdict.as_dict())
    if not verdict.passed:
        raise check_failed(verdict.as_dict())


def check_failed(verdict: Mapping[str, Any]) -> CheckFailedError:
    """Return the error for a verdict that did not pass."""
    failed = [entry for entry in verdict["inputs"] if not entry["passed"]]
    return CheckFailedError(
        f"the kernel computes wrong numbers on the {verdict['device']}",
        why=f"input {failed[0]['input']!r}: {failed[0]['reason']}" if failed else "no input was run",
        details=[_deviation(entry) for entry in failed],
    )


def _deviation(entry: Mapping[str, Any]) -> str:
    if entry["wrong"]:
        return f"error {entry['max_error']:.6g} at {tuple(entry['index'])}, bound {entry['bound']:.6g}"
    return f"bias {entry['bias']:.6g}, bound {entry['bias_bound']:.6g}"


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with a final newline."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_depends(paths: Sequence[str]) -> None:
    """Write what was read in Make's syntax."""
    escaped = [
        path.replace("$", "$$").replace("\\", "\\\\").replace(" ", "\\ ").replace("#", "\\#")
        for path in paths
    ]
    Path(DEPENDS).write_text("outputs: " + " \\\n  ".join(escaped) + "\n", encoding="utf-8")


def _watch_opens(folders: Sequence[str]) -> set[str]:
    """Return a set that fills with every file inside ``folders`` that this process opens from now on.

    Python reports each open to audit hooks, so a template that is loaded, a macro that it imports and a
    source that it inlines are seen without the renderer's help. The hook cannot be removed; the process ends
    with the step.
    """
    opened: set[str] = set()
    roots = tuple(os.path.realpath(folder) + os.sep for folder in folders)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and arguments and isinstance(arguments[0], str | os.PathLike):
            path = os.path.realpath(os.fspath(arguments[0]))
            if path.startswith(roots):
                opened.add(path)

    sys.addaudithook(hook)
    return opened
