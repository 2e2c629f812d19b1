"""Explain a tool's log: the first real error, its place, the probable cause and the fix.

The knowledge is data (``diagnoses.toml``); this module finds and ranks.
"""

from __future__ import annotations

import functools
import itertools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.errors import FolderError, LockFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HEAD_BYTES = 2 << 20
TAIL_BYTES = 2 << 20
_MIDDLE_LINES = 2000
_LINE_LIMIT = 2000
_TAIL_LINES = 20
_BLOCK = 1 << 20

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# What a line has to look like to be kept from the middle of a very long log.
_TROUBLE = re.compile(
    rb"(?i)error|fail|fatal|not found|no such|undefined|cannot|could not|assert|exception|overflow"
)
# path:line:column: error: message, as clang, MLIR and lld's scripts write it
_LOCATED = re.compile(
    r"^(?:loc\()?(?P<file>\"-\"|[^\s:\"'()]+|\"[^\"]+\"):(?P<line>\d+)(?::(?P<column>\d+))?\)?: "
    r"(?:fatal )?error: (?P<text>.+)$"
)
_REPRINTED = "line {} of the design as aiecc printed it anew"
_OPERATION = re.compile(r"'([a-z]\w*\.[\w.]+)' op\b")
# error: "-":line:column: message, as the Python aiecc passes MLIR's errors on
_LOCATED_BEHIND = re.compile(
    r"^(?:[\w.+-]+: )?error: \"?(?P<file>[^\s:\"]+)\"?:(?P<line>\d+):(?P<column>\d+): (?P<text>.+)$"
)
_PYTHON_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')
_NOISE = re.compile(
    r"^\s*$|^\s*\^?[~^ ]*$|^make(\[\d+\])?: |^\s*at 0x|^ #\d+ 0x|^Stack dump:|^\d+\.\s+Program arguments:"
)


@dataclass(frozen=True, kw_only=True)
class Known:
    """One entry of the catalogue.

    Attributes:
        patterns: Regular expressions, each searched in one line.
        rank: 0 names a root cause; 1 an error that often follows from another; 2 only a sign.
        context: Earlier or later text that must be in the log too, or ``None``.
    """

    name: str
    patterns: tuple[re.Pattern[str], ...]
    cause: str
    fix: str
    source: str
    rank: int = 0
    context: re.Pattern[str] | None = None

    def match(self, line: str) -> re.Match[str] | None:
        """Return the first match of any pattern in ``line``."""
        return next((found for pattern in self.patterns if (found := pattern.search(line))), None)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An error in a log that is understood.

    Attributes:
        name: The catalogue entry, or ``compiler`` for a located compiler error without one.
        message: The tool's own words, one line.
        line: Its line number in the log, from 1.
        place: ``file:line:column`` in the template, kernel or design, if the message says it.
        excerpt: That line of the file, and the column under it, if the file is there.
    """

    name: str
    message: str
    line: int
    cause: str
    fix: str
    place: str | None
    rank: int
    excerpt: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "name": self.name,
            "message": self.message,
            "line": self.line,
            "place": self.place,
            "cause": self.cause,
            "fix": self.fix,
            "excerpt": list(self.excerpt),
        }


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What a log says: findings, the most probable root cause first, and its last meaningful lines."""

    findings: tuple[Finding, ...]
    tail: tuple[str, ...]
    lines: int

    @property
    def first(self) -> Finding | None:
        """The first real error, if one is understood."""
        return self.findings[0] if self.findings else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "findings": [finding.as_dict() for finding in self.findings],
            "last_lines": list(self.tail),
            "lines": self.lines,
        }


