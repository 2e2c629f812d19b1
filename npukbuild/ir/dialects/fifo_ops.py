"""The objectfifo operations of the ``aie`` dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from xdsl.dialects.builtin import ArrayAttr, IntAttr, StringAttr, SymbolRefAttr, UnitAttr
from xdsl.irdl import irdl_op_definition

from npukbuild.ir.dialects.aie_ops import dense_value
from npukbuild.ir.dialects.aie_types import (
    DimsArrayAttr,
    DimsAttr,
    ObjectFifoSubviewType,
    ObjectFifoType,
    parse_dims,
)
from npukbuild.ir.dialects.base import (
    DesignOp,
    attribute_int,
    attribute_ints,
    attribute_text,
    attributes_of,
    comma,
    integer,
    listed,
    symbol,
    tile_operand,
    word,
)

if TYPE_CHECKING:
    from xdsl.ir import Attribute
    from xdsl.parser import Parser

    from npukbuild.ir.design import Dim


@irdl_op_definition
class ObjectFifoOp(DesignOp):
    """``aie.objectfifo @f(%prod dimensionsToStream [...], {%cons, ...}, depth) {...} : type``."""

    name = "aie.objectfifo"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse name, ends with their layouts, depth, attributes, type(s) and initial values."""
        given: dict[str, Any] = {"sym_name": parser.parse_symbol_name()}
        parser.parse_punctuation("(")
        operands = [tile_operand(parser)]
        to_stream: tuple[Dim, ...] = ()
        if parser.parse_optional_keyword("dimensionsToStream") is not None:
            to_stream = parse_dims(parser)
        comma(parser)
        from_stream: list[tuple[Dim, ...]] = []

        def consumer() -> None:
            operands.append(tile_operand(parser))
            found = parser.parse_optional_keyword("dimensionsFromStream")
            from_stream.append(parse_dims(parser) if found is not None else ())

        parser.parse_comma_separated_list(parser.Delimiter.BRACES, consumer)
        comma(parser)
        given["elemNumber"] = _depth(parser)
        parser.parse_punctuation(")")
        attributes = attributes_of(
            parser,
            dimensionsToStream=DimsAttr(to_stream),
            dimensionsFromStreamPerConsumer=DimsArrayAttr(tuple(from_stream)),
            **given,
        )
        parser.parse_punctuation(":")
        kind = parser.parse_type()
        attributes["elemType"] = kind
        if parser.parse_optional_punctuation("->") is not None:
            attributes["consumerElemType"] = parser.parse_type()
        if parser.parse_optional_punctuation("=") is not None:
            element = kind.element if isinstance(kind, ObjectFifoType) else kind
            attributes["initValues"] = ArrayAttr(listed(parser, lambda: _initial(parser, element)))
        return cls.make(operands=operands, attributes=attributes)

    @property
    def depths(self) -> int | tuple[int, ...]:
        """The declared depth: one number, or one per end with the producer first."""
        value = self.attributes["elemNumber"]
        number = attribute_int(value)
        return number if number is not None else attribute_ints(value) or ()


@irdl_op_definition
class ObjectFifoLinkOp(DesignOp):
    """``aie.objectfifo.link [@a] -> [@b, @c] ([] [0, 1024])``; older without the offsets."""

    name = "aie.objectfifo.link"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse both lists of fifos and the two lists of offsets."""
        ins = listed(parser, lambda: symbol(parser))
        parser.parse_punctuation("->")
        outs = listed(parser, lambda: symbol(parser))
        parser.parse_punctuation("(")
        source: list[Any] = []
        dest: list[Any] = []
        given: dict[str, Any] = {}
        if parser.parse_optional_punctuation(")") is not None:
            given["implied"] = UnitAttr()
        else:
            source = listed(parser, lambda: integer(parser))
            dest = listed(parser, lambda: integer(parser))
            parser.parse_punctuation(")")
        return cls.make(
            attributes=attributes_of(
                parser,
                fifoIns=ArrayAttr(ins),
                fifoOuts=ArrayAttr(outs),
                src_offsets=ArrayAttr(source),
                dst_offsets=ArrayAttr(dest),
                **given,
            )
        )

    def names(self, which: str) -> tuple[str, ...]:
        """Return the fifo names of ``fifoIns`` or ``fifoOuts``."""
        return names_in(self.attributes[which])

    def offsets(self, which: str) -> tuple[int, ...]:
        """Return ``src_offsets`` or ``dst_offsets``."""
        return attribute_ints(self.attributes[which]) or ()


@irdl_op_definition
class ObjectFifoAllocateOp(DesignOp):
    """``aie.objectfifo.allocate @f (%tile)``: put a shared-memory fifo's buffers on this tile."""

    name = "aie.objectfifo.allocate"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the fifo and the tile."""
        given = {"objFifo_name": symbol(parser)}
        parser.parse_punctuation("(")
        tile = tile_operand(parser)
        parser.parse_punctuation(")")
        return cls.make(operands=[tile], attributes=attributes_of(parser, **given))


@irdl_op_definition
class ObjectFifoRegisterExternalBuffersOp(DesignOp):
    """``aie.objectfifo.register_external_buffers @f (%shim, {%b}) : (memref<...>)``."""

    name = "aie.objectfifo.register_external_buffers"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the fifo, the shim tile and the buffers."""
        attributes = dict(parser.parse_optional_attr_dict())
        attributes["objFifo_name"] = symbol(parser)
        parser.parse_punctuation("(")
        tile = tile_operand(parser)
        comma(parser)
        found = parser.parse_comma_separated_list(parser.Delimiter.BRACES, parser.parse_unresolved_operand)
        parser.parse_punctuation(")")
        parser.parse_punctuation(":")
        types = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_type)
        buffers = parser.resolve_operands(found, types, parser.pos)
        return cls.make(operands=[tile, *buffers], attributes=attributes)


