"""Operations of the ``aie`` dialect that describe the device: tiles, memories, locks, cores, streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    IntAttr,
    MemRefType,
    StringAttr,
    TensorType,
)
from xdsl.ir import Block, Region
from xdsl.irdl import irdl_op_definition, traits_def
from xdsl.traits import IsTerminator, NoTerminator, SymbolTable

from npukbuild.ir.dialects.base import (
    INDEX,
    DesignOp,
    attributes_of,
    comma,
    integer,
    optional_value,
    symbol,
    tile_operand,
    word,
)

if TYPE_CHECKING:
    from xdsl.parser import Parser


@irdl_op_definition
class DeviceOp(DesignOp):
    """``aie.device(npu1) { ... }``, with a symbol name in designs of several devices."""

    name = "aie.device"
    traits = traits_def(NoTerminator(), SymbolTable())

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the device, its optional name and its body."""
        parser.parse_punctuation("(")
        given: dict[str, Any] = {"device": StringAttr(word(parser))}
        parser.parse_punctuation(")")
        name = parser.parse_optional_symbol_name()
        if name is not None:
            given["sym_name"] = name
        region = parser.parse_region()
        return cls.make(regions=[region], attributes=attributes_of(parser, **given))


@irdl_op_definition
class TileOp(DesignOp):
    """``%t = aie.tile(column, row)``."""

    name = "aie.tile"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the two coordinates."""
        parser.parse_punctuation("(")
        column = integer(parser)
        comma(parser)
        row = integer(parser)
        parser.parse_punctuation(")")
        return cls.make(results=[INDEX], attributes=attributes_of(parser, col=column, row=row))


@irdl_op_definition
class LogicalTileOp(DesignOp):
    """``%t = aie.logical_tile<CoreTile>(?, 3)``: a tile whose place is not, or not wholly, given."""

    name = "aie.logical_tile"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the kind of tile and the coordinates."""
        parser.parse_punctuation("<")
        given: dict[str, Any] = {"tile_type": StringAttr(word(parser))}
        parser.parse_punctuation(">")
        parser.parse_punctuation("(")
        for place, name in enumerate(("col", "row")):
            if place:
                comma(parser)
            if parser.parse_optional_punctuation("?") is None:
                given[name] = integer(parser)
        parser.parse_punctuation(")")
        return cls.make(results=[INDEX], attributes=attributes_of(parser, **given))


@irdl_op_definition
class EndOp(DesignOp):
    """``aie.end``: the end of a core, a DMA program or a task."""

    name = "aie.end"
    traits = traits_def(IsTerminator())

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse nothing but attributes."""
        return cls.make(attributes=attributes_of(parser))


@irdl_op_definition
class BufferOp(DesignOp):
    """``%b = aie.buffer(%tile) {sym_name, address, mem_bank} : memref<...> = dense<...>``."""

    name = "aie.buffer"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse tile, attributes, type and the optional initial value."""
        parser.parse_punctuation("(")
        tile = tile_operand(parser)
        parser.parse_punctuation(")")
        attributes = attributes_of(parser)
        parser.parse_punctuation(":")
        kind = parser.parse_type()
        if parser.parse_optional_punctuation("=") is not None:
            attributes["initial_value"] = dense_value(parser, kind)
        return cls.make(operands=[tile], results=[kind], attributes=attributes)


@irdl_op_definition
class ExternalBufferOp(DesignOp):
    """``%b = aie.external_buffer {sym_name} : memref<...>``: a buffer in host memory."""

    name = "aie.external_buffer"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse attributes and type."""
        attributes = attributes_of(parser)
        parser.parse_punctuation(":")
        return cls.make(results=[parser.parse_type()], attributes=attributes)


@irdl_op_definition
class LockOp(DesignOp):
    """``%l = aie.lock(%tile, id) {init, sym_name}``."""

    name = "aie.lock"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the tile and the optional id."""
        parser.parse_punctuation("(")
        tile = tile_operand(parser)
        given = {}
        if parser.parse_optional_punctuation(",") is not None:
            given["lockID"] = integer(parser)
        parser.parse_punctuation(")")
        return cls.make(operands=[tile], results=[INDEX], attributes=attributes_of(parser, **given))


@irdl_op_definition
class UseLockOp(DesignOp):
    """``aie.use_lock(%lock, Action, value)``; the value is a number or, in newer designs, an SSA value."""

    name = "aie.use_lock"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse both spellings of the value."""
        parser.parse_punctuation("(")
        operands = [tile_operand(parser)]
        comma(parser)
        given: dict[str, Any] = {"action": StringAttr(word(parser))}
        while parser.parse_optional_punctuation(",") is not None:
            value = optional_value(parser)
            if value is not None:
                operands.append(value)
            elif (number := parser.parse_optional_integer()) is not None:
                given["value"] = IntAttr(number)
            else:
                given["blocking"] = StringAttr(word(parser))
        parser.parse_punctuation(")")
        attributes = attributes_of(parser, **given)
        if parser.parse_optional_punctuation(":") is not None:
            parser.parse_type()
        return cls.make(operands=operands, attributes=attributes)

    @property
    def action(self) -> str:
        """``Acquire``, ``AcquireGreaterEqual`` or ``Release``."""
        value = self.attributes["action"]
        if isinstance(value, StringAttr):
            return str(value.data)
        return ("Acquire", "Release", "AcquireGreaterEqual")[self.number("action") or 0]


@irdl_op_definition
class CoreOp(DesignOp):
    """``aie.core(%tile) { ... } {stack_size, link_with, elf_file}``."""

    name = "aie.core"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse tile, body and attributes; a core without a body runs a given ELF file."""
        parser.parse_punctuation("(")
        tile = tile_operand(parser)
        parser.parse_punctuation(")")
        region = parser.parse_optional_region()
        return cls.make(
            operands=[tile],
            results=[INDEX],
            regions=[region if region is not None else Region(Block())],
            attributes=attributes_of(parser),
        )


