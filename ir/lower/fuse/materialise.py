"""Materialising: which values get memory, and which are computed again wherever they are read."""

from __future__ import annotations

from ingot.ir.facts import Contraction, Control, Inline, OwnKernels, Reads, Reduction, View
from ingot.ir.graph import Node, Value
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.fuse.cut import AGAIN, CHEAP, cuts
from ingot.ir.lower.fuse.joining import Growing, Joined, reads
from ingot.ir.ops.form import form_of
from ingot.ir.ops.movement import concatenate
from ingot.ir.passes.wide import SHORT
from ingot.ir.size import equal
from ingot.ir.types import numel

__all__ = ["materialise"]

DEAR = 60  # instructions that are never repeated
REPEATED, MANY = 1 << 16, 8  # multiplications of a product from which on it repeats no factor's instructions, and how often that is


def reads_memory(node: Node) -> bool:
    """Whether a node reads its operands from memory, not element by element."""
    kind = node.op.lowering
    if isinstance(kind, Inline):
        from ingot.ir.lower.routines import kind_of

        return kind_of(node.attrs[0]) is not None
    return kind.whole if isinstance(kind, OwnKernels) else isinstance(kind, Control)


def materialise(joined: Joined) -> set[Value]:
    """The values that have buffers. Enters the outputs of every group; a view that must be in memory becomes a copy, a group of its own."""
    graph, home = joined.graph, joined.home
    producers = graph.producers
    wanted: set[Value] = set(graph.outputs)
    for n in graph.nodes:
        if reads_memory(n):
            wanted.update(n.inputs)
        elif n.op is concatenate:  # a tree of them, see passes/wide.py
            wanted.update(v for v in n.inputs if (made := producers.get(v)) and made.op is concatenate and len(made.inputs) == SHORT)
    kept, again = cuts(joined, wanted)
    wanted |= kept
    m = _Memory(joined, again)
    for at, node in enumerate(graph.nodes):
        for v in node.outputs:
            if v not in home:
                if v not in wanted:
                    continue
                joined.add(joined.new_group("nest", v.type.shape, at), node, at, [tuple(range(v.type.rank))])
            g = home[v]
            if isinstance(node.op.lowering, OwnKernels) and v not in wanted and not graph.users.get(v):  # of several results
                continue
            if not g.alone and v not in wanted:
                outside = m.outside_users(v, g)
                if not outside or m.inlines(v, g, outside):
                    continue
            g.outputs.append(v)
            m.in_memory.add(v)
    for g in joined.groups.values():
        _drop_unused(joined, g)
    return m.in_memory


def _drop_unused(joined: Joined, g: Growing) -> None:
    """Drop the members that others compute again, and that nothing which the group writes is made of."""
    used = set(g.outputs)
    for n in reversed(g.nodes):
        if not used.isdisjoint(n.outputs):
            used.update(v for v in n.inputs if v in g.maps)
    g.nodes = [n for n in g.nodes if not used.isdisjoint(n.outputs)]
    kept = {v for n in g.nodes for v in n.outputs}
    g.maps = {v: m for v, m in g.maps.items() if v in kept}


def _addresses(n: Node, v: Value) -> bool:
    """Whether v says for each element of a view where it is read."""
    out = n.outputs[0].type
    return isinstance(n.op.lowering, View) and v in n.inputs[1:] and v is not n.inputs[0] and bool(equal(v.type.numel, out.numel))


class _Memory:
    def __init__(self, joined: Joined, again: set[Value]):
        self.again = again
        self.graph = joined.graph
        self.home = joined.home
        self.steady = joined.steady
        self.in_memory: set[Value] = set(joined.graph.inputs)

    def outside_users(self, v: Value, g: Growing) -> list[Node]:
        return [n for n in self.graph.users.get(v, ()) if not (n.outputs[0] in self.home and self.home[n.outputs[0]] is g)]

    def inlines(self, v: Value, g: Growing, outside: list[Node]) -> bool:
        """Whether readers outside g compute v again rather than load it."""
        cost = self.cost(v)
        if v in self.again:
            return cost is not None and cost <= AGAIN
        if cost is None or cost and self.kept(v, outside):
            return False
        if cost and any(self.repeats(v, n) for n in outside):
            return False
        if cost <= CHEAP:
            return True
        if len(outside) != 1 or self.serves_others(v, g):
            return False
        n, through = outside[0], v
        while n.outputs[0] not in self.home:  # through views that read each element at most once
            if reads(n) not in (Reads.SAME, Reads.ONCE):
                if not _addresses(n, through):
                    return False
                if n.outputs[0] in self.graph.outputs:
                    return True  # a copy at places that are calculated
            through = n.outputs[0]
            readers = self.graph.users.get(n.outputs[0], [])
            if len(readers) != 1 or n.outputs[0] in self.graph.outputs:
                return False
            n = readers[0]
        reader = self.home[n.outputs[0]]
        levels = sum(isinstance(m.op.lowering, Reduction) for m in reader.nodes)
        if reader.alone:
            return not reads_memory(n) and not isinstance(n.op.lowering, Inline)  # whose blocks read much of it again
        return reader.kind == "nest" and not reader.local and levels <= 1

    def repeats(self, v: Value, n: Node) -> bool:
        """Whether a product at points, of some size, reads each element of v many times: a row of A for every column."""
        home = self.home.get(n.outputs[0])
        if not isinstance(n.op.lowering, Contraction) or home is None or home.kind != "nest":
            return False
        f = form_of(n)
        work = assumed(numel((*f.batch, *f.m, *f.n, *f.k)))
        return work >= REPEATED and work >= MANY * assumed(numel(v.type.shape))

    def kept(self, v: Value, outside: list[Node]) -> bool:
        """Whether v is calculated once, for something that is calculated in every call, and takes no more room than what it is made of."""
        steady = self.steady
        if v not in steady or all(n.outputs[0] in steady for n in outside):
            return False
        stack, most = [v], 0
        while stack:
            u = stack.pop()
            if u in self.in_memory:
                most = max(most, assumed(u.type.nbytes))
            else:
                stack.extend(self.graph.producers[u].inputs)
        return assumed(v.type.nbytes) <= most

    def serves_others(self, v: Value, g: Growing) -> bool:
        """Whether g also serves other readers, so that computing v elsewhere would be extra work."""
        return any(w is not v and w in g.maps and (w in self.graph.outputs or self.outside_users(w, g)) for w in g.maps) or any(
            isinstance(n.op.lowering, Reduction) for n in g.nodes
        )

    def cost(self, v: Value) -> int | None:
        """Instructions to compute v from memory; None if that is impossible or too dear."""
        total, loads = 0, 0
        stack, seen = [v], {v}
        producers = self.graph.producers
        while stack:
            u = stack.pop()
            if u in self.in_memory:
                loads += 1
                continue
            node = producers[u]
            if node.op.lowering.cost.instructions is None:
                return None
            total += node.op.lowering.cost.instructions
            if total > DEAR:
                return None
            for w in node.inputs:
                if w not in seen:
                    seen.add(w)
                    stack.append(w)
        return total + max(0, loads - 2) * 2
