"""The local store: results by action key (``ac``), content by SHA-256 (``cas``), found inputs by base key.

Everything is written beside its place and renamed, and everything is verified when it is read: an entry that
a killed process, a bad disk or a person damaged is thrown away and made again. That is also why nothing here
calls
fsync: what a power cut tears is found by its hash. When the store cannot be written (read-only, full), the
build goes on without keeping results and says so once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.engine.digest import digest_bytes, digest_file
from npukbuild.engine.wire import DamagedError, OutputRecord, Result, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LAYOUT = "v1"
FREE_FLOOR = 1 << 16
"""With less space than this, in bytes, a disk counts as full: no step works on it."""

MAX_SETS = 16
"""Sets of found inputs kept per base key; the one used longest ago goes first."""


def default_cache_dir() -> Path:
    """Return the cache folder: ``NPUKBUILD_CACHE_DIR``, else the user's cache folder."""
    chosen = os.environ.get("NPUKBUILD_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "npukbuild"


@dataclass(frozen=True, slots=True)
class Blob:
    """Verified content: its record, a file that holds it now, and whether the store keeps that file."""

    record: OutputRecord
    path: Path
    kept: bool = True


@dataclass
class LocalStore:
    """A folder of verified results.

    Args:
        folder: The cache folder; its layout version is a folder inside.
        say: Takes warnings; each is given at most once.

    Attributes:
        bytes_written: In this process, since the cap was last looked after.
    """

    folder: Path
    say: Callable[[str], None] = lambda _text: None
    bytes_written: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.root = self.folder / LAYOUT
        self._said: set[str] = set()
        self._fallback: Path | None = None
        self.writable = True
        try:
            for name in ("cas", "ac", "sets", "tmp", "work", "locks", "leases"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            self._probe()
        except OSError as error:
            self._give_up(error)

    def _probe(self) -> None:
        # Being root does not make a read-only file system writable, so try instead of asking.
        probe = self.root / "tmp" / f"probe-{uuid.uuid4().hex}"
        probe.write_bytes(b"x")
        probe.unlink()

    # --- content
    # -----------------------------------------------------------------------------------------------

    def content_path(self, digest: str) -> Path:
        """Return where content with this digest is, or would be."""
        return self.root / "cas" / digest[:2] / digest

    def result_path(self, key: str) -> Path:
        """Return where the result of ``key`` is, or would be."""
        return self.root / "ac" / key[:2] / key

    def sets_path(self, base_key: str) -> Path:
        """Return where the sets of found inputs of ``base_key`` are, or would be."""
        return self.root / "sets" / base_key[:2] / base_key

    def find(self, record: OutputRecord) -> Path | None:
        """Return a file whose content has this digest, verified now, or None.

        A file that does not is removed, so that the next build makes it again.
        """
        path = self.content_path(record.digest)
        try:
            self._touch(path)
            right = path.stat().st_size == record.size and digest_file(path) == record.digest
        except OSError:
            return None
        if right:
            return path
        self.discard(path, "content")
        return None

    def put_file(self, path: Path, *, move: bool = False) -> OutputRecord:
        """Keep the content of ``path`` and return its record; with ``move`` the file itself may be taken."""
        status = path.stat()
        record = OutputRecord(digest_file(path), status.st_size, bool(status.st_mode & 0o100))
        if not self.writable or self._have(record):
            return record
        with self._writing():
            place = self.content_path(record.digest)
            if move:
                _move(path, place)
            else:
                part = self._part()
                shutil.copyfile(path, part)
                _move(part, place)
            self.bytes_written += record.size
        return record

    def put_bytes(self, data: bytes, *, executable: bool = False) -> OutputRecord:
        """Keep ``data`` and return its record."""
        record = OutputRecord(digest_bytes(data), len(data), executable)
        if self.writable and not self._have(record):
            with self._writing():
                self._publish(self.content_path(record.digest), data)
        return record

    def _have(self, record: OutputRecord) -> bool:
        """Say whether the content is there; only its size is looked at, since readers verify it anyway."""
        path = self.content_path(record.digest)
        try:
            if path.stat().st_size != record.size:
                return False
            self._touch(path)
        except OSError:
            return False
        return digest_file(path) == record.digest

    # --- results
    # -----------------------------------------------------------------------------------------------

    def get_result(self, key: str) -> Result | None:
        """Return the verified result of ``key``, or None. Its content is verified by :meth:`find`."""
        path = self.result_path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        try:
            result = unpack(data, key)
        except DamagedError:
            self.discard(path, "result")
            return None
        self._touch(path)
        return result

    def put_result(self, key: str, result: Result) -> None:
        """Keep a result whose contents are already kept."""
        if self.writable:
            with self._writing():
                self._publish(self.result_path(key), pack(result, key))

    def get_sets(self, base_key: str) -> list[tuple[str, ...]]:
        """Return the sets of names that actions with this base key looked for, last used first."""
        path = self.sets_path(base_key)
        try:
            check, _, body = path.read_bytes().partition(b"\n")
        except OSError:
            return []
        if digest_bytes(body).encode() != check:
            self.discard(path, "set of inputs")
            return []
        self._touch(path)
        return [tuple(names) for names in json.loads(body)]

    def put_set(self, base_key: str, names: Sequence[str]) -> None:
        """Remember one more set of names, in front. Hold the base key's lock."""
        if not self.writable:
            return
        chosen = tuple(names)
        known = self.get_sets(base_key)
        if known[:1] == [chosen]:
            return
        merged = [chosen, *(one for one in known if one != chosen)][:MAX_SETS]
        body = json.dumps(merged).encode()
        with self._writing():
            self._publish(self.sets_path(base_key), digest_bytes(body).encode() + b"\n" + body)

    # --- places
    # ------------------------------------------------------------------------------------------------

    def work_folder(self, name: str) -> Path:
        """Return a new, empty, private folder for one action.

        Raises:
            OSError: Neither the store nor the system's temporary folder can be written.
        """
        parent = self.root / "work" if self.writable else self._temporary()
        return Path(tempfile.mkdtemp(prefix=f"{name}-{os.getpid()}-", dir=parent))

    def lock_path(self, key: str) -> Path:
        """Return the lock file of a key; in a store that cannot be written nothing is shared, nor locked."""
        return (self.root if self.writable else self._temporary()) / "locks" / key

    def leave_when_full(self) -> bool:
        """Stop writing when the store's disk has no space left; say whether it has none."""
        try:
            full = shutil.disk_usage(self.root).free < FREE_FLOOR
        except OSError:
            return False
        if full and self.writable:
            self._give_up(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        return full

    def close(self) -> None:
        """Remove what was made outside of the store."""
        if self._fallback is not None:
            shutil.rmtree(self._fallback, ignore_errors=True)
            self._fallback = None

    def discard(self, path: Path, what: str) -> None:
        """Throw a damaged entry away and say so once."""
        self._say(f"the cache held a damaged {what} ({path.name[:12]}); it is made again")
        with contextlib.suppress(OSError):
            path.unlink()

    def _temporary(self) -> Path:
        if self._fallback is None:
            self._fallback = Path(tempfile.mkdtemp(prefix="npukbuild-"))
            (self._fallback / "locks").mkdir()
        return self._fallback

    def _part(self) -> Path:
        return self.root / "tmp" / uuid.uuid4().hex

    def _publish(self, place: Path, data: bytes) -> None:
        part = self._part()
        try:
            part.write_bytes(data)
            _move(part, place)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        self.bytes_written += len(data)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.writable = False
        self._say(
            f"the cache in {self.folder} cannot be written ({error.strerror}); "
            "building without keeping results"
        )

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    @staticmethod
    def _touch(path: Path) -> None:
        with contextlib.suppress(OSError):
            os.utime(path)


def _move(path: Path, place: Path) -> None:
    """Rename, making the folder only when it is not there."""
    try:
        path.replace(place)
    except FileNotFoundError:
        place.parent.mkdir(exist_ok=True)
        path.replace(place)
