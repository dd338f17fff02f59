"""Fusion: which nodes share a kernel, and which values live in memory.

A *group* becomes one kernel, or a few. It has a space (a shape) and, once a reduction has joined, reduced axes: its members
are *full* (they vary over every axis) or *rows* (constant over the reduced axes), so softmax or layer_norm, all their
reductions included, are one group.
"""

from __future__ import annotations

from ingot.ir.facts import Control, Reads
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.lower.fuse import materialise
from ingot.ir.lower.fuse.checked import checked_before
from ingot.ir.lower.fuse.joining import Growing, join, reads
from ingot.ir.lower.fuse.ordering import ordered
from ingot.ir.lower.group import Fused, Group

__all__ = ["fuse"]


def fuse(graph: Graph) -> Fused:
    """The groups of a graph, and of the bodies of its loops."""
    joined = join(graph)
    in_memory = frozenset(materialise.materialise(joined))
    checked = checked_before(joined, in_memory)
    same, groups = _aliased(graph, ordered(joined, in_memory, checked), in_memory)
    bodies: dict[int, Fused] = {}  # by identity: loops often share theirs
    for g in groups:
        for body in _bodies(g.nodes[0]):
            if id(body) not in bodies:
                bodies[id(body)] = fuse(body)
    return Fused(graph, tuple(_frozen(graph, in_memory, g, bodies) for g in groups), in_memory, same, checked=checked)


def _bodies(n: Node) -> tuple[Graph, ...]:
    return n.attrs[: n.op.lowering.graphs] if isinstance(n.op.lowering, Control) else ()


def _aliased(graph: Graph, groups: list[Growing], in_memory: frozenset[Value]) -> tuple[dict[Value, Value], list[Growing]]:
    """Values that are another one's memory under another shape (views of all elements in order), and the groups without their copies."""
    same: dict[Value, Value] = {}
    outputs = set(graph.outputs)
    kept: list[Growing] = []
    for g in groups:
        n = g.nodes[0]
        if len(g.nodes) == 1 and reads(n) is Reads.SAME and n.inputs[0] in in_memory:
            source, out = n.inputs[0], n.outputs[0]
            while source in same:
                source = same[source]
            if out not in outputs or (source not in outputs and source not in graph.inputs and source not in same.values()):
                same[out] = source
                continue
        kept.append(g)
    return same, kept


def _frozen(graph: Graph, in_memory: frozenset[Value], g: Growing, bodies: dict[int, Fused]) -> Group:
    held = tuple(bodies[id(body)] for body in _bodies(g.nodes[0]))
    return Group(graph, in_memory, g.kind, g.shape, g.reduced, g.split, tuple(g.nodes), g.maps, g.opened, tuple(g.outputs), held)
