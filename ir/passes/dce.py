"""dce: drop what no output needs."""

from __future__ import annotations

from ingot.ir.graph import Graph
from ingot.ir.passes.bodies import with_bodies
from ingot.ir.transforms.replay import live_nodes

__all__ = ["dce"]


@with_bodies
def dce(graph: Graph) -> Graph:
    """Drop nodes whose outputs nobody reads. Inputs stay: they are the graph's signature."""
    kept = live_nodes(graph.nodes, graph.outputs)
    return graph if len(kept) == len(graph.nodes) else graph.replace(nodes=kept)
