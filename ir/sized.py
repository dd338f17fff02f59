"""A symbolic graph with other sizes in the place of its symbols, in types and attributes, called graphs included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingot.ir.graph import Const, Graph, Node, SizedConst, Value
from ingot.ir.size import Size, replaced
from ingot.ir.types import Dim, TensorType, tensor_type

__all__ = ["sized"]


def sized(graph: Graph, values: Mapping[str, Dim]) -> Graph:
    """`graph` with `values` for its symbols, by their names; symbols that are not named stay. The rest is as it was, locations included."""
    if not graph.symbols:
        return graph
    return _Sized(values).graph(graph)


class _Sized:
    def __init__(self, values: Mapping[str, Dim]):
        self.values = values
        self.graphs: dict[int, Graph] = {}  # by the id of what they were

    def graph(self, g: Graph) -> Graph:
        found = self.graphs.get(id(g))
        if found is not None:
            return found
        env = {v: Value(self.type(v.type)) for v in g.inputs}
        nodes = []
        for n in g.nodes:
            env.update((v, Value(self.type(v.type))) for v in n.outputs)
            attrs = tuple([self.attribute(a) for a in n.attrs])
            nodes.append(Node(n.op, tuple([env[v] for v in n.inputs]), attrs, tuple([env[v] for v in n.outputs]), n.loc))
        made = g.replace(inputs=tuple([env[v] for v in g.inputs]), nodes=tuple(nodes), outputs=tuple([env[v] for v in g.outputs]))
        self.graphs[id(g)] = made
        return made

    def type(self, t: TensorType) -> TensorType:
        return tensor_type(t.dtype, tuple([replaced(d, self.values) for d in t.shape]))

    def attribute(self, a: Any) -> Any:
        if isinstance(a, Size):
            return replaced(a, self.values)
        if isinstance(a, SizedConst):
            n = replaced(a.dim, self.values)
            return SizedConst(a.type, n) if isinstance(n, Size) else Const.of(n, a.type.dtype)
        if isinstance(a, tuple):
            return tuple([self.attribute(x) for x in a])
        return self.graph(a) if isinstance(a, Graph) else a
