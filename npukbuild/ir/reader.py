"""From a design's text to a checked xDSL module in which every operation knows its line."""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from functools import cache
from typing import TYPE_CHECKING, Any

from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, FileLineColLoc, IntAttr, ModuleOp, StringAttr
from xdsl.ir import Block, Dialect
from xdsl.parser import Parser
from xdsl.utils.exceptions import DiagnosticException, ParseError, VerifyException

from npukbuild.errors import DesignError
from npukbuild.ir.design import Location
from npukbuild.ir.dialects import (
    aie_ops,
    aie_types,
    aiex_ops,
    configure_ops,
    core_ops,
    dma_ops,
    fifo_ops,
    standard,
    switch_ops,
    task_ops,
    trace_ops,
    vector_ops,
)
from npukbuild.ir.dialects.base import DesignOp, location_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdsl.ir import Operation

_ISOLATED = frozenset(("func.func", "aie.device"))
"""Operations whose regions see no outer value and may use a name again."""

_XDSL_ERRORS = (
    VerifyException,
    DiagnosticException,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    MemoryError,
    OverflowError,
)
"""What xDSL raises for wrong text besides its own parse errors."""

_HINTS = {
    "AIE.device": "the dialect is spelled in lower case since 2023: aie.device",
}


class DesignParser(Parser):
    """xDSL's parser that gives every operation its place in the text."""

    def __init__(self, context: Context, text: str, name: str) -> None:
        super().__init__(context, text, name)
        self._starts = [0, *(position + 1 for position, char in enumerate(text) if char == "\n")]
        self._file = StringAttr(name)
        self._began = self._current_token.span

    def line_of(self, position: int) -> tuple[int, int]:
        """Return line and column (1-based) of an offset."""
        line = bisect_right(self._starts, position)
        return line, position - self._starts[line - 1] + 1

    def parse_operation(self) -> Operation:
        """Parse an operation and record where it began."""
        self._began = self._current_token.span
        start = self._began.start
        if self._current_token.text in _ISOLATED:
            outer, self.ssa_values = self.ssa_values, {}
            try:
                op = super().parse_operation()
            finally:
                self.ssa_values = outer
        else:
            op = super().parse_operation()
        line, column = self.line_of(start)
        op.location = FileLineColLoc(self._file, IntAttr(line), IntAttr(column))
        if isinstance(op, DesignOp):
            _complete(op)
        return op

    def _get_op_by_name(self, name: str) -> type[Operation]:
        found = self.ctx.get_optional_op(name, dialect_stack=self._parser_state.dialect_stack)
        if found is None:
            raise _UnknownOperationError(self._began, name)
        return found


def _complete(op: DesignOp) -> None:
    """Give an operation the shape that the lowering reads: attributes in one place, a block per region."""
    op.attributes.update(op.properties)
    op.properties.clear()
    for region in op.regions:
        if not region.blocks:  # `{ }`
            region.add_block(Block())


class _UnknownOperationError(ParseError):
    def __init__(self, span: Any, name: str) -> None:
        super().__init__(span, f"operation {name} is not supported")
        self.operation = name


@cache
def _dialects() -> tuple[tuple[str, Callable[[], Dialect]], ...]:
    def of(*modules: Any) -> list[Any]:
        values = [value for module in modules for value in vars(module).values()]
        return [value for value in values if _is_operation(value)]

    def aie() -> Dialect:
        attributes = [value for value in vars(aie_types).values() if _is_attribute(value)]
        return Dialect("aie", of(aie_ops, core_ops, dma_ops, fifo_ops, switch_ops, trace_ops), attributes)

    def aiex() -> Dialect:
        return Dialect(
            "aiex", [op for op in of(aiex_ops, configure_ops, task_ops) if op.name.startswith("aiex.")], []
        )

    return (
        ("aie", aie),
        ("aiex", aiex),
        ("index", standard.index_dialect),
        ("arith", standard.arith_dialect),
        ("memref", standard.memref_dialect),
        ("func", lambda: _import("func", "Func")),
        ("scf", standard.scf_dialect),
        ("cf", lambda: _import("cf", "Cf")),
        ("math", lambda: _import("math", "Math")),
        ("affine", lambda: _import("affine", "Affine")),
        ("vector", vector_ops.vector_dialect),
        ("dlti", lambda: _import("dlti", "DLTI")),
    )


