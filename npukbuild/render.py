"""From a plan to sources: the design and the kernel, as text that only the templates own.

Templates and core sources come from the checkout, or from the wheel's data when there is none.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.errors import NpukbuildError, RenderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jinja2 import Environment

    from npukbuild.planner.plan import MatmulPlan

_RESUME = '#line 0 "kernel.cc"'


@dataclass(frozen=True, slots=True)
class Sources:
    """What is built: the array design in MLIR and the core functions in C++."""

    design: str
    kernel: str


def render(plan: MatmulPlan) -> Sources:
    """Return the sources of ``plan``; the same plan always gives the same text.

    Raises:
        RenderError: A template is missing, is wrong or asks for an unknown name; ``where`` says the line.
    """
    from npukbuild.planner.numbers import design_numbers, kernel_numbers

    return Sources(
        design=_text(f"{plan.family}/design.mlir.j2", design_numbers(plan)),
        kernel=_resumed(_text(f"{plan.family}/kernel.cc.j2", kernel_numbers(plan))),
    )


def data_folder(name: str) -> Path:
    """Return the folder ``templates`` or ``kernels_src``.

    ``$NPUKBUILD_DATA_DIR`` names a folder with both, for kernel authors who change them; otherwise they come
    from the installed package or from the checkout.

    Raises:
        RenderError: It is neither in the checkout nor in the installed package.
    """
    package = Path(__file__).resolve().parent
    given = os.environ.get("NPUKBUILD_DATA_DIR")
    places = (Path(given),) if given else (package / "_data", package.parent)
    for folder in (place / name for place in places):
        if folder.is_dir():
            return folder
    raise RenderError(f"the folder {name} is missing", where=str(places[0]), hint="install npukbuild again")


def _text(template: str, numbers: dict[str, Any]) -> str:
    from jinja2 import TemplateError, TemplateNotFound, TemplateSyntaxError

    try:
        return _environment().get_template(template).render(numbers)
    except TemplateNotFound as error:
        raise RenderError(f"the template {error.name} is missing", where=f"templates/{template}") from error
    except TemplateSyntaxError as error:
        place = f"templates/{error.name or template}:{error.lineno}"
        raise RenderError("a template is not valid Jinja", where=place, why=error.message) from error
    except (TemplateError, TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise RenderError("a template failed", where=_place(error, template), why=str(error)) from error


def _place(error: BaseException, template: str) -> str:
    """Return ``templates/<file>:<line>`` of the innermost template frame of ``error``."""
    place = f"templates/{template}"
    root = data_folder("templates")
    trace = error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(root):
            place = f"templates/{file.relative_to(root).as_posix()}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701  the output is MLIR and C++, not HTML
        loader=FileSystemLoader(data_folder("templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    helpers: dict[str, Callable[..., str]] = {"inline": _inlined, "resume": lambda: _RESUME}
    environment.globals.update(helpers)
    return environment


def _inlined(name: str) -> str:
    """Return a core source for inclusion: its own includes are inlined beside it, aie_api's is done once."""
    file = data_folder("kernels_src") / name
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise RenderError(
            f"the core source {name} cannot be read", where=str(file), why=error.strerror
        ) from error
    lines = [
        "" if line.startswith(("#pragma once", '#include "')) else line
        for line in text.rstrip("\n").split("\n")
    ]
    return "\n".join([f'#line 1 "kernels_src/{name}"', *lines])


def _resumed(text: str) -> str:
    """Fill in the line numbers with which kernel.cc goes on after an inlined source."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if line == _RESUME:
            lines[index] = f'#line {index + 2} "kernel.cc"'
    return "\n".join(lines)


_DESIGN_PLACE = re.compile(r"\bdesign\.mlir(?: \([^)]*\))?:(\d+)")
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}")
_LEAST_TEXT = 6


@contextmanager
def naming_templates(design: str) -> Iterator[None]:
    """Add the template's line to an error that names a line of ``design``, which that template rendered."""
    try:
        yield
    except NpukbuildError as error:
        found = _DESIGN_PLACE.search(error.where or "")
        lines = design.splitlines()
        if found and 1 <= int(found[1]) <= len(lines):
            place = template_place(lines[int(found[1]) - 1])
            if place is not None:
                error.details = (*error.details, f"this line is made by {place}")
        raise


def template_place(line: str) -> str | None:
    """Return ``templates/<file>:<line>`` of the template line that most likely rendered a line of a design.

    Jinja keeps no such map. The template line that agrees with ``line`` in the most text of its own, with
    anything in the place of its tags, is the answer; None when no line has enough text of its own.
    """
    try:
        root = data_folder("templates")
    except RenderError:
        return None
    best, answer = _LEAST_TEXT - 1, None
    for file in sorted([*root.glob("*/*.mlir.j2"), *root.glob("macros/*.j2")]):
        for number, template in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            pieces = [piece.strip() for piece in _TAG.split(template)]
            own = sum(map(len, pieces))
            if own > best and re.fullmatch(".*?".join(map(re.escape, pieces)), line.strip()):
                best, answer = own, f"templates/{file.relative_to(root).as_posix()}:{number}"
    return answer
