"""Actions on several machines: a Dask cluster runs them, the shared store carries their content.

The builder keeps the graph, the keys and the decisions. A worker gets one action with the digests of its
inputs, fetches these from the shared store, runs the action as it would run here, and stores the outputs;
only digests travel through the cluster. A worker whose tools or sources are not the builder's refuses, since
its results would belong to other keys. Dask gives the actions of a lost worker to another one.
"""

from __future__ import annotations

import os
import select
import shutil
import tempfile
from collections import deque
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild import errors
from npukbuild.engine.action import Action, TextInput, Tool
from npukbuild.engine.depfile import HeaderSearch
from npukbuild.engine.digest import FileDigests
from npukbuild.engine.execute import LOG, WORK, Collected, clock, collect, failure, prepare, request_for
from npukbuild.engine.executor import Finished, Job
from npukbuild.engine.identity import Identities
from npukbuild.engine.pool import Worker
from npukbuild.engine.remote import RemoteStore
from npukbuild.engine.store import Blob
from npukbuild.engine.transport import open_transport
from npukbuild.errors import CacheError, NpukbuildError, ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npukbuild.engine.roots import Roots
    from npukbuild.engine.session import Session

SCHEME = "dask://"
WAIT_SECONDS = 30.0
RETRIES = 3
_QUEUED_PER_SLOT = 2
_LOG_BYTES = 1 << 20


def open_farm(address: str, session: Session, roots: Roots) -> FarmExecutor:
    """Return the executor for a cluster at ``dask://HOST:PORT``.

    Raises:
        CacheError: There is no shared store that the workers could reach.
        ToolError: The cluster cannot be reached, or has no workers.
    """
    if not address.startswith(SCHEME) or not address.removeprefix(SCHEME):
        raise ToolError(f"{address!r} is not a cluster", hint="--workers dask://HOST:PORT")
    if session.remote is None:
        raise CacheError(
            "a cluster needs a shared cache to exchange content",
            hint="give --remote FOLDER or --remote http://HOST:PORT/, or set NPUKBUILD_REMOTE_CACHE",
        )
    if not session.remote.open or session.remote.read_only:
        raise CacheError(
            f"the shared cache at {session.remote.where} cannot be written or was found dead just now"
        )
    return FarmExecutor(_connect(address), session.remote, roots, session.digests)


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ToolError(
            "building on a cluster needs the farm extra", hint="pip install 'npukbuild[farm]'"
        ) from None
    try:
        make: Any = Client
        client = make(f"tcp://{address.removeprefix(SCHEME).rstrip('/')}", timeout=WAIT_SECONDS)
        client.wait_for_workers(1, timeout=WAIT_SECONDS)
    except (OSError, TimeoutError) as error:
        raise ToolError(
            f"the cluster at {address} does not answer, or has no workers",
            why=str(error) or type(error).__name__,
            hint="docs/farm.md says how to start a scheduler and workers",
        ) from error
    return client


