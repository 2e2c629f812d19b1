"""The DMA operations of the ``aie`` dialect: DMA programs, buffer descriptors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from xdsl.dialects.builtin import IntAttr, StringAttr
from xdsl.irdl import irdl_op_definition, traits_def
from xdsl.traits import IsTerminator

from npukbuild.ir.design import Dim
from npukbuild.ir.dialects.aie_types import DimsAttr, PadsAttr, parse_dims_or_pads
from npukbuild.ir.dialects.base import (
    DesignOp,
    TileRegionOp,
    attributes_of,
    comma,
    integer,
    listed,
    optional_value,
    typed_operand,
    word,
)

if TYPE_CHECKING:
    from xdsl.ir import SSAValue
    from xdsl.parser import Parser


class DmaProgramOp(TileRegionOp):
    """A region with the DMA configuration of one tile."""


@irdl_op_definition
class MemOp(DmaProgramOp):
    """``aie.mem(%core) { ... }``."""

    name = "aie.mem"


@irdl_op_definition
class MemTileDmaOp(DmaProgramOp):
    """``aie.memtile_dma(%mem) { ... }``."""

    name = "aie.memtile_dma"


@irdl_op_definition
class ShimDmaOp(DmaProgramOp):
    """``aie.shim_dma(%shim) { ... }``."""

    name = "aie.shim_dma"


@irdl_op_definition
class DmaStartOp(DesignOp):
    """``aie.dma_start(MM2S, 0, ^first, ^next, repeat_count = n)``."""

    name = "aie.dma_start"
    traits = traits_def(IsTerminator())

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse direction, channel, the chain's first block and the next channel's block."""
        from xdsl.dialects.builtin import i1

        parser.parse_punctuation("(")
        given: dict[str, Any] = {"channel_dir": StringAttr(word(parser))}
        comma(parser)
        given["channel_index"] = integer(parser)
        comma(parser)
        dest = parser.parse_successor()
        comma(parser)
        chain = parser.parse_successor()
        if parser.parse_optional_punctuation(",") is not None:
            parser.parse_keyword("repeat_count")
            parser.parse_punctuation("=")
            given["repeat_count"] = integer(parser)
        parser.parse_punctuation(")")
        return cls.make(results=[i1], successors=[dest, chain], attributes=attributes_of(parser, **given))


@irdl_op_definition
class DmaOp(DesignOp):
    """``aie.dma(S2MM, 0) {loop = false, repeat_count} [{ bd }, { bd }]``: one region per descriptor."""

    name = "aie.dma"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse direction, channel and the descriptors' regions."""
        from xdsl.dialects.builtin import i1

        parser.parse_punctuation("(")
        given: dict[str, Any] = {"channel_dir": StringAttr(word(parser))}
        comma(parser)
        given["channel_index"] = integer(parser)
        parser.parse_punctuation(")")
        attributes = attributes_of(parser, **given)
        regions = listed(parser, parser.parse_region)
        return cls.make(results=[i1], regions=regions, attributes=attributes)


@irdl_op_definition
class NextBdOp(DesignOp):
    """``aie.next_bd ^block``."""

    name = "aie.next_bd"
    traits = traits_def(IsTerminator())

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the successor."""
        successor = parser.parse_successor()
        return cls.make(successors=[successor], attributes=attributes_of(parser))


@irdl_op_definition
class DmaBdOp(DesignOp):
    """A buffer descriptor, in three spellings.

    ``aie.dma_bd(%b : memref<..>, offset, len, [<size = .., stride = ..>], [<const_pad_before = ..>])``,
    the same with ``pad_value = n``, and newer
    ``aie.dma_bd(%b : memref<..> offset = o len = n sizes = [..] strides = [..])``.
    """

    name = "aie.dma_bd"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse any of the spellings; values may be numbers or SSA constants."""
        parser.parse_punctuation("(")
        operands = [typed_operand(parser)]
        found: dict[str, Any] = {}
        while parser.parse_optional_punctuation(",") is not None:
            _positional(parser, found)
        while (key := parser.parse_optional_keyword_in(_KEYWORDS)) is not None:
            parser.parse_punctuation("=")
            found[key] = listed(parser, lambda: _number(parser)) if key in _LISTS else _number(parser)
            parser.parse_optional_punctuation(",")
        parser.parse_punctuation(")")
        return cls._finish(parser, operands, found)

    @classmethod
    def _finish(cls, parser: Parser, operands: list[SSAValue], found: dict[str, Any]) -> Self:
        given: dict[str, Any] = {}
        for key in ("offset", "len", "pad_value"):
            value = found.get(key)
            if isinstance(value, int):
                given[key] = IntAttr(value)
            elif value is not None:
                given[f"{key}_operand"] = IntAttr(len(operands))
                operands.append(value)
        if "sizes" in found:
            pairs = list(zip(found["sizes"], found.get("strides", []), strict=False))
            if len(found["sizes"]) != len(found.get("strides", [])):
                parser.raise_error("sizes and strides have different numbers of entries")
            if not all(isinstance(part, int) for pair in pairs for part in pair):
                parser.raise_error("sizes and strides that are not constants are not supported")
            given["dimensions"] = DimsAttr(tuple(Dim(size, stride) for size, stride in pairs))
        if found.get("dimensions") is not None:
            given["dimensions"] = DimsAttr(found["dimensions"])
        if found.get("pad_dimensions") is not None:
            given["pad_dimensions"] = PadsAttr(found["pad_dimensions"])
        return cls.make(operands=operands, attributes=attributes_of(parser, **given))


@irdl_op_definition
class DmaBdPacketOp(DesignOp):
    """``aie.dma_bd_packet(type, id)``: the packet header of the descriptor in the same block."""

    name = "aie.dma_bd_packet"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse type and id."""
        parser.parse_punctuation("(")
        kind = integer(parser)
        comma(parser)
        ident = integer(parser)
        parser.parse_punctuation(")")
        return cls.make(attributes=attributes_of(parser, packet_type=kind, packet_id=ident))


_LISTS = ("sizes", "strides")
_KEYWORDS = ("offset", "len", "sizes", "strides", "pad_value")
_SLOTS = ("offset", "len")


def _number(parser: Parser) -> Any:
    value = optional_value(parser)
    return value if value is not None else integer(parser).data


def _positional(parser: Parser, found: dict[str, Any]) -> None:
    """Parse what follows a comma in the older spelling."""
    if parser.parse_optional_keyword("pad_value") is not None:
        parser.parse_punctuation("=")
        found["pad_value"] = _number(parser)
        return
    value: Any = optional_value(parser)
    if value is None:
        value = parser.parse_optional_integer()
    if value is None:
        key, listed_value = parse_dims_or_pads(parser)
        found["pad_dimensions" if "dimensions" in found else key] = listed_value
        return
    slot = next((name for name in _SLOTS if name not in found), None)
    if slot is None:
        parser.raise_error("a descriptor has an offset and a length, nothing more")
    found[slot] = value


@irdl_op_definition
class BdChainOp(DesignOp):
    """``aie.bd_chain @name(%buffer: memref<...>, %lock: index) { ... }``: a chain for tasks to fill in."""

    name = "aie.bd_chain"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the name, the arguments and the chain."""
        name = parser.parse_symbol_name()
        arguments = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_argument)
        region = parser.parse_region(arguments)
        return cls.make(regions=[region], attributes=attributes_of(parser, sym_name=name))
