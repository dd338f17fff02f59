"""rounded: products whose operands are rounded to TF32, as GPUs multiply them many times faster. No pass of the lowering: it is asked for.

Products of such numbers are exact in float32, and so every interpreter and backend computes what the graph says.
"""

from __future__ import annotations

from ingot.ir.dtypes import f32
from ingot.ir.facts import Contraction, Inline
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.ops.elementwise import round_tf32
from ingot.ir.passes.bodies import with_bodies
from ingot.ir.transforms.replay import inlined

__all__ = ["rounded"]


@with_bodies
def rounded(graph: Graph) -> Graph:
    """The operands of matrix products and convolutions of float32, rounded; `graph` itself where it has none."""
    if any(isinstance(n.op.lowering, Inline) for n in graph.nodes):
        return rounded(inlined(graph))
    made: dict[Value, Node] = {}
    nodes: list[Node] = []
    for n in graph.nodes:
        if isinstance(n.op.lowering, Contraction) and n.inputs[0].type.dtype is f32:
            for v in dict.fromkeys(n.inputs):
                if v not in made:
                    made[v] = Node(round_tf32, (v,), (), (Value(v.type),), n.loc)
                    nodes.append(made[v])
            n = Node(n.op, tuple(made[v].outputs[0] for v in n.inputs), n.attrs, n.outputs, n.loc)
        nodes.append(n)
    return graph.replace(nodes=tuple(nodes)) if made else graph
