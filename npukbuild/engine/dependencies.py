"""Everything on this machine that a finished build depended on, for its stamp."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from npukbuild.engine import stamp
from npukbuild.engine.action import FileInput
from npukbuild.engine.digest import ABSENT, digest_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from npukbuild.engine.graph import Graph
    from npukbuild.engine.outcome import Outcome
    from npukbuild.engine.roots import Roots


@dataclass
class Dependencies:
    """Paths and their states.

    Attributes:
        files: Path -> SHA-256 of its content.
        folders: Path -> digest of the names in it.
        absent: Paths at which nothing may be.
        started: ``time.time()`` before the first of them was looked at.
    """

    started: float
    files: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)


def collect_dependencies(
    graph: Graph, outcomes: Mapping[str, Outcome], roots: Roots, more: Dependencies, started: float
) -> Dependencies | None:
    """Return what all nodes depended on, or None when a result of the build was not steady enough to be kept.

    Args:
        graph: What was built.
        outcomes: What became of it.
        roots: Names of folders.
        more: Dependencies known otherwise.
        started: ``time.time()`` before the build.
    """
    everything = Dependencies(started, dict(more.files), dict(more.folders), set(more.absent))
    found: set[tuple[str, str]] = set()
    tools = {}
    for name, node in graph.nodes.items():
        outcome = outcomes[name]
        if not outcome.steady or not node.action.cached:
            return None
        found.update(outcome.found.items())
        tools.update({tool.identity: tool for tool in node.action.tools})
        for source_name, source in node.action.inputs.items():
            if isinstance(source, FileInput):
                digest = outcome.base["inputs"][source_name].removesuffix("x")
                everything.files[str(source.path)] = digest
    for tool in tools.values():
        everything.files.update(tool.files)
        everything.folders.update(tool.folders)
        everything.absent.update(tool.absent)
    for name, state in found:
        path = roots.expand(name)
        if state == ABSENT:
            everything.absent.add(path)
        elif state != "folder":
            everything.files[path] = state
    return everything


def remember(dependencies: Dependencies | None, out: str, err: str = "", files: Iterable[Path] = ()) -> None:
    """Leave a stamp of this process's command, so that the next one like it has nothing to do.

    Args:
        dependencies: What it depended on; None leaves no stamp.
        out: What it printed on stdout.
        err: What to say on stderr next time.
        files: Files that the command itself read, such as a manifest.
    """
    arguments = stamp.invocation()
    if arguments is None or dependencies is None:
        return
    known = {**dependencies.files, **{str(path): digest_file(path) for path in files}}
    try:
        stamp.record(
            arguments, out.encode(), err.encode(), known, dependencies.absent, dependencies.folders,
            started=dependencies.started,
        )  # fmt: skip
    except OSError:
        return  # a file went away meanwhile: then there is nothing to remember
