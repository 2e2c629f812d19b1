"""Operations of the ``aiex`` dialect: what stands in a runtime sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from xdsl.dialects.builtin import ArrayAttr, IntAttr, StringAttr
from xdsl.irdl import irdl_op_definition

from npukbuild.ir.dialects.aie_ops import SequenceOp
from npukbuild.ir.dialects.base import (
    DesignOp,
    attributes_of,
    comma,
    integer,
    listed,
    optional_value,
    tile_operand,
    typed_operand,
    word,
)
from npukbuild.ir.dialects.task_ops import packet

if TYPE_CHECKING:
    from xdsl.ir import SSAValue
    from xdsl.parser import Parser


@irdl_op_definition
class OldRuntimeSequenceOp(SequenceOp):
    """``aiex.runtime_sequence``: the spelling before 2025-11-18."""

    name = "aiex.runtime_sequence"


@irdl_op_definition
class DmaMemcpyNdOp(DesignOp):
    """``aiex.npu.dma_memcpy_nd(%A[offsets][sizes][strides]) {id, metadata, issue_token} : memref<...>``.

    Before 2025-03 two numbers (column, row) stood first. Entries are numbers or SSA constants, outermost
    first; ``entries`` keeps, for every one of the twelve, the number or None where an operand stands.
    """

    name = "aiex.npu.dma_memcpy_nd"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse both spellings."""
        parser.parse_punctuation("(")
        for _ in range(2):
            if parser.parse_optional_integer() is not None:
                comma(parser)
        base = parser.parse_unresolved_operand()
        lists = [listed(parser, lambda: _entry(parser)) for _ in range(3)]
        given: dict[str, Any] = {}
        if parser.parse_optional_punctuation(",") is not None:
            parser.parse_keyword("packet")
            parser.parse_punctuation("=")
            given["packet"] = packet(parser)
        parser.parse_punctuation(")")
        attributes = attributes_of(parser, **given)
        parser.parse_punctuation(":")
        operands = [parser.resolve_operand(base, parser.parse_type())]
        for name, entries in zip(_LISTS, lists, strict=True):
            if len(entries) != 4:
                parser.raise_error(f"{name} need 4 entries, {len(entries)} given")
            stored = []
            for entry in entries:
                if isinstance(entry, int):
                    stored.append(IntAttr(entry))
                else:
                    stored.append(IntAttr(_OPERAND - len(operands)))
                    operands.append(entry)
            attributes[name] = ArrayAttr(stored)
        return cls.make(operands=operands, attributes=attributes)

    def entries(self, name: str) -> tuple[int | SSAValue, ...]:
        """Return the four entries of ``offsets``, ``sizes`` or ``strides``."""
        static = self.attributes.get(f"static_{name}")
        if static is not None:
            return self._generic_entries(name)
        value = self.attributes[name]
        assert isinstance(value, ArrayAttr)
        numbers = [item.data for item in value.data if isinstance(item, IntAttr)]
        return tuple(n if n > _OPERAND else self.operands[_OPERAND - n] for n in numbers)

    def _generic_entries(self, name: str) -> tuple[int | SSAValue, ...]:
        """Read the quoted generic form: dense arrays with a marker where the next operand stands."""
        from npukbuild.ir.dialects.base import attribute_ints

        dynamic = iter(self.operands[1:])
        for current in _LISTS:
            numbers = attribute_ints(self.attributes[f"static_{current}"]) or ()
            found = tuple(next(dynamic) if n == _GENERIC_OPERAND else n for n in numbers)
            if current == name:
                return found
        return ()


_LISTS = ("offsets", "sizes", "strides")
_OPERAND = -(1 << 62)
_GENERIC_OPERAND = -(1 << 63)


class AttributesOnlyOp(DesignOp):
    """An operation that is nothing but an attribute dictionary."""

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse ``{...}``."""
        return cls.make(attributes=attributes_of(parser))


class ValuesOp(DesignOp):
    """``op(%a, %b) {...} : i32, i32``; in older designs ``op {a = .., b = ..}`` or ``op(1, 2)``.

    ``FIELDS`` names the values in order. :meth:`field` gives a number or the SSA value.
    """

    FIELDS: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse any of the spellings."""
        given: dict[str, Any] = {}
        operands: list[SSAValue] = []
        if parser.parse_optional_punctuation("(") is not None:
            for position in range(len(cls.FIELDS)):
                if position and parser.parse_optional_punctuation(",") is None:
                    break
                cls._value(parser, cls.FIELDS[position], given, operands)
            parser.parse_punctuation(")")
        attributes = attributes_of(parser, **given)
        if parser.parse_optional_punctuation(":") is not None:
            parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        return cls.make(operands=operands, attributes=attributes)

    @classmethod
    def _value(cls, parser: Parser, field: str, given: dict[str, Any], operands: list[SSAValue]) -> None:
        name = parser.parse_optional_symbol_name()
        if name is not None:
            given[field] = name
            return
        value = optional_value(parser)
        if value is None:
            given[field] = integer(parser)
        else:
            given[f"{field}_operand"] = IntAttr(len(operands))
            operands.append(value)

    def field(self, name: str) -> int | SSAValue | None:
        """Return a field's number or SSA value, None when absent."""
        position = self.number(f"{name}_operand")
        if position is not None:
            return self.operands[position]
        number = self.number(name)
        if (
            number is None
            and name in self.FIELDS
            and self.operands
            and len(self.operands) == len(self.FIELDS)
        ):
            return self.operands[self.FIELDS.index(name)]
        return number


