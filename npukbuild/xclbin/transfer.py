"""A DMA transfer in words, as the design says it and as a BD's registers say it.

Both sides come to the same :class:`Transfer`, so that they can be compared by what the DMA does and not by
how it was spelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from npukbuild.errors import ContainerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORD = 4
"""Bytes that a DMA moves at once; lengths, sizes and strides of registers count words."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One BD: where it starts, how much it moves, in which order.

    ``dims`` are (size, stride) in words, outermost first, without dimensions of size 1 and with
    dimensions merged that follow each other without a gap; a contiguous transfer has none.
    ``iteration`` is (size, stride in words): each start advances the base by the stride.
    """

    argument: int
    offset: int
    length: int
    dims: tuple[tuple[int, int], ...]
    iteration: tuple[int, int] | None
    packet: tuple[int, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the transfer's parts by name, for messages."""
        return {
            "argument": self.argument,
            "offset": f"{self.offset} bytes",
            "length": f"{self.length} words",
            "pattern": " ".join(f"{size}@{stride}" for size, stride in self.dims) or "contiguous",
            "iteration": "none" if self.iteration is None else f"{self.iteration[0]}@{self.iteration[1]}",
            "packet": "none" if self.packet is None else f"type {self.packet[0]} id {self.packet[1]}",
        }


def canonical(dims: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Drop what does not change the order of addresses (outermost first).

    >>> canonical([(1, 0), (8, 64), (64, 1)])
    ()
    """
    out: list[tuple[int, int]] = []
    for size, stride in reversed([dim for dim in dims if dim[0] != 1]):
        if out and stride == out[-1][0] * out[-1][1]:
            out[-1] = (out[-1][0] * size, out[-1][1])
        else:
            out.append((size, stride))
    if len(out) == 1 and out[0][1] == 1:
        return ()
    return tuple(reversed(out))


def words_of(elements: int, element_bytes: int, what: str, where: str) -> int:
    """Return a number of elements in words.

    Raises:
        ContainerError: It is not a whole number of words.
    """
    words, rest = divmod(elements * element_bytes, WORD)
    if rest:
        raise ContainerError(
            f"a transfer's {what} is not a whole number of words",
            where=where,
            why=f"{elements} elements of {element_bytes} bytes",
        )
    return words


def dims_in_words(dims: Sequence[Any], element_bytes: int, where: str) -> list[tuple[int, int]]:
    """Return a descriptor's dims (size, stride in elements, outermost first) in words.

    The innermost run of elements smaller than a word must be contiguous: it becomes a run of words.
    """
    out = []
    for index, dim in enumerate(dims):
        innermost = index == len(dims) - 1
        if not innermost:
            stride = 0 if dim.size == 1 else words_of(dim.stride, element_bytes, "stride", where)
            out.append((dim.size, stride))
        elif dim.stride * element_bytes < WORD or element_bytes >= WORD:
            size = words_of(dim.size, element_bytes, "innermost size", where)
            out.append((size, max(1, dim.stride * element_bytes // WORD)))
        else:
            raise ContainerError(
                "a transfer's innermost stride is not 1",
                where=where,
                why=f"stride {dim.stride} of elements of {element_bytes} bytes: a DMA moves whole words",
            )
    return out


def transfer_of_bd(fields: Mapping[str, int], patch: tuple[int, int] | None) -> Transfer:
    """Return what a BD of a shim tile does, with the argument that was patched into it."""
    length = fields["buffer_length"]
    strides = [fields["d0_stride"] + 1, fields["d1_stride"] + 1, fields["d2_stride"] + 1]
    # A size of 0 never wraps: that dimension takes all that is left, and so does the outermost one.
    left, dims = length, []
    for stride, size in zip(strides, (fields["d0_size"], fields["d1_size"], 0), strict=True):
        here = min(size, left) if size else left
        dims.append((here, stride))
        left = -(-left // here) if here else 0
    size, step = fields["iteration_size"], fields["iteration_stride"]
    packet = (fields["packet_type"], fields["packet_id"]) if fields["enable_packet"] else None
    return Transfer(
        argument=-1 if patch is None else patch[0],
        offset=0 if patch is None else patch[1],
        length=length,
        dims=canonical(dims[::-1]),
        iteration=(size + 1, step + 1) if size or step else None,
        packet=packet,
    )


def transfer_of_descriptor(
    descriptor: Any, iteration: Any, arguments: Sequence[tuple[str, Any]], where: str
) -> Transfer:
    """Return what a runtime descriptor of a design does.

    Args:
        descriptor: An ``ir.design.Descriptor`` whose buffer is a sequence argument.
        iteration: An ``ir.design.Dim`` or None.
        arguments: The sequence's arguments in order, (name, ``ir.design.Array``).
        where: The design's line, for messages.

    Raises:
        ContainerError: The buffer is no argument, or something is no whole number of words.
    """
    index, element_bytes = argument_of(descriptor, arguments, where)
    length = words_of(descriptor.length, element_bytes, "length", where)
    dims = dims_in_words(descriptor.dims, element_bytes, where)
    if dims and prod(size for size, _ in dims) != length:
        raise ContainerError(
            "a transfer's length is not the product of its sizes",
            where=where,
            why=f"{length} words, sizes {' x '.join(str(size) for size, _ in dims)}",
        )
    step = None
    if iteration is not None and iteration.size > 1:
        stride = words_of(iteration.stride, element_bytes, "iteration stride", where)
        step = (iteration.size, stride) if stride else None
    return Transfer(
        argument=index,
        offset=descriptor.offset * element_bytes,
        length=length,
        dims=canonical(dims),
        iteration=step,
        packet=descriptor.packet,
    )


def argument_of(descriptor: Any, arguments: Sequence[tuple[str, Any]], where: str) -> tuple[int, int]:
    """Return the number of the argument that a descriptor reads or writes, and its element's bytes.

    Raises:
        ContainerError: The descriptor's buffer is no argument of the sequence.
    """
    for index, (name, array) in enumerate(arguments):
        if name == descriptor.buffer:
            return index, array.bytes // max(1, array.elements)
    raise ContainerError(
        "a runtime task's buffer is no argument of the sequence",
        where=where,
        why=f"{descriptor.buffer} is not among {', '.join(name for name, _ in arguments) or 'none'}",
        hint="tasks on a tile's own buffers cannot be put into an instruction stream here",
    )