@functools.cache
def catalogue() -> tuple[Known, ...]:
    """Return the catalogue of known errors.

    Raises:
        LockFileError: The data file is wrong.
    """
    path = Path(__file__).with_name("diagnoses.toml")
    entries = []
    mistakes = []
    for raw in tomllib.loads(path.read_text(encoding="utf-8"))["error"]:
        try:
            entries.append(
                Known(
                    name=raw["name"],
                    patterns=tuple(re.compile(pattern) for pattern in raw["patterns"]),
                    cause=raw["cause"],
                    fix=raw["fix"],
                    source=raw["source"],
                    rank=raw.get("rank", 0),
                    context=re.compile(raw["context"]) if "context" in raw else None,
                )
            )
        except (KeyError, TypeError, re.error) as error:
            mistakes.append(f"{raw.get('name', raw)}: {error!r}")
    if mistakes:
        raise LockFileError("the catalogue of known errors is wrong", where=str(path), details=mistakes)
    return tuple(entries)


def diagnose_log(path: Path, *, base: Path | None = None) -> Diagnosis:
    """Explain the log file ``path``.

    Of a very long log the first and last 2 MB are read, and between them only lines that look like trouble.

    Args:
        path: The log.
        base: The folder that relative names in messages belong to; the log's own if absent.

    Raises:
        FolderError: The log cannot be read.
    """
    try:
        with path.open("rb") as file:
            lines, total = _collect(file)
    except OSError as error:
        raise FolderError("the log cannot be read", where=str(path), why=error.strerror) from error
    return _diagnose(lines, total, base or path.absolute().parent)


def diagnose_text(text: str, *, base: Path | None = None) -> Diagnosis:
    """Explain a log given as text."""
    lines = [(number, _clean(line)) for number, line in enumerate(text.splitlines(), start=1)]
    return _diagnose(lines, len(lines), base)


def _clean(line: str) -> str:
    return (_ANSI.sub("", line) if "\x1b" in line else line)[:_LINE_LIMIT].rstrip()


def _collect(file: Any) -> tuple[list[tuple[int, str]], int]:
    """Return (number, line) of the lines worth reading, and how many there are in all."""
    size = file.seek(0, 2)
    file.seek(0)
    kept: list[tuple[int, str]] = []
    middle = number = position = 0
    for raw in _raw_lines(file):
        number += 1
        position += len(raw)
        inside = position <= HEAD_BYTES or position > size - TAIL_BYTES
        if not inside:
            if middle >= _MIDDLE_LINES or not _TROUBLE.search(raw[:_LINE_LIMIT]):
                continue
            middle += 1
        kept.append((number, _clean(raw[: 2 * _LINE_LIMIT].decode("utf-8", "replace"))))
    return kept, number


def _raw_lines(file: Any) -> Iterator[bytes]:
    """Yield lines; one of more than a block is cut there, so that memory stays bounded."""
    while line := file.readline(_BLOCK):
        yield line


def _diagnose(lines: list[tuple[int, str]], total: int, base: Path | None) -> Diagnosis:
    found = list(_findings(lines, base))
    known_lines = {finding.line for finding in found}
    for number, line in lines:
        located = _located(line)
        if located and number not in known_lines:
            found.append(_compiler_error(number, line, located, base))
    # Signs (rank 2) never come before an error; then what stands first in the log is what went wrong first.
    found.sort(key=lambda finding: (finding.rank, finding.line))
    unique: dict[tuple[str, str], Finding] = {}
    for finding in found:
        unique.setdefault((finding.name, finding.message), finding)
    meaningful = (line for _, line in reversed(lines) if not _NOISE.match(line))
    tail = list(itertools.islice(meaningful, _TAIL_LINES))
    return Diagnosis(findings=tuple(unique.values()), tail=tuple(reversed(tail)), lines=total)


