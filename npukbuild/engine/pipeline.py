"""Building kernels: requests in, artifact folders out, everything in between a graph of actions.

One kernel and a whole manifest take the same path. The numeric check belongs to a room behind this one and is
passed in by name.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from npukbuild.engine.execute import WORK
from npukbuild.engine.executor import LocalExecutor
from npukbuild.engine.graph import Graph
from npukbuild.engine.install import artifact_folder, install, keep_evidence
from npukbuild.engine.kernel_graph import KernelGraph, KernelRequest
from npukbuild.engine.outcome import Silent
from npukbuild.engine.records import keep_tool_files, make_record, read_record, write_record
from npukbuild.engine.scheduler import Scheduler
from npukbuild.engine.session import open_session
from npukbuild.errors import NpukbuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from npukbuild.engine.dependencies import Dependencies
    from npukbuild.engine.executor import Executor
    from npukbuild.engine.graph import Node
    from npukbuild.engine.outcome import Outcome, Reporter
    from npukbuild.engine.roots import Roots
    from npukbuild.engine.session import Session
    from npukbuild.simulator.kernel_library import KernelLibrary

KernelStatus = Literal["built", "hit", "failed", "skipped"]


@dataclass(frozen=True)
class Options:
    """How to build.

    Attributes:
        build_dir: Where artifacts go.
        jobs: Actions at once; 0 means one per core.
        keep_going: Whether a failure leaves the other kernels running.
        force: Whether kept results are ignored.
        remote: Address of a shared store; None takes ``NPUKBUILD_REMOTE_CACHE``.
        workers: Address of a cluster, ``dask://HOST:PORT``; None builds here.
        cache_dir: The local cache; None takes the usual one.
        require_xclbin: Whether a missing toolchain is an error.
    """

    build_dir: Path
    jobs: int = 0
    keep_going: bool = False
    force: bool = False
    remote: str | None = None
    workers: str | None = None
    cache_dir: Path | None = None
    require_xclbin: bool = False


@dataclass(frozen=True)
class KernelResult:
    """What became of one kernel.

    Attributes:
        seconds: Time its actions took now; 0 for a hit.
        bytes: Size of its artifact.
        because: Why it was built or hit, in words.
        files: Path -> SHA-256 of its artifact's files.
    """

    kernel: KernelRequest
    status: KernelStatus
    folder: Path
    seconds: float = 0.0
    bytes: int = 0
    because: str = ""
    error: NpukbuildError | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass
class BuildReport:
    """What became of a build, and everything that it depended on, if nothing moved meanwhile."""

    results: list[KernelResult] = field(default_factory=list)
    dependencies: Dependencies | None = None

    @property
    def failed(self) -> list[KernelResult]:
        """The kernels that were not built."""
        return [result for result in self.results if result.status in ("failed", "skipped")]


@dataclass(frozen=True)
class Artifact:
    """A built kernel: where it is and what is known of it."""

    folder: Path
    plan: Mapping[str, Any]
    manifest: Mapping[str, Any]
    verdict: Mapping[str, Any]
    seconds: Mapping[str, float] = field(default_factory=dict)


def read_artifact(folder: Path) -> Artifact:
    """Return the artifact in ``folder``."""

    def load(name: str) -> Any:
        return json.loads((folder / name).read_text(encoding="utf-8"))

    return Artifact(
        folder, load("plan.json"), load("manifest.json"), load("verdict.json"), load("logs/steps.json")
    )


def host_library(kernel: Path, arch: str) -> KernelLibrary:
    """Compile ``kernel`` with the host's C++ compiler and load it."""
    from npukbuild.simulator.hostcc import compile_kernels
    from npukbuild.simulator.kernel_library import KernelLibrary

    with tempfile.TemporaryDirectory(prefix="npukbuild-host-") as work:
        return KernelLibrary(compile_kernels([kernel], arch=arch, output=Path(work) / "kernel.so"))


