"""Inputs found on the way: which headers a compiler read, and where it looked for them in vain."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from npukbuild.engine.roots import Roots

# `#include <x>`, `#include_next "x"`, `#embed "x"` and `__has_include(<x>)` alike: each asks which file has
# a name.
_INCLUDE = re.compile(
    rb"(?:#[ \t]*(?:include(?:_next)?|import|embed)[ \t]*|__has_include(?:_next)?[ \t]*\([ \t]*)"
    rb'(?:"([^"\n]+)"|<([^>\n]+)>)'
)


def parse_depfile(text: str) -> list[str]:
    """Return the prerequisites in a file of Make's syntax, as compilers write it with ``-MD``.

    Continuation lines, several rules and the escapes of space, ``#`` and ``$`` are understood.
    """
    found: dict[str, None] = {}
    for rule in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        words = [_unescape(word) for word in re.findall(r"(?:\\.|[^\s\\])+", rule)]
        target_ends = next((index for index, word in enumerate(words) if word.endswith(":")), None)
        if target_ends is None:
            continue
        found.update(dict.fromkeys(words[target_ends + 1 :]))
    return list(found)


def _unescape(word: str) -> str:
    return re.sub(r"\\([ #\\])", r"\1", word).replace("$$", "$")


@dataclass(frozen=True, slots=True)
class Found:
    """Names of the files that were read, and of the places where one would have been taken first."""

    present: tuple[str, ...]
    absent: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names whose state decides whether the action would do the same again."""
        return tuple(sorted({*self.present, *self.absent}))


class HeaderSearch:
    """Finds out, for the files a compiler read, every place where another file would have been read instead.

    A depfile says which header was found. That is half of the truth: a header that appears later in a folder
    that is searched *earlier* would be found instead. So every spelling in every file read is searched for
    again, and the places passed on the way are remembered as "no file here". Files in inactive branches
    count too, which costs at most a needless rebuild.
    """

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._spelled: dict[tuple[str, int, int], list[tuple[str, str]]] = {}

    def find(self, files: Iterable[str], search: Sequence[str], work: str) -> Found:
        """Return what was found and what was searched for in vain.

        Args:
            files: Paths that the depfile lists; those inside ``work`` are declared inputs and are only
                scanned.
            search: Folders of the search path, in order, as paths of this machine.
            work: The work folder.
        """
        work = os.path.realpath(work)
        folders = [os.path.normpath(folder) for folder in search]
        present: set[str] = set()
        absent: set[str] = set()
        exists: dict[str, bool] = {}
        for name in files:
            path = os.path.normpath(os.path.join(work, name))
            real = os.path.realpath(path)
            own = real.startswith(work + os.sep)
            if not own:
                present.add(path)
                self._earlier(path, folders, absent, exists)
            for quoted, spelled in self._includes(path):
                places = [os.path.dirname(path), *folders] if quoted else folders
                _walk(spelled, places, (present, absent), exists)
        inside = work + os.sep
        return Found(
            tuple(sorted(self._roots.name(path) for path in present if not path.startswith(inside))),
            tuple(sorted(self._roots.name(path) for path in absent - present if not path.startswith(inside))),
        )

    @staticmethod
    def _earlier(path: str, folders: Sequence[str], absent: set[str], exists: dict[str, bool]) -> None:
        """Note the same relative name in the folders before the one that holds ``path``."""
        for index, folder in enumerate(folders):
            if path.startswith(folder + os.sep):
                relative = path[len(folder) + 1 :]
                for earlier in folders[:index]:
                    candidate = os.path.normpath(os.path.join(earlier, relative))
                    if not _exists(candidate, exists):
                        absent.add(candidate)
                return

    def _includes(self, path: str) -> list[tuple[bool, str]]:
        try:
            status = os.stat(path)
        except OSError:
            return []
        mark = (path, status.st_mtime_ns, status.st_size)
        known = self._spelled.get(mark)
        if known is None:
            with open(path, "rb") as file:
                text = file.read()
            known = sorted(
                {
                    ("q" if quoted else "a", os.fsdecode(quoted or angled))
                    for quoted, angled in _INCLUDE.findall(text)
                }
            )
            self._spelled[mark] = known
        return [(kind == "q", spelled) for kind, spelled in known]


def _walk(
    spelled: str, places: Sequence[str], noted: tuple[set[str], set[str]], exists: dict[str, bool]
) -> None:
    present, absent = noted
    for folder in places:
        candidate = os.path.normpath(os.path.join(folder, spelled))
        if _exists(candidate, exists):
            present.add(candidate)
            return
        absent.add(candidate)


def _exists(path: str, memo: dict[str, bool]) -> bool:
    answer = memo.get(path)
    if answer is None:
        answer = memo[path] = os.path.isfile(path)
    return answer
