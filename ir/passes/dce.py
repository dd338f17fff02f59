"""dce: drop what no output needs."""

from __future__ import annotations

from ingot.ir.graph import Graph, Node
from ingot.ir.passes.bodies import with_bodies

__all__ = ["dce"]


@with_bodies
def dce(graph: Graph) -> Graph:
    """Drop nodes whose outputs nobody reads. Inputs stay: they are the graph's signature."""
    live = set(graph.outputs)
    kept: list[Node] = []
    for n in reversed(graph.nodes):
        if not live.isdisjoint(n.outputs):
            live.update(n.inputs)
            kept.append(n)
    return graph if len(kept) == len(graph.nodes) else graph.replace(nodes=tuple(reversed(kept)))
