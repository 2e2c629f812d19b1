"""Control ports: where packets that read and write a tile's registers arrive, and where answers leave.

A control packet is one word and its data. The word has the address in bits 19..0, the number of data words
minus one in 21..20, the operation in 23..22 (0 writes, 1 reads), the packet id of the answer in 30..24 and in
bit 31 what makes the number of ones odd (AM020, chapter "Control packets").
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from npukbuild.errors import DesignError
from npukbuild.ir.design import WriteRegister
from npukbuild.simulator import registers
from npukbuild.simulator.faults import fault

if TYPE_CHECKING:
    from npukbuild.ir.design import Location, TileId
    from npukbuild.simulator.array import ArrayState

_WORD = 4
_WRITE, _READ = 0, 1
_ROOM = 1 << 30


class _Port:
    """What a stream asks of an end that is no DMA channel."""

    bd = None
    ddr = None
    fifo = None
    ready_at = 0.0
    moved = 0

    def __init__(self, tile: TileId, name: str, loc: Location | None) -> None:
        self.tile = tile
        self.name = name
        self.loc = loc
        self.streams: list[Any] = []
        self.pending = b""

    def complete(self) -> None:
        """All that could move has moved."""


class ControlOut(_Port):
    """Sends what control packets have read, each answer as a packet of its own."""

    can_spill = False

    def __init__(self, tile: TileId, loc: Location | None) -> None:
        super().__init__(tile, f"{tile} control out", loc)
        self.answers: deque[tuple[int, bytes]] = deque()
        self.left = 0

    @property
    def packet_id(self) -> int | None:
        """The id of the answer that is sent now."""
        return self.answers[0][0] if self.answers else None

    def header(self) -> int:
        """Return the packet header word of the answer."""
        return (self.packet_id or 0) | self.tile.row << 16 | self.tile.column << 21

    def answer(self, ident: int, data: bytes) -> None:
        """Queue an answer.

        Raises:
            SimulationFault: No stream carries packets with its id away.
        """
        if all(stream.packet not in (ident, None) for stream in self.streams):
            raise fault(
                f"{self.name} answers with packet id {ident}, and no stream leaves it for that",
                loc=self.loc,
                why="streams leave it for the ids "
                + (", ".join(sorted(str(stream.packet) for stream in self.streams)) or "none"),
                hint="add an aie.packet_flow with this id from the tile's TileControl port",
            )
        self.answers.append((ident, data))
        if len(self.answers) == 1:
            self._next()

    def _next(self) -> None:
        self.left = len(self.answers[0][1]) if self.answers else 0
        self.moved = 0
        for stream in self.streams if self.answers else ():
            stream.pump()

    def read(self, count: int) -> Any:
        """Return the next bytes to send."""
        return np.frombuffer(self.answers[0][1][self.moved : self.moved + count], np.uint8)

    def complete(self) -> None:
        """Go on with the next answer."""
        self.answers.popleft()
        self._next()


class ControlIn(_Port):
    """Takes control packets and does what they say."""

    def __init__(self, tile: TileId, array: ArrayState, loc: Location | None) -> None:
        super().__init__(tile, f"{tile} control in", loc)
        self.array = array
        self._owner: Any = None

    @property
    def left(self) -> int:
        """Bytes that it can take: it never has to wait."""
        return _ROOM

    @left.setter
    def left(self, value: int) -> None:
        pass

    @property
    def owner(self) -> Any:
        """The stream whose packet comes in."""
        return self._owner

    @owner.setter
    def owner(self, stream: Any) -> None:
        if stream is None and self.pending:
            raise fault(
                f"a control packet for {self.tile} is cut",
                loc=self.loc,
                why=f"its packet ends with {len(self.pending) // _WORD} words of it",
                hint="send the whole of it in one packet: the header word, then one to four words of data",
            )
        self._owner = stream

    def accept(self, data: Any) -> None:
        """Take the stream packet's header, which says nothing here."""

    def write(self, data: Any, count: int) -> None:
        """Take bytes that arrived and do what they say."""
        self.pending += np.ascontiguousarray(data).tobytes()[:count]
        while len(self.pending) >= _WORD:
            word = int.from_bytes(self.pending[:_WORD], "little")
            beats = (word >> 20 & 3) + 1
            operation = word >> 22 & 3
            length = _WORD * (1 + beats) if operation == _WRITE else _WORD
            if len(self.pending) < length:
                return
            words, self.pending = self.pending[_WORD:length], self.pending[length:]
            self._execute(word, operation, beats, np.frombuffer(words, "<u4").tolist())

    def _execute(self, word: int, operation: int, beats: int, data: list[int]) -> None:
        address = word & 0xFFFFF
        where = f"a control packet for {self.tile} (word 0x{word:08X})"
        if word.bit_count() % 2 == 0:
            raise fault(
                f"{where} has the wrong parity",
                loc=self.loc,
                why="the number of ones in it must be odd",
                hint="set bit 31 so that it is",
            )
        if operation not in (_WRITE, _READ):
            raise fault(
                f"{where} has operation {operation}",
                loc=self.loc,
                why="known are 0 write and 1 read",
                hint="correct bits 23..22 of the packet's first word",
            )
        try:
            if operation == _WRITE:
                for place, value in enumerate(data):
                    write = WriteRegister(self.tile, address + _WORD * place, value, loc=self.loc)
                    registers.write(self.array, write)
            else:
                found = [
                    registers.read(self.array, self.tile, address + _WORD * n, self.loc) for n in range(beats)
                ]
                out = self.array.control_out(self.tile, self.loc)
                out.answer(word >> 24 & 0x1F, np.array(found, "<u4").tobytes())
        except DesignError as error:
            raise fault(f"{where}: {error.what}", loc=self.loc, why=error.why, hint=error.hint) from None
