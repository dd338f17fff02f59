"""inline: the nodes of composites in place of their `call`s."""

from __future__ import annotations

from ingot.ir.graph import Graph
from ingot.ir.passes.bodies import map_bodies
from ingot.ir.transforms.replay import inlined

__all__ = ["inline"]


def inline(graph: Graph) -> Graph:
    """Replace every `call` by the nodes of its graph, calls within calls and in the bodies of loops included."""
    return map_bodies(inlined(graph), inline)
