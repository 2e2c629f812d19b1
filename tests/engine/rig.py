"""A small world for the engine: a cache, folders with names, and real commands as actions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from npukbuild.engine.action import Action, FileInput, Input, Tool
from npukbuild.engine.costs import Costs
from npukbuild.engine.digest import FileDigests
from npukbuild.engine.executor import LocalExecutor
from npukbuild.engine.graph import Node, graph_of
from npukbuild.engine.roots import Roots
from npukbuild.engine.scheduler import Scheduler
from npukbuild.engine.store import LocalStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from npukbuild.engine.outcome import Outcome, Reporter
    from npukbuild.engine.remote import RemoteStore

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}


@dataclass
class World:
    """A checkout in ``folder`` and a cache; ``said`` are the warnings."""

    folder: Path
    cache: Path
    said: list[str] = field(default_factory=list)

    @property
    def roots(self) -> Roots:
        return Roots({name: self.folder / name for name in ("src", "one", "two")})

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def store(self) -> LocalStore:
        return LocalStore(self.cache, self.said.append)

    def run(
        self,
        *nodes: Node,
        jobs: int = 2,
        keep_going: bool = False,
        force: bool = False,
        remote: RemoteStore | None = None,
        costs: Costs | None = None,
        reporter: Reporter | None = None,
        budget: int | None = None,
        store: LocalStore | None = None,
    ) -> dict[str, Outcome]:
        digests = FileDigests()
        return Scheduler(
            graph_of(nodes), store=store or self.store(), digests=digests, roots=self.roots,
            executor=LocalExecutor(jobs, self.roots, digests), costs=costs or Costs(), remote=remote,
            keep_going=keep_going, force=force, reporter=reporter, budget=budget,
        ).run()  # fmt: skip


def shell(name: str, script: str, *, inputs: Mapping[str, Input] | None = None, **about: Any) -> Node:
    """A node that runs ``script``; it must write ``out``."""
    about.setdefault("outputs", ("out",))
    action = Action(
        kind=about.pop("kind", "sh"), label=name, inputs=inputs or {}, command=("/bin/sh", "-c", script),
        environment=ENVIRONMENT, **about,
    )  # fmt: skip
    return Node(name, action, "group")


def compilation(
    world: World, name: str = "cc", *, order: tuple[str, ...] = ("one", "two"), **about: Any
) -> Node:
    """A node that compiles ``src/main.c`` with the headers in ``one`` and ``two``."""
    includes = [word for root in order for word in ("-I", f"{{{root}}}")]
    about.setdefault("tools", (Tool("cc", "0" * 64, "1.0"),))
    action = Action(
        kind="cc", label=name, inputs={"main.c": FileInput(world.folder / "src/main.c")}, outputs=("main.o",),
        command=("/usr/bin/cc", "-c", "-MD", "-MF", "deps", *includes, "main.c", "-o", "main.o"),
        environment=ENVIRONMENT, search=tuple(f"{{{root}}}" for root in order), depfile="deps", **about,
    )  # fmt: skip
    return Node(name, action, "group")


def text(outcome: Outcome, name: str = "out") -> str:
    assert outcome.outputs, outcome.error
    return outcome.outputs[name].path.read_text()
