"""Writers for what a core does with locks, fifos, cascades and streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.errors import DesignError

if TYPE_CHECKING:
    from xdsl.ir import Operation

    from npukbuild.ir.design import FifoEnd
    from npukbuild.simulator.core.program import Emitter

_IGNORED = frozenset(("aie.event", "aie.end", "aie.next_bd", "aie.debug"))


def write(out: Emitter, op: Operation, dialect: str, name: str) -> bool:
    """Write one operation of the ``aie`` dialect; False when it is none that we know."""
    if op.name in _IGNORED:
        return True
    if dialect != "aie":
        return False
    writer = _WRITERS.get(name)
    if writer is None:
        return False
    writer(out, op)
    return True


def _end(out: Emitter, op: Any) -> FifoEnd:
    end = out.core.fifo_ends.get((op.fifo, op.port))
    if end is None:
        raise DesignError(
            f"core {out.core.tile} uses fifo {op.fifo} ({op.port}), which does not end there",
            where=str(out.loc(op) or ""),
            why="its ends there: "
            + (", ".join(f"{fifo} ({port})" for fifo, port in out.core.fifo_ends) or "none"),
            hint="name one of these, or put the core into the fifo's producer or consumers",
        )
    return end


def _acquire(out: Emitter, op: Any) -> None:
    end = _end(out, op)
    state = out.context.end_state(end)
    key = (op.fifo, op.port)
    held = out.held.get(key, 0)
    taken = max(0, op.size - held)
    out.held[key] = held + taken
    name = out.constant(state, "end")
    if taken and state.take is not None:
        acquire(out, op, state.take, taken * state.scale, False, f"{end.fifo} ({end.port}, {op.size})")
    out.charge(out.context.fifo_cycles)
    if op.results:
        objects = f"{name}.acquire({op.size}, {taken})"
        if op.subview:
            out.define(op.results[0], objects)
        else:
            names = []
            for result in op.results:
                fresh = out.names[result] = out.fresh()
                names.append(fresh)
            out.emit(f"{', '.join(names)}{',' if len(names) == 1 else ''} = {objects}")


def _release(out: Emitter, op: Any) -> None:
    end = _end(out, op)
    name = out.constant(out.context.end_state(end), "end")
    key = (op.fifo, op.port)
    out.held[key] = max(0, out.held.get(key, 0) - op.size)
    out.flush()
    loc = out.loc(op)
    out.emit(f"{name}.release({op.size}, {out.constant(loc, 'at') if loc is not None else 'None'})")
    out.charge(out.context.lock_cycles)


def _access(out: Emitter, op: Any) -> None:
    out.names[op.results[0]] = f"{out.use(op.operands[0])}[{op.index}]"


def acquire(out: Emitter, op: Operation, lock: Any, count: int | str, equal: bool, text: str) -> None:
    """Write the taking of a lock, waiting when it is not to be had."""
    name = out.constant(lock, "lock")
    out.charge(out.context.lock_cycles)
    test = f"{name}.value == {count}" if equal else f"{name}.value >= {count}"
    if isinstance(count, int):
        request = out.constant(out.context.request(lock, count, equal, out.loc(op), text), "wait")
    else:
        loc = out.loc(op)
        maker = out.constant(out.context.request, "request")
        place = out.constant(loc, "at") if loc is not None else "None"
        request = f"{maker}({name}, {count}, {equal}, {place}, {text!r})"
    if out.timed:
        out.settle()
        out.emit(f"if t and not {test}: yield t; t = 0.0")
    out.emit(f"if {test}: {name}.value -= {count}")
    out.emit(f"else: yield {request}")


def _use_lock(out: Emitter, op: Any) -> None:
    from npukbuild.ir.design import Lock

    found = out.core.values.get(op.operands[0])
    if not isinstance(found, Lock):
        raise out.unsupported(op, "its lock is not a lock of the device")
    lock = out.context.lock(found)
    count: int | str
    if len(op.operands) > 1:
        count = out.use(op.operands[1])
    else:
        number = op.number("value")
        count = 1 if number is None else number
    credit = out.context.credits(found.name)
    if op.action == "Release":
        out.flush()
        loc = out.loc(op)
        place = out.constant(loc, "at") if loc is not None else "None"
        out.emit(f"{out.constant(lock, 'lock')}.release({count}, 'core {out.core.tile}', {place})")
        out.charge(out.context.lock_cycles)
        for given in credit.gives:
            out.emit(f"{out.constant(given, 'credit')}.count -= {count}")
    else:
        acquire(out, op, lock, count, op.action == "Acquire", found.name)
        for taken in credit.takes:
            out.emit(f"{out.constant(taken, 'credit')}.count += {count}")


def _put_cascade(out: Emitter, op: Operation) -> None:
    out.flush()
    port = out.constant(out.context.cascade_out(out, op), "cascade")
    out.emit(f"while not {port}.put({out.use(op.operands[0])}): yield {port}.full")


def _get_cascade(out: Emitter, op: Operation) -> None:
    out.flush()
    port = out.constant(out.context.cascade_in(out, op), "cascade")
    name = out.fresh()
    out.emit(f"while ({name} := {port}.get()) is None: yield {port}.empty")
    out.names[op.results[0]] = name


def _put_stream(out: Emitter, op: Operation) -> None:
    out.flush()
    port = out.constant(out.context.stream_out(out, op), "port")
    out.emit(
        f"while not {port}.put({out.use(op.operands[1])}, {str(op.operands[1].type)!r}): yield {port}.full"
    )


def _get_stream(out: Emitter, op: Operation) -> None:
    out.flush()
    port = out.constant(out.context.stream_in(out, op), "port")
    name = out.fresh()
    out.emit(f"while ({name} := {port}.get({str(op.results[0].type)!r})) is None: yield {port}.empty")
    out.names[op.results[0]] = name


_WRITERS = {
    "objectfifo.acquire": _acquire,
    "objectfifo.release": _release,
    "objectfifo.subview.access": _access,
    "use_lock": _use_lock,
    "put_cascade": _put_cascade,
    "get_cascade": _get_cascade,
    "put_stream": _put_stream,
    "get_stream": _get_stream,
}
