"""What a core program refers to while it is translated: locks, fifo ends, buffers, functions, ports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from npukbuild.errors import DesignError
from npukbuild.ir.design import Buffer, Lock
from npukbuild.simulator.core.refs import Credit, EndState, Ref, Rights
from npukbuild.simulator.memory import make_memories

if TYPE_CHECKING:
    from xdsl.ir import Attribute, Operation, SSAValue

    from npukbuild.ir.design import Core, FifoEnd, Location
    from npukbuild.simulator.array import ArrayState
    from npukbuild.simulator.core.calls import CoreCalls
    from npukbuild.simulator.core.program import Emitter
    from npukbuild.simulator.locks import LockState


@dataclass(frozen=True, slots=True)
class Request:
    """What a core waits for at a lock."""

    lock: LockState
    count: int
    equal: bool
    loc: Location | None
    text: str


@dataclass(slots=True)
class LockCredits:
    """The credits that an operation on one lock takes and gives."""

    takes: list[Credit] = field(default_factory=list)
    gives: list[Credit] = field(default_factory=list)


class CoreContext:
    """One core of an array, as its program sees it."""

    def __init__(self, core: Core, array: ArrayState, calls: CoreCalls, record: Any) -> None:
        self.core = core
        self.array = array
        self.calls = calls
        self.record = record
        self.timed = array.timed
        timing = array.timing
        self.scalar_cycles = timing.scalar_cycles
        self.load_cycles = timing.load_cycles
        self.loop_cycles = timing.loop_cycles
        self.lock_cycles = timing.lock_cycles
        self.fifo_cycles = timing.fifo_cycles
        self.functions: list[str] = []
        self.ends: dict[tuple[str, str], EndState] = {}
        self._refs: dict[str, Ref] = {}
        self._globals: dict[str, Ref] = {}
        self._credits: dict[str, LockCredits] = {}
        self._scratch = 0

    def lock(self, lock: Lock) -> LockState:
        """Return the state of a lock."""
        return self.array.locks[lock.name]

    def request(self, lock: LockState, count: int, equal: bool, loc: Location | None, text: str) -> Request:
        """Return what the program yields to wait for a lock."""
        return Request(lock, count, equal, loc, text)

    def end_state(self, end: FifoEnd) -> EndState:
        """Return the state of one end of a fifo, made at its first use."""
        key = (end.fifo, end.port)
        state = self.ends.get(key)
        if state is None:
            refs = [self._object(name, end) for name in end.buffers]
            produce = end.port == "Produce"
            prod = self.array.locks[end.prod_lock] if end.prod_lock is not None else None
            cons = self.array.locks[end.cons_lock] if end.cons_lock is not None else None
            state = EndState(
                f"core {self.core.tile}", end, refs, *((prod, cons) if produce else (cons, prod))
            )
            self.ends[key] = state
        return state

    def _object(self, name: str, end: FifoEnd) -> Ref:
        memory = self.array.memories[name]
        return Ref(memory, end.type.element, end.type.shape)

    def outer(self, out: Emitter, value: SSAValue) -> str:
        """Return the name of something the core takes from the device around it."""
        found = self.core.values.get(value)
        if isinstance(found, Buffer):
            return out.constant(self.buffer(found.name), "buf")
        if isinstance(found, Lock):
            return out.constant(self.array.locks[found.name], "lock")
        owner = value.owner
        if getattr(owner, "name", "") in ("arith.constant", "index.constant"):
            from npukbuild.simulator.core import scalar_ops

            scalar_ops.write(out, owner, *owner.name.split("."))  # type: ignore[union-attr, arg-type]
            return out.names[value]
        raise DesignError(
            f"core {self.core.tile} uses a value from outside that is no buffer, lock or constant",
            where=str(self.core.loc or ""),
            why=f"it comes from {getattr(owner, 'name', 'a block argument')}",
            hint="compute it inside the core",
        )

    def buffer(self, name: str) -> Ref:
        """Return the reference to a buffer of the device."""
        ref = self._refs.get(name)
        if ref is None:
            memory = self.array.memories[name]
            ref = self._refs[name] = Ref(memory, memory.type.element, memory.type.shape)
            pairs = self.array.lock_pairs.get(name)
            if pairs and self._uses_locks():
                ref.rights = Rights()
                for taken, given in pairs:
                    credit = Credit()
                    ref.rights.core_locks.append(credit)
                    self.credits(taken).takes.append(credit)
                    self.credits(given).gives.append(credit)
        return ref

    def _uses_locks(self) -> bool:
        return any(op.name == "aie.use_lock" for op in self.core.body.walk())

    def credits(self, lock: str) -> LockCredits:
        """Return the credits that operations on ``lock`` change."""
        return self._credits.setdefault(lock, LockCredits())

    def prepare(self) -> None:
        """Make the references of all buffers first, so that every lock operation knows its credits."""
        for value in self.core.values.values():
            if isinstance(value, Buffer):
                self.buffer(value.name)

    def core_function(self, out: Emitter, op: Operation, name: str, arguments: list[str]) -> str:
        """Return the source of a call of an external core function.

        The call gives its cycles, or (result, cycles) when the function returns something.
        """
        function = self.array.design.functions.get(name)
        if function is None:
            raise DesignError(
                f"function {name} is not declared",
                where=str(out.loc(op) or ""),
                why=f"core {self.core.tile} calls it",
                hint=f"add func.func private @{name}(...) to the device",
            )
        record = self.record if self.array.tracing else None
        call = self.calls.bind(function, self.array.cost, record, out.loc(op))
        target = out.constant(call, "call")
        text = f"{target}({', '.join(arguments)})"
        if self.calls.turns is not None:
            text = f"(yield from {text})"
        if not out.timed:
            return text
        out.charge(self.array.timing.call_cycles)
        if record is not None:
            out.emit(f"{out.constant(self.record, 'rec')}.offset = t")
        return text if op.results else f"t += {text}"

    def products_per_cycle(self, element: str) -> float:
        """Return the multiply-accumulates per cycle of generated code on elements of this type."""
        issue = self.array.target.timing["gemm"]["kernel"]["peano"]["issue"]
        return float(issue.get({"f32": "bf16", "i32": "i16"}.get(element, element), 1.0))

    def scratch(self, out: Emitter, kind: Attribute) -> str:
        """Return a reference to stack memory (``memref.alloca``)."""
        from npukbuild.simulator.core.types import array_of

        self._scratch += 1
        buffer = Buffer(f"stack of {self.core.tile} #{self._scratch}", self.core.tile, array_of(kind), None)
        (memory,) = make_memories([buffer], self.array.work).values()
        return out.constant(Ref(memory, buffer.type.element, buffer.type.shape), "buf")

    def global_memory(self, out: Emitter, op: Operation, name: str) -> str:
        """Return a reference to this core's copy of a ``memref.global``."""
        if name not in self._globals:
            buffer = _find_global(op, name, self.core)
            (memory,) = make_memories([buffer], self.array.work).values()
            self._globals[name] = Ref(memory, buffer.type.element, buffer.type.shape)
        return out.constant(self._globals[name], "buf")

    def cascade_out(self, out: Emitter, op: Operation) -> Any:
        """Return the port of ``put_cascade``."""
        return self._port(self.array.cascade_out.get(self.core.tile), out, op, "no cascade leaves this core")

    def cascade_in(self, out: Emitter, op: Operation) -> Any:
        """Return the port of ``get_cascade``."""
        return self._port(self.array.cascade_in.get(self.core.tile), out, op, "no cascade enters this core")

    def stream_out(self, out: Emitter, op: Operation) -> Any:
        """Return the port of ``put_stream``."""
        key = (self.core.tile, "out", _channel(out, op))
        return self._port(self.array.core_ports.get(key), out, op, "no stream leaves this port")

    def stream_in(self, out: Emitter, op: Operation) -> Any:
        """Return the port of ``get_stream``."""
        key = (self.core.tile, "in", _channel(out, op))
        return self._port(self.array.core_ports.get(key), out, op, "no stream enters this port")

    def _port(self, port: Any, out: Emitter, op: Operation, why: str) -> Any:
        if port is None:
            raise DesignError(
                f"{op.name} has no other end",
                where=str(out.loc(op) or ""),
                why=why,
                hint="add the aie.cascade_flow or aie.flow that connects it",
            )
        return port


