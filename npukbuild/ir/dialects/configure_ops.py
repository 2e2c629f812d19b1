"""Operations of the ``aiex`` dialect that load another configuration into the array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from xdsl.irdl import irdl_op_definition, traits_def
from xdsl.traits import NoTerminator

from npukbuild.ir.dialects.base import DesignOp, attributes_of, symbol

if TYPE_CHECKING:
    from xdsl.parser import Parser


@irdl_op_definition
class ConfigureOp(DesignOp):
    """``aiex.configure @device { ... }``: load a device's configuration, then execute the block on it."""

    name = "aiex.configure"
    traits = traits_def(NoTerminator())

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the device's name and the block."""
        given = {"symbol": symbol(parser)}
        region = parser.parse_region()
        return cls.make(regions=[region], attributes=attributes_of(parser, **given))


@irdl_op_definition
class RunOp(DesignOp):
    """``aiex.run @sequence(%a) : (memref<4xi32>)``: execute a runtime sequence of the configured device."""

    name = "aiex.run"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the sequence's name and its arguments."""
        given = {"runtime_sequence_symbol": symbol(parser)}
        values = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
        parser.parse_punctuation(":")
        start = parser.pos
        kinds = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_type)
        operands = parser.resolve_operands(values, kinds, start)
        return cls.make(operands=operands, attributes=attributes_of(parser, **given))


@irdl_op_definition
class LoadPdiOp(DesignOp):
    """``aiex.npu.load_pdi {device_ref = @device}``; older: ``{id, size, address}`` of a file on the host."""

    name = "aiex.npu.load_pdi"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the attributes."""
        return cls.make(attributes=attributes_of(parser))
