"""A graph of actions: who needs whose outputs, and which chain is the longest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from npukbuild.engine.action import OutputOf

if TYPE_CHECKING:
    from collections.abc import Iterable

    from npukbuild.engine.action import Action
    from npukbuild.engine.costs import Costs


@dataclass(frozen=True, slots=True)
class Node:
    """An action in a graph.

    Args:
        name: Unique in the graph.
        action: What it does.
        group: What it is for, such as a kernel's name; results are reported by group.
        after: Nodes that must have succeeded without their outputs being used.
    """

    name: str
    action: Action
    group: str = ""
    after: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the nodes that must have succeeded first."""
        used = [source.node for source in self.action.inputs.values() if isinstance(source, OutputOf)]
        return tuple(dict.fromkeys([*used, *self.after]))


@dataclass
class Graph:
    """Nodes by name, in the order they were added."""

    nodes: dict[str, Node] = field(default_factory=dict)

    def add(self, node: Node) -> Node:
        """Add a node whose needs are in the graph already, which rules out cycles.

        Raises:
            ValueError: The name is taken, or something it needs is unknown.
        """
        if node.name in self.nodes:
            raise ValueError(f"node {node.name} is in the graph already")
        for need in node.needs:
            if need not in self.nodes:
                raise ValueError(f"node {node.name} needs {need}, which is not in the graph")
        for source in node.action.inputs.values():
            if isinstance(source, OutputOf) and source.name not in self.nodes[source.node].action.outputs:
                raise ValueError(f"node {node.name} needs {source.name}, which {source.node} does not make")
        self.nodes[node.name] = node
        return node

    def users(self) -> dict[str, list[str]]:
        """Return for each node the nodes that need it."""
        users: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for need in node.needs:
                users[need].append(node.name)
        return users

    def chain_seconds(self, costs: Costs) -> dict[str, float]:
        """Return for each node the expected seconds of the longest chain that begins with it."""
        users = self.users()
        chain: dict[str, float] = {}
        for node in reversed(self.nodes.values()):
            own = costs.seconds(node.action.kind, node.action.label)
            chain[node.name] = own + max((chain[user] for user in users[node.name]), default=0.0)
        return chain


def graph_of(nodes: Iterable[Node]) -> Graph:
    """Return a graph of ``nodes``, given in an order in which needs come first."""
    graph = Graph()
    for node in nodes:
        graph.add(node)
    return graph
