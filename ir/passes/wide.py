"""wide: long concatenations as trees of short ones, whose code asks at each element which operand it is of."""

from __future__ import annotations

from ingot.ir.graph import Graph, Node, Value
from ingot.ir.op import infer
from ingot.ir.ops.movement import concatenate
from ingot.ir.passes.bodies import with_bodies

__all__ = ["SHORT", "wide"]

SHORT = 16  # operands of one concatenation


@with_bodies
def wide(graph: Graph) -> Graph:
    """Concatenations of more than SHORT operands become trees of such; those of SHORT that others read lie in memory (lower/fuse)."""
    if all(n.op is not concatenate or len(n.inputs) <= SHORT for n in graph.nodes):
        return graph
    nodes: list[Node] = []
    for n in graph.nodes:
        inputs = n.inputs
        while n.op is concatenate and len(inputs) > SHORT:
            shorter: list[Value] = []
            for at in range(0, len(inputs), SHORT):
                some = inputs[at : at + SHORT]
                if len(some) > 1:
                    made = Value(infer(concatenate, tuple([v.type for v in some]), n.attrs)[0])
                    nodes.append(Node(concatenate, some, n.attrs, (made,), n.loc))
                    some = (made,)
                shorter += some
            inputs = tuple(shorter)
        nodes.append(n if inputs is n.inputs else Node(n.op, inputs, n.attrs, n.outputs, n.loc))
    return graph.replace(nodes=tuple(nodes))