def _is_operation(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, DesignOp) and "name" in vars(value)


def _is_attribute(value: Any) -> bool:
    return isinstance(value, type) and value.__module__ == aie_types.__name__ and value.__name__[0] != "_"


def _import(module: str, name: str) -> Dialect:
    from importlib import import_module

    dialect: Dialect = getattr(import_module(f"xdsl.dialects.{module}"), name)
    return dialect


def make_context() -> Context:
    """Return an xDSL context with every dialect a design may use."""
    context = Context()
    context.load_dialect(Builtin)
    for name, factory in _dialects():
        context.register_dialect(name, factory)
    return context


_PARSING = threading.Lock()
"""One design at a time: xDSL adds a block's missing terminator through a builder that the process shares, and
an operation which another thread makes at that moment would land in that block."""


def read_design(text: str, *, file: str | None = None) -> ModuleOp:
    """Read a design.

    Args:
        text: MLIR with one or more ``aie.device``.
        file: The file's name for messages.

    Returns:
        The module; :func:`npukbuild.ir.dialects.base.location_of` gives an operation's line.

    Raises:
        DesignError: The text does not parse, has an operation we do not know, or breaks a rule that xDSL
            checks (types, terminators); names the line.
    """
    _check_strings(text, file)
    parser: DesignParser | None = None
    try:
        with _PARSING:
            parser = DesignParser(make_context(), text, file or "")
            module = parser.parse_module()
    except ParseError as error:
        raise _parse_failure(parser, error, text, file) from None
    except _XDSL_ERRORS as error:
        where = str(Location(*position_in(text, parser.pos if parser else 0), file))
        raise DesignError("the design cannot be read", where=where, why=_first_line(error)) from None
    _verify(module)
    return module


_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')


def _check_strings(text: str, file: str | None) -> None:
    """Refuse a string without an end: xDSL's lexer would take exponential time to see it."""
    if '"' not in text:
        return
    for number, line in enumerate(text.split("\n"), 1):
        rest = _STRING.sub("", line).partition("//")[0] if '"' in line else ""
        if '"' in rest:
            where = str(Location(number, line.rfind('"') + 1, file))
            raise DesignError("the design cannot be read", where=where, why="a string has no end")


def position_in(text: str, offset: int) -> tuple[int, int]:
    """Return line and column (1-based) of an offset in ``text``."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _parse_failure(
    parser: DesignParser | None, error: ParseError, text: str, file: str | None
) -> DesignError:
    where = str(Location(*position_in(text, error.span.start), file))
    if isinstance(error, _UnknownOperationError):
        dialect = error.operation.split(".")[0]
        hint = _HINTS.get(error.operation)
        if hint is None and dialect not in {name for name, _ in _dialects()}:
            hint = f"the dialect {dialect} is not read"
        return DesignError(f"operation {error.operation} is not supported", where=where, hint=hint)
    message = _first_line(error.msg)
    if parser and parser.forward_ssa_references and message.startswith("values used but not defined"):
        name = next(iter(parser.forward_ssa_references))
        where = str(Location(*position_in(text, _find_name(text, name)), file))
        return DesignError(f"value %{name} is used but not defined", where=where)
    return DesignError("the design cannot be read", where=where, why=message)


def _find_name(text: str, name: str) -> int:
    found = re.search(rf"%{re.escape(name)}(?![\w$.-])", text)
    return found.start() if found else 0


def _first_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _verify(module: ModuleOp) -> None:
    """Verify standard operations once each; ours are checked by the verifier of the design."""
    problems: list[tuple[Location | None, str]] = []
    for op in module.walk():
        if isinstance(op, DesignOp):
            continue
        try:
            op.verify(verify_nested_ops=False)
        except (VerifyException, ValueError, DiagnosticException) as error:
            cause = error.__cause__ or error
            problems.append((location_of(op), f"{op.name}: {_first_line(cause)}"))
    if problems:
        where, what = problems[0]
        raise DesignError(
            what,
            where=str(where) if where else None,
            details=[f"{place}: {text}" for place, text in problems[1:]],
        )
