"""Before and after an action's process: filling its work folder, and collecting what it made."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild import errors
from npukbuild.engine.depfile import HeaderSearch, parse_depfile
from npukbuild.engine.digest import digest_bytes
from npukbuild.errors import CacheError, FolderError, NpukbuildError, ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from npukbuild.engine.action import Action
    from npukbuild.engine.digest import FileDigests
    from npukbuild.engine.pool import Reply
    from npukbuild.engine.roots import Roots
    from npukbuild.engine.store import Blob

WORK, LOG = "w", "log"
_TAIL_LINES = 12
_TAIL_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class Collected:
    """What an action made.

    Attributes:
        outputs: Name -> file in the work folder.
        found: Name of an input found on the way -> its state.
        steady: Whether every such input was still the one that the action read. A result that may stem from a
            file in the midst of an edit serves this run and is not kept.
    """

    outputs: Mapping[str, Path]
    found: Mapping[str, str]
    steady: bool


def prepare(action: Action, contents: Mapping[str, Blob | bytes], folder: Path) -> None:
    """Put every input into ``folder / WORK``, verified while it is copied.

    Raises:
        CacheError: A content was damaged or removed since it was looked up.
    """
    work = folder / WORK
    work.mkdir()
    for name, content in contents.items():
        data = content if isinstance(content, bytes) else _verified(content)
        place = work / name
        if "/" in name:
            place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        if not isinstance(content, bytes) and content.record.executable:
            place.chmod(0o755)
    for name in (*action.outputs, action.depfile):
        if "/" in name:
            (work / name).parent.mkdir(parents=True, exist_ok=True)


def _verified(blob: Blob) -> bytes:
    try:
        data = blob.path.read_bytes()
    except OSError as error:
        raise CacheError(
            f"content {blob.record.digest[:12]} is gone from the cache",
            why=str(error),
            hint="run the build again",
        ) from error
    if digest_bytes(data) != blob.record.digest:
        if not blob.kept:
            raise FolderError(f"{blob.path} changed while it was being built", hint="run the build again")
        blob.path.unlink(missing_ok=True)
        raise CacheError(
            f"content {blob.record.digest[:12]} in the cache is damaged", hint="run the build again"
        )
    return data


def request_for(action: Action, folder: Path, roots: Roots) -> dict[str, Any]:
    """Return what a worker needs to run ``action``, with every token replaced by its place here."""
    here = roots.with_folders({"work": folder / WORK})
    request: dict[str, Any] = {
        "work": str(folder / WORK),
        "log": str(folder / LOG),
        "timeout": action.timeout,
    }
    if action.call:
        return {**request, "call": action.call, "parameters": _expanded(action.parameters, here)}
    environment = {name: here.expand(value) for name, value in action.environment.items()}
    return {**request, "command": [here.expand(word) for word in action.command], "environment": environment}


def _expanded(value: Any, roots: Roots) -> Any:
    if isinstance(value, str):
        return roots.expand(value)
    if isinstance(value, list | tuple):
        return [_expanded(item, roots) for item in value]
    if isinstance(value, dict):
        return {name: _expanded(item, roots) for name, item in value.items()}
    return value


def clock() -> float:
    """Return now by the clock that stamps files: the kernel's coarse one, which runs up to a tick behind."""
    source = getattr(time, "CLOCK_REALTIME_COARSE", None)
    return time.time() if source is None else time.clock_gettime(source)


def collect(
    action: Action,
    folder: Path,
    roots: Roots,
    digests: FileDigests,
    headers: HeaderSearch,
    *,
    started: float,
) -> Collected:
    """Check an action's outputs and find the inputs that it met on the way.

    Args:
        action: What ran.
        folder: Its folder.
        roots: Names of folders.
        digests: Digests of files outside of the folder.
        headers: The search for headers.
        started: :func:`clock` before it started.

    Raises:
        ToolError: An output is missing or empty, whatever the exit code says.
    """
    work = folder / WORK
    outputs = {name: work / name for name in action.outputs}
    wrong = []
    for name, path in outputs.items():
        if path.is_symlink() or not path.is_file():
            wrong.append(f"{name} was not written")
        elif path.stat().st_size == 0 and name not in action.may_be_empty:
            wrong.append(f"{name} is empty")
    if wrong:
        raise ToolError(
            f"{action.kind} ended without its results", where=str(folder / LOG), why="; ".join(wrong),
            details=log_tail(folder / LOG),
        )  # fmt: skip
    if not action.depfile:
        return Collected(outputs, {}, steady=True)
    try:
        listed = parse_depfile((work / action.depfile).read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise ToolError(
            f"{action.kind} did not say what it read", where=str(work / action.depfile), why=error.strerror
        ) from error
    here = roots.with_folders({"work": work})
    found = headers.find(listed, [here.expand(name) for name in action.search], str(work))
    states: dict[str, str] = {}
    steady = True
    for name in found.names:
        place = roots.expand(name)
        states[name] = digests.state(place)
        steady = steady and _before(place, started)
    return Collected(outputs, states, steady)


def _before(path: str, started: float) -> bool:
    try:
        return os.stat(path).st_ctime < started
    except OSError:
        return True


def failure(action: Action, reply: Reply, folder: Path) -> NpukbuildError | None:
    """Return what went wrong by a worker's reply, or None."""
    error = reply.error
    if error and "class" in error:
        kind = getattr(errors, str(error["class"]), NpukbuildError)
        raised = kind(
            error["what"], where=error.get("where"), why=error.get("why"), hint=error.get("hint"),
            details=error.get("details") or (),
        )  # fmt: skip
        assert isinstance(raised, NpukbuildError)
        return raised
    if reply.returncode == 0 and not reply.timed_out:
        return None
    if reply.timed_out:
        why = f"it did not end within {action.timeout:g} s and was killed"
    elif error and "start" in error:
        why = str(error["start"])
    elif error and "internal" in error:
        why = str(error["internal"])
    elif reply.returncode < 0:
        why = f"it was killed by signal {-reply.returncode}"
    else:
        why = f"exit code {reply.returncode}"
    return ToolError(
        f"{action.kind} failed" + (f" for {action.label}" if action.label else ""),
        where=str(folder / LOG), why=why, details=log_tail(folder / LOG),
    )  # fmt: skip


def log_tail(log: Path) -> list[str]:
    """Return the last lines of a log that say something."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-_TAIL_LINES:]


def remove(folder: Path) -> None:
    """Remove a work folder."""
    shutil.rmtree(folder, ignore_errors=True)
