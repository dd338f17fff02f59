"""Passes inside loops and branches: what a pass does to a graph it does to the graphs in its nodes as well."""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir.facts import Control
from ingot.ir.graph import Graph, Node

__all__ = ["with_bodies", "map_bodies"]


def map_bodies(graph: Graph, run: Callable[[Graph], Graph]) -> Graph:
    """`graph` with `run` applied to every body of its nodes; `graph` itself where no body changes."""
    done: dict[int, Graph] = {}
    nodes: list[Node] | None = None
    for i, n in enumerate(graph.nodes):
        if not isinstance(n.op.lowering, Control):
            continue
        bodies = n.attrs[: n.op.lowering.graphs]
        for body in bodies:
            if id(body) not in done:
                done[id(body)] = run(body)
        if any(done[id(body)] is not body for body in bodies):
            nodes = nodes or list(graph.nodes)
            nodes[i] = Node(n.op, n.inputs, (*(done[id(body)] for body in bodies), *n.attrs[len(bodies) :]), n.outputs, n.loc)
    return graph if nodes is None else graph.replace(nodes=tuple(nodes))


def with_bodies(run: Callable[[Graph], Graph]) -> Callable[[Graph], Graph]:
    """The pass `run`, applied to bodies first and then to the graph."""

    def both(graph: Graph) -> Graph:
        return run(map_bodies(graph, both))

    both.__name__ = both.__qualname__ = run.__name__
    both.__doc__ = run.__doc__
    return both
