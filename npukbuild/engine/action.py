"""An action: one step of a build, described by everything that can change its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from npukbuild.engine.key import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npukbuild.engine.digest import FileDigests

FORMAT = 1
"""Part of every key. Raise it when the engine itself begins to treat actions differently."""


@dataclass(frozen=True, slots=True)
class FileInput:
    """A file of the user or of npukbuild, copied into the work folder."""

    path: Path


@dataclass(frozen=True, slots=True)
class TextInput:
    """Content given directly, written into the work folder."""

    content: bytes


@dataclass(frozen=True, slots=True)
class OutputOf:
    """An output of another node of the graph."""

    node: str
    name: str


Input = FileInput | TextInput | OutputOf


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, or a part of npukbuild, that an action is made with.

    ``identity`` is a digest of the tool's content, never of its time stamp or place, and the only part that
    goes into a key. ``version`` is for people.

    Attributes:
        files: Path here -> digest of every file that the identity was taken of.
        folders: Path here -> digest of the names in every folder that was listed for it.
        absent: Paths at which nothing was, and where another tool would have been found first.
    """

    name: str
    identity: str
    version: str = ""
    files: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    folders: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    absent: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def unchanged(self, digests: FileDigests) -> bool:
        """Say whether the tool still is what its identity was taken of."""
        return all(digests.state(path) == digest for path, digest in self.files.items())


@dataclass(frozen=True, kw_only=True)
class Action:
    """One step: a command line, or a function of npukbuild by its name, from inputs to outputs.

    It runs in a fresh, private work folder that holds its inputs, and nothing else is promised to exist. In
    ``command`` and ``search`` the token ``{name}`` stands for the folder or tool that the context calls
    ``name``; keys see the token, never the path behind it.

    Args:
        kind: The kind of step: ``render``, ``check``, ``host-compile``. Costs are learned per kind and label.
        label: What a person sees; not part of the key.
        inputs: Name in the work folder -> where the content comes from.
        outputs: Names in the work folder that must exist and be non-empty afterwards.
        may_be_empty: Those of them that are right when empty, such as logs.
        command: Argument vector; the first entry is the program.
        call: ``package.module:function``, called as ``function(parameters)`` inside the work folder.
        environment: The whole environment of a command. Nothing is inherited.
        tools: What it is made with, by content.
        parameters: Plain data that a ``call`` receives, with tokens replaced in its strings.
        search: Folders in which headers are looked for, in order.
        depfile: A file in Make's syntax that the step writes: inputs found on the way, such as headers.
        version: Raise it when the step's code changes meaning without any tool's content changing.
        timeout: Seconds after which the step is killed; not part of the key.
        resources: Named slots that it takes on the machine, such as ``{"NPU": 1}``; not part of the key.
        cached: Whether results are kept. A measurement of a device is not.
    """

    kind: str
    label: str = ""
    inputs: Mapping[str, Input] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    may_be_empty: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    call: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()
    parameters: Any = None
    search: tuple[str, ...] = ()
    depfile: str = ""
    version: int = 1
    timeout: float | None = None
    resources: Mapping[str, int] = field(default_factory=dict)
    cached: bool = True

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.call):
            raise ValueError(f"action {self.kind}: exactly one of command and call")
        if not self.outputs:
            raise ValueError(f"action {self.kind}: an action without outputs can prove nothing")
        names = [*self.inputs, *self.outputs, *([self.depfile] if self.depfile else [])]
        for name in names:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or str(path) != name:
                raise ValueError(f"action {self.kind}: {name!r} is not a plain name inside the work folder")
        if len(set(names)) != len(names):
            raise ValueError(f"action {self.kind}: a name is used twice")

    def base(self, digests: Mapping[str, str]) -> dict[str, Any]:
        """Return everything known before the action runs that can change its result.

        Args:
            digests: Input name -> digest of its content.
        """
        return {
            "format": FORMAT,
            "kind": self.kind,
            "version": self.version,
            "command": self.command,
            "call": self.call,
            "environment": dict(self.environment),
            "tools": {tool.name: tool.identity for tool in self.tools},
            "parameters": self.parameters,
            "inputs": dict(digests),
            "outputs": tuple(sorted(self.outputs)),
            "may_be_empty": tuple(sorted(self.may_be_empty)),
            "search": self.search,
            "discovers": bool(self.depfile),
        }


def full_key(base_key: str, found: Mapping[str, str]) -> str:
    """Return the key of a result: the base key and the state of every input found on the way.

    Args:
        base_key: ``key_of(action.base(...))``.
        found: Name of a file that was read, or searched for in vain -> its digest, or ``absent``.
    """
    return key_of({"base": base_key, "found": dict(found)})
