"""What one build needs open: the store with its lease, digests, costs, a shared store."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.engine.costs import Costs
from npukbuild.engine.digest import FileDigests
from npukbuild.engine.evict import collect_when_full, lease
from npukbuild.engine.identity import Identities
from npukbuild.engine.store import LocalStore, default_cache_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from npukbuild.engine.remote import RemoteStore

REMOTE_VARIABLE = "NPUKBUILD_REMOTE_CACHE"
DRAIN_SECONDS = 10.0


@dataclass
class Session:
    """Open stores and knowledge; ``started`` is ``time.time()`` before any file was read."""

    store: LocalStore
    digests: FileDigests
    costs: Costs
    identities: Identities
    remote: RemoteStore | None
    started: float


@contextlib.contextmanager
def open_session(
    *,
    cache_dir: Path | None = None,
    remote: str | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> Iterator[Session]:
    """Open the stores for a build; at the end costs are kept, uploads awaited and the cache's size held.

    Args:
        cache_dir: The local cache folder; by default ``NPUKBUILD_CACHE_DIR`` or the user's.
        remote: Address of a shared store; by default ``NPUKBUILD_REMOTE_CACHE``.
        say: Takes warnings.

    Raises:
        CacheError: The address or a size in the environment is wrong.
    """
    started = time.time()
    store = LocalStore(cache_dir or default_cache_dir(), say)
    digests = FileDigests(store.root / "digests")
    shared = open_remote(remote or os.environ.get(REMOTE_VARIABLE) or None, store, say)
    session = Session(store, digests, Costs(store.root / "costs.json"), Identities(digests), shared, started)
    try:
        with lease(store):
            yield session
    finally:
        if shared is not None:
            shared.drain(DRAIN_SECONDS)
        if store.writable:
            session.costs.save()
            digests.save()
            collect_when_full(store)
        store.close()


def open_remote(address: str | None, store: LocalStore, say: Callable[[str], None]) -> RemoteStore | None:
    """Return the shared store at ``address``, or None when there is none.

    ``NPUKBUILD_REMOTE_READONLY`` keeps it from being written.
    """
    if address is None:
        return None
    from npukbuild.engine.remote import RemoteStore
    from npukbuild.engine.transport import open_transport

    return RemoteStore(
        open_transport(address),
        address,
        say=say,
        rest=store.root / "remote-rest" if store.writable else None,
        read_only=bool(os.environ.get("NPUKBUILD_REMOTE_READONLY")),
    )
