"""inline: the nodes of composites in place of their `call`s."""

from __future__ import annotations

from ingot.ir.graph import Graph, Location, Node, Value
from ingot.ir.passes.bodies import with_bodies

__all__ = ["inline"]


@with_bodies
def inline(graph: Graph) -> Graph:
    """Replace every `call` by the nodes of its graph, calls within calls included. Nodes take the location of the call."""
    if not any(n.op.name == "call" for n in graph.nodes):
        return graph
    nodes: list[Node] = []
    env: dict[Value, Value] = {}
    for n in graph.nodes:
        if n.op.name == "call":
            inputs = tuple([env.get(v, v) for v in n.inputs])
            env.update(zip(n.outputs, _expand(n.attrs[0], inputs, n.loc, nodes)))
        elif any(v in env for v in n.inputs):
            nodes.append(Node(n.op, tuple([env.get(v, v) for v in n.inputs]), n.attrs, n.outputs, n.loc))
        else:
            nodes.append(n)
    return graph.replace(nodes=tuple(nodes), outputs=tuple([env.get(v, v) for v in graph.outputs]))


def _expand(graph: Graph, inputs: tuple[Value, ...], loc: Location | None, nodes: list[Node]) -> tuple[Value, ...]:
    """Append a fresh copy of the graph's nodes to `nodes`; its outputs there."""
    env = dict(zip(graph.inputs, inputs, strict=True))
    for n in graph.nodes:
        args = tuple([env[v] for v in n.inputs])
        if n.op.name == "call":
            env.update(zip(n.outputs, _expand(n.attrs[0], args, loc or n.loc, nodes)))
            continue
        attrs = n.attrs
        if n.op.name == "scan":
            attrs = (inline(attrs[0]), *attrs[1:])
        outputs = tuple([Value(v.type) for v in n.outputs])
        nodes.append(Node(n.op, args, attrs, outputs, loc or n.loc))
        env.update(zip(n.outputs, outputs))
    return tuple([env[v] for v in graph.outputs])
