"""Hold an instruction stream against the design it should be of.

The stream is replayed on the registers it writes; each start of a channel, each wait and each other write
becomes an action, and so does each operation of the design's runtime sequence. The two lists must agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from npukbuild.xclbin.insts import (
    BdWrite,
    BlockWrite,
    ControllerId,
    LoadPdi,
    MaskWrite,
    Operation,
    Patch,
    Preempt,
    QueuePush,
    Stream,
    Sync,
    Write32,
    meaning,
)
from npukbuild.xclbin.insts_encode import refuse_stages, register_write
from npukbuild.xclbin.registers import DIRECTIONS, join_address, join_queue_word, registers, split_address
from npukbuild.xclbin.transfer import Transfer, transfer_of_bd, transfer_of_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MOST = 100
"""Mismatches listed; a stream of another design differs everywhere."""


# Fields that are compared as parts of a transfer, and the AXI attributes: they change the speed of an access
# and not what it does, and compilers have changed their minds about them.
_COMPARED = re.compile(
    r"buffer_length|d[0-2]_(size|stride)|iteration_(size|stride)|(use_)?next_bd|enable_packet|packet_.*"
    r"|burst_length|axcache|axqos|smid"
)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One difference between stream and design.

    ``at`` is the word in the stream, ``loc`` the line of the design; either may be missing.
    """

    what: str
    at: int | None = None
    loc: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the mismatch as plain data."""
        return {"what": self.what, "word": self.at, "design": self.loc}

    def __str__(self) -> str:
        place = [f"word {self.at}"] * (self.at is not None) + [self.loc] * (self.loc is not None)
        return f"{self.what} ({', '.join(str(part) for part in place)})" if place else self.what


@dataclass(frozen=True, slots=True)
class _Action:
    """Something the array notices: what it is, and its parts by name."""

    title: str
    parts: Mapping[str, Any]
    at: int | None = None
    loc: str | None = None
    moves: bool = False
    """Whether it starts a transfer or waits for one."""


def compare(stream: Stream, design: Any) -> tuple[Mismatch, ...]:
    """Return the differences between a stream and a design, at most a hundred."""
    found = list(_header(stream, design))
    replay = _Replay(stream)
    done = list(replay.actions())
    for actual, wanted in zip_longest(done, _expected(design)):
        found.extend(_differences(actual, wanted))
        if len(found) > _MOST:
            return (*found[:_MOST], Mismatch(f"more than {_MOST} differences; the rest is not shown"))
    found.extend(replay.leftovers())
    return tuple(found)


def compare_transfers(stream: Stream, design: Any) -> tuple[Mismatch, ...]:
    """Return only what makes a stream another design's: its array, its starts and its waits.

    Register writes that the design does not name, bits that no field holds and the like are left out:
    :func:`compare` lists them too.
    """
    found = list(_header(stream, design))
    done = [action for action in _Replay(stream).actions() if action.moves]
    wanted = [action for action in _expected(design) if action.moves]
    for actual, asked in zip_longest(done, wanted):
        found.extend(_differences(actual, asked))
    return tuple(found)


def _header(stream: Stream, design: Any) -> Iterator[Mismatch]:
    generation, columns = registers().device(design.device)
    if stream.generation != generation.number:
        yield Mismatch(
            f"the stream is for device generation {stream.generation}, {design.device} is {generation.number}"
        )
    if stream.columns != columns:
        yield Mismatch(f"the stream is for {stream.columns} columns, {design.device} has {columns}")


def _differences(actual: _Action | None, wanted: _Action | None) -> Iterator[Mismatch]:
    if actual is None:
        assert wanted is not None
        yield Mismatch(f"the stream lacks: {wanted.title}", None, wanted.loc)
    elif wanted is None:
        yield Mismatch(f"the design lacks: {actual.title}", actual.at)
    elif actual.title != wanted.title:
        yield Mismatch(f"{actual.title} instead of {wanted.title}", actual.at, wanted.loc)
    else:
        for name in dict.fromkeys([*actual.parts, *wanted.parts]):
            ours, theirs = actual.parts.get(name), wanted.parts.get(name)
            # A design may leave a BD's id to the compiler.
            if ours != theirs and not (name.endswith("BD") and theirs is None):
                text = f"{actual.title}: {name} is {ours}, the design says {theirs}"
                yield Mismatch(text, actual.at, wanted.loc)


def _expected(design: Any) -> Iterator[_Action]:
    """Yield the design's actions in order."""
    refuse_stages(design)
    for operation in design.sequence.operations:
        loc = None if operation.loc is None else str(operation.loc)
        match type(operation).__name__:
            case "Push":
                yield _expected_push(operation, design, loc)
            case "Wait":
                for _ in range(operation.count):
                    yield _wait(
                        operation.tile.column,
                        operation.tile.row,
                        operation.direction,
                        operation.channel,
                        loc=loc,
                    )
            case "Free":
                continue
            case _:
                address, value, mask = register_write(operation, design)
                yield _write(address, value, mask, loc=loc)


