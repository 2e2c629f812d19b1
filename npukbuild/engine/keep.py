"""Put what an action made into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.engine.execute import remove
from npukbuild.engine.outcome import Outcome
from npukbuild.engine.store import Blob
from npukbuild.engine.wire import Result

if TYPE_CHECKING:
    from npukbuild.engine.digest import FileDigests
    from npukbuild.engine.executor import Finished
    from npukbuild.engine.lookup import Lookup
    from npukbuild.engine.store import LocalStore
    from npukbuild.engine.ticket import Ticket


def keep(
    ticket: Ticket, finished: Finished, *, store: LocalStore, lookup: Lookup, digests: FileDigests
) -> Outcome:
    """Put what was made into the store, and its result if every input stayed as it was.

    Raises:
        OSError: The store cannot take it.
    """
    made, node = finished.made, ticket.node
    assert made is not None
    outputs: dict[str, Blob] = {}
    for name, path in made.outputs.items():
        record = store.put_file(path, move=True)
        place = store.content_path(record.digest)
        outputs[name] = Blob(record, place if store.writable else path)
    result = Result(
        {name: blob.record for name, blob in outputs.items()}, finished.seconds, finished.peak_bytes
    )
    steady = made.steady and all(tool.unchanged(digests) for tool in node.action.tools)
    key = ""
    if steady and node.action.cached:
        key = lookup.publish(ticket.base_key, made.found, result, discovers=ticket.discovers)
    if ticket.folder is not None and store.writable:
        remove(ticket.folder)
    return Outcome(
        "built",
        ticket.base,
        made.found,
        outputs,
        key,
        finished.seconds,
        finished.peak_bytes,
        steady=steady,
    )
