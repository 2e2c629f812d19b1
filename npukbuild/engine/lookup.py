"""From an action to a kept result, in two steps where inputs are found on the way.

An action that reads headers has a *base key* of what is known beforehand. Under it the store keeps the sets
of names that such actions looked at. The state of each name now, a digest or "no file here", together with
the base key gives the *full key* of a result. So a changed header, and a header that now hides another, lead
to another key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.engine.action import full_key
from npukbuild.engine.digest import ABSENT
from npukbuild.engine.key import key_of
from npukbuild.engine.store import Blob
from npukbuild.engine.wire import OutputRecord, Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from npukbuild.engine.digest import FileDigests
    from npukbuild.engine.remote import Fetched, RemoteStore
    from npukbuild.engine.roots import Roots
    from npukbuild.engine.store import LocalStore

_SETS = "sets"


@dataclass(frozen=True, slots=True)
class Match:
    """A kept result that is valid now."""

    key: str
    found: Mapping[str, str]
    result: Result
    outputs: Mapping[str, Blob]


@dataclass(frozen=True, slots=True)
class Offer:
    """A result that a shared store offers, verified but not yet kept here."""

    key: str
    found: Mapping[str, str]
    fetched: Fetched


class Lookup:
    """Finds results in the local store and the shared one.

    Args:
        store: The local store.
        digests: States of files.
        roots: Names of folders.
        remote: The shared store.
    """

    def __init__(
        self, store: LocalStore, digests: FileDigests, roots: Roots, remote: RemoteStore | None = None
    ) -> None:
        self._store = store
        self._digests = digests
        self._roots = roots
        self._remote = remote
        self._absent: set[str] = set()

    def states(self, names: Sequence[str]) -> dict[str, str]:
        """Return the state of each name now. That a file is absent is asked once per run."""
        states: dict[str, str] = {}
        for name in names:
            if name in self._absent:
                states[name] = ABSENT
                continue
            try:
                states[name] = self._digests.state(self._roots.expand(name))
            except (KeyError, OSError):
                states[name] = "unknown"
            if states[name] == ABSENT:
                self._absent.add(name)
        return states

    def local(self, base_key: str, *, discovers: bool) -> Match | None:
        """Return the local store's result, its contents verified, or None."""
        for names in self._store.get_sets(base_key) if discovers else [()]:
            found = self.states(names)
            key = full_key(base_key, found)
            result = self._store.get_result(key)
            if result is None:
                continue
            outputs: dict[str, Blob] = {}
            for name, record in result.outputs.items():
                path = self._store.find(record)
                if path is None:
                    break
                outputs[name] = Blob(record, path)
            else:
                return Match(key, found, result, outputs)
        return None

    def shared(self, base_key: str, *, discovers: bool) -> Offer | None:
        """Return what the shared store offers, or None. Called from one of its threads."""
        remote = self._remote
        if remote is None:
            return None
        sets: list[tuple[str, ...]] = [()]
        if discovers:
            fetched = remote.get(sets_key(base_key))
            if fetched is None:
                return None
            sets = _parse_sets(next(iter(fetched.contents.values()), b"[]"))
        for names in sets:
            found = self.states(names)
            key = full_key(base_key, found)
            offer = remote.get(key)
            if offer is not None:
                return Offer(key, found, offer)
        return None

    def accept(self, base_key: str, offer: Offer, *, discovers: bool) -> Match | None:
        """Keep a shared result here and return it; None when the local store cannot hold it."""
        for record in offer.fetched.result.outputs.values():
            self._store.put_bytes(offer.fetched.contents[record.digest], executable=record.executable)
        self._store.put_result(offer.key, offer.fetched.result)
        if discovers:
            self._store.put_set(base_key, sorted(offer.found))
        return self.local(base_key, discovers=discovers)

    def publish(self, base_key: str, found: Mapping[str, str], result: Result, *, discovers: bool) -> str:
        """Keep a result whose contents are kept already, offer it to the shared store, and return its key."""
        key = full_key(base_key, found)
        self._store.put_result(key, result)
        if discovers:
            self._store.put_set(base_key, sorted(found))
        remote = self._remote
        if remote is not None and not remote.read_only and self._store.writable:
            remote.upload(key, result, self._content)
            if discovers:
                self._upload_sets(base_key, remote)
        return key

    def _upload_sets(self, base_key: str, remote: RemoteStore) -> None:
        data = json.dumps(self._store.get_sets(base_key)).encode()
        record = self._store.put_bytes(data)
        remote.upload(sets_key(base_key), Result({_SETS: record}), lambda _digest: data)

    def _content(self, digest: str) -> bytes | None:
        try:
            return self._store.content_path(digest).read_bytes()
        except OSError:
            return None


def sets_key(base_key: str) -> str:
    """Return the key under which a shared store keeps the sets of a base key, as the result of an action."""
    return key_of({_SETS: base_key})


def _parse_sets(data: bytes) -> list[tuple[str, ...]]:
    try:
        value = json.loads(data)
    except ValueError:
        return []
    if not isinstance(value, list):
        return []
    return [tuple(map(str, names)) for names in value if isinstance(names, list)][:16]


__all__ = ["Lookup", "Match", "Offer", "OutputRecord", "sets_key"]
