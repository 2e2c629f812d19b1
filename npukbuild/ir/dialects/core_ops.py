"""Operations of the ``aie`` dialect on streams, cascades and events of cores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from xdsl.dialects.builtin import StringAttr
from xdsl.irdl import irdl_op_definition

from npukbuild.ir.dialects.base import (
    DesignOp,
    attributes_of,
    comma,
    integer,
    tile_operand,
    typed_operand,
    word,
)

if TYPE_CHECKING:
    from xdsl.parser import Parser


@irdl_op_definition
class CascadeFlowOp(DesignOp):
    """``aie.cascade_flow(%from, %to)``."""

    name = "aie.cascade_flow"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse both tiles."""
        parser.parse_punctuation("(")
        source = tile_operand(parser)
        comma(parser)
        dest = tile_operand(parser)
        parser.parse_punctuation(")")
        return cls.make(operands=[source, dest], attributes=attributes_of(parser))


@irdl_op_definition
class ConfigureCascadeOp(DesignOp):
    """``aie.configure_cascade(%tile, West, East)``: what a lowered design has for a cascade flow."""

    name = "aie.configure_cascade"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the tile and the two directions."""
        parser.parse_punctuation("(")
        tile = tile_operand(parser)
        comma(parser)
        came = StringAttr(word(parser))
        comma(parser)
        goes = StringAttr(word(parser))
        parser.parse_punctuation(")")
        return cls.make(operands=[tile], attributes=attributes_of(parser, inputDir=came, outputDir=goes))


@irdl_op_definition
class GetCascadeOp(DesignOp):
    """``%v = aie.get_cascade() : vector<16xi32>`` (in a core)."""

    name = "aie.get_cascade"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the result's type."""
        parser.parse_punctuation("(")
        parser.parse_punctuation(")")
        attributes = attributes_of(parser)
        parser.parse_punctuation(":")
        return cls.make(results=[parser.parse_type()], attributes=attributes)


@irdl_op_definition
class PutCascadeOp(DesignOp):
    """``aie.put_cascade(%v : vector<16xi32>)`` (in a core)."""

    name = "aie.put_cascade"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the value."""
        parser.parse_punctuation("(")
        value = typed_operand(parser)
        parser.parse_punctuation(")")
        return cls.make(operands=[value], attributes=attributes_of(parser))


@irdl_op_definition
class GetStreamOp(DesignOp):
    """``%v = aie.get_stream(%port : i32) : i32`` (in a core)."""

    name = "aie.get_stream"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the port and the result's type."""
        parser.parse_punctuation("(")
        port = typed_operand(parser)
        parser.parse_punctuation(")")
        attributes = attributes_of(parser)
        parser.parse_punctuation(":")
        return cls.make(operands=[port], results=[parser.parse_type()], attributes=attributes)


@irdl_op_definition
class PutStreamOp(DesignOp):
    """``aie.put_stream(%port : i32, %v : i32)`` (in a core)."""

    name = "aie.put_stream"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the port and the value."""
        parser.parse_punctuation("(")
        port = typed_operand(parser)
        comma(parser)
        value = typed_operand(parser)
        parser.parse_punctuation(")")
        return cls.make(operands=[port, value], attributes=attributes_of(parser))


@irdl_op_definition
class EventOp(DesignOp):
    """``aie.event(0)``: a trace event of a core."""

    name = "aie.event"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the event's number."""
        parser.parse_punctuation("(")
        value = integer(parser)
        parser.parse_punctuation(")")
        return cls.make(attributes=attributes_of(parser, val=value))
