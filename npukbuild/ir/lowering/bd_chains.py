"""``aie.bd_chain``: a chain of descriptors with places for buffers and locks, filled in where it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdsl.ir import Region

from npukbuild.errors import DesignError
from npukbuild.ir.dialects import dma_ops, task_ops
from npukbuild.ir.dialects.base import INDEX, location_of

if TYPE_CHECKING:
    from npukbuild.ir.dialects.base import DesignOp
    from npukbuild.ir.lowering.state import State


def configured_chain(state: State, op: DesignOp) -> DesignOp:
    """Return the ``dma_configure_task(_for)`` that starting a chain stands for (AIEMaterializeBDChains).

    Raises:
        DesignError: No chain has that name, or it takes other arguments.
    """
    name, loc = op.text("chain"), location_of(op)
    chains = [one for one in state.device.body.blocks[0].ops if isinstance(one, dma_ops.BdChainOp)]
    chain = next((one for one in chains if one.sym == name), None)
    if chain is None:
        known = ", ".join(sorted(one.sym or "" for one in chains)) or "none"
        raise DesignError(f"no bd_chain is named {name}", where=str(loc), hint=f"known: {known}")
    whole = isinstance(op, task_ops.StartBdChainForOp)
    values = op.operands if whole else op.operands[:-1]
    places = chain.body.blocks[0].args
    if [value.type for value in values] != [place.type for place in places]:
        expected = ", ".join(str(place.type) for place in places)
        raise DesignError(
            f"the arguments of bd_chain {name} do not fit",
            where=str(loc),
            why=f"it takes ({expected}), declared at {location_of(chain)}",
        )
    body = Region()
    chain.body.clone_into(body)
    for place, value in zip(body.blocks[0].args, values, strict=True):
        place.replace_all_uses_with(value)
    kind = task_ops.ConfigureTaskForOp if whole else task_ops.ConfigureTaskOp
    given = {key: value for key, value in op.attributes.items() if key != "chain"}
    made = kind.make(
        operands=[] if whole else [op.operands[-1]], results=[INDEX], regions=[body], attributes=given
    )
    made.location = op.location
    made.results[0].name_hint = op.results[0].name_hint
    return made
