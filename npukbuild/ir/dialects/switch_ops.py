"""Operations of the ``aie`` dialect on stream switches: what a design has once its flows are routed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from xdsl.dialects.builtin import IntAttr, StringAttr
from xdsl.irdl import irdl_op_definition, traits_def
from xdsl.traits import NoTerminator

from npukbuild.ir.dialects.base import (
    INDEX,
    DesignOp,
    TileRegionOp,
    attributes_of,
    comma,
    integer,
    tile_operand,
    word,
)

if TYPE_CHECKING:
    from xdsl.parser import Parser


class SwitchOp(TileRegionOp):
    """A stream switch of a tile, with its connections in a block."""

    traits = traits_def(NoTerminator())


@irdl_op_definition
class SwitchboxOp(SwitchOp):
    """``aie.switchbox(%tile) { aie.connect<South : 3, North : 0> ... }``."""

    name = "aie.switchbox"


@irdl_op_definition
class ShimMuxOp(SwitchOp):
    """``aie.shim_mux(%tile) { aie.connect<DMA : 0, North : 3> ... }``: from a shim's DMA to its switch."""

    name = "aie.shim_mux"


@irdl_op_definition
class ConnectOp(DesignOp):
    """``aie.connect<South : 3, North : 0>``."""

    name = "aie.connect"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse both ports."""
        parser.parse_punctuation("<")
        given = _port(parser, "source")
        comma(parser)
        given |= _port(parser, "dest")
        parser.parse_punctuation(">")
        return cls.make(attributes=attributes_of(parser, **given))


@irdl_op_definition
class AmselOp(DesignOp):
    """``%a = aie.amsel<0> (3)``: an arbiter and one of its outputs."""

    name = "aie.amsel"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse arbiter and output."""
        parser.parse_punctuation("<")
        given: dict[str, Any] = {"arbiterID": integer(parser)}
        parser.parse_punctuation(">")
        parser.parse_punctuation("(")
        given["msel"] = integer(parser)
        parser.parse_punctuation(")")
        return cls.make(results=[INDEX], attributes=attributes_of(parser, **given))


@irdl_op_definition
class MastersetOp(DesignOp):
    """``%m = aie.masterset(DMA : 0, %a, %b)``: what leaves through a port."""

    name = "aie.masterset"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the port and the outputs of arbiters."""
        parser.parse_punctuation("(")
        given = _port(parser, "dest")
        operands = []
        while parser.parse_optional_punctuation(",") is not None:
            operands.append(tile_operand(parser))
        parser.parse_punctuation(")")
        return cls.make(operands=operands, results=[INDEX], attributes=attributes_of(parser, **given))


@irdl_op_definition
class PacketRulesOp(DesignOp):
    """``aie.packet_rules(South : 3) { aie.rule(31, 1, %a) }``."""

    name = "aie.packet_rules"
    traits = traits_def(NoTerminator())

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the port and the rules."""
        parser.parse_punctuation("(")
        given = _port(parser, "source")
        parser.parse_punctuation(")")
        region = parser.parse_region()
        return cls.make(regions=[region], attributes=attributes_of(parser, **given))


@irdl_op_definition
class PacketRuleOp(DesignOp):
    """``aie.rule(31, 1, %a)``: packets whose id masked with 31 is 1 go to ``%a``."""

    name = "aie.rule"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse mask, value and the arbiter's output."""
        parser.parse_punctuation("(")
        given: dict[str, Any] = {"mask": integer(parser)}
        comma(parser)
        given["value"] = integer(parser)
        comma(parser)
        amsel = tile_operand(parser)
        parser.parse_punctuation(")")
        return cls.make(operands=[amsel], attributes=attributes_of(parser, **given))


@irdl_op_definition
class WireOp(DesignOp):
    """``aie.wire(%tile : DMA, %switch : DMA)``: a connection that the silicon has anyway."""

    name = "aie.wire"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse both ends."""
        parser.parse_punctuation("(")
        operands = []
        for place in range(2):
            if place:
                comma(parser)
            operands.append(tile_operand(parser))
            parser.parse_punctuation(":")
            word(parser)
        parser.parse_punctuation(")")
        return cls.make(operands=operands, attributes=attributes_of(parser))


def _port(parser: Parser, prefix: str) -> dict[str, Any]:
    bundle = StringAttr(word(parser))
    parser.parse_punctuation(":")
    return {f"{prefix}_bundle": bundle, f"{prefix}_channel": IntAttr(parser.parse_integer())}
