"""Turn a host compiler's words into one error at the place in the kernel that caused it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.errors import CompileError
from npukbuild.simulator.compile_hints import hint_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

INCLUDE_DIR = Path(__file__).parent / "include"
"""Holds ``aie_api/aie.hpp`` and what else a kernel may include."""

_DIAGNOSTIC = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+):(?:(?P<column>\d+):)? (?:fatal )?error: (?P<text>.*)$"
)
_CONTEXT = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+):(?:\d+:)?\s+(?:required (?:from|by)|note: in instantiation of)"
)
_LINK_ERROR = re.compile(r"undefined (?:reference to|symbol:?) [`']?(?P<symbol>[^'\n]+)")
_CARET_LINE = re.compile(r"^\s*(\d+\s*)?\||^\s*[~^ ]+$")

_INSTANTIATED = re.compile(
    r"nstantiation of (?:template class |struct |class )?'(?:struct |class )?(?P<what>aie::\w+<[^']*>)'"
)


def explain(stderr: str, code: int, source: Path, log_file: Path) -> CompileError:
    """Return the first real error of a failed compilation or link.

    Args:
        stderr: All the compiler wrote.
        code: Its exit code (negative: killed by that signal).
        source: What it compiled, for errors without a place.
        log_file: Where its words lie.
    """
    lines = stderr.splitlines()
    log = f"log: {log_file}"
    if missing := _LINK_ERROR.search(stderr):
        return CompileError(
            "a kernel calls a function that nothing defines",
            where=str(source),
            why=f"undefined: {missing['symbol'].strip('`')}",
            hint='define it in one of the kernel sources, or declare it extern "C" if it is there',
            details=[log],
        )
    if (found := _first_error(lines)) is not None:
        index, match, where = found
        code_line = _line_of(where)
        inside = _is_ours(match["file"])
        excerpt = [code_line.strip()] if inside and code_line else _excerpt(lines, index)
        return CompileError(
            "the kernel does not compile for the host",
            where=where,
            why=_instantiated(lines, index) + _plain(match["text"]) if inside else _plain(match["text"]),
            hint=hint_for(match["text"], code_line),
            details=[*excerpt, log],
        )
    why = f"the compiler was killed by signal {-code}" if code < 0 else f"the compiler ended with code {code}"
    tail = [line for line in lines if line.strip()][-5:]
    return CompileError(
        "the kernel does not compile for the host", where=str(source), why=why, details=[*tail, log]
    )


def _first_error(lines: Sequence[str]) -> tuple[int, re.Match[str], str] | None:
    """The first error with a place in a kernel, else the first at all: its line, its words and its place.

    clang leaves the way to a kernel out of some errors inside the API, and then says the same again with it.
    """
    errors = [
        (index, match, _place_in_kernel(lines, index, match))
        for index, line in enumerate(lines)
        if (match := _DIAGNOSTIC.match(line)) and not _is_a_consequence(lines[index + 1 :], match)
    ]
    in_kernels = (error for error in errors if not _is_ours(error[2].partition(":")[0]))
    return next(in_kernels, errors[0] if errors else None)


def _is_a_consequence(following: Sequence[str], match: re.Match[str]) -> bool:
    """Whether gcc names a consequence first: a function "declared void" whose parameter's type is unknown."""
    return "declared void" in match["text"] and any(
        (other := _DIAGNOSTIC.match(line))
        and (other["file"], other["line"]) == (match["file"], match["line"])
        for line in following
    )


def _is_ours(file: str) -> bool:
    """Whether a place lies in the AIE API or the standard library rather than in a kernel."""
    return (
        Path(file).is_relative_to(INCLUDE_DIR)
        or file.startswith("/usr/")
        or "/c++/" in file
        or "libcxx" in file
    )


def _place_in_kernel(lines: Sequence[str], index: int, match: re.Match[str]) -> str:
    """The error's own place, or for one inside a header the place in the kernel that led there.

    gcc says before an error where a template came from, clang in notes behind it; the nearest such place
    that is no header of ours is the kernel's.
    """
    own = ":".join(part for part in (match["file"], match["line"], match["column"]) if part)
    if not _is_ours(match["file"]):
        return own
    before = _until_next_diagnostic(reversed(lines[:index]))
    behind = _until_next_diagnostic(lines[index + 1 :])
    for line in [*before, *behind]:
        if (context := _CONTEXT.match(line)) and not _is_ours(context["file"]):
            return f"{context['file']}:{context['line']}"
    return own


def _line_of(where: str) -> str:
    """The line at a place in a kernel, empty if it cannot be read."""
    name, _, rest = where.partition(":")
    try:
        lines = Path(name).read_text(errors="replace").splitlines()
        return lines[int(rest.partition(":")[0]) - 1]
    except (OSError, ValueError, IndexError):
        return ""


def _instantiated(lines: Sequence[str], index: int) -> str:
    """The class of the API that was made when the error in it occurred, as ``aie::mmul<4, 4, 4, ...>: ``."""
    before = _until_next_diagnostic(reversed(lines[:index]))
    behind = _until_next_diagnostic(lines[index + 1 :])
    for line in [*before, *behind]:
        if match := _INSTANTIATED.search(line.replace("‘", "'").replace("’", "'")):
            return re.sub(r"(\d)U\b", r"\1", match["what"]) + ": "
    return ""


def _until_next_diagnostic(lines: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for line in lines:
        if _DIAGNOSTIC.match(line):
            break
        kept.append(line)
    return kept


def _excerpt(lines: Sequence[str], index: int) -> list[str]:
    """The source line and the caret below it, as the compiler printed them."""
    following = list(lines[index + 1 : index + 3])
    if following and _CARET_LINE.match(following[0]):
        return [line.rstrip() for line in following if _CARET_LINE.match(line)]
    if len(following) == 2 and _CARET_LINE.match(following[1]):  # clang prints the line without a margin
        return [line.rstrip() for line in following]
    return []


def _plain(text: str) -> str:
    text = re.sub(r"^static(?:_assert| assertion) failed(?: due to requirement '[^']*')?:? ?", "", text)
    return text.strip('"') or "a static assertion failed"
