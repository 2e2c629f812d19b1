"""A finished command, remembered with everything it depended on: the way out when nothing changed.

A stamp lists every file that went into a result (sources, headers, templates, npukbuild's own code,
compilers), every place where a file was looked for in vain, and every file that came out, with digests; and
the words that were printed. When all of it is as it was, the command has nothing to do but to print them
again.

Nothing but the interpreter's own modules is imported here, since an unchanged build consists of this module
alone. A file whose signature (size, modification time, *status change time*, inode, device, mode) is the
recorded one is
unchanged: no program can set the status change time. Any other file is read.
"""

from __future__ import annotations

import os
import sys
import time

try:
    from _sha2 import sha256 as _sha256  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    try:
        # The built-in implementation: importing OpenSSL's takes longer than hashing a stamp.
        from _sha256 import sha256 as _sha256  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        from hashlib import sha256 as _sha256

HEADER = b"npukbuild stamp 1\n"
QUIET_SECONDS = 2.0
"""Twice the coarsest clock of a file system in use (NFS v3 servers and FAT count in 1 s and 2 s steps)."""

UNTRUSTED = "-"

_VARIABLES = ("CC", "CXX", "HOME", "NO_COLOR", "PATH", "PYTHONPATH", "XDG_CACHE_HOME", "XDG_DATA_HOME")

_invocation: list[str] | None = None


def begin(arguments: list[str]) -> None:
    """Note the command line of this process; without it nothing is recorded."""
    global _invocation
    _invocation = list(arguments)


def invocation() -> list[str] | None:
    """Return the command line given to :func:`begin`."""
    return _invocation


def stamp_path(arguments: list[str]) -> str:
    """Return where a command line's stamp lies: in its build folder, named after its surroundings."""
    parts = [
        *arguments,
        "",
        os.getcwd(),
        sys.prefix,
        sys.version,
        str(sys.stdout.isatty()),
        *(f"{name}={os.environ.get(name)}" for name in _VARIABLES),
        *sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith("NPUKBUILD_")),
    ]
    name = _sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
    return os.path.join(build_dir(arguments), ".npukbuild", "stamps", name[:32])


def build_dir(arguments: list[str]) -> str:
    """Return the build folder that a command line names, or the default."""
    chosen = "build"
    for index, word in enumerate(arguments):
        if word == "--build-dir" and index + 1 < len(arguments):
            chosen = arguments[index + 1]
        elif word.startswith("--build-dir="):
            chosen = word.partition("=")[2]
    return chosen


def replay(arguments: list[str]) -> tuple[bytes, bytes] | None:
    """Return what the command printed on stdout and stderr if nothing has changed since, else None."""
    path = stamp_path(arguments)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    head, check, body = data[: len(HEADER)], data[len(HEADER) : len(HEADER) + 64], data[len(HEADER) + 65 :]
    if head != HEADER or _sha256(body).hexdigest().encode() != check:
        return None
    try:
        sizes, _, rest = body.partition(b"\n")
        out, err = (int(size) for size in sizes.split())
        table = rest[out + err :].decode("utf-8", "surrogateescape")
        refreshed = _compare(table)
    except (ValueError, OSError):
        return None
    if refreshed is None:
        return None
    if refreshed != table:
        _write(path, rest[:out], rest[out : out + err], refreshed)
    return rest[:out], rest[out : out + err]


def record(
    arguments: list[str],
    out: bytes,
    err: bytes,
    files: dict[str, str],
    absent: set[str],
    folders: dict[str, str],
    *,
    started: float,
) -> bool:
    """Write the stamp of a finished command; say whether it could be written.

    Args:
        arguments: The command line.
        out: What to print on stdout next time.
        err: What to print on stderr next time.
        files: Path -> SHA-256 of its content.
        absent: Paths at which no file may be.
        folders: Path -> digest of the names in it.
        started: ``time.time()`` before the first digest was taken. What changed since may have changed after
            it was hashed: its signature is not trusted, and the next run reads it.
    """
    lines = []
    for kind, entries in (("F", files), ("D", folders)):
        for path, digest in entries.items():
            if "\n" in path or "\t" in path:
                return False
            mark = trusted_signature(os.stat(path), started)
            lines.append(f"{kind}\t{mark}\t{digest}\t{os.path.abspath(path)}")
    for path in absent:
        if "\n" in path or "\t" in path:
            return False
        lines.append(f"A\t{UNTRUSTED}\t{UNTRUSTED}\t{os.path.abspath(path)}")
    lines.sort(key=lambda line: line.rpartition("\t")[2])
    return _write(stamp_path(arguments), out, err, "\n".join(lines))


def signature(status: os.stat_result) -> str:
    """Return what identifies the state of a file without reading it."""
    return (
        f"{status.st_size}.{status.st_mtime_ns}.{status.st_ctime_ns}."
        f"{status.st_ino}.{status.st_dev}.{status.st_mode}"
    )


def is_quiet(status: os.stat_result, hashed: float) -> bool:
    """Say whether the last change lies long enough before ``hashed`` to trust the signature."""
    return hashed - status.st_ctime_ns / 1e9 >= QUIET_SECONDS


def trusted_signature(status: os.stat_result, hashed: float) -> str:
    """Return the signature of a file that was read at ``hashed``, or a mark that equals none."""
    return signature(status) if is_quiet(status, hashed) else UNTRUSTED


def _compare(table: str) -> str | None:
    """Return the table with fresh signatures, or None when something differs."""
    fresh: list[str] | None = None
    stat = os.stat
    gone = ""
    lines = table.split("\n")
    for index, line in enumerate(lines):
        kind, mark, digest, path = line.split("\t", 3)
        if kind == "A":
            # A folder that does not exist answers for everything inside of it.
            if gone and path.startswith(gone):
                continue
            try:
                stat(path)
            except FileNotFoundError:
                folder = os.path.dirname(path)
                gone = "" if os.path.isdir(folder) else folder + os.sep
                continue
            except NotADirectoryError:
                continue
            return None
        status = stat(path)
        if mark == (
            f"{status.st_size}.{status.st_mtime_ns}.{status.st_ctime_ns}."
            f"{status.st_ino}.{status.st_dev}.{status.st_mode}"
        ):
            continue
        now = time.time()
        if (_listing(path) if kind == "D" else _content(path)) != digest:
            return None
        if fresh is None:
            fresh = list(lines)
        fresh[index] = f"{kind}\t{trusted_signature(status, now)}\t{digest}\t{path}"
    return table if fresh is None else "\n".join(fresh)


def _content(path: str) -> str:
    from hashlib import sha256

    with open(path, "rb") as file:
        return sha256(file.read()).hexdigest()


def _listing(path: str) -> str:
    from npukbuild.engine.identity import listing

    return listing(path)


def _write(path: str, out: bytes, err: bytes, table: str) -> bool:
    body = b"%d %d\n" % (len(out), len(err)) + out + err + table.encode("utf-8", "surrogateescape")
    part = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(part, "wb") as file:
            file.write(HEADER + _sha256(body).hexdigest().encode() + b"\n" + body)
        os.replace(part, path)
    except OSError:
        return False
    return True
