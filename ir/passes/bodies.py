"""Passes inside loops: what a pass does to a graph it does to the bodies of its scans as well."""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir.facts import Loop
from ingot.ir.graph import Graph, Node

__all__ = ["with_bodies", "map_bodies"]


def map_bodies(graph: Graph, run: Callable[[Graph], Graph]) -> Graph:
    """`graph` with `run` applied to the body of every scan; `graph` itself where no body changes."""
    done: dict[int, Graph] = {}
    nodes: list[Node] | None = None
    for i, n in enumerate(graph.nodes):
        if not isinstance(n.op.lowering, Loop):
            continue
        body = n.attrs[0]
        new = done.get(id(body))
        if new is None:
            new = done[id(body)] = run(body)
        if new is not body:
            nodes = nodes or list(graph.nodes)
            nodes[i] = Node(n.op, n.inputs, (new, *n.attrs[1:]), n.outputs, n.loc)
    return graph if nodes is None else graph.replace(nodes=tuple(nodes))


def with_bodies(run: Callable[[Graph], Graph]) -> Callable[[Graph], Graph]:
    """The pass `run`, applied to scan bodies first and then to the graph."""

    def both(graph: Graph) -> Graph:
        return run(map_bodies(graph, both))

    both.__name__ = both.__qualname__ = run.__name__
    both.__doc__ = run.__doc__
    return both
