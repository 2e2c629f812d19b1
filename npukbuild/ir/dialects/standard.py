"""Spellings of standard dialects that xDSL lacks.

These are ``memref.global``, ``memref.copy``, quoted predicates, ``scf.while`` without arguments and
``index``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from xdsl.dialects import arith, memref, scf
from xdsl.dialects.builtin import IndexType, IntAttr, MemRefType, StringAttr, UnitAttr, i1
from xdsl.ir import Dialect
from xdsl.irdl import irdl_op_definition

from npukbuild.ir.dialects.aie_ops import dense_value
from npukbuild.ir.dialects.base import DesignOp, attributes_of, comma, integer, word
from npukbuild.ir.dialects.vector_ops import arith_operations

if TYPE_CHECKING:
    from xdsl.parser import Parser

INDEX = IndexType()


class GlobalOp(memref.GlobalOp):
    """``memref.global "private" constant @w : memref<8xi32> = dense<...>``."""

    name = "memref.global"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse visibility, constness, name, type and the optional value."""
        visibility = parser.parse_optional_str_literal() or "public"
        properties: dict[str, Any] = {"sym_visibility": StringAttr(visibility)}
        if parser.parse_optional_keyword("constant") is not None:
            properties["constant"] = UnitAttr()
        properties["sym_name"] = parser.parse_symbol_name()
        parser.parse_punctuation(":")
        kind = parser.parse_type()
        if not isinstance(kind, MemRefType):
            parser.raise_error("memref.global needs a memref type")
        properties["type"] = kind
        properties["initial_value"] = UnitAttr()
        if parser.parse_optional_punctuation("=") is not None and (
            parser.parse_optional_keyword("uninitialized") is None
        ):
            properties["initial_value"] = dense_value(parser, kind)
        attributes = dict(parser.parse_optional_attr_dict())
        if "alignment" in attributes:
            properties["alignment"] = attributes.pop("alignment")
        return cls.create(properties=properties, attributes=attributes)


class CopyOp(memref.CopyOp):
    """``memref.copy %a, %b : memref<4xi32> to memref<4xi32>``."""

    name = "memref.copy"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse source, target and their types."""
        source = parser.parse_unresolved_operand()
        comma(parser)
        target = parser.parse_unresolved_operand()
        attributes = dict(parser.parse_optional_attr_dict())
        parser.parse_punctuation(":")
        first = parser.parse_type()
        parser.parse_keyword("to")
        second = parser.parse_type()
        operands = parser.resolve_operands([source, target], [first, second], parser.pos)
        return cls.create(operands=operands, attributes=attributes)


class WhileOp(scf.WhileOp):
    """``scf.while : () -> () {...} do {...}``: MLIR leaves the parentheses out where nothing is carried."""

    name = "scf.while"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the form without arguments, and leave any other to xDSL."""
        start = parser.pos
        if parser.parse_optional_punctuation(":") is None:
            return super().parse(parser)
        kind = parser.parse_function_type()
        if kind.inputs.data:
            parser.raise_error(
                f"scf.while has {len(kind.inputs.data)} argument types and no arguments", start, parser.pos
            )
        before = parser.parse_region(())
        parser.parse_characters("do")
        made = cls((), kind.outputs.data, before, parser.parse_region())
        given = parser.parse_optional_attr_dict_with_keyword()
        if given is not None:
            made.attributes.update(given.data)
        return made


@irdl_op_definition
class IndexConstantOp(DesignOp):
    """``index.constant 4``."""

    name = "index.constant"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the number."""
        attributes = dict(parser.parse_optional_attr_dict())
        attributes["value"] = integer(parser)
        return cls.make(results=[INDEX], attributes=attributes)


class IndexBinaryOp(DesignOp):
    """An arithmetic operation on two values of type ``index``."""

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse ``%a, %b``."""
        first = parser.parse_unresolved_operand()
        comma(parser)
        second = parser.parse_unresolved_operand()
        operands = parser.resolve_operands([first, second], [INDEX, INDEX], parser.pos)
        return cls.make(operands=operands, results=[INDEX], attributes=attributes_of(parser))


@irdl_op_definition
class IndexCmpOp(DesignOp):
    """``index.cmp slt(%a, %b)``."""

    name = "index.cmp"
    PREDICATES: ClassVar[tuple[str, ...]] = (
        "eq",
        "ne",
        "slt",
        "sle",
        "sgt",
        "sge",
        "ult",
        "ule",
        "ugt",
        "uge",
    )

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the predicate and both operands."""
        predicate = word(parser)
        parser.parse_punctuation("(")
        first = parser.parse_unresolved_operand()
        comma(parser)
        second = parser.parse_unresolved_operand()
        parser.parse_punctuation(")")
        operands = parser.resolve_operands([first, second], [INDEX, INDEX], parser.pos)
        given = {"predicate": IntAttr(cls.PREDICATES.index(predicate))}
        return cls.make(operands=operands, results=[i1], attributes=attributes_of(parser, **given))


class IndexCastOp(DesignOp):
    """A cast between ``index`` and an integer type."""

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse ``%a : index to i32``."""
        operand = parser.parse_unresolved_operand()
        attributes = attributes_of(parser)
        parser.parse_punctuation(":")
        value = parser.resolve_operand(operand, parser.parse_type())
        parser.parse_keyword("to")
        return cls.make(operands=[value], results=[parser.parse_type()], attributes=attributes)


def _named(base: type[DesignOp], name: str) -> type[DesignOp]:
    made = type(f"Index_{name.replace('.', '_')}", (base,), {"name": name, "__doc__": f"``{name}``."})
    return irdl_op_definition(made)


_BINARY = (
    "add",
    "sub",
    "mul",
    "divs",
    "divu",
    "rems",
    "remu",
    "maxs",
    "maxu",
    "mins",
    "minu",
    "and",
    "or",
    "xor",
    "shl",
    "shrs",
    "shru",
    "ceildivs",
    "ceildivu",
    "floordivs",
)


def index_dialect() -> Dialect:
    """Return the ``index`` dialect."""
    operations: list[type[Any]] = [IndexConstantOp, IndexCmpOp]
    operations += [_named(IndexBinaryOp, f"index.{name}") for name in _BINARY]
    operations += [_named(IndexCastOp, f"index.{name}") for name in ("casts", "castu")]
    return Dialect("index", operations, [])


def replaced(dialect: Dialect, *operations: type[Any]) -> Dialect:
    """Return ``dialect`` with some operations replaced by name."""
    names = {operation.name: operation for operation in operations}
    return Dialect(
        dialect.name,
        [names.get(operation.name, operation) for operation in dialect.operations],
        list(dialect.attributes),
    )


def arith_dialect() -> Dialect:
    """Return ``arith`` with quoted comparison predicates, and comparisons and casts of vectors."""
    return replaced(arith.Arith, *arith_operations())


def memref_dialect() -> Dialect:
    """Return ``memref`` with the custom forms of ``memref.global`` and ``memref.copy``."""
    return replaced(memref.MemRef, GlobalOp, CopyOp)


def scf_dialect() -> Dialect:
    """Return ``scf`` with both forms of ``scf.while``."""
    return replaced(scf.Scf, WhileOp)
