"""Groups: the nodes of a graph that share a kernel, and the graph in groups, which is what fusion makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point, linear
from ingot.ir.struct import frozen, struct
from ingot.ir.text import clean_name, node_printer

__all__ = ["Group", "Fused", "FusionError", "Map", "Order", "print_fused", "verify_fused"]

Map = tuple[int | None, ...]
Order = tuple[int, ...]


class FusionError(RuntimeError):
    """Groups that cannot be kernels: a defect of fusion."""


@frozen
@struct
class Group:
    """Nodes of one kernel, or of a few that are launched in turn.

    graph, in_memory  the graph, and which of its values have buffers
    kind              how it is scheduled and written, by its name in the target's table; where it has bodies, as steps
    shape, reduced    its space; the axes that its reductions run over
    split             its reductions are split over their length, and no member varies over every axis
    nodes             its members in the graph's order
    maps              value of a member -> for each of its dims the axis of `shape` that it runs along (None: its extent is 1)
    opened            the same for the input, of a reduction whose input is no member
    outputs           the values that it writes
    bodies            of loops and branches
    orders            value in memory -> its dims in the order they lie in, the outermost first; those not in it are row-major
    """

    graph: Graph
    in_memory: frozenset[Value]
    kind: str
    shape: tuple[int, ...]
    reduced: frozenset[int]
    split: bool
    nodes: tuple[Node, ...]
    maps: Mapping[Value, Map]
    opened: Mapping[Node, Map]
    outputs: tuple[Value, ...]
    bodies: tuple[Fused, ...] = ()
    orders: Mapping[Value, Order] = MappingProxyType({})

    def is_full(self, v: Value) -> bool:
        """Whether a member varies over every axis."""
        axes = {a for a in self.maps[v] if a is not None}
        return all(a in axes for a, d in enumerate(self.shape) if d != 1)

    def offset(self, v: Value, idx: Point) -> Index:
        """Where an element lies in the memory of a value."""
        order, shape = self.orders.get(v), v.type.shape
        return linear(idx, shape) if order is None else linear(tuple(idx[d] for d in order), tuple(shape[d] for d in order))

    def inside(self) -> set[Node]:
        """The nodes that are no members and are computed in its kernels, where they are read."""
        producers = self.graph.producers
        out: set[Node] = set()
        stack = [v for n in self.nodes for v in n.inputs]
        while stack:
            v = stack.pop()
            n = producers.get(v)
            if n is not None and n not in out and v not in self.maps and v not in self.in_memory:
                out.add(n)
                stack.extend(n.inputs)
        return out

    def title(self, names: Mapping[Value, str]) -> str:
        """Kind, space and outputs, for people: `nest [20, 70] over [1] -> %4`."""
        space = "" if self.bodies else f" {list(self.shape)}"
        over = f" {'split ' if self.split else ''}over {sorted(self.reduced)}" if self.reduced else ""
        return f"{self.kind}{space}{over} -> {', '.join(names[v] for v in self.outputs)}"

    def __repr__(self) -> str:
        return f"<Group {self.kind} {self.shape} over {sorted(self.reduced)} {[n.op.name for n in self.nodes]}>"


@frozen
@struct
class Fused:
    """A graph in groups, in order of execution.

    in_memory: the values that have a buffer
    same: value in memory -> another one, whose memory it is under another shape
    orders: see `Group`
    checked: nodes whose indices are in range, which is checked before
    """

    graph: Graph
    groups: tuple[Group, ...]
    in_memory: frozenset[Value]
    same: Mapping[Value, Value]
    orders: Mapping[Value, Order] = MappingProxyType({})
    checked: frozenset[Node] = frozenset()

    def root(self, v: Value) -> Value:
        """The value whose memory `v` is."""
        while v in self.same:
            v = self.same[v]
        return v


def print_fused(fused: Fused) -> str:
    """The groups of a graph: kind and space, its nodes, and what is computed in it beside them."""
    return "\n".join([f"groups @{clean_name(fused.graph.name, 'main')}", *_lines(fused, "  "), ""])


def _lines(fused: Fused, pad: str) -> Iterator[str]:
    graph = fused.graph
    names, line = node_printer(graph)
    position = {n: i for i, n in enumerate(graph.nodes)}
    for v, source in fused.same.items():
        yield f"{pad}{names[v]} is {names[source]}"
    for v, order in fused.orders.items():
        yield f"{pad}{names[v]} lies by dims {list(order)}"
    for g in fused.groups:
        yield pad + g.title(names) + ("  // its indices are checked before" if g.nodes[0] in fused.checked else "")
        members = set(g.nodes)
        for n in sorted(members | g.inside(), key=position.__getitem__):
            yield f"{pad}  {line(n)}" if n in members else f"{pad}  {line(n):<58}  // where it is read"
        for body in g.bodies:
            yield from _lines(body, pad + "    ")


def verify_fused(fused: Fused) -> Fused:
    """`fused` itself, where each value in memory is written once, before it is read, and every other one is computed where it is read.

    FusionError says what is wrong.
    """
    name = f"@{fused.graph.name}"
    written = set(fused.graph.inputs)
    for g in fused.groups:
        if not g.nodes or not g.outputs:
            raise FusionError(f"{name}: {g} has no nodes or no outputs")
        for v in g.outputs:
            if v in written or v not in g.maps or v not in fused.in_memory:
                raise FusionError(f"{name}: {g} writes {v}, which is written already, no member, or has no memory")
        for n in (*g.nodes, *g.inside()):
            for v in n.inputs:
                if v in fused.in_memory and v not in g.maps and fused.root(v) not in written:
                    raise FusionError(f"{name}: {g} reads {v} before it is written")
        written.update(g.outputs)
        for body in g.bodies:
            verify_fused(body)
    for v in (*fused.in_memory, *fused.graph.outputs):
        if fused.root(v) not in written:
            raise FusionError(f"{name}: {v} is in memory and never written")
    return fused