def build_artifact(
    request: Mapping[str, Any], options: Options, check: str, *, progress: Callable[[str], None] | None = None
) -> tuple[Artifact, BuildReport]:
    """Build one kernel and return it with the report.

    Args:
        request: Family, target and the family's fields.
        options: How to build.
        check: ``module:function`` of the numeric check.
        progress: Told of each step and of warnings.

    Raises:
        NpukbuildError: Whatever went wrong; evidence stays in ``<folder>.failed``.
    """
    said = progress or (lambda _text: None)
    report = build_kernels([KernelRequest.of(request)], options, check, reporter=_Steps(said), say=said)
    (result,) = report.results
    if result.error is not None:
        raise result.error
    return read_artifact(result.folder), report


def build_kernels(
    kernels: Sequence[KernelRequest],
    options: Options,
    check: str,
    *,
    reporter: Reporter | None = None,
    say: Callable[[str], None] = lambda _text: None,
    on_result: Callable[[KernelResult], None] = lambda _result: None,
) -> BuildReport:
    """Build ``kernels``; each kernel's folder stands as soon as its last action has ended.

    Args:
        kernels: What to build, with unique names.
        options: How.
        check: ``module:function`` of the numeric check.
        reporter: Told of actions.
        say: Takes warnings.
        on_result: Told of each kernel when its fate is known.

    Raises:
        NpukbuildError: The build cannot begin: no compiler, a wrong address.
        KeyboardInterrupt: Interrupted; finished kernels are kept and were told to ``on_result``.
    """
    _check_writable(options.build_dir)
    with open_session(cache_dir=options.cache_dir, remote=options.remote, say=say) as session:
        from npukbuild.engine.toolchain_step import find_maker

        maker, toolchain_state = find_maker(
            session.digests, session.identities, required=options.require_xclbin
        )
        family = KernelGraph(session.identities, session.digests, check, maker)
        graph = Graph()
        for kernel in kernels:
            for node in family.nodes(kernel):
                graph.add(node)
        roots = family.roots()
        watcher = _Watcher(kernels, graph, options.build_dir, session, reporter or Silent(), on_result)
        scheduler = Scheduler(
            graph, store=session.store, digests=session.digests, roots=roots, costs=session.costs,
            executor=_executor(options, roots, session), remote=session.remote, keep_going=options.keep_going,
            force=options.force, reporter=watcher,
        )  # fmt: skip
        watcher.outcomes = scheduler.outcomes
        scheduler.run()
        report = BuildReport([watcher.results[kernel.group] for kernel in kernels])
        if not report.failed:
            from npukbuild.engine.dependencies import collect_dependencies

            report.dependencies = collect_dependencies(
                graph, scheduler.outcomes, roots, toolchain_state, session.started
            )
            for result in report.results:
                if report.dependencies is not None:
                    report.dependencies.files.update(result.files)
        return report


def _executor(options: Options, roots: Roots, session: Session) -> Executor:
    jobs = options.jobs or os.cpu_count() or 1
    if options.workers is None:
        return LocalExecutor(jobs, roots, session.digests)
    from npukbuild.engine.farm import open_farm

    return open_farm(options.workers, session, roots)


def _check_writable(build_dir: Path) -> None:
    """Find out before the work whether its results can be kept."""
    from npukbuild.engine.folder import folder_error

    try:
        build_dir.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".probe-", dir=build_dir)
        os.close(handle)
        Path(name).unlink()
    except OSError as error:
        raise folder_error(error, build_dir) from error


