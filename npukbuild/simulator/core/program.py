"""Translation of a core's region to the source of a Python generator.

The generator yields what it waits for: a number of cycles (timed only), a lock request, or None to let
    others run.
Everything static is settled here, once: constants, which fifo end and lock an operation means, how many
*new* objects an acquire takes. The real compiler's lowering counts objects that are already held in one pass
over the program text, so a loop that releases fewer objects than it acquires takes the same number again in
every iteration; this translation counts in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.errors import DesignError
from npukbuild.simulator.core import affine_ops, memrefs, scalar_ops, scf_ops, sync, vectors
from npukbuild.simulator.core.functions import callee_of, find_function
from npukbuild.simulator.core.scalars import HELPERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdsl.ir import Block, Operation, Region, SSAValue

    from npukbuild.ir.design import Core, Location
    from npukbuild.simulator.core.context import CoreContext

_LEAVING = ("scf.yield", "scf.condition", "func.return", "affine.yield")
_YIELD_EVERY = 128
"""Iterations of loops, nested ones counted together, after which a core lets others run."""


class Emitter:
    """Writes the generator's source and keeps what its names mean."""

    def __init__(self, core: Core, context: CoreContext) -> None:
        self.core = core
        self.context = context
        self.timed = context.timed
        self.lines: list[str] = []
        self.depth = 1
        self.names: dict[SSAValue, str] = {}
        self.globals: dict[str, Any] = dict(HELPERS)
        self.held: dict[tuple[str, str], int] = {}
        self.cost = 0.0
        self.inlined: dict[str, str] = {}
        self._serial = 0
        self._interned: dict[int, str] = {}

    # Source --------------------------------------------------------------------------------------------

    def emit(self, line: str) -> None:
        """Write one line at the current depth."""
        self.lines.append("    " * self.depth + line)

    def fresh(self, prefix: str = "v") -> str:
        """Return a name that is not in use."""
        self._serial += 1
        return f"{prefix}{self._serial}"

    def define(self, value: SSAValue, expression: str) -> None:
        """Assign ``expression`` to the name of an SSA value."""
        name = self.names[value] = self.fresh()
        self.emit(f"{name} = {expression}")

    def constant(self, thing: Any, prefix: str) -> str:
        """Give an object of the run a global name."""
        name = self._interned.get(id(thing))
        if name is None:
            name = self._interned[id(thing)] = self.fresh(prefix)
            self.globals[name] = thing
        return name

    def use(self, value: SSAValue) -> str:
        """Return the name of an SSA value, resolving buffers and locks of the device."""
        name = self.names.get(value)
        if name is None:
            name = self.names[value] = self.context.outer(self, value)
        return name

    # Time ------------------------------------------------------------------------------------------------

    def charge(self, cycles: float) -> None:
        """Count cycles for the straight-line code being written."""
        self.cost += cycles

    def settle(self) -> None:
        """Write the cycles counted so far into the program's time."""
        if self.timed and self.cost:
            self.emit(f"t += {self.cost!r}")
        self.cost = 0.0

    def flush(self) -> None:
        """Let the time pass that the program has used (before others can see what it does next)."""
        self.settle()
        if self.timed:
            self.emit("if t: yield t; t = 0.0")

    def tick(self) -> None:
        """Let others run now and then.

        Every loop does: whether its locks make it wait is known only when it runs.
        """
        self.emit("n += 1")
        self.emit(f"if not n & {_YIELD_EVERY - 1}: yield {'t; t = 0.0' if self.timed else 'None'}")

    # Structure -------------------------------------------------------------------------------------------

    def region(self, region: Region, leave: Callable[[Operation], None] | None = None) -> None:
        """Write a region; ``leave`` handles its terminator."""
        blocks = list(region.blocks)
        if len(blocks) > 1:
            self._blocks(blocks)
        elif blocks:
            self.block(blocks[0], leave)

    def block(self, block: Block, leave: Callable[[Operation], None] | None = None) -> None:
        """Write the operations of one block."""
        before = len(self.lines)
        for op in block.ops:
            if leave is not None and op.next_op is None and op.name in _LEAVING:
                self.settle()
                leave(op)
            else:
                self.operation(op)
        self.settle()
        if len(self.lines) == before:
            self.emit("pass")

    def operation(self, op: Operation) -> None:
        """Write one operation."""
        dialect, _, name = op.name.partition(".")
        writer = {"func": self._func, "cf": self._cf, "affine": self._affine}.get(dialect)
        done = (
            writer(op, name)
            if writer is not None
            else scf_ops.write(self, op, dialect, name)
            or vectors.write(self, op, dialect, name)
            or scalar_ops.write(self, op, dialect, name)
            or memrefs.write(self, op, dialect, name)
            or sync.write(self, op, dialect, name)
        )
        if not done:
            raise self.unsupported(op)

    def unsupported(self, op: Operation, why: str | None = None) -> DesignError:
        """Return the refusal of an operation, by name and line."""
        return DesignError(
            f"the simulator does not support {op.name} in a core",
            where=str(self.loc(op) or f"core {self.core.tile}"),
            why=why,
            hint="move it into a core function (C++), which runs as it is",
        )

    def loc(self, op: Operation) -> Location | None:
        """Return the line of an operation."""
        from npukbuild.ir.dialects.base import location_of

        return location_of(op)

    def place(self, op: Operation) -> str:
        """Return the name of an operation's line in the source."""
        loc = self.loc(op)
        return self.constant(loc, "at") if loc is not None else "None"

    def results(self, op: Operation) -> list[str]:
        """Give the results of an operation names, and return these."""
        names = []
        for result in op.results:
            name = self.names[result] = self.fresh()
            names.append(name)
        return names

    def assign(self, names: list[str]) -> Callable[[Operation], None]:
        """Return a writer of a terminator whose operands become the values of ``names``."""

        def leave(op: Operation) -> None:
            if names:
                values = ", ".join(self.use(value) for value in op.operands)
                self.emit(f"{', '.join(names)} = {values}")

        return leave

    def _affine(self, op: Operation, name: str) -> bool:
        return name == "yield" or affine_ops.write(self, op, name)

    def _blocks(self, blocks: list[Block]) -> None:
        """Write several blocks as a state machine."""
        state = self.fresh("state")
        self._state = (state, {block: number for number, block in enumerate(blocks)})
        for block in blocks:
            for argument in block.args:
                self.names[argument] = self.fresh()
        self.emit(f"{state} = 0")
        self.emit("while True:")
        self.depth += 1
        self.tick()
        for number, block in enumerate(blocks):
            self.emit(f"if {state} == {number}:")
            self.depth += 1
            machine = self._state
            self.block(block, self._return)
            self._state = machine
            if block.last_op is not None and block.last_op.name in ("aie.end", "func.return"):
                self.emit("break" if block.last_op.name == "aie.end" else "pass")
            self.depth -= 1
        self.depth -= 1

    def _cf(self, op: Operation, name: str) -> bool:
        if name == "br":
            self._jump(op.successors[0], [self.use(value) for value in op.operands])
            self.emit("continue")
            return True
        if name == "cond_br":
            test, *values = [self.use(value) for value in op.operands]
            split = len(op.successors[0].args)
            self.settle()
            self.emit(f"if {test}:")
            self.depth += 1
            self._jump(op.successors[0], values[:split])
            self.depth -= 1
            self.emit("else:")
            self.depth += 1
            self._jump(op.successors[1], values[split:])
            self.depth -= 1
            self.emit("continue")
            return True
        return False

    def _jump(self, target: Block, values: list[str]) -> None:
        state, numbers = self._state
        self.charge(self.context.loop_cycles)
        self.settle()
        if values:
            self.emit(f"{', '.join(self.names[argument] for argument in target.args)} = {', '.join(values)}")
        self.emit(f"{state} = {numbers[target]}")

    def _func(self, op: Operation, name: str) -> bool:
        if name != "call":
            return False
        callee = callee_of(op)
        arguments = [self.use(value) for value in op.operands]
        body = find_function(op, callee)
        self.settle()
        if body is not None:
            inner = self.inlined.get(callee) or self._function(callee, body)
            call = f"yield from {inner}({', '.join(arguments)})"
        else:
            call = self.context.core_function(self, op, callee, arguments)
        if not op.results:
            self.emit(call)
        elif body is None:
            (result,) = self.results(op)
            self.emit(f"{result}, cycles = {call}")
            if self.timed:
                self.emit("t += cycles")
        else:
            results = self.results(op)
            self.emit(f"{', '.join(results)} = {call}")
        return True

    def _return(self, op: Operation) -> None:
        self.flush()
        self.emit(f"return {', '.join(self.use(value) for value in op.operands)}")

    def _function(self, name: str, body: Region) -> str:
        """Write a function of the design as a generator of its own."""
        inner = self.inlined[name] = self.fresh("fn")
        lines, depth, self.lines, self.depth = self.lines, self.depth, [], 2
        parameters = []
        for argument in body.blocks[0].args:
            parameter = self.names[argument] = self.fresh()
            parameters.append(parameter)
        self.emit("nonlocal n")
        if self.timed:
            self.emit("t = 0.0")
        self.region(body, self._return)
        self.emit("if False: yield None")
        written, self.lines, self.depth = self.lines, lines, depth
        self.context.functions.append("\n".join([f"    def {inner}({', '.join(parameters)}):", *written]))
        return inner


def translate(core: Core, context: CoreContext) -> Callable[[], Any]:
    """Return a function that starts the core's program.

    Raises:
        DesignError: An operation is not supported; names it and its line.
    """
    emitter = Emitter(core, context)
    emitter.depth = 2
    emitter.emit("nonlocal n")
    if emitter.timed:
        emitter.emit("t = 0.0")
    emitter.region(core.body)
    emitter.flush()
    emitter.emit("if False: yield None")
    source = "\n".join(
        [
            "def make():\n    n = 0",
            *context.functions,
            "    def core():",
            *emitter.lines,
            "    return core",
            "",
        ]
    )
    code = compile(source, f"<core {core.tile}>", "exec")
    exec(code, emitter.globals)  # noqa: S102  (the source is ours, made from a parsed design)
    program: Callable[[], Any] = emitter.globals["make"]()
    return program
