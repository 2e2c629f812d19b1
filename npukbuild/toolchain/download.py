"""Fetch one file by HTTP: resumed where it was cut, checked against its hash, complete or not there."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from npukbuild.errors import DiskFullError, FolderError, InstallError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BLOCK = 1 << 18
PART_SUFFIX = ".part"
_RETRY_STATUS = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: Tries in a row that bring no new byte before giving up.
        stall_seconds: A connection that is silent for this long counts as cut.
        pause_seconds: Wait before the second try; doubled each time, at most 30 s.
    """

    attempts: int = 5
    stall_seconds: float = 30.0
    pause_seconds: float = 1.0


class _Cut(Exception):
    """The transfer ended early; another try may go on from here."""


def verify_file(path: Path, sha256: str) -> bool:
    """Say whether ``path`` exists and has this hash."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    size: int | None = None,
    patience: Patience | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> None:
    """Bring ``url`` to ``target``; the file appears there only once its hash is right.

    What arrived of a broken transfer stays beside the target as ``.part`` and is continued by the next try,
    in this process or a later one.

    Args:
        url: An http or https address.
        target: Where the file goes; its folder exists.
        sha256: The hash that it must have.
        size: Its exact size in bytes, if known.
        patience: How often to try and how long to wait.
        progress: Called with bytes so far and in all.

    Raises:
        InstallError: The network cannot be reached, the file is gone, or its bytes are wrong.
        DiskFullError: There is no space left.
    """
    patience = patience or Patience()
    if urlsplit(url).scheme not in ("http", "https"):
        raise RequestError("only http and https addresses can be downloaded", where=url)
    part = target.with_name(target.name + PART_SUFFIX)
    resumed = _fetch(url, part, size, patience, progress)
    if not verify_file(part, sha256) and resumed:
        # The part that was continued may have been of another file under the same address: once from scratch.
        part.unlink(missing_ok=True)
        _fetch(url, part, size, patience, progress)
    if not verify_file(part, sha256):
        found = _hash_of(part)
        part.unlink(missing_ok=True)
        raise InstallError(
            f"{target.name} has the wrong hash",
            where=_public(url),
            why=f"sha256 is {found}, the lock file says {sha256}",
            hint="the file was replaced upstream or damaged on the way: do not use it; try again, or use a "
            "wheelhouse that holds the right one (--wheelhouse DIR)",
        )
    _publish(part, target)


def _publish(part: Path, target: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(
    url: str,
    part: Path,
    size: int | None,
    patience: Patience,
    progress: Callable[[int, int | None], None] | None,
) -> bool:
    """Fill ``part``; return whether bytes of an earlier try are in it."""
    resumed = part.exists() and part.stat().st_size > 0
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _transfer(url, part, size, patience, progress)
        except _Cut as cut:
            after = part.stat().st_size if part.exists() else 0
            failures = 0 if after > before else failures + 1
            if failures >= patience.attempts:
                raise InstallError(
                    f"the download of {part.name.removesuffix(PART_SUFFIX)} does not get on",
                    where=_public(url),
                    why=f"{cut} ({failures} tries in a row brought nothing; {after} bytes are kept)",
                    hint="run the same command again later: it continues where it stopped",
                ) from None
            resumed = resumed or after > 0
            time.sleep(min(30.0, patience.pause_seconds * 2 ** max(0, failures - 1)))
        else:
            return resumed


def _transfer(
    url: str,
    part: Path,
    size: int | None,
    patience: Patience,
    progress: Callable[[int, int | None], None] | None,
) -> None:
    have = part.stat().st_size if part.exists() else 0
    if size is not None and have > size:
        part.unlink()
        have = 0
    if size is not None and have == size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "npukbuild", "Accept-Encoding": "identity"})  # noqa: S310
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=patience.stall_seconds) as answer:  # noqa: S310
            _store(answer, part, have, size, progress)
    except urllib.error.HTTPError as error:
        _refused(error, url, part)
    except urllib.error.URLError as error:
        raise _unreachable(url, error.reason) from None
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _Cut(f"the connection broke off: {error or type(error).__name__}") from None


def _store(
    answer: Any, part: Path, have: int, size: int | None, progress: Callable[[int, int | None], None] | None
) -> None:
    """Append the answer's body to ``part``, or begin anew when the server sent the whole file."""
    continued = answer.status == 206 and str(answer.headers.get("Content-Range", "")).startswith(
        f"bytes {have}-"
    )
    length = answer.headers.get("Content-Length")
    start = have if continued else 0
    total = start + int(length) if length and length.isdigit() else size
    at = start
    try:
        with part.open("ab" if continued else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                at += len(block)
                if progress:
                    progress(at, total)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                "no space left for the download",
                where=str(part.parent),
                why=f"{at} bytes of {total or 'an unknown number'} are there",
                hint="free some space, or choose another folder with --wheelhouse; the download continues",
            ) from None
        if isinstance(error, (TimeoutError, ConnectionError)):
            raise
        raise FolderError("the download cannot be written", where=str(part), why=error.strerror) from error
    if total is not None and at < total:
        raise _Cut(f"the connection broke off after {at} of {total} bytes")


def _refused(error: urllib.error.HTTPError, url: str, part: Path) -> None:
    """Raise for an HTTP status: gone for good, to be tried again, or a part that does not fit any more."""
    with contextlib.closing(error):
        if error.code == 416:
            part.unlink(missing_ok=True)
            raise _Cut("the server has no such range; beginning anew")
        if error.code in _RETRY_STATUS:
            raise _Cut(f"the server answers {error.code} {error.reason}")
        name = part.name.removesuffix(PART_SUFFIX)
        if error.code in (404, 410):
            raise InstallError(
                f"{name} is no longer there",
                where=_public(url),
                why=f"the server answers {error.code}: nightly files are deleted upstream after a while",
                hint="install from a wheelhouse that has it (--wheelhouse DIR), or choose another set "
                "(npukbuild toolchain list)",
            )
        raise InstallError(
            f"{name} cannot be downloaded",
            where=_public(url),
            why=f"the server answers {error.code} {error.reason}",
            hint="check the proxy settings and credentials, or use --wheelhouse DIR",
        )


def _unreachable(url: str, reason: object) -> Exception:
    if isinstance(reason, (TimeoutError, ConnectionResetError)):
        return _Cut(f"the connection broke off: {reason}")
    return InstallError(
        "the network cannot be reached",
        where=_public(url),
        why=str(reason),
        hint="without network: copy a wheelhouse made elsewhere with `npukbuild toolchain mirror DIR`, then "
        "`npukbuild toolchain install --offline --wheelhouse DIR`",
    )


def _public(url: str) -> str:
    """Return the address without credentials."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
