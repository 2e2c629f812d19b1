"""The outcomes of a graph's nodes: what each end makes ready, and what each failure leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npukbuild.engine.outcome import Outcome

if TYPE_CHECKING:
    from npukbuild.engine.graph import Graph, Node
    from npukbuild.engine.outcome import Reporter
    from npukbuild.engine.ticket import Ticket
    from npukbuild.errors import NpukbuildError


class NodeOutcomes:
    """What became of the nodes so far.

    Args:
        graph: The nodes.
        reporter: Told of every end.

    Attributes:
        outcomes: By node; complete when every node has one.
        users: For each node the nodes that need it.
        ready: Nodes that have all they need and were not taken up yet; the next one is the last.
        failed: Whether any node failed.
    """

    def __init__(self, graph: Graph, reporter: Reporter) -> None:
        self._graph = graph
        self._reporter = reporter
        self._missing = {name: len(node.needs) for name, node in graph.nodes.items()}
        self.outcomes: dict[str, Outcome] = {}
        self.users = graph.users()
        self.ready = [name for name, count in self._missing.items() if count == 0]
        self.ready.reverse()
        self.failed = False

    @property
    def complete(self) -> bool:
        """Whether every node has its outcome."""
        return len(self.outcomes) == len(self._graph.nodes)

    def end(self, node: Node, outcome: Outcome) -> None:
        """Note a success, and find which nodes have now all that they need."""
        self.outcomes[node.name] = outcome
        self._reporter.ended(node, outcome)
        for user in self.users[node.name]:
            self._missing[user] -= 1
            if self._missing[user] == 0 and user not in self.outcomes:
                self.ready.append(user)

    def fail(self, node: Node, error: NpukbuildError, ticket: Ticket | None = None) -> None:
        """Note a failure; whatever needs the node, directly or not, is skipped."""
        self.failed = True
        base = ticket.base if ticket else {}
        outcome = Outcome("failed", base, error=error, folder=ticket.folder if ticket else None)
        self.outcomes[node.name] = outcome
        self._reporter.ended(node, outcome)
        self._skip_users(node.name)

    def _skip_users(self, name: str) -> None:
        for user in self.users[name]:
            if user not in self.outcomes:
                self.outcomes[user] = Outcome("skipped")
                self._reporter.ended(self._graph.nodes[user], self.outcomes[user])
                self._skip_users(user)

    def skip_rest(self) -> None:
        """Skip every node that has no outcome yet."""
        for name, node in self._graph.nodes.items():
            if name not in self.outcomes:
                self.outcomes[name] = Outcome("skipped")
                self._reporter.ended(node, self.outcomes[name])
