"""From a plan to an artifact: render, check, compile for the host, run the check, write the folder.

Each step hands the next one a frozen value. The numeric check is passed in by the caller, since the rooms
behind this one know what a right number is.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from npukbuild import __version__
from npukbuild.engine.folder import locked, staged
from npukbuild.errors import CheckFailedError
from npukbuild.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from npukbuild.ir.design import Design
    from npukbuild.kernels.abi import Abi
    from npukbuild.render import Sources
    from npukbuild.simulator.kernel_library import KernelLibrary


class VerdictLike(Protocol):
    """What the check returns."""

    @property
    def passed(self) -> bool:
        """Whether every judgement passed."""

    def as_dict(self) -> dict[str, Any]:
        """Return the content of verdict.json."""


class PlanLike(Protocol):
    """What every family's plan offers."""

    @property
    def name(self) -> str:
        """Name of the kernel, also of its folder."""

    @property
    def target_name(self) -> str:
        """Name of the target."""

    @property
    def abi(self) -> Abi:
        """Calling convention."""

    def as_dict(self) -> dict[str, Any]:
        """Return the content of plan.json."""


@dataclass(frozen=True)
class Artifact:
    """A built kernel: where it is and what is known of it."""

    folder: Path
    plan: Mapping[str, Any]
    manifest: Mapping[str, Any]
    verdict: Mapping[str, Any]
    account: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


class Stopwatch:
    """Names the step that runs and remembers how long each took."""

    def __init__(self, progress: Callable[[str], None] | None) -> None:
        self._progress = progress
        self._started = time.perf_counter()
        self._name: str | None = None
        self.seconds: dict[str, float] = {}

    def step(self, name: str, said: str) -> None:
        """Begin the step ``name``, described to the user as ``said``."""
        self.stop()
        self._name, self._started = name, time.perf_counter()
        if self._progress is not None:
            self._progress(said)

    def stop(self) -> None:
        """End the running step."""
        if self._name is not None:
            self.seconds[self._name] = round(time.perf_counter() - self._started, 4)
            self._name = None


def artifact_folder(build_dir: Path, plan: PlanLike) -> Path:
    """Return the folder of a plan's artifact: ``<build_dir>/<target>/<kernel name>``."""
    return build_dir / plan.target_name / plan.name


def build_artifact(
    plan: PlanLike,
    build_dir: Path,
    check: Callable[[PlanLike, Design, KernelLibrary, Path], VerdictLike],
    *,
    request: Mapping[str, Any],
    progress: Callable[[str], None] | None = None,
) -> Artifact:
    """Render, check, compile and try ``plan``; return the artifact once its folder stands complete.

    Args:
        plan: What to build.
        build_dir: The build folder; the artifact goes into ``<build_dir>/<target>/<name>``.
        check: Runs the numeric check on (plan, design, library, folder) and returns the verdict.
        request: What was asked for, recorded in the manifest.
        progress: Told of each step.

    Raises:
        CheckFailedError: The numbers are wrong; the evidence stays in ``<folder>.failed``.
    """
    place = artifact_folder(build_dir, plan)
    watch = Stopwatch(progress)
    with locked(place, waiting=progress):
        with staged(place) as folder:
            artifact, passed = _fill(plan, folder, check, request, watch)
            if not passed:
                _keep_evidence(folder, failed_folder(place))
                raise _check_failed(artifact.verdict, failed_folder(place))
        shutil.rmtree(failed_folder(place), ignore_errors=True)
    return replace(artifact, folder=place)


def failed_folder(place: Path) -> Path:
    """Return where the evidence of a failed check of ``place`` is kept."""
    return place.with_name(f"{place.name}.failed")


def _fill(
    plan: PlanLike,
    folder: Path,
    check: Callable[[PlanLike, Design, KernelLibrary, Path], VerdictLike],
    request: Mapping[str, Any],
    watch: Stopwatch,
) -> tuple[Artifact, bool]:
    from npukbuild.render import render

    logs = folder / "logs"
    logs.mkdir()
    watch.step("render", "rendering the design and the kernel")
    sources = render(plan)
    (folder / "design.mlir").write_text(sources.design, encoding="utf-8")
    (folder / "kernel.cc").write_text(sources.kernel, encoding="utf-8")
    write_json(folder / "plan.json", plan.as_dict())
    watch.step("check", "reading, lowering and counting the design")
    design, account = check_design(sources, plan.target_name)
    watch.step("compile", "compiling the kernel for the host")
    arch = load_target(plan.target_name).arch
    library = host_library(folder / "kernel.cc", arch, logs / "host-compile.log")
    watch.step("simulate", "checking the numbers on the simulator")
    verdict = check(plan, design, library, folder)
    watch.stop()
    write_json(folder / "verdict.json", verdict.as_dict())
    manifest = make_manifest(plan, folder, request)
    write_json(folder / "manifest.json", manifest)
    write_json(logs / "account.json", account)
    write_json(logs / "steps.json", watch.seconds)
    artifact = Artifact(folder, plan.as_dict(), manifest, verdict.as_dict(), account, dict(watch.seconds))
    return artifact, verdict.passed


def check_design(sources: Sources, target: str) -> tuple[Design, dict[str, Any]]:
    """Read, lower and account a rendered design; return it with the account as plain data.

    Raises:
        DesignError: The text is not a valid design.
        ResourceError: The design needs more than its tiles have.
    """
    from npukbuild.ir import load_design, take_account

    design = load_design(sources.design, file=f"design.mlir ({target})")
    account = take_account(design)
    account.check()
    return design, account.as_dict()


def host_library(kernel: Path, arch: str, log: Path | None = None) -> KernelLibrary:
    """Compile ``kernel`` with the host's C++ compiler and load it; its messages go to ``log``."""
    from npukbuild.simulator.hostcc import compile_kernels
    from npukbuild.simulator.kernel_library import KernelLibrary

    with tempfile.TemporaryDirectory(prefix="npukbuild-host-") as work:
        library = compile_kernels([kernel], arch=arch, output=Path(work) / "kernel.so", log=log)
        return KernelLibrary(library)


def make_manifest(plan: PlanLike, folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return manifest.json: the ABI, the target, the files with their hashes, and what produced them."""
    files = ("design.mlir", "kernel.cc", "plan.json", "verdict.json", "kernel.xclbin", "insts.bin")
    return {
        "name": plan.name,
        "target": plan.target_name,
        "abi": plan.abi.as_dict(),
        "request": dict(request),
        "files": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in files
            if (folder / name).is_file()
        },
        "producer": {"npukbuild": __version__, "toolchain": None},
    }


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with a final newline."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _keep_evidence(folder: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)


def _check_failed(verdict: Mapping[str, Any], folder: Path) -> CheckFailedError:
    failed = [entry for entry in verdict["inputs"] if not entry["passed"]]
    return CheckFailedError(
        f"the kernel computes wrong numbers on the {verdict['device']}",
        why=f"input {failed[0]['input']!r}: {failed[0]['reason']}" if failed else "no input was run",
        details=[
            f"error {entry['max_error']:.6g} at {tuple(entry['index'])}, bound {entry['bound']:.6g}"
            for entry in failed
        ],
        hint=f"design, kernel, verdict and logs are in {folder}",
    )
