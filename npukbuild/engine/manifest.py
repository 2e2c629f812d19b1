"""A manifest, ``kernels.toml``: families, shapes and matrices of options, expanded to one request per kernel.

.. code-block:: toml

    include = ["more.toml"]

    [defaults]
    target = ["npu1", "npu2"]

    [[kernel]]
    family = "matmul"
    m = [64, 128]
    n = 512
    dtype = ["bf16", "i8"]
    exclude = [{ m = 128, dtype = "i8" }]

    [[kernel]]
    family = "matmul"
    shapes = [[64, 64, 512], { m = 3001, k = 512, n = 512 }]

Every field takes one value or a list of values; the kernels are all combinations. ``shapes`` gives the sizes
of several fields together. The same fields describe the check and the JSON schema.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from npukbuild.engine.families import Family, Field, family_named, family_names
from npukbuild.engine.kernel_graph import KernelRequest
from npukbuild.engine.toml_places import nearest, places
from npukbuild.errors import ManifestError, NpukbuildError, RequestError
from npukbuild.targets import target_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MOST_KERNELS = 100_000
_TOP = ("include", "defaults", "kernel")
_TABLE = ("family", "shapes", "exclude")
TARGET = Field("target", "name", "the array", default="npu1")


@dataclass
class Manifest:
    """The kernels of a manifest, each once, in the order they are written, and the files it was read from."""

    kernels: list[KernelRequest]
    files: list[Path]


@dataclass
class _Reader:
    mistakes: list[str] = field(default_factory=list)
    kernels: dict[str, KernelRequest] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def read_manifest(path: Path) -> Manifest:
    """Return the kernels of the manifest at ``path`` and of what it includes.

    Raises:
        ManifestError: Something in it is wrong; every mistake is in ``details`` with its file and line.
    """
    reader = _Reader()
    _read(path, reader, {}, ())
    if not reader.mistakes and not reader.kernels:
        reader.mistakes.append(f"{path}:1: there is no [[kernel]] in it")
    if reader.mistakes:
        count = len(reader.mistakes)
        raise ManifestError(
            f"{path} has {count} mistake{'' if count == 1 else 's'}",
            details=sorted(reader.mistakes, key=_line_of),
            hint="npukbuild build --schema prints the JSON schema for your editor",
        )
    return Manifest(list(reader.kernels.values()), reader.files)


def _read(path: Path, reader: _Reader, defaults: Mapping[str, Any], parents: tuple[Path, ...]) -> None:
    full = path.resolve()
    if full in parents:
        reader.mistakes.append(f"{path}:1: it includes itself: {' -> '.join(map(str, (*parents, full)))}")
        return
    if full in (known.resolve() for known in reader.files):
        return
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reader.mistakes.append(_syntax(path, str(error)))
        return
    except UnicodeDecodeError as error:
        reader.mistakes.append(f"{path}:1: not UTF-8 text ({error.reason})")
        return
    except OSError as error:
        reader.mistakes.append(f"{path}: cannot be read: {error.strerror}")
        return
    reader.files.append(path)
    _File(path, data, places(text), reader, defaults, (*parents, full)).read()


def _line_of(mistake: str) -> tuple[str, int]:
    file, _, rest = mistake.partition(":")
    line, _, _ = rest.partition(":")
    return file, int(line) if line.isdecimal() else 0


def _syntax(path: Path, message: str) -> str:
    words, _, place = message.rpartition(" (at ")
    line = "".join(itertools.takewhile(str.isdigit, place.removeprefix("line "))) or "1"
    return f"{path}:{line}: not valid TOML: {words or message}"


class _File:
    """One file of a manifest."""

    def __init__(
        self,
        path: Path,
        data: dict[str, Any],
        lines: dict[tuple[str | int, ...], int],
        reader: _Reader,
        defaults: Mapping[str, Any],
        parents: tuple[Path, ...],
    ) -> None:
        self._path = path
        self._data = data
        self._lines = lines
        self._reader = reader
        self._defaults = dict(defaults)
        self._parents = parents

    def _wrong(self, where: tuple[str | int, ...], text: str) -> None:
        self._reader.mistakes.append(f"{self._path}:{nearest(self._lines, where)}: {text}")

    def read(self) -> None:
        """Read everything; mistakes and kernels go to the reader."""
        for name in self._data:
            if name not in _TOP:
                self._wrong((name,), f"unknown key {name!r}{_did_you_mean(name, _TOP)}")
        self._read_defaults()
        includes = self._data.get("include", [])
        if not isinstance(includes, list) or not all(isinstance(one, str) for one in includes):
            self._wrong(("include",), "include must be a list of file names")
            includes = []
        for index, name in enumerate(includes):
            before = len(self._reader.mistakes)
            _read(self._path.parent / name, self._reader, self._defaults, self._parents)
            if len(self._reader.mistakes) > before and not (self._path.parent / name).is_file():
                self._reader.mistakes[before:] = []
                self._wrong(("include", index), f"there is no file {name!r}")
        tables = self._data.get("kernel", [])
        if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
            self._wrong(("kernel",), "write [[kernel]] with two brackets")
            return
        for index, table in enumerate(tables):
            self._read_table(table, ("kernel", index))

    def _read_defaults(self) -> None:
        defaults = self._data.get("defaults", {})
        if not isinstance(defaults, dict):
            self._wrong(("defaults",), "defaults must be a table")
            return
        known = {one.name: one for name in family_names() for one in family_named(name).fields}
        known["target"] = TARGET
        for name, value in defaults.items():
            if name == "family" and isinstance(value, str):
                self._defaults[name] = value
            elif name not in known:
                self._wrong(("defaults", name), f"no family has a field {name!r}{_did_you_mean(name, known)}")
            elif (values := self._values(known[name], value, ("defaults", name))) is not None:
                self._defaults[name] = values

    def _read_table(self, table: dict[str, Any], where: tuple[str | int, ...]) -> None:
        before = len(self._reader.mistakes)
        family = self._family(table, where)
        if family is None:
            return
        fields = {one.name: one for one in (*family.fields, TARGET)}
        for name in table:
            if name not in fields and name not in _TABLE:
                known = (*fields, *_TABLE)
                self._wrong(
                    (*where, name), f"{family.name} has no field {name!r}{_did_you_mean(name, known)}"
                )
        axes: dict[str, list[Any]] = {}
        for name, one in fields.items():
            if name in table:
                axes[name] = self._values(one, table[name], (*where, name)) or []
            elif name in self._defaults:
                axes[name] = self._defaults[name]
        shapes = self._shapes(family, table, where)
        for name, one in fields.items():
            if one.required and name not in axes and not all(name in shape for shape in shapes):
                self._wrong(where, f"{name} is missing: {one.help}")
        excluded = self._excluded(table, fields, where)
        if len(self._reader.mistakes) == before:
            self._expand(family, axes, shapes, excluded, where)

    def _family(self, table: Mapping[str, Any], where: tuple[str | int, ...]) -> Family | None:
        name = table.get("family", self._defaults.get("family"))
        if not isinstance(name, str):
            self._wrong(where, f"family is missing: one of {', '.join(family_names())}")
            return None
        if name not in family_names():
            text = f"unknown family {name!r}: one of {', '.join(family_names())}"
            self._wrong((*where, "family"), text)
            return None
        return family_named(name)

    def _values(self, one: Field, value: Any, where: tuple[str | int, ...]) -> list[Any] | None:
        """Return the values of a field, or None after noting what is wrong with them."""
        values = value if isinstance(value, list) else [value]
        if not values:
            self._wrong(where, f"{one.name} is an empty list")
            return None
        good = []
        for index, item in enumerate(values):
            fault = fault_of(one, item)
            if fault:
                self._wrong((*where, index) if isinstance(value, list) else where, fault)
            else:
                good.append(_parsed(one, item))
        return good if len(good) == len(values) else None

    def _shapes(
        self, family: Family, table: Mapping[str, Any], where: tuple[str | int, ...]
    ) -> list[dict[str, Any]]:
        given = table.get("shapes")
        if given is None:
            return [{}]
        sizes = shape_fields(family)
        if not isinstance(given, list) or not given:
            self._wrong((*where, "shapes"), "shapes must be a list")
            return [{}]
        shapes = []
        for index, entry in enumerate(given):
            place = (*where, "shapes", index)
            shape = self._shape(family, entry, sizes, place)
            if shape is not None:
                shapes.append(shape)
        return shapes or [{}]

    def _shape(
        self, family: Family, entry: Any, sizes: list[Field], place: tuple[str | int, ...]
    ) -> dict[str, Any] | None:
        named = {one.name: one for one in sizes}
        if isinstance(entry, list):
            if len(entry) != len(sizes):
                self._wrong(place, f"a shape of {family.name} is [{', '.join(named)}], not {entry!r}")
                return None
            entry = dict(zip(named, entry, strict=True))
        if not isinstance(entry, dict):
            self._wrong(place, f"a shape is [{', '.join(named)}] or a table of these, not {entry!r}")
            return None
        faults = [fault_of(named[name], value) for name, value in entry.items() if name in named]
        faults += [f"a shape of {family.name} has no {name!r}" for name in entry if name not in named]
        for fault in filter(None, faults):
            self._wrong(place, fault)
        return None if any(faults) else entry

    def _excluded(
        self, table: Mapping[str, Any], fields: Mapping[str, Field], where: tuple[str | int, ...]
    ) -> list[dict[str, Any]]:
        excluded = table.get("exclude", [])
        if not isinstance(excluded, list) or not all(isinstance(one, dict) for one in excluded):
            self._wrong((*where, "exclude"), "exclude must be a list of tables")
            return []
        for index, one in enumerate(excluded):
            for name in one:
                if name not in fields:
                    self._wrong((*where, "exclude", index), f"exclude names an unknown field {name!r}")
        return excluded

    def _expand(
        self,
        family: Family,
        axes: Mapping[str, list[Any]],
        shapes: list[dict[str, Any]],
        excluded: list[dict[str, Any]],
        where: tuple[str | int, ...],
    ) -> None:
        refused: dict[str, None] = {}
        for request in _combinations(family, axes, shapes):
            if any(all(request.get(name) == value for name, value in one.items()) for one in excluded):
                continue
            if len(self._reader.kernels) >= MOST_KERNELS:
                self._wrong(where, f"the manifest has more than {MOST_KERNELS:,} kernels")
                return
            try:
                kernel = KernelRequest.of(request)
            except RequestError as error:
                refused.update(dict.fromkeys(error.details or (error.what,)))
                continue
            except NpukbuildError as error:
                refused[error.what] = None
                continue
            self._add(kernel, where)
        for text in refused:
            plain = re.sub(r"--([a-z-]+)", lambda match: match[1].replace("-", "_"), text)
            self._wrong(where, f"{plain} (exclude combinations that cannot be)")

    def _add(self, kernel: KernelRequest, where: tuple[str | int, ...]) -> None:
        known = self._reader.kernels.get(kernel.group)
        place = f"{self._path}:{nearest(self._lines, where)}"
        if known is None:
            self._reader.kernels[kernel.group] = kernel
            self._reader.origin[kernel.group] = place
        elif known.request != kernel.request:
            first = self._reader.origin[kernel.group]
            self._wrong(where, f"another {kernel.group} with other options is at {first}")


def _combinations(
    family: Family, axes: Mapping[str, list[Any]], shapes: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for shape in shapes:
        names = [name for name in axes if name not in shape]
        for values in itertools.product(*(axes[name] for name in names)):
            request = {"family": family.name, **dict(zip(names, values, strict=True)), **shape}
            defaults = {one.name: one.default for one in (*family.fields, TARGET)}
            yield {"family": family.name, **defaults, **request}


def shape_fields(family: Family) -> list[Field]:
    """Return the fields that a shape of ``family`` gives, in order: the sizes of the problem."""
    return [one for one in family.fields if one.kind == "size" and (one.required or one.default is not None)]


def fault_of(one: Field, value: Any) -> str | None:
    """Return what is wrong with one value of a field, or None."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if one.name == "target":
        if not isinstance(value, str) or value not in target_names():
            return f"unknown target {value!r}{_did_you_mean(str(value), target_names())}"
        return None
    if one.kind in ("size", "number"):
        least = 1 if one.kind == "size" else 0
        return (
            None
            if number and value >= least
            else f"{one.name} must be a whole number from {least}, not {value!r}"
        )
    if one.kind == "flag":
        return None if isinstance(value, bool) else f"{one.name} must be true or false, not {value!r}"
    if one.kind == "block":
        return (
            None
            if _block(value)
            else f'{one.name} must be written like "64x64x64" (m x k x n), not {value!r}'
        )
    if one.choices:
        if value in one.choices:
            return None
        known = ", ".join(one.choices)
        return f"{one.name} must be one of {known}, not {value!r}{_did_you_mean(str(value), one.choices)}"
    return None if isinstance(value, str) else f"{one.name} must be a name, not {value!r}"


def _parsed(one: Field, value: Any) -> Any:
    return _block(value) if one.kind == "block" else value


def _block(value: Any) -> list[int] | None:
    parts = value.split("x") if isinstance(value, str) else []
    if len(parts) == 3 and all(part.isdecimal() and int(part) for part in parts):
        return [int(part) for part in parts]
    return None


def _did_you_mean(name: str, known: Any) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
