"""Runtime sequences that load other configurations: a stage of its own for each configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.errors import DesignError
from npukbuild.ir.dialects import aie_ops
from npukbuild.ir.dialects.base import location_of
from npukbuild.ir.lowering.values import array_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xdsl.ir import SSAValue

    from npukbuild.ir.design import Allocation, Buffer, Cascade, Location
    from npukbuild.ir.dialects.base import DesignOp
    from npukbuild.ir.lowering.sequence import Sequencer, View
    from npukbuild.ir.lowering.state import State


@dataclass(frozen=True)
class Configured:
    """A device up to its runtime sequences."""

    state: State
    placed: dict[str, Buffer]
    allocations: Mapping[str, Allocation]
    cascades: tuple[Cascade, ...]


@dataclass(frozen=True)
class OpenStage:
    """A configuration that a sequence loads, and the sequencer of what is executed on it."""

    configured: Configured
    run: Sequencer
    loc: Location | None


def configure(run: Sequencer, op: DesignOp) -> None:
    """Lower ``aiex.configure``: its block is executed on the device that it names."""
    root = run.outermost
    if root.within is not None:
        raise DesignError(
            f"{op.name} inside of another", where=str(location_of(op)), why=f"which begins at {root.within}"
        )
    open_stage(run, op.text("symbol") or "", op)
    root.within = location_of(op)
    root.block(op.body.blocks[0])
    root.within = None
    root.closed = True


def load_pdi(run: Sequencer, op: DesignOp) -> None:
    """Lower ``npu.load_pdi``: what follows is executed on the device that it names."""
    name = op.text("device_ref")
    if name is None:
        raise DesignError(
            f"{op.name} without device_ref",
            where=str(location_of(op)),
            why=f"which configuration id {op.number('id') or 0} means stands outside the design",
            hint="name the device: aiex.npu.load_pdi {device_ref = @device}",
        )
    open_stage(run, name, op)


def open_stage(run: Sequencer, name: str, op: DesignOp) -> None:
    """Begin a stage on the device called ``name``."""
    root = run.outermost
    if run.called_from is not None:
        raise DesignError(
            f"{op.name} in a sequence that aiex.run executes",
            where=str(location_of(op)),
            why=f"the run at {run.called_from} is part of a configuration already",
        )
    configured = root.configure(name, op)
    root.latest = root.on(configured)
    root.stages.append(OpenStage(configured, root.latest, location_of(op)))
    root.closed = False


def run_sequence(run: Sequencer, op: DesignOp) -> None:
    """Lower ``aiex.run``: a runtime sequence of the configured device, on the buffers given."""
    name, loc = op.text("runtime_sequence_symbol") or "", location_of(op)
    if run.outermost.within is None or run.called_from is not None:
        raise DesignError(f"{op.name} outside of aiex.configure", where=str(loc))
    known = [one for one in run.state.device.body.blocks[0].ops if isinstance(one, aie_ops.SequenceOp)]
    found = next((one for one in known if (one.sym or "sequence") == name), None)
    if found is None:
        raise DesignError(
            f"device {run.state.device.sym or 'main'} has no runtime sequence {name}",
            where=str(loc),
            hint=f"it has {', '.join(one.sym or 'sequence' for one in known) or 'none'}",
        )
    places = found.body.blocks[0].args
    if [value.type for value in op.operands] != [place.type for place in places]:
        kinds = ", ".join(str(place.type) for place in places)
        raise DesignError(
            f"the arguments of runtime sequence {name} do not fit",
            where=str(loc),
            why=f"it takes ({kinds}), declared at {location_of(found)}",
        )
    views: dict[SSAValue, View] = {
        place: _view(run, value, op) for place, value in zip(places, op.operands, strict=True)
    }
    run.calling(op, views).block(found.body.blocks[0])


def _view(run: Sequencer, value: Any, op: DesignOp) -> View:
    view = run.view(value)
    if view is None:
        raise DesignError(
            f"{op.name} needs arguments of the runtime sequence or parts of them", where=str(location_of(op))
        )
    return type(view)(view.argument, array_of(value.type), view.offset)
