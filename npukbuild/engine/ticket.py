"""A node on its way through the scheduler, from "all it needs is there" to its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.engine.action import FileInput, TextInput
from npukbuild.engine.digest import digest_bytes
from npukbuild.engine.key import key_of
from npukbuild.engine.store import Blob
from npukbuild.engine.wire import OutputRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from npukbuild.engine.digest import FileDigests
    from npukbuild.engine.graph import Node
    from npukbuild.engine.locks import Held
    from npukbuild.engine.outcome import Outcome

FIRST_LOCK_PAUSE = 0.02
LONGEST_LOCK_PAUSE = 0.25


@dataclass(slots=True)
class Ticket:
    """A node with its key and contents, and what it holds and waits for.

    Attributes:
        base: What the key is made of beforehand.
        contents: The inputs by name.
        held: The action's lock, once it is taken.
        folder: Its work folder, once it runs.
        reserved: Bytes of memory reserved for it.
        waiting_since: When another process was first seen to hold its lock; 0.0 for never.
        retry_at: When the lock is tried again.
        pause: Seconds until the try after that.
        asked_at: When the shared store was asked.
        passed_since: When a smaller action first went before it; 0.0 for never.
        offered: Whether the shared store has answered.
        in_store: Whether its work folder is in the cache's folder.
    """

    node: Node
    base: dict[str, Any]
    base_key: str
    contents: dict[str, Blob | bytes]
    held: Held | None = None
    folder: Path | None = None
    reserved: int = 0
    waiting_since: float = 0.0
    retry_at: float = 0.0
    pause: float = FIRST_LOCK_PAUSE
    asked_at: float = 0.0
    passed_since: float = 0.0
    offered: bool = False
    in_store: bool = False

    @property
    def discovers(self) -> bool:
        """Whether the action finds inputs on its way."""
        return bool(self.node.action.depfile)

    def release(self) -> None:
        """Let go of the action's lock, if it is held."""
        if self.held is not None:
            self.held.release()
            self.held = None


def ticket_for(node: Node, outcomes: Mapping[str, Outcome], digests: FileDigests) -> Ticket:
    """Return the ticket of a node whose needs have succeeded.

    Args:
        node: The node.
        outcomes: What became of the nodes before it.
        digests: States of files.

    Raises:
        OSError: An input cannot be read.
    """
    contents: dict[str, Blob | bytes] = {}
    states: dict[str, str] = {}
    for name, source in node.action.inputs.items():
        if isinstance(source, TextInput):
            contents[name] = source.content
            states[name] = digest_bytes(source.content)
        elif isinstance(source, FileInput):
            status = source.path.stat()
            digest = digests.file(source.path)
            record = OutputRecord(digest, status.st_size, bool(status.st_mode & 0o100))
            contents[name] = Blob(record, source.path, kept=False)
            states[name] = digest + ("x" if record.executable else "")
        else:
            blob = outcomes[source.node].outputs[source.name]
            contents[name] = blob
            states[name] = blob.record.digest + ("x" if blob.record.executable else "")
    base = node.action.base(states)
    return Ticket(node, base, key_of(base), contents)