def _expected_push(push: Any, design: Any, loc: str | None) -> _Action:
    target = push.target
    chain, index, seen = [], 0, set()
    while index is not None and index not in seen:
        seen.add(index)
        descriptor = push.descriptors[index]
        transfer = transfer_of_descriptor(
            descriptor, push.iteration, design.sequence.arguments, loc or target.name
        )
        chain.append((descriptor.id, transfer))
        index = descriptor.next
    return _push(
        target.tile.column, target.tile.row, target.direction, target.channel,
        chain=chain, endless=index is not None, repeat=push.repeat, token=push.token, loc=loc,
    )  # fmt: skip


def _push(
    column: int, row: int, direction: str, channel: int, *, chain: list[tuple[int | None, Transfer]],
    endless: bool, repeat: int, token: bool, at: int | None = None, loc: str | None = None,
) -> _Action:  # fmt: skip
    parts: dict[str, Any] = {"repeat": repeat, "token": token, "endless": endless, "length": len(chain)}
    for number, (bd, transfer) in enumerate(chain):
        prefix = "" if len(chain) == 1 else f"BD {number} "
        parts[f"{prefix}BD"] = bd
        parts |= {f"{prefix}{name}": value for name, value in transfer.as_dict().items()}
    return _Action(f"start of ({column},{row}) {direction} {channel}", parts, at, loc, moves=True)


def _wait(
    column: int, row: int, direction: str, channel: int, *, tiles: tuple[int, int] = (1, 1),
    at: int | None = None, loc: str | None = None,
) -> _Action:  # fmt: skip
    parts = {"tiles": f"{tiles[0]} x {tiles[1]}"}
    return _Action(f"wait for ({column},{row}) {direction} {channel}", parts, at, loc, moves=True)


def _write(
    address: int, value: int, mask: int | None, *, at: int | None = None, loc: str | None = None
) -> _Action:
    column, row, offset = split_address(address)
    parts = {"value": f"{value:#x}", "mask": "none" if mask is None else f"{mask:#x}"}
    return _Action(f"write to ({column},{row}) register {offset:#x}", parts, at, loc)


@dataclass(slots=True)
class _Bd:
    """A BD as the stream has written it so far."""

    write: BdWrite
    at: int
    patch: tuple[int, int] | None = None
    started: bool = False