class _Watcher:
    """Passes the scheduler's news on, and finishes each kernel when its last node has ended."""

    def __init__(
        self,
        kernels: Sequence[KernelRequest],
        graph: Graph,
        build_dir: Path,
        session: Session,
        reporter: Reporter,
        on_result: Callable[[KernelResult], None],
    ) -> None:
        self._kernels = {kernel.group: kernel for kernel in kernels}
        self._nodes: dict[str, list[Node]] = {}
        for node in graph.nodes.values():
            self._nodes.setdefault(node.group, []).append(node)
        self._left = {group: len(nodes) for group, nodes in self._nodes.items()}
        self._build_dir = build_dir
        self._session = session
        self._reporter = reporter
        self._on_result = on_result
        self.outcomes: Mapping[str, Outcome] = {}
        self.results: dict[str, KernelResult] = {}
        for tool in {tool for nodes in self._nodes.values() for node in nodes for tool in node.action.tools}:
            keep_tool_files(build_dir, [tool])

    def begin(self, expected: Mapping[str, float]) -> None:
        """Pass on."""
        self._reporter.begin(expected)

    def started(self, node: Node, expected_seconds: float) -> None:
        """Pass on."""
        self._reporter.started(node, expected_seconds)

    def waiting(self, node: Node, who: str) -> None:
        """Pass on."""
        self._reporter.waiting(node, who)

    def tick(self) -> None:
        """Pass on."""
        self._reporter.tick()

    def ended(self, node: Node, outcome: Outcome) -> None:
        """Pass on, and finish the kernel."""
        self._reporter.ended(node, outcome)
        self._left[node.group] -= 1
        if self._left[node.group] == 0:
            result = self._finish(node.group)
            self.results[node.group] = result
            self._on_result(result)

    def _finish(self, group: str) -> KernelResult:
        kernel, nodes = self._kernels[group], self._nodes[group]
        place = artifact_folder(self._build_dir, group)
        statuses = {node.name: self.outcomes[node.name] for node in nodes}
        seconds = sum(one.seconds for one in statuses.values() if one.status == "built")
        record = make_record(self._build_dir, nodes, statuses, read_record(self._build_dir, group))
        for node in nodes:
            failed = statuses[node.name]
            if failed.status == "failed":
                kind = node.action.kind
                error = _with_evidence(failed, kind, keep_evidence(place, failed, kind))
                write_record(self._build_dir, group, record)
                return KernelResult(kernel, "failed", place, seconds, because=record.because, error=error)
        if any(one.status == "skipped" for one in statuses.values()):
            return KernelResult(kernel, "skipped", place, seconds)
        try:
            files = install(place, kernel, nodes, statuses, self._session.digests)
        except NpukbuildError as error:
            return KernelResult(kernel, "failed", place, seconds, error=error)
        write_record(self._build_dir, group, record)
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        status: KernelStatus = "hit" if record.status == "hit" else "built"
        return KernelResult(kernel, status, place, seconds, size, record.because, files=files)


def _with_evidence(outcome: Outcome, kind: str, evidence: Path | None) -> NpukbuildError:
    """Return the failure, pointing at where the evidence now is."""
    error = outcome.error
    assert error is not None
    if evidence is not None and outcome.folder is not None:
        old = str(outcome.folder)
        if error.where and error.where.startswith(old):
            error.where = str(evidence / f"{kind}.log")
        error.details = tuple(line.replace(f"{old}/{WORK}", str(evidence)) for line in error.details)
        if error.hint is None:
            error.hint = f"what it worked on, and its log, are in {evidence}"
    return error


_SAID = {
    "render": "planning and rendering the design and the kernel",
    "check": "reading, lowering and counting the design",
    "host-compile": "compiling the kernel for the host",
    "compile": "compiling the kernel with Peano",
    "xclbin": "building the XCLBIN",
    "simulate": "checking the numbers on the simulator",
}


class _Steps(Silent):
    """Tells each step of one kernel in words."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def started(self, node: Node, expected_seconds: float) -> None:
        """Name the step."""
        self._say(_SAID.get(node.action.kind, node.action.kind))

    def waiting(self, node: Node, who: str) -> None:
        """Name who is waited for."""
        self._say(f"waiting for {who}, which does the same: {_SAID.get(node.action.kind, node.action.kind)}")
