"""Operations of the ``aie`` dialect that set up the hardware's event trace.

A trace reports what the array does and changes nothing of it, so what it records is read over here: the
operations are known by name and line, and the lowering warns that nothing will be written for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from xdsl.irdl import irdl_op_definition
from xdsl.utils.mlir_lexer import MLIRTokenKind

from npukbuild.ir.dialects.base import DesignOp, symbol, tile_operand, word

if TYPE_CHECKING:
    from xdsl.parser import Parser


class TraceOp(DesignOp):
    """An operation of the event trace."""


class _TraceBlockOp(TraceOp):
    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the name and the tile; the settings up to the closing brace are not interpreted."""
        name = symbol(parser)
        parser.parse_punctuation("(")
        tile = tile_operand(parser)
        parser.parse_punctuation(")")
        while parser._current_token.kind != MLIRTokenKind.L_BRACE:  # noqa: SLF001
            _next(parser)
        depth = 0
        while True:
            kind = _next(parser)
            depth += (kind == MLIRTokenKind.L_BRACE) - (kind == MLIRTokenKind.R_BRACE)
            if not depth:
                return cls.make(operands=[tile], attributes={"sym_name": name})


@irdl_op_definition
class TraceDeclarationOp(_TraceBlockOp):
    """``aie.trace @t(%tile) { aie.trace.mode "Event-Time" aie.trace.event<"INSTR_EVENT_0"> ... }``."""

    name = "aie.trace"


@irdl_op_definition
class TraceConfigOp(_TraceBlockOp):
    """``aie.trace.config @t_config(%tile) packet_type = core { aie.trace.reg register = "..." ... }``."""

    name = "aie.trace.config"


@irdl_op_definition
class TraceStartConfigOp(TraceOp):
    """``aie.trace.start_config @t``, in a runtime sequence."""

    name = "aie.trace.start_config"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the trace's name."""
        return cls.make(attributes={"trace_config": symbol(parser)})


@irdl_op_definition
class TraceHostConfigOp(TraceOp):
    """``aie.trace.host_config buffer_size = 8192 arg_idx = 4``, in a runtime sequence."""

    name = "aie.trace.host_config"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the settings, each a name and a number or a word."""
        while _setting(parser):
            parser.parse_punctuation("=")
            if parser.parse_optional_integer() is None:
                word(parser)
        return cls.make()


def _setting(parser: Parser) -> bool:
    names = ("buffer_size", "arg_idx", "routing")
    return any(parser.parse_optional_keyword(name) is not None for name in names)


def _next(parser: Parser) -> MLIRTokenKind:
    token = parser._current_token  # noqa: SLF001
    if token.kind == MLIRTokenKind.EOF:
        parser.raise_error("a trace's block has no end")
    parser._consume_token()  # noqa: SLF001
    return token.kind