class FarmExecutor:
    """Runs jobs on a Dask cluster.

    Args:
        client: A ``distributed.Client``.
        remote: The shared store.
        roots: Names of folders on this machine.
        digests: States of files on this machine.
    """

    local = False

    def __init__(self, client: Any, remote: RemoteStore, roots: Roots, digests: FileDigests) -> None:
        self._client = client
        self._remote = remote
        self._roots = roots
        self._digests = digests
        self._running: dict[str, tuple[Job, Any]] = {}
        self._done: deque[str] = deque()
        self._sent: set[str] = set()
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def has_room(self, action: Action) -> bool:
        """Say whether the cluster should get one more job; a few are queued so that no worker waits."""
        threads = sum(int(count) for count in self._client.nthreads().values())
        return len(self._running) < _QUEUED_PER_SLOT * max(1, threads)

    def start(self, job: Job) -> None:
        """Bring the inputs to the shared store and submit the action."""
        inputs = {}
        for name, content in job.contents.items():
            if isinstance(content, Blob):
                self._send(content.record.digest, content.path.read_bytes())
                inputs[name] = (content.record.digest, content.record.executable)
            else:
                digest = self._remote.put_bytes(content)
                self._check_sent(digest is not None)
                inputs[name] = (str(digest), False)
        ticket = Ticket(
            job.action,
            inputs,
            self._remote.where,
            tuple((tool.name, tool.identity) for tool in job.action.tools),
        )
        future = self._client.submit(
            run_ticket,
            ticket.as_dict(),
            pure=False,
            retries=RETRIES,
            resources=dict(job.action.resources) or None,
        )
        self._running[job.name] = (job, future)
        future.add_done_callback(lambda _future: self._ended(job.name))

    def _send(self, digest: str, data: bytes) -> None:
        if digest not in self._sent:
            self._check_sent(self._remote.put_bytes(data) == digest)
            self._sent.add(digest)

    def _check_sent(self, sent: bool) -> None:
        if not sent:
            raise CacheError(f"content could not be stored in the shared cache at {self._remote.where}")

    def _ended(self, name: str) -> None:
        self._done.append(name)
        os.write(self._write, b".")

    def wait(self, seconds: float, wake: int) -> list[Finished]:
        """Sleep until a job ends."""
        ready, _, _ = select.select([self._read, wake], [], [], max(0.0, seconds))
        if self._read in ready:
            os.read(self._read, 4096)
        finished = []
        while self._done:
            job, future = self._running.pop(self._done.popleft())
            finished.append(self._finish(job, future))
        return finished

    def _finish(self, job: Job, future: Any) -> Finished:
        try:
            answer = future.result(timeout=WAIT_SECONDS)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            lost = ToolError(
                f"{job.action.kind} could not be run on the cluster", why=why, hint="see the workers' logs"
            )
            return Finished(job.name, 0.0, 0, error=lost)
        seconds, peak = float(answer["seconds"]), int(answer["peak_bytes"])
        if answer["log"]:
            (job.folder / LOG).write_text(answer["log"], encoding="utf-8")
        try:
            if answer["error"] is not None:
                raise _error_from(answer["error"])
            return Finished(job.name, seconds, peak, made=self._fetch(job, answer))
        except NpukbuildError as error:
            return Finished(job.name, seconds, peak, error=error)

    def _fetch(self, job: Job, answer: Mapping[str, Any]) -> Collected:
        for name, state in answer["found"].items():
            here = self._digests.state(self._roots.expand(name))
            if here != state:
                raise ToolError(
                    f"{job.action.kind}: the worker on {answer['host']} has another {name}",
                    why="its result would belong to other sources",
                    hint="bring all machines to the same npukbuild, sources and compiler",
                )
        work = job.folder / WORK
        work.mkdir()
        outputs = {}
        for name, (digest, size, executable) in answer["outputs"].items():
            data = self._remote.get_bytes(digest, size)
            if data is None:
                raise CacheError(f"{name} of {job.name} did not arrive through the shared cache")
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            if executable:
                path.chmod(0o755)
            outputs[name] = path
        return Collected(outputs, dict(answer["found"]), bool(answer["steady"]))

    def close(self) -> None:
        """Cancel what has not ended, and leave the cluster."""
        for _job, future in self._running.values():
            future.cancel()
        self._running.clear()
        self._client.close()