def _channel(out: Emitter, op: Operation) -> int:
    return int(out.use(op.operands[0]).strip("()"))


def _find_global(op: Operation, name: str, core: Core) -> Buffer:
    from npukbuild.ir.dialects.base import attribute_text
    from npukbuild.simulator.core.types import array_of

    scope = op.parent_op()
    while scope is not None:
        if scope.name in ("aie.device", "builtin.module"):
            for other in scope.regions[0].block.ops:
                if other.name == "memref.global" and attribute_text(other.properties.get("sym_name")) == name:
                    kind: Any = other.properties["type"]
                    value = getattr(other.properties.get("initial_value"), "data", None)
                    data = (
                        value
                        if isinstance(value, bytes)
                        else _dense_bytes(other.properties.get("initial_value"))
                    )
                    return Buffer(f"{name} of {core.tile}", core.tile, array_of(kind), None, data)
        scope = scope.parent_op()
    raise DesignError(
        f"memref.get_global of {name}, which is not defined",
        where=str(core.loc or ""),
        why=f"core {core.tile} uses it, and neither its device nor the module has such a memref.global",
        hint=f"add memref.global @{name}",
    )


def _dense_bytes(value: Any) -> bytes | None:
    data = getattr(value, "data", None)
    raw = getattr(data, "data", None)
    return raw if isinstance(raw, bytes) else None
