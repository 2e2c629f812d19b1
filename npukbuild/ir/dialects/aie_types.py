"""Types and attributes of the ``aie`` dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdsl.ir import Attribute, Data, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition

from npukbuild.ir.design import Dim, Pad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xdsl.parser import AttrParser, Parser
    from xdsl.printer import Printer


@irdl_attr_definition
class ObjectFifoType(ParametrizedAttribute, TypeAttribute):
    """``!aie.objectfifo<memref<...>>``: a fifo whose objects have this type."""

    name = "aie.objectfifo"
    element: Attribute


@irdl_attr_definition
class ObjectFifoSubviewType(ParametrizedAttribute, TypeAttribute):
    """``!aie.objectfifosubview<memref<...>>``: what an acquire returns."""

    name = "aie.objectfifosubview"
    element: Attribute


@irdl_attr_definition
class DimsAttr(Data[tuple[Dim, ...]]):
    """A data layout: dims outermost first, in elements."""

    name = "aie.bd_dim_layout_array"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[Dim, ...]:
        """Parse ``[<size = 2, stride = 1>, ...]`` (older: ``[<2, 1>]``)."""
        return parse_dims(parser)

    def print_parameter(self, printer: Printer) -> None:
        """Print in the current spelling."""
        inner = ", ".join(f"<size = {dim.size}, stride = {dim.stride}>" for dim in self.data)
        printer.print_string(f"<[{inner}]>")


@irdl_attr_definition
class DimsArrayAttr(Data[tuple[tuple[Dim, ...], ...]]):
    """One data layout per consumer."""

    name = "aie.bd_dim_layout_array_array"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[tuple[Dim, ...], ...]:
        """Parse ``[[<size = ..>], []]``."""
        opened = parser.parse_optional_punctuation("<") is not None
        value = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_dims(parser))
        if opened:
            parser.parse_punctuation(">")
        return tuple(value)

    def print_parameter(self, printer: Printer) -> None:
        """Print in the current spelling."""
        printer.print_string(f"<{[len(dims) for dims in self.data]}>")


@irdl_attr_definition
class PadsAttr(Data[tuple[Pad, ...]]):
    """Zero padding around dims, outermost first."""

    name = "aie.bd_pad_layout_array"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[Pad, ...]:
        """Parse ``[<const_pad_before = 0, const_pad_after = 1>, ...]``."""
        return parse_pads(parser)

    def print_parameter(self, printer: Printer) -> None:
        """Print in the current spelling."""
        inner = ", ".join(f"<const_pad_before = {p.before}, const_pad_after = {p.after}>" for p in self.data)
        printer.print_string(f"<[{inner}]>")


@irdl_attr_definition
class PacketInfoAttr(Data[tuple[int, int]]):
    """``#aie.packet_info<pkt_type = 0, pkt_id = 1>``."""

    name = "aie.packet_info"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[int, int]:
        """Parse the two named numbers, in either order."""
        return parse_packet(parser)

    def print_parameter(self, printer: Printer) -> None:
        """Print in the current spelling."""
        printer.print_string(f"<pkt_type = {self.data[0]}, pkt_id = {self.data[1]}>")


def parse_packet(parser: AttrParser | Parser) -> tuple[int, int]:
    """Parse ``<pkt_type = 0, pkt_id = 1>`` in either order; return (type, id)."""
    found = {"pkt_type": 0, "pkt_id": 0}
    parser.parse_punctuation("<")
    while True:
        key = parser.parse_identifier()
        if key not in found:
            parser.raise_error("expected pkt_type or pkt_id")
        parser.parse_punctuation("=")
        found[key] = parser.parse_integer()
        if parser.parse_optional_punctuation(",") is None:
            break
    parser.parse_punctuation(">")
    return found["pkt_type"], found["pkt_id"]


def parse_dims(parser: AttrParser | Parser) -> tuple[Dim, ...]:
    """Parse a list of dims, inside ``<>`` or bare."""
    return tuple(Dim(size, stride) for size, stride in _pairs(parser, "size", "stride"))


def parse_pads(parser: AttrParser | Parser) -> tuple[Pad, ...]:
    """Parse a list of pads, inside ``<>`` or bare."""
    return tuple(Pad(*pair) for pair in _pairs(parser, "const_pad_before", "const_pad_after"))


def parse_dims_or_pads(parser: AttrParser | Parser) -> tuple[str, tuple[Dim, ...] | tuple[Pad, ...]]:
    """Parse a bracketed list that is either; the first name inside tells which."""
    parser.parse_punctuation("[")
    if parser.parse_optional_punctuation("]") is not None:
        return "dimensions", ()
    found: list[tuple[int, int]] = []
    kind = "dimensions"
    while True:
        parser.parse_punctuation("<")
        if parser.parse_optional_keyword("const_pad_before") is not None:
            kind = "pad_dimensions"
            parser.parse_punctuation("=")
            first = parser.parse_integer()
            parser.parse_punctuation(",")
            second = _named(parser, "const_pad_after")
        else:
            first = _named(parser, "size")
            parser.parse_punctuation(",")
            second = _named(parser, "stride")
        parser.parse_punctuation(">")
        found.append((first, second))
        if parser.parse_optional_punctuation(",") is None:
            break
    parser.parse_punctuation("]")
    if kind == "pad_dimensions":
        return kind, tuple(Pad(*pair) for pair in found)
    return kind, tuple(Dim(*pair) for pair in found)


def _pairs(parser: AttrParser | Parser, first: str, second: str) -> Sequence[tuple[int, int]]:
    opened = parser.parse_optional_punctuation("<") is not None
    value = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: _pair(parser, first, second))
    if opened:
        parser.parse_punctuation(">")
    return value


def _pair(parser: AttrParser | Parser, first: str, second: str) -> tuple[int, int]:
    parser.parse_punctuation("<")
    left = _named(parser, first)
    parser.parse_punctuation(",")
    right = _named(parser, second)
    parser.parse_punctuation(">")
    return left, right


def _named(parser: AttrParser | Parser, name: str) -> int:
    if parser.parse_optional_keyword(name) is not None:
        parser.parse_punctuation("=")
    return parser.parse_integer()