@dataclass(frozen=True)
class Ticket:
    """An action as it travels: everything but the content."""

    action: Action
    inputs: Mapping[str, tuple[str, bool]]
    store: str
    tools: tuple[tuple[str, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        action = self.action
        return {
            "kind": action.kind,
            "label": action.label,
            "outputs": list(action.outputs),
            "may_be_empty": list(action.may_be_empty),
            "command": list(action.command),
            "call": action.call,
            "environment": dict(action.environment),
            "parameters": action.parameters,
            "search": list(action.search),
            "depfile": action.depfile,
            "timeout": action.timeout,
            "inputs": {name: list(value) for name, value in self.inputs.items()},
            "store": self.store,
            "tools": [list(pair) for pair in self.tools],
        }


def run_ticket(ticket: dict[str, Any]) -> dict[str, Any]:
    """Run an action on a worker's machine; called by Dask."""
    import socket

    answer: dict[str, Any] = {
        "host": socket.gethostname(),
        "seconds": 0.0,
        "peak_bytes": 0,
        "error": None,
        "outputs": {},
        "found": {},
        "steady": False,
        "log": "",
    }
    folder = Path(tempfile.mkdtemp(prefix="npukbuild-farm-"))
    try:
        _run(ticket, folder, answer)
    except NpukbuildError as error:
        answer["error"] = {"class": type(error).__name__, **error.as_dict()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return answer


def _run(ticket: Mapping[str, Any], folder: Path, answer: dict[str, Any]) -> None:
    remote = RemoteStore(open_transport(ticket["store"]), ticket["store"])
    _check_tools(ticket["tools"])
    action = Action(
        kind=ticket["kind"],
        label=ticket["label"],
        inputs={name: TextInput(b"") for name in ticket["inputs"]},
        outputs=tuple(ticket["outputs"]),
        may_be_empty=tuple(ticket["may_be_empty"]),
        command=tuple(ticket["command"]),
        call=ticket["call"],
        environment=ticket["environment"],
        parameters=ticket["parameters"],
        search=tuple(ticket["search"]),
        depfile=ticket["depfile"],
        timeout=ticket["timeout"],
    )
    contents: dict[str, Blob | bytes] = {}
    for name, (digest, _executable) in ticket["inputs"].items():
        data = remote.get_bytes(digest)
        if data is None:
            raise CacheError(f"input {name} did not arrive from the shared cache at {ticket['store']}")
        contents[name] = data
    prepare(action, contents, folder)
    for name, (_digest, executable) in ticket["inputs"].items():
        if executable:
            (folder / WORK / name).chmod(0o755)
    roots = _here()[0] if ticket["tools"] or "{" in str((action.command, action.search)) else _no_roots()
    made = _work(action, folder, roots, answer)
    for name, path in made.outputs.items():
        data = path.read_bytes()
        digest = remote.put_bytes(data)
        if digest is None:
            raise CacheError(f"output {name} could not be stored in the shared cache at {ticket['store']}")
        answer["outputs"][name] = (digest, len(data), os.access(path, os.X_OK))
    answer["found"] = dict(made.found)
    answer["steady"] = made.steady


def _work(action: Action, folder: Path, roots: Roots, answer: dict[str, Any]) -> Collected:
    worker = Worker()
    started = clock()
    try:
        worker.send(request_for(action, folder, roots))
        while (reply := worker.read()) is None:
            pass
    finally:
        worker.stop()
        worker.wait(5.0)
    answer["seconds"], answer["peak_bytes"] = reply.seconds, reply.peak_bytes
    log = folder / LOG
    if log.is_file():
        answer["log"] = log.read_bytes()[-_LOG_BYTES:].decode("utf-8", "replace")
    error = failure(action, reply, folder)
    if error is not None:
        raise error
    return collect(action, folder, roots, FileDigests(), HeaderSearch(roots), started=started)


def _check_tools(tools: list[list[str]]) -> None:
    """Refuse to work with other tools than the builder's: the result would not be what its key says."""
    if not tools:
        return
    own = _here()[1]
    for name, identity in tools:
        if identity not in {tool.identity for tool in own if tool.name == name}:
            have = ", ".join(sorted({tool.version for tool in own if tool.name == name})) or "none"
            raise ToolError(
                f"this worker has another {name} than the builder",
                why=f"here: {have}; the same version may differ in content",
                hint="install the same npukbuild, packages, compiler and toolchain on all machines",
            )


@cache
def _here() -> tuple[Roots, tuple[Tool, ...]]:
    """Return the named folders and all tools of this machine."""
    from npukbuild.engine.kernel_graph import KernelGraph, KernelRequest
    from npukbuild.engine.toolchain_step import find_maker

    digests = FileDigests()
    identities = Identities(digests)
    maker, _ = find_maker(digests, identities, required=False)
    family = KernelGraph(identities, digests, "", maker)
    sample = KernelRequest.of({"family": "matmul", "target": "npu1", "m": 64, "k": 64, "n": 64})
    tools = {tool for node in family.nodes(sample) for tool in node.action.tools}
    return family.roots(), tuple(tools)


def _no_roots() -> Roots:
    from npukbuild.engine.roots import Roots

    return Roots({})


def _error_from(data: Mapping[str, Any]) -> NpukbuildError:
    kind = getattr(errors, str(data["class"]), ToolError)
    error = kind(
        data["what"], where=data["where"], why=data["why"], hint=data["hint"], details=data["details"]
    )
    assert isinstance(error, NpukbuildError)
    return error
