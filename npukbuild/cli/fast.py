"""What can be answered without the command line library: an unchanged build, ``--version`` and ``--help``."""

from __future__ import annotations

import os
import sys

STAMPED = ("matmul", "build")
"""Commands whose results leave a stamp."""


def answer(arguments: list[str]) -> int | None:
    """Answer a command line at once and return the exit code, or None when it takes more."""
    from npukbuild.engine import stamp

    if arguments[:1] == ["--version"]:
        return _version()
    if arguments in (["--help"], ["-h"]):
        return _help()
    stamp.begin(arguments)
    if not arguments or arguments[0] not in STAMPED:
        return None
    words = stamp.replay(arguments)
    if words is None:
        return None
    out, err = words
    try:
        _write_all(2, err)
        _write_all(1, out)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _version() -> int:
    from npukbuild import __version__

    _write_all(1, f"npukbuild {__version__}\n".encode())
    return 0


def _help() -> int | None:
    """Print what the command line library would print, unless it would have to break lines."""
    from npukbuild.cli import ABOUT, COMMANDS

    width = max(map(len, COMMANDS))
    options = (("--version", "Show the version and exit."), ("-h, --help", "Show this message and exit."))
    lines = ["Usage: npukbuild [OPTIONS] COMMAND [ARGS]...", "", f"  {ABOUT}", "", "Options:"]
    lines.extend(f"  {name:<12}{text}" for name, text in options)
    lines.extend(["", "Commands:"])
    lines.extend(f"  {name:<{width + 2}}{text}" for name, (_, text) in COMMANDS.items())
    if max(map(len, lines)) > _columns() - 2:
        return None
    _write_all(1, ("\n".join(lines) + "\n").encode())
    return 0


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def _write_all(descriptor: int, data: bytes) -> None:
    stream = sys.stdout if descriptor == 1 else sys.stderr
    stream.flush()
    while data:
        data = data[os.write(descriptor, data) :]