@irdl_op_definition
class DmaWaitOp(AttributesOnlyOp):
    """``aiex.npu.dma_wait {symbol = @f}``."""

    name = "aiex.npu.dma_wait"


@irdl_op_definition
class SyncOp(ValuesOp):
    """``aiex.npu.sync``: wait for a completion token of a channel."""

    name = "aiex.npu.sync"
    FIELDS: ClassVar[tuple[str, ...]] = ("column", "row", "direction", "channel", "column_num", "row_num")


@irdl_op_definition
class Write32Op(ValuesOp):
    """``aiex.npu.write32``: write a register."""

    name = "aiex.npu.write32"
    FIELDS: ClassVar[tuple[str, ...]] = ("address", "value")


@irdl_op_definition
class MaskWrite32Op(ValuesOp):
    """``aiex.npu.maskwrite32``: change some bits of a register."""

    name = "aiex.npu.maskwrite32"
    FIELDS: ClassVar[tuple[str, ...]] = ("address", "value", "mask")


@irdl_op_definition
class BlockWriteOp(DesignOp):
    """``aiex.npu.blockwrite(%words) {address} : memref<8xi32>``: write registers in a row."""

    name = "aiex.npu.blockwrite"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the data and the address."""
        parser.parse_punctuation("(")
        data = parser.parse_unresolved_operand()
        parser.parse_punctuation(")")
        attributes = attributes_of(parser)
        parser.parse_punctuation(":")
        return cls.make(operands=[parser.resolve_operand(data, parser.parse_type())], attributes=attributes)


@irdl_op_definition
class ControlPacketOp(AttributesOnlyOp):
    """``aiex.control_packet {address, data = array<i32: 1>, opcode}``: write registers by a packet."""

    name = "aiex.control_packet"


@irdl_op_definition
class WriteBdOp(AttributesOnlyOp):
    """``aiex.npu.writebd {bd_id, buffer_length, ...}``: every field of a descriptor by name."""

    name = "aiex.npu.writebd"


@irdl_op_definition
class AddressPatchOp(DesignOp):
    """``aiex.npu.address_patch {addr, arg_idx, arg_plus}``: put a host address into a descriptor."""

    name = "aiex.npu.address_patch"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse both spellings of the byte offset."""
        operands = []
        if parser.parse_optional_punctuation("(") is not None:
            operands.append(typed_operand(parser))
            parser.parse_punctuation(")")
        return cls.make(operands=operands, attributes=attributes_of(parser))


@irdl_op_definition
class PushQueueOp(DesignOp):
    """``aiex.npu.push_queue(0, 0, MM2S : 0) {bd_id, repeat_count, issue_token}``: start a descriptor."""

    name = "aiex.npu.push_queue"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the channel; descriptor and repeat are attributes or, newer, operands."""
        parser.parse_punctuation("(")
        given: dict[str, Any] = {"column": integer(parser)}
        comma(parser)
        given["row"] = integer(parser)
        comma(parser)
        given["direction"] = StringAttr(word(parser))
        parser.parse_punctuation(":")
        given["channel"] = IntAttr(parser.parse_integer())
        parser.parse_punctuation(")")
        operands: list[SSAValue] = []
        for keyword in ("bd_id", "repeat"):
            if parser.parse_optional_keyword(keyword) is not None:
                value = optional_value(parser)
                if value is None:
                    given["repeat_count" if keyword == "repeat" else keyword] = integer(parser)
                else:
                    given[f"{'repeat_count' if keyword == 'repeat' else keyword}_operand"] = IntAttr(
                        len(operands)
                    )
                    operands.append(value)
        attributes = attributes_of(parser, **given)
        if parser.parse_optional_punctuation(":") is not None:
            parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        return cls.make(operands=operands, attributes=attributes)


@irdl_op_definition
class RtpWriteOp(ValuesOp):
    """``aiex.npu.rtp_write(@buffer, index, value)``."""

    name = "aiex.npu.rtp_write"
    FIELDS: ClassVar[tuple[str, ...]] = ("buffer", "index", "value")

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse also the oldest spelling, ``(column, row, index, value) {buffer_sym_name = "rtp"}``."""
        parser.parse_punctuation("(")
        given: dict[str, Any] = {}
        operands: list[SSAValue] = []
        name = parser.parse_optional_symbol_name()
        fields = cls.FIELDS[1:]
        if name is None:
            integer(parser)
            comma(parser)
            integer(parser)
        else:
            given["buffer"] = name
        for field in fields:
            comma(parser)
            cls._value(parser, field, given, operands)
        parser.parse_punctuation(")")
        attributes = attributes_of(parser, **given)
        if parser.parse_optional_punctuation(":") is not None:
            parser.parse_type()
        return cls.make(operands=operands, attributes=attributes)


@irdl_op_definition
class SetLockOp(DesignOp):
    """``aiex.set_lock(%lock, value)``."""

    name = "aiex.set_lock"

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        """Parse the lock and its value."""
        parser.parse_punctuation("(")
        lock = tile_operand(parser)
        comma(parser)
        value = integer(parser)
        parser.parse_punctuation(")")
        return cls.make(operands=[lock], attributes=attributes_of(parser, value=value))


@irdl_op_definition
class PreemptOp(AttributesOnlyOp):
    """``aiex.npu.preempt {level}``: lets firmware switch tasks; nothing of the data moves."""

    name = "aiex.npu.preempt"


def _entry(parser: Parser) -> int | SSAValue:
    value = optional_value(parser)
    return value if value is not None else parser.parse_integer()