@irdl_op_definition
class FlowOp(DesignOp):
    """``aie.flow(%a, DMA : 0, %b, DMA : 1)``: a circuit-switched stream."""

    name = "aie.flow"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse both ends."""
        parser.parse_punctuation("(")
        source, given = _port(parser, "source")
        comma(parser)
        dest, more = _port(parser, "dest")
        parser.parse_punctuation(")")
        return cls.make(operands=[source, dest], attributes=attributes_of(parser, **given, **more))


@irdl_op_definition
class PacketFlowOp(DesignOp):
    """``aie.packet_flow(id) { aie.packet_source<...> aie.packet_dest<...> }``."""

    name = "aie.packet_flow"
    traits = traits_def(NoTerminator())

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the packet id (decimal or hexadecimal) and the ends."""
        parser.parse_punctuation("(")
        ident = integer(parser)
        parser.parse_punctuation(")")
        region = parser.parse_region()
        return cls.make(regions=[region], attributes=attributes_of(parser, ID=ident))


class _PacketEnd(DesignOp):
    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse ``<%tile, DMA : 0>``."""
        parser.parse_punctuation("<")
        tile, given = _port(parser, "")
        parser.parse_punctuation(">")
        return cls.make(operands=[tile], attributes=attributes_of(parser, **given))


@irdl_op_definition
class PacketSourceOp(_PacketEnd):
    """``aie.packet_source<%tile, DMA : 0>``."""

    name = "aie.packet_source"


@irdl_op_definition
class PacketDestOp(_PacketEnd):
    """``aie.packet_dest<%tile, DMA : 0>``."""

    name = "aie.packet_dest"


@irdl_op_definition
class ShimDmaAllocationOp(DesignOp):
    """``aie.shim_dma_allocation @a (%tile, MM2S, 0)``; before 2025-12 ``@a(MM2S, channel, column)``."""

    name = "aie.shim_dma_allocation"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse both spellings."""
        given: dict[str, Any] = {"sym_name": symbol(parser)}
        parser.parse_punctuation("(")
        unresolved = parser.parse_optional_unresolved_operand()
        operands = []
        if unresolved is not None:
            operands.append(parser.resolve_operand(unresolved, INDEX))
            comma(parser)
        given["channel_dir"] = StringAttr(word(parser))
        comma(parser)
        given["channel_index"] = integer(parser)
        if unresolved is None:
            comma(parser)
            given["col"] = integer(parser)
        parser.parse_punctuation(")")
        return cls.make(operands=operands, attributes=attributes_of(parser, **given))


class SequenceOp(DesignOp):
    """A runtime sequence in either spelling."""

    traits = traits_def(NoTerminator())

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the optional name, the arguments and the body."""
        name = parser.parse_optional_symbol_name()
        given: dict[str, Any] = {"sym_name": name if name is not None else StringAttr("sequence")}
        arguments = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_argument)
        names = [StringAttr(argument.name.text[1:]) for argument in arguments]
        region = parser.parse_region(arguments)
        made = cls.make(regions=[region], attributes=attributes_of(parser, **given))
        for value, argument in zip(region.blocks[0].args, names, strict=True):
            value.name_hint = argument.data if value.is_valid_name(argument.data) else None
        return made


@irdl_op_definition
class RuntimeSequenceOp(SequenceOp):
    """``aie.runtime_sequence @sequence(%A: memref<...>, ...) { ... }``."""

    name = "aie.runtime_sequence"


def dense_value(parser: Parser, kind: Any) -> DenseIntOrFPElementsAttr:
    """Parse ``dense<...>`` for a memref's elements; the type after it is optional."""
    if not isinstance(kind, MemRefType):
        parser.raise_error("an initial value needs a memref")
    tensor = TensorType(kind.get_element_type(), kind.get_shape())
    parser.parse_keyword("dense")
    return parser.parse_dense_int_or_fp_elements_attr(tensor)


def _port(parser: Parser, prefix: str) -> tuple[Any, dict[str, Any]]:
    tile = tile_operand(parser)
    comma(parser)
    bundle = StringAttr(word(parser))
    parser.parse_punctuation(":")
    channel = IntAttr(parser.parse_integer())
    names = (f"{prefix}_bundle", f"{prefix}_channel") if prefix else ("bundle", "channel")
    return tile, {names[0]: bundle, names[1]: channel}
