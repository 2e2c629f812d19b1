"""Whether the memory is there for one more action to run beside those that run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from npukbuild.engine.costs import memory_budget

if TYPE_CHECKING:
    from collections.abc import Collection

    from npukbuild.engine.costs import Costs
    from npukbuild.engine.ticket import Ticket


class MemoryRoom:
    """The bytes that running actions may take together.

    Args:
        costs: What actions took before.
        budget: The bytes; None asks the machine, now and again before each action.
    """

    def __init__(self, costs: Costs, budget: int | None) -> None:
        self._costs = costs
        self._fixed = budget is not None or "NPUKBUILD_MEMORY" in os.environ
        self._budget = memory_budget() if budget is None else budget

    def reserve(self, ticket: Ticket, running: Collection[Ticket]) -> bool:
        """Note what the action is expected to take, and say whether that fits; alone, it always does."""
        action = ticket.node.action
        ticket.reserved = self._costs.memory(action.kind, action.label)
        if not running:
            return True
        used = sum(other.reserved for other in running)
        if used + ticket.reserved > self._budget:
            return False
        return self._fixed or memory_budget() >= ticket.reserved
