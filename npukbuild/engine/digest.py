"""Content digests of files, with a memo that fails closed.

Reading a file to hash it is the rule. For a file that has not been touched for a while the memo answers from
its stat signature: size, modification time, **status change time**, inode and device. No program can set the
status change time, so a file rewritten with the same size and an old modification time has another
signature. A file whose status changed less than ``QUIET_SECONDS`` before it was hashed is never answered
from the memo, because a second write within one tick of the file system's clock would leave the signature as
it is.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING

from npukbuild.engine.stamp import is_quiet, signature

if TYPE_CHECKING:
    from pathlib import Path

LARGE_BYTES = 1 << 18
"""Only files of at least this size are remembered between runs: small ones cost less to read."""

ABSENT = "absent"
"""The state of a path at which no file is."""


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content, always by reading it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileDigests:
    """Digests of files, remembered by signature.

    Args:
        memory: Where the digests of large files are kept between runs; None keeps them for this object only.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = memory
        self._known: dict[str, tuple[str, str]] = {}
        self._dirty = False
        if memory is not None:
            self._load(memory)

    def file(self, path: str | Path) -> str:
        """Return the digest of the content of ``path``.

        Raises:
            OSError: The file cannot be read.
        """
        name = os.fspath(path)
        with open(name, "rb") as file:
            before = os.fstat(file.fileno())
            mark = signature(before)
            known = self._known.get(name)
            if known is not None and known[0] == mark:
                return known[1]
            now = time.time()
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(file.fileno())
        if is_quiet(before, now) and signature(after) == mark:
            self._known[name] = (mark, digest)
            self._dirty |= before.st_size >= LARGE_BYTES
        else:
            self._known.pop(name, None)
        return digest

    def state(self, path: str | Path) -> str:
        """Return the digest of ``path``, or :data:`ABSENT` when no readable regular file is there."""
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        if stat.S_ISDIR(status.st_mode):
            return "folder"
        known = self._known.get(os.fspath(path))
        if known is not None and known[0] == signature(status):
            return known[1]
        try:
            return self.file(path)
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT

    def save(self) -> None:
        """Keep the digests of large files for the next run; a failure to do so costs time only."""
        if self._memory is None or not self._dirty:
            return
        lines = [
            f"{mark}\t{digest}\t{name}"
            for name, (mark, digest) in self._known.items()
            if int(mark.partition(".")[0]) >= LARGE_BYTES and "\n" not in name
        ]
        body = "\n".join(lines)
        part = self._memory.with_name(f"{self._memory.name}.{os.getpid()}")
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(f"{digest_bytes(body.encode())}\n{body}", encoding="utf-8")
            part.replace(self._memory)
            self._dirty = False
        except OSError:
            return

    def _load(self, memory: Path) -> None:
        try:
            check, _, body = memory.read_text(encoding="utf-8").partition("\n")
        except (OSError, UnicodeDecodeError):
            return
        if digest_bytes(body.encode()) != check:
            return
        for line in body.splitlines():
            mark, digest, name = line.split("\t", 2)
            self._known[name] = (mark, digest)