@dataclass(slots=True)
class _Replay:
    """The registers that a stream has written, and the actions that follow."""

    stream: Stream
    bds: dict[int, _Bd] = field(default_factory=dict)
    controllers: set[tuple[int, int, str, int]] = field(default_factory=set)
    stray: list[Mismatch] = field(default_factory=list)

    def actions(self) -> Iterator[_Action]:
        """Yield what the array notices, in order."""
        for operation in self.stream.operations:
            known = meaning(operation, self.stream)
            match known:
                case BdWrite():
                    self._bd_write(operation, known)
                case ControllerId():
                    self._controller(operation, known)
                case QueuePush():
                    yield self._started(operation, known)
                case _:
                    yield from self._other(operation)

    def leftovers(self) -> Iterator[Mismatch]:
        """Yield what had no effect: patches of no BD, BDs never started."""
        yield from self.stray
        for bd in self.bds.values():
            if not bd.started:
                write = bd.write
                yield Mismatch(f"BD {write.bd} of ({write.column},{write.row}) is never started", bd.at)

    def _controller(self, operation: Operation, known: ControllerId) -> None:
        key = (known.column, known.row, known.direction, known.channel)
        stream = registers().stream
        mask = stream["controller_id_mask"]
        usual = (stream["controller_id_value"] & mask) // (mask & -mask)
        if known.controller != usual:
            text = f"tokens of ({key[0]},{key[1]}) {key[2]} {key[3]} go to controller {known.controller}"
            self.stray.append(Mismatch(f"{text} instead of {usual}", operation.at))
        self.controllers.add(key)

    def _bd_write(self, operation: Operation, known: BdWrite) -> None:
        address = join_address(known.column, known.row, known.tile.bd_address(known.bd))
        old = self.bds.get(address)
        if old is not None and not old.started:
            self.stray.append(
                Mismatch(f"BD {known.bd} of ({known.column},{known.row}) is written again unused", old.at)
            )
        assert isinstance(operation, BlockWrite)
        if known.tile.pack_bd(known.fields) != list(operation.words[: known.tile.bd_words]):
            place = f"BD {known.bd} of ({known.column},{known.row})"
            self.stray.append(Mismatch(f"{place} has bits set that no field holds", operation.at))
        self.bds[address] = _Bd(known, operation.at)

    def _started(self, operation: Operation, push: QueuePush) -> _Action:
        chain: list[tuple[int | None, Transfer]] = []
        bd, seen, endless = push.bd, set(), False
        while True:
            address = join_address(push.column, push.row, push.tile.bd_address(bd))
            entry = self.bds.get(address)
            if entry is None or push.tile.kind != "shim":
                self.stray.append(
                    Mismatch(f"BD {bd} of ({push.column},{push.row}) is started unwritten", operation.at)
                )
                break
            seen.add(bd)
            entry.started = True
            fields = entry.write.fields
            chain.append((bd, transfer_of_bd(fields, entry.patch)))
            self._odd_fields(entry)
            if not fields["use_next_bd"]:
                break
            bd = fields["next_bd"]
            endless = bd in seen
            if endless:
                break
        assert isinstance(operation, Write32)
        if join_queue_word(push.bd, push.repeat, token=push.token) != operation.value:
            text = f"a start of ({push.column},{push.row}) has bits set that no field holds"
            self.stray.append(Mismatch(text, operation.at))
        key = (push.column, push.row, push.direction, push.channel)
        if push.token and key not in self.controllers:
            text = f"the token of ({push.column},{push.row}) {push.direction} {push.channel} has no receiver"
            self.stray.append(Mismatch(text, operation.at))
        return _push(
            *key, chain=chain, endless=endless, repeat=push.repeat, token=push.token, at=operation.at
        )

    def _odd_fields(self, entry: _Bd) -> None:
        """Note fields that a transfer of a runtime sequence never sets, or always sets."""
        fields, write = entry.write.fields, entry.write
        for name, value in fields.items():
            wanted = int(name == "valid")
            if value != wanted and not _COMPARED.fullmatch(name):
                place = f"BD {write.bd} of ({write.column},{write.row})"
                self.stray.append(Mismatch(f"{place}: {name} is {value} instead of {wanted}", entry.at))

    def _other(self, operation: Operation) -> Iterator[_Action]:
        at = operation.at
        match operation:
            case Patch():
                self._patch(operation)
            case Sync():
                yield _wait(
                    operation.column, operation.row, DIRECTIONS[operation.direction], operation.channel,
                    tiles=(operation.columns, operation.rows), at=at,
                )  # fmt: skip
            case Write32():
                yield _write(operation.address, operation.value, None, at=at)
            case MaskWrite():
                yield _write(operation.address, operation.value, operation.mask, at=at)
            case BlockWrite():
                for index, word in enumerate(operation.words):
                    yield _write(operation.address + 4 * index, word, None, at=at)
            case LoadPdi():
                yield _Action(f"load of PDI {operation.id}", {"bytes": operation.size}, at)
            case Preempt():
                return

    def _patch(self, patch: Patch) -> None:
        """Attach a patch to the BD whose address word it changes."""
        entry = self.bds.get(patch.address - 4)
        if entry is None or entry.write.tile.kind != "shim" or patch.action:
            self.stray.append(Mismatch(f"a patch of {patch.address:#x}, which is no BD's address", patch.at))
        else:
            entry.patch = (patch.argument, patch.offset)