class FifoUseOp(DesignOp):
    """An operation of a core on one end of a fifo."""

    @property
    def fifo(self) -> str:
        """The fifo's name."""
        return self.text("objFifo_name") or ""

    @property
    def port(self) -> str:
        """``Produce`` or ``Consume``."""
        value = self.attributes["port"]
        number = attribute_int(value)
        return attribute_text(value) or ("Produce" if number == 0 else "Consume")

    @property
    def size(self) -> int:
        """The number of objects."""
        return self.number("size") or 0


@irdl_op_definition
class ObjectFifoAcquireOp(FifoUseOp):
    """``%s = aie.objectfifo.acquire @f(Consume, n) : !aie.objectfifosubview<...>``.

    Newer designs drop the subview: one result per object, ``: memref<..>, memref<..>``.
    """

    name = "aie.objectfifo.acquire"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse both spellings."""
        attributes = _use(parser)
        parser.parse_punctuation(":")
        types = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        return cls.make(results=types, attributes=attributes)

    @property
    def subview(self) -> bool:
        """Whether the result is a subview (the spelling with ``subview.access``)."""
        return bool(self.results) and isinstance(self.results[0].type, ObjectFifoSubviewType)

    @property
    def element(self) -> Attribute | None:
        """The objects' type."""
        if not self.results:
            return None
        kind = self.results[0].type
        return kind.element if isinstance(kind, ObjectFifoSubviewType) else kind


@irdl_op_definition
class ObjectFifoReleaseOp(FifoUseOp):
    """``aie.objectfifo.release @f(Consume, n)``."""

    name = "aie.objectfifo.release"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse fifo, port and number."""
        attributes = _use(parser)
        attributes.update(parser.parse_optional_attr_dict())
        return cls.make(attributes=attributes)


@irdl_op_definition
class ObjectFifoSubviewAccessOp(DesignOp):
    """``%e = aie.objectfifo.subview.access %s[i] : !aie.objectfifosubview<...> -> memref<...>``."""

    name = "aie.objectfifo.subview.access"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse subview, index and types."""
        operand = parser.parse_unresolved_operand()
        parser.parse_punctuation("[")
        index = integer(parser)
        parser.parse_punctuation("]")
        attributes = attributes_of(parser, index=index)
        parser.parse_punctuation(":")
        subview = parser.resolve_operand(operand, parser.parse_type())
        parser.parse_punctuation("->")
        return cls.make(operands=[subview], results=[parser.parse_type()], attributes=attributes)

    @property
    def index(self) -> int:
        """Which of the acquired objects."""
        return self.number("index") or 0


def names_in(value: Attribute) -> tuple[str, ...]:
    """Return the names in an array of symbols."""
    if not isinstance(value, ArrayAttr):
        return ()
    return tuple(text for item in value.data if (text := attribute_text(item)) is not None)


def _use(parser: Parser) -> dict[str, Attribute]:
    attributes = dict(parser.parse_optional_attr_dict())
    attributes["objFifo_name"] = SymbolRefAttr(parser.parse_symbol_name())
    parser.parse_punctuation("(")
    attributes["port"] = StringAttr(word(parser))
    comma(parser)
    attributes["size"] = integer(parser)
    parser.parse_punctuation(")")
    return attributes


def _initial(parser: Parser, element: Attribute) -> Attribute:
    value = dense_value(parser, element)
    if parser.parse_optional_punctuation(":") is not None:
        parser.parse_type()
    return value


def _depth(parser: Parser) -> Attribute:
    if (number := parser.parse_optional_integer()) is not None:
        if parser.parse_optional_punctuation(":") is not None:
            parser.parse_type()
        return IntAttr(number)
    return ArrayAttr(listed(parser, lambda: integer(parser)))
