"""Operations of the ``vector`` dialect that xDSL lacks, and comparisons and casts on vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import DenseArrayBase, StringAttr, VectorType, i1, i64
from xdsl.ir import Dialect
from xdsl.irdl import irdl_op_definition

from npukbuild.ir.dialects.base import DesignOp, attributes_of, comma, word

if TYPE_CHECKING:
    from xdsl.parser import Parser

_INTEGERS = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
_FLOATS = ("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule",
           "une", "uno", "true")  # fmt: skip


@irdl_op_definition
class ShapeCastOp(DesignOp):
    """``vector.shape_cast %v : vector<16xf32> to vector<4x4xf32>``."""

    name = "vector.shape_cast"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the value and both types."""
        value = parser.parse_unresolved_operand()
        attributes = attributes_of(parser)
        parser.parse_punctuation(":")
        operand = parser.resolve_operand(value, parser.parse_type())
        parser.parse_keyword("to")
        return cls.make(operands=[operand], results=[parser.parse_type()], attributes=attributes)


@irdl_op_definition
class TransposeOp(DesignOp):
    """``vector.transpose %v, [1, 0] : vector<2x4xf32> to vector<4x2xf32>``."""

    name = "vector.transpose"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the value, the permutation and both types."""
        value = parser.parse_unresolved_operand()
        comma(parser)
        order = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer)
        given = {"permutation": DenseArrayBase.from_list(i64, order)}
        attributes = attributes_of(parser, **given)
        parser.parse_punctuation(":")
        operand = parser.resolve_operand(value, parser.parse_type())
        parser.parse_keyword("to")
        return cls.make(operands=[operand], results=[parser.parse_type()], attributes=attributes)


@irdl_op_definition
class ContractOp(DesignOp):
    """``vector.contract {indexing_maps, iterator_types, kind} %a, %b, %c : A, B into C``."""

    name = "vector.contract"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the attributes, the three values and their types."""
        attributes = attributes_of(parser)
        values = [parser.parse_unresolved_operand()]
        for _ in range(2):
            comma(parser)
            values.append(parser.parse_unresolved_operand())
        parser.parse_punctuation(":")
        kinds = [parser.parse_type()]
        comma(parser)
        kinds.append(parser.parse_type())
        parser.parse_keyword("into")
        kinds.append(parser.parse_type())
        operands = parser.resolve_operands(values, kinds, parser.pos)
        return cls.make(operands=operands, results=[kinds[2]], attributes=attributes)


class CmpiOp(arith.CmpiOp):
    """``arith.cmpi "slt", %a, %b : i32``: the predicate quoted or bare, on numbers and on vectors."""

    name = "arith.cmpi"

    @classmethod
    def parse(cls, parser: Parser) -> Any:
        """Parse the predicate, both values and their type."""
        return _compared(cls, parser, _INTEGERS)


class CmpfOp(arith.CmpfOp):
    """``arith.cmpf olt, %a, %b : vector<16xf32>``: on numbers as xDSL has it, and on vectors."""

    name = "arith.cmpf"

    @classmethod
    def parse(cls, parser: Parser) -> Any:
        """Parse the predicate, both values and their type."""
        return _compared(cls, parser, _FLOATS)


def _compared(cls: Any, parser: Parser, names: tuple[str, ...]) -> Any:
    predicate = word(parser)
    if predicate not in names:
        parser.raise_error(f"unknown predicate {predicate}")
    comma(parser)
    first = parser.parse_unresolved_operand()
    comma(parser)
    second = parser.parse_unresolved_operand()
    attributes = dict(parser.parse_optional_attr_dict())
    parser.parse_punctuation(":")
    kind = parser.parse_type()
    operands = parser.resolve_operands([first, second], [kind, kind], parser.pos)
    if isinstance(kind, VectorType):
        attributes["of"] = StringAttr(cls.name)
        attributes["predicate"] = StringAttr(predicate)
        return VectorArithOp.make(operands, [VectorType(i1, kind.get_shape())], attributes=attributes)
    made = cls(*operands, predicate)
    made.attributes.update(attributes)
    return made


class SelectOp(arith.SelectOp):
    """``arith.select %c, %a, %b : i32``, or a condition per element ``: vector<4xi1>, vector<4xi32>``."""

    name = "arith.select"

    @classmethod
    def parse(cls, parser: Parser) -> Any:
        """Parse the condition, both values and their types."""
        values = [parser.parse_unresolved_operand()]
        for _ in range(2):
            comma(parser)
            values.append(parser.parse_unresolved_operand())
        attributes = dict(parser.parse_optional_attr_dict())
        parser.parse_punctuation(":")
        kinds = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        each = [kinds[0] if len(kinds) > 1 else i1, kinds[-1], kinds[-1]]
        operands = parser.resolve_operands(values, each, parser.pos)
        if len(kinds) > 1:
            attributes["of"] = StringAttr(cls.name)
            return VectorArithOp.make(operands, [kinds[-1]], attributes=attributes)
        made = cls(*operands)
        made.attributes.update(attributes)
        return made


def _cast(base: Any) -> Any:
    def parse(cls: Any, parser: Parser) -> Any:
        value = parser.parse_unresolved_operand()
        attributes = dict(parser.parse_optional_attr_dict())
        parser.parse_punctuation(":")
        operand = parser.resolve_operand(value, parser.parse_type())
        parser.parse_keyword("to")
        kind = parser.parse_type()
        if isinstance(kind, VectorType):
            attributes["of"] = StringAttr(cls.name)
            return VectorArithOp.make([operand], [kind], attributes=attributes)
        return cls.create(operands=[operand], result_types=[kind], attributes=attributes)

    return type(
        base.__name__, (base,), {"name": base.name, "__doc__": base.name, "parse": classmethod(parse)}
    )


def arith_operations() -> list[Any]:
    """Return the operations of ``arith`` that also work on vectors here."""
    casts = (arith.SIToFPOp, arith.UIToFPOp, arith.FPToSIOp, arith.FPToUIOp, arith.ExtSIOp, arith.ExtUIOp,
             arith.TruncIOp)  # fmt: skip
    return [CmpiOp, CmpfOp, SelectOp, *(_cast(base) for base in casts)]


@irdl_op_definition
class VectorArithOp(DesignOp):
    """An ``arith`` operation on vectors that xDSL has on numbers only; ``of`` is its name."""

    name = "vector.arith"


def vector_dialect() -> Dialect:
    """Return ``vector`` with the operations that xDSL lacks."""
    return Dialect(
        "vector",
        [*vector.Vector.operations, ShapeCastOp, TransposeOp, ContractOp],
        list(vector.Vector.attributes),
    )
