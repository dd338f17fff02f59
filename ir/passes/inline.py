"""inline: the nodes of composites in place of their `call`s."""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir.graph import Graph
from ingot.ir.passes.bodies import map_bodies
from ingot.ir.transforms.replay import inlined

__all__ = ["inline"]


def inline(graph: Graph, opens: Callable[[Graph], bool] = lambda called: True) -> Graph:
    """Replace every `call` by the nodes of its graph, calls within calls and in the bodies of loops included. opens(called): whether one
    is replaced."""
    return map_bodies(inlined(graph, opens), lambda body: inline(body, opens))
