"""Operations of the ``aiex`` dialect on tasks: configure, start, await, free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from xdsl.dialects.builtin import StringAttr
from xdsl.irdl import irdl_op_definition

from npukbuild.ir.dialects.aie_types import PacketInfoAttr, parse_packet
from npukbuild.ir.dialects.base import (
    INDEX,
    DesignOp,
    attributes_of,
    comma,
    integer,
    symbol,
    tile_operand,
    word,
)

if TYPE_CHECKING:
    from xdsl.ir import SSAValue
    from xdsl.parser import Parser


@irdl_op_definition
class ConfigureTaskForOp(DesignOp):
    """``%t = aiex.dma_configure_task_for @f { aie.dma_bd(...) aie.end } {issue_token, repeat_count}``."""

    name = "aiex.dma_configure_task_for"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the symbol and the chain."""
        given = {"alloc": symbol(parser)}
        region = parser.parse_region()
        return cls.make(results=[INDEX], regions=[region], attributes=attributes_of(parser, **given))


@irdl_op_definition
class ConfigureTaskOp(DesignOp):
    """``%t = aiex.dma_configure_task(%tile, MM2S, 0) { ... } {...}``."""

    name = "aiex.dma_configure_task"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the channel and the chain."""
        parser.parse_punctuation("(")
        tile = tile_operand(parser)
        comma(parser)
        given: dict[str, Any] = {"direction": StringAttr(word(parser))}
        comma(parser)
        given["channel"] = integer(parser)
        if parser.parse_optional_punctuation(",") is not None:
            given["packet"] = packet(parser)
        parser.parse_punctuation(")")
        region = parser.parse_region()
        return cls.make(
            operands=[tile], results=[INDEX], regions=[region], attributes=attributes_of(parser, **given)
        )


@irdl_op_definition
class StartBdChainOp(DesignOp):
    """``%t = aiex.dma_start_bd_chain @c(%a) : (memref<...>) on (%tile, MM2S, 0) {issue_token = true}``."""

    name = "aiex.dma_start_bd_chain"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the chain's name, its arguments and the channel."""
        given, operands = _chain_call(parser)
        parser.parse_keyword("on")
        parser.parse_punctuation("(")
        operands.append(tile_operand(parser))
        comma(parser)
        given["direction"] = StringAttr(word(parser))
        comma(parser)
        given["channel"] = integer(parser)
        parser.parse_punctuation(")")
        return cls.make(operands=operands, results=[INDEX], attributes=attributes_of(parser, **given))


@irdl_op_definition
class StartBdChainForOp(DesignOp):
    """``%t = aiex.dma_start_bd_chain_for @c(%a) : (memref<...>) for @alloc {issue_token = true}``."""

    name = "aiex.dma_start_bd_chain_for"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the chain's name, its arguments and the allocation."""
        given, operands = _chain_call(parser)
        parser.parse_keyword("for")
        given["alloc"] = symbol(parser)
        return cls.make(operands=operands, results=[INDEX], attributes=attributes_of(parser, **given))


def _chain_call(parser: Parser) -> tuple[dict[str, Any], list[SSAValue]]:
    given: dict[str, Any] = {"chain": symbol(parser)}
    values = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
    parser.parse_punctuation(":")
    start = parser.pos
    kinds = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_type)
    return given, list(parser.resolve_operands(values, kinds, start))


class TaskUseOp(DesignOp):
    """An operation on a configured task."""

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse ``(%task)``."""
        parser.parse_punctuation("(")
        task = tile_operand(parser)
        parser.parse_punctuation(")")
        return cls.make(operands=[task], attributes=attributes_of(parser))


@irdl_op_definition
class StartTaskOp(TaskUseOp):
    """``aiex.dma_start_task(%t)``."""

    name = "aiex.dma_start_task"


@irdl_op_definition
class AwaitTaskOp(TaskUseOp):
    """``aiex.dma_await_task(%t)``: wait for its token, then give its descriptors back."""

    name = "aiex.dma_await_task"


@irdl_op_definition
class FreeTaskOp(TaskUseOp):
    """``aiex.dma_free_task(%t)``: give its descriptors back without waiting."""

    name = "aiex.dma_free_task"


def packet(parser: Parser) -> Any:
    """Parse a packet header: an attribute or ``<pkt_type = 0, pkt_id = 1>``."""
    attribute = parser.parse_optional_attribute()
    return attribute if attribute is not None else PacketInfoAttr(parse_packet(parser))