def _findings(lines: list[tuple[int, str]], base: Path | None) -> Iterator[Finding]:
    text = "\n".join(line for _, line in lines)
    entries = [e for e in catalogue() if e.context is None or e.context.search(text)]
    entries = [e for e in entries if any(p.search(text) for p in e.patterns) or _needs_line(e)]
    previous: list[str] = []
    for number, line in lines:
        for entry in entries:
            found = entry.match(line)
            if found is None:
                continue
            place = _place(line, previous, base)
            yield Finding(
                name=entry.name,
                message=_shorten(line.strip()),
                line=number,
                cause=_fill(entry.cause, found),
                fix=_fill(entry.fix, found),
                place=place,
                rank=entry.rank,
                excerpt=_excerpt(place, base),
            )
            break
        previous.append(line)
        del previous[:-4]


def _needs_line(entry: Known) -> bool:
    """Anchored patterns match lines, not the whole text."""
    return any(pattern.pattern.startswith("^") or pattern.pattern.endswith("$") for pattern in entry.patterns)


def _fill(text: str, found: re.Match[str]) -> str:
    """Put the groups of the match into ``{1}``, ``{2}`` of a cause or fix."""
    for number, group in enumerate(found.groups(default="?"), start=1):
        text = text.replace(f"{{{number}}}", group)
    return text


def _shorten(line: str, limit: int = 400) -> str:
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _compiler_error(number: int, line: str, located: re.Match[str], base: Path | None) -> Finding:
    place = _place(line, [], base)
    return Finding(
        name="compiler",
        message=_shorten(line.strip()),
        line=number,
        cause=located["text"],
        fix="correct the source at the place shown",
        place=place,
        rank=0,
        excerpt=_excerpt(place, base),
    )


def _located(line: str) -> re.Match[str] | None:
    if "error" not in line:
        return None
    return _LOCATED.match(line) or _LOCATED_BEHIND.match(line)


def _place(line: str, previous: Iterable[str], base: Path | None) -> str | None:
    """Return ``file:line:column`` from the message, or from the Python frame right before it."""
    located = _located(line)
    if located:
        name = located["file"].strip('"')
        column = f":{located['column']}" if located["column"] else ""
        if name == "-":
            sure = _is_of_design(located, base)
            return f"design.mlir:{located['line']}{column}" if sure else _REPRINTED.format(located["line"])
        return f"{name}:{located['line']}{column}"
    if re.match(r"^\w*(?:Error|Exception)\b", line):
        for earlier in reversed(list(previous)):
            frame = _PYTHON_FRAME.match(earlier)
            if frame:
                return f"{frame['file']}:{frame['line']}"
    return None


def _is_of_design(located: re.Match[str], base: Path | None) -> bool:
    """Say whether a message about ``"-"`` counts lines as ``design.mlir`` does.

    The Python aiecc parses text that it printed itself, without comments and in another order: only where the
    operation that is blamed stands at that very line and column of the design is it the same place.
    """
    blamed = _OPERATION.search(located["text"])
    if base is None or blamed is None or not located["column"]:
        return False
    try:
        lines = (base / "design.mlir").read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[int(located["line"]) - 1].startswith(blamed[1], int(located["column"]) - 1)
    except (OSError, IndexError):
        return False


def _excerpt(place: str | None, base: Path | None) -> tuple[str, ...]:
    """Return the line of the file that a place names, and a mark below its column."""
    if place is None:
        return ()
    match = re.match(r"^(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?$", place)
    if match is None:
        return ()
    path = Path(match["file"])
    path = path if path.is_absolute() or base is None else base / path
    try:
        if path.stat().st_size > HEAD_BYTES:
            return ()
        source = path.read_text(encoding="utf-8", errors="replace").splitlines()[int(match["line"]) - 1]
    except (OSError, IndexError, ValueError):
        return ()
    shown = source.rstrip()[:160].replace("\t", " ")
    if not match["column"] or int(match["column"]) > len(shown) + 1:
        return (f"| {shown}",)
    return (f"| {shown}", "| " + " " * (int(match["column"]) - 1) + "^")


def explain(names: Iterable[str]) -> Mapping[str, Known]:
    """Return catalogue entries by name."""
    wanted = set(names)
    return {entry.name: entry for entry in catalogue() if entry.name in wanted}
