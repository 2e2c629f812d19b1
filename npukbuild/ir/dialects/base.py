"""What all our operations share: untyped operand lists, attribute access by kind, small parse helpers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from xdsl.dialects.builtin import (
    ArrayAttr,
    FileLineColLoc,
    IndexType,
    IntAttr,
    IntegerAttr,
    StringAttr,
    SymbolRefAttr,
    UnitAttr,
    i32,
)
from xdsl.ir import Attribute, Data, SSAValue
from xdsl.irdl import IRDLOperation, var_operand_def, var_region_def, var_result_def, var_successor_def

from npukbuild.ir.design import Location

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xdsl.ir import Block, Operation, Region
    from xdsl.parser import Parser

INDEX = IndexType()


class DesignOp(IRDLOperation):
    """Base of our operations.

    Operands, results, regions and successors are unconstrained here: the verifier of the design checks their
    meaning and reports in its own words with the line.
    """

    ins = var_operand_def()
    outs = var_result_def()
    bodies = var_region_def()
    dests = var_successor_def()

    @classmethod
    def make(
        cls,
        operands: Sequence[SSAValue] = (),
        results: Sequence[Attribute] = (),
        regions: Sequence[Region] = (),
        successors: Sequence[Block] = (),
        attributes: dict[str, Attribute] | None = None,
    ) -> Self:
        """Create an operation without the cost of ``build``."""
        return cls.create(
            operands=operands,
            result_types=results,
            regions=regions,
            successors=successors,
            attributes=attributes or {},
        )

    @property
    def sym(self) -> str | None:
        """The value of ``sym_name``."""
        return self.text("sym_name")

    @property
    def body(self) -> Region:
        """The first region."""
        return self.regions[0]

    def text(self, name: str) -> str | None:
        """Return a string or symbol attribute, None when absent."""
        return attribute_text(self.attributes.get(name))

    def number(self, name: str) -> int | None:
        """Return an integer attribute, None when absent."""
        return attribute_int(self.attributes.get(name))

    def flag(self, name: str) -> bool:
        """Return a boolean or unit attribute; absent is False."""
        value = self.attributes.get(name)
        if isinstance(value, UnitAttr):
            return True
        return bool(attribute_int(value) or 0)

    def data(self, name: str) -> Any:
        """Return the Python value of one of our own attributes, None when absent."""
        value = self.attributes.get(name)
        return value.data if isinstance(value, Data) else None


class TileRegionOp(DesignOp):
    """An operation on one tile with a region: ``name(%tile) { ... }``, whose result names it."""

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse ``(%tile) { ... }``."""
        parser.parse_punctuation("(")
        tile = tile_operand(parser)
        parser.parse_punctuation(")")
        region = parser.parse_region()
        return cls.make(operands=[tile], results=[INDEX], regions=[region], attributes=attributes_of(parser))


def attribute_int(value: Attribute | None) -> int | None:
    """Return the number in an integer attribute of any kind."""
    if isinstance(value, IntegerAttr):
        return int(value.value.data)
    if isinstance(value, IntAttr):
        return int(value.data)
    return None


def attribute_text(value: Attribute | None) -> str | None:
    """Return the text of a string or symbol attribute."""
    if isinstance(value, StringAttr):
        return str(value.data)
    if isinstance(value, SymbolRefAttr):
        nested = [part.data for part in value.nested_references.data]
        return ".".join([value.root_reference.data, *nested])
    return None


def attribute_ints(value: Attribute | None) -> tuple[int, ...] | None:
    """Return the numbers of an array attribute (plain or dense)."""
    if isinstance(value, ArrayAttr):
        return tuple(number for item in value.data if (number := attribute_int(item)) is not None)
    get_values = getattr(value, "get_values", None)
    if get_values is not None:
        return tuple(int(number) for number in get_values())
    return None


def location_of(op: Operation) -> Location | None:
    """Return where ``op`` begins in the design's text."""
    where = op.location
    if isinstance(where, FileLineColLoc):
        return Location(where.line.data, where.column.data, where.filename.data or None)
    return None


def word(parser: Parser) -> str:
    """Parse an enum case, written bare or quoted (both spellings are in use)."""
    text = parser.parse_optional_str_literal()
    return text if text is not None else parser.parse_identifier()


def integer(parser: Parser) -> IntAttr:
    """Parse an integer, with a type after it or without."""
    value = parser.parse_integer(allow_boolean=False)
    if parser.parse_optional_punctuation(":") is not None:
        parser.parse_type()
    return IntAttr(value)


def symbol(parser: Parser) -> SymbolRefAttr:
    """Parse ``@name``."""
    return SymbolRefAttr(parser.parse_symbol_name())


def comma(parser: Parser) -> None:
    """Parse a comma."""
    parser.parse_punctuation(",")


def tile_operand(parser: Parser) -> SSAValue:
    """Parse a reference to a tile, lock or task: a value of type ``index``."""
    return parser.resolve_operand(parser.parse_unresolved_operand(), INDEX)


def typed_operand(parser: Parser) -> SSAValue:
    """Parse ``%value : type``."""
    operand = parser.parse_unresolved_operand()
    parser.parse_punctuation(":")
    return parser.resolve_operand(operand, parser.parse_type())


def optional_value(parser: Parser) -> SSAValue | None:
    """Parse ``%value`` written without its type, if present; before its definition it counts as an i32."""
    operand = parser.parse_optional_unresolved_operand()
    if operand is None:
        return None
    known = parser.ssa_values.get(operand.operand_name)
    return parser.resolve_operand(operand, known[operand.index].type if known else i32)


def listed(parser: Parser, item: Callable[[], Any]) -> list[Any]:
    """Parse ``[item, ...]``."""
    return parser.parse_comma_separated_list(parser.Delimiter.SQUARE, item)


def attributes_of(parser: Parser, **given: Attribute) -> dict[str, Attribute]:
    """Parse the optional attribute dictionary and add ``given``."""
    found = dict(parser.parse_optional_attr_dict())
    found.update(given)
    return found
