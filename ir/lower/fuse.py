"""Fusion: which nodes share a kernel, and which values live in memory.

A *group* becomes one kernel. It has a space (a shape) and, once a reduction has joined, reduced axes: its members are
*full* (they vary over every axis) or *rows* (constant over the reduced axes), so softmax or layer_norm, all their
reductions included, are one group. Nodes join the group of an input while the groups stay acyclic. Views (movement,
gathers) belong to no group: they are computed where they are read, by `Pull`.
"""

from __future__ import annotations

from ingot.ir.facts import Contraction, Loop, OwnKernels, Reads, Reduction, View, Window
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.types import Shape, numel

__all__ = ["Group", "fuse"]

MAX_MEMBERS = 96  # beyond this a kernel's registers and compile time suffer more than memory gains
FEW_ROWS = 16  # reductions with fewer rows are split over their length, and then end their group's full part
SPLIT_AT = 1 << 15


def core(shape: Shape) -> tuple:
    return tuple(d for d in shape if d != 1)


class Group:
    """Nodes of one kernel. `maps[v][d]` is the axis of `shape` that dim d of member value v runs along (None: extent 1)."""

    def __init__(self, index: int, kind: str, shape: tuple[int, ...]):
        self.index = index
        self.kind = kind  # "nest", "contraction" or "special"
        self.shape = shape
        self.reduced: frozenset[int] = frozenset()
        self.nodes: list[Node] = []
        self.maps: dict[Value, tuple[int | None, ...]] = {}
        self.opened: dict[Node, tuple[int | None, ...]] = {}  # the same for the input, of a reduction whose input is no member
        self.preds: set[int] = set()
        self.ancestors = 0  # a bit for every group that this one depends on, at whatever distance
        self.last = 0  # position in the graph
        self.sealed = False  # a split reduction: no full member may follow
        self.local = False  # holds a contraction or window evaluated at each point
        self.outputs: list[Value] = []

    def is_full(self, v: Value) -> bool:
        axes = {a for a in self.maps[v] if a is not None}
        return all(a in axes for a, d in enumerate(self.shape) if d != 1)

    def rows(self) -> int:
        return numel(tuple(d for a, d in enumerate(self.shape) if a not in self.reduced))

    def __repr__(self) -> str:
        return f"<Group {self.index} {self.kind} {self.shape} reduced={sorted(self.reduced)} {[n.op.name for n in self.nodes]}>"


def _reads(node: Node) -> Reads | None:
    """How a view reads its input; None for what is no view."""
    kind = node.op.lowering
    return kind.reads if isinstance(kind, View) else None


def _reads_memory(node: Node) -> bool:
    """Whether a node reads its operands from memory, not element by element."""
    kind = node.op.lowering
    return kind.whole if isinstance(kind, OwnKernels) else isinstance(kind, Loop)


def _tiled(node: Node) -> bool:
    from ingot.ir.lower.contraction import tiles

    return tiles(node)


class _Fuser:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.groups: dict[int, Group] = {}
        self.home: dict[Value, Group] = {}
        self.deps: dict[Value, frozenset[int]] = {v: frozenset() for v in graph.inputs}
        self.merged: dict[int, int] = {}
        self.count = 0

    # -- bookkeeping

    def find(self, index: int) -> int:
        while index in self.merged:
            index = self.merged[index]
        return index

    def deps_of(self, v: Value) -> set[int]:
        return {self.find(i) for i in self.deps[v]}

    def new_group(self, kind: str, shape: Shape, at: int) -> Group:
        g = Group(self.count, kind, tuple(shape))  # type: ignore[arg-type]
        g.last = at
        self.count += 1
        self.groups[g.index] = g
        return g

    def add(self, g: Group, node: Node, at: int, maps: list[tuple[int | None, ...]]) -> None:
        g.nodes.append(node)
        g.last = max(g.last, at)
        for v in node.inputs:
            g.preds |= self.deps_of(v) - {g.index}
        self.depend(g, 1 << g.index)
        for v, m in zip(node.outputs, maps):
            g.maps[v] = m
            self.home[v] = g
            self.deps[v] = frozenset((g.index,))

    def depend(self, g: Group, bits: int) -> None:
        """Tell g, and the groups that depend on one of `bits`, what g depends on."""
        wanted = g.ancestors
        for p in g.preds:
            p = self.find(p)
            wanted |= self.groups[p].ancestors | 1 << p
        if wanted == g.ancestors and bits == 1 << g.index:
            return
        g.ancestors = wanted
        for h in self.groups.values():
            if h.ancestors & bits:
                h.ancestors |= wanted | 1 << g.index

    def reaches(self, source: Group, targets: set[int]) -> bool:
        """Whether any of `targets` depends on `source`."""
        return any(self.groups[t].ancestors >> source.index & 1 for t in targets if t != source.index)

    # -- joining

    def out_map(self, g: Group, node: Node) -> tuple[int | None, ...] | None:
        """Where the dims of an elementwise (or broadcast, or squeezing) node lie in g's space; None: it does not fit."""
        shape = node.outputs[0].type.shape
        rank = len(shape)
        axes: list[int | None] = [None] * rank
        for v in node.inputs:
            if self.home.get(v) is not g:
                continue
            m = g.maps[v]
            if _reads(node) is Reads.SAME:
                m = _squeezed(v.type.shape, shape, m)
            for d, a in enumerate(m, rank - len(m)):
                if a is not None:
                    if axes[d] is not None and axes[d] != a or shape[d] != g.shape[a]:
                        return None
                    axes[d] = a
        used = {a for a in axes if a is not None}
        if len(used) != sum(a is not None for a in axes):
            return None
        for d in range(rank - 1, -1, -1):
            if axes[d] is None and shape[d] != 1:
                free = [a for a, e in enumerate(g.shape) if a not in used and e == shape[d]]
                if not free:
                    return None
                want = d + len(g.shape) - rank
                axis = want if want in free else free[-1]
                axes[d] = axis
                used.add(axis)
        wide = {a for a, e in enumerate(g.shape) if e != 1}
        kept = wide - g.reduced
        if not kept <= used:
            return None
        inside = used & g.reduced & wide
        if inside and inside != g.reduced & wide:
            return None
        if inside and g.sealed:
            return None
        return tuple(axes)

    def legal(self, g: Group, node: Node) -> bool:
        if len(g.nodes) >= MAX_MEMBERS:
            return False
        outside: set[int] = set()
        for v in node.inputs:
            d = self.deps_of(v)
            if self.home.get(v) is g:
                continue
            if g.index in d:  # read through a view: at other points than the kernel is at
                return False
            outside |= d
        return not self.reaches(g, outside)

    def join_elementwise(self, node: Node, at: int) -> None:
        homes = sorted({self.home[v].index for v in node.inputs if v in self.home and self.home[v].kind != "special"}, reverse=True)
        homes.sort(key=lambda i: self.groups[i].last, reverse=True)
        for i in homes:
            g = self.groups[i]
            m = self.out_map(g, node)
            if m is None or not self.legal(g, node):
                continue
            if g.kind == "contraction" and not all(a == d for d, a in enumerate(m) if a is not None):
                continue
            self.add(g, node, at, [m] * len(node.outputs))
            for j in homes:
                if j != i and self.find(j) == j:
                    self.merge(g, self.groups[j], node)
            return
        shape = node.outputs[0].type.shape
        g = self.new_group("nest", shape, at)
        self.add(g, node, at, [tuple(range(len(shape)))] * len(node.outputs))

    def merge(self, g: Group, other: Group, node: Node) -> None:
        """Move `other` into g where both feed `node` along the same axes, and nothing lies between them."""
        if g.kind != "nest" or other.kind != "nest" or g.local or other.local or g.sealed or other.sealed:
            return
        if core(g.shape) != core(other.shape) or len(g.nodes) + len(other.nodes) > MAX_MEMBERS:
            return
        if other.reduced and g.reduced and len(other.reduced) != len(g.reduced):
            return
        m = g.maps[node.outputs[0]]
        to: dict[int, int] = {}
        rank = len(m)
        for v in node.inputs:
            if self.home.get(v) is not other:
                continue
            vm = other.maps[v]
            if _reads(node) is Reads.SAME:
                return
            for d, a in enumerate(vm, rank - len(vm)):
                if a is not None:
                    if to.setdefault(a, m[d]) != m[d]:  # type: ignore[arg-type]
                        return
        wide = [a for a, e in enumerate(other.shape) if e != 1]
        if any(a not in to for a in wide) or any(other.shape[a] != g.shape[to[a]] for a in wide):
            return
        reduced = frozenset(to[a] for a in other.reduced if a in to)
        mine = frozenset(a for a in g.reduced if g.shape[a] != 1)
        if other.reduced and (g.reduced and reduced != mine or not reduced):
            return
        if other.reduced and not g.reduced and not all(g.is_full(v) for v in g.maps):
            return
        if self._through_view(g, other) or self._through_view(other, g):
            return
        if self.reaches(other, {self.find(p) for p in g.preds} - {other.index}) or self.reaches(
            g, {self.find(p) for p in other.preds} - {g.index}
        ):
            return
        self.merged[other.index] = g.index
        del self.groups[other.index]
        for v, vm in other.maps.items():
            g.maps[v] = tuple(None if a is None else to.get(a) for a in vm)
            self.home[v] = g
        for n, m in other.opened.items():
            g.opened[n] = tuple(None if a is None else to.get(a) for a in m)
        g.reduced = g.reduced or reduced
        position = self.position
        g.nodes = sorted(g.nodes + other.nodes, key=position.__getitem__)
        g.last = max(g.last, other.last)
        g.preds = {self.find(p) for p in g.preds | other.preds} - {g.index}
        g.ancestors |= other.ancestors
        self.depend(g, 1 << g.index | 1 << other.index)

    def _through_view(self, g: Group, other: Group) -> bool:
        """Whether g reads members of `other` at other points than its own."""
        return any(
            self.home.get(v) is not other and other.index in self.deps_of(v) for n in g.nodes for v in n.inputs if self.home.get(v) is not g
        )

    def join_reduction(self, node: Node, at: int) -> None:
        (v,) = node.inputs
        axes = node.attrs[0]
        axes = (axes,) if isinstance(axes, int) else axes
        g = self.home.get(v)
        if g is not None and g.kind == "nest" and not g.local and not g.sealed and g.is_full(v) and self.legal(g, node):
            m = g.maps[v]
            over = frozenset(m[a] for a in axes if m[a] is not None and v.type.shape[a] != 1)
            mine = frozenset(a for a in g.reduced if g.shape[a] != 1)
            if over and (over == mine or not g.reduced) and not (not g.reduced and self._splits(g.shape, over)):
                g.reduced = g.reduced or over  # type: ignore[assignment]
                self.add(g, node, at, [tuple(None if d in axes else a for d, a in enumerate(m))])
                return
        shape = v.type.shape
        g = self.new_group("nest", shape, at)
        g.reduced = frozenset(axes)
        g.sealed = self._splits(g.shape, g.reduced)
        g.opened[node] = tuple(range(len(shape)))
        self.add(g, node, at, [tuple(None if d in axes else d for d in range(len(shape)))])

    @staticmethod
    def _splits(shape: tuple[int, ...], reduced: frozenset) -> bool:
        rows = numel(tuple(d for a, d in enumerate(shape) if a not in reduced))
        last_kept = bool(shape) and (len(shape) - 1) not in reduced
        units = rows // 64 if last_kept else rows
        return units < FEW_ROWS and numel(shape) >= SPLIT_AT

    # -- the sweep

    def run(self) -> list[Group]:
        self.position = {n: i for i, n in enumerate(self.graph.nodes)}
        for at, node in enumerate(self.graph.nodes):
            kind = node.op.lowering
            if isinstance(kind, Reduction):
                self.join_reduction(node, at)
            elif isinstance(kind, (Contraction, Window)):
                shape = node.outputs[0].type.shape
                tiled = isinstance(kind, Contraction) and _tiled(node)
                g = self.new_group("contraction" if tiled else "nest", shape, at)
                g.local = True
                self.add(g, node, at, [tuple(range(len(shape)))])
            elif isinstance(kind, (OwnKernels, Loop)):
                g = self.new_group("special", node.outputs[0].type.shape, at)
                self.add(g, node, at, [tuple(range(v.type.rank)) for v in node.outputs])
            elif isinstance(kind, View) and not node.op.cost.keep and not self._transparent(node):
                union: set[int] = set()
                for v in node.inputs:
                    union |= self.deps_of(v)
                for v in node.outputs:
                    self.deps[v] = frozenset(union)
            else:
                self.join_elementwise(node, at)
        return self.materialise()

    def _transparent(self, node: Node) -> bool:
        """A view that visits the same points, so it may be a member: squeezing, and broadcasting of a member."""
        if not node.inputs or node.inputs[0] not in self.home or self.home[node.inputs[0]].kind == "special":
            return False
        v = node.inputs[0]
        if _reads(node) is Reads.SAME:
            return core(v.type.shape) == core(node.outputs[0].type.shape) and self.home[v].kind == "nest"
        g = self.home[v]
        return _reads(node) is Reads.REPEATED and bool(g.reduced) and self.out_map(g, node) is not None and self.legal(g, node)

    # -- what lives in memory

    def materialise(self) -> list[Group]:
        graph = self.graph
        in_memory: set[Value] = set(graph.inputs)
        wanted: set[Value] = set(graph.outputs)
        for g in self.groups.values():
            for n in g.nodes:
                if _reads_memory(n):
                    wanted.update(n.inputs)
        users = graph.users
        for at, node in enumerate(graph.nodes):
            for v in node.outputs:
                home = self.home.get(v)
                if home is None:
                    if v in wanted:  # a view that must be in memory: a copy of its own
                        g = self.new_group("nest", v.type.shape, at)
                        self.add(g, node, at, [tuple(range(v.type.rank))])
                        g.outputs.append(v)
                        in_memory.add(v)
                    continue
                g = home
                if g.kind == "special":
                    g.outputs.append(v)
                    in_memory.add(v)
                    continue
                if v not in wanted:
                    outside = self._outside_users(v, g, users)
                    if not outside or self._inlines(v, g, outside, in_memory):
                        continue
                g.outputs.append(v)
                in_memory.add(v)
        live = [g for g in self.groups.values() if g.outputs]
        self.in_memory = in_memory
        return self._ordered(live, in_memory)

    def _outside_users(self, v: Value, g: Group, users: dict[Value, list[Node]]) -> list[Node]:
        return [n for n in users.get(v, ()) if not (n.outputs[0] in self.home and self.home[n.outputs[0]] is g)]

    def _inlines(self, v: Value, g: Group, outside: list[Node], in_memory: set[Value]) -> bool:
        """Whether readers outside g compute v again rather than load it."""
        cost = self._cost(v, g, in_memory, 60)
        if cost is None:
            return False
        if cost <= 2:
            return True
        if len(outside) != 1 or self._outside_of_chain(v, g):
            return False
        n = outside[0]
        while n.outputs[0] not in self.home:  # through views that read each element at most once
            if _reads(n) not in (Reads.SAME, Reads.ONCE):
                return False
            readers = self.graph.users.get(n.outputs[0], [])
            if len(readers) != 1 or n.outputs[0] in self.graph.outputs:
                return False
            n = readers[0]
        reader = self.home[n.outputs[0]]
        levels = sum(isinstance(m.op.lowering, Reduction) for m in reader.nodes)
        if reader.kind == "special":
            return not _reads_memory(n)
        return reader.kind == "nest" and not reader.local and levels <= 1

    def _outside_of_chain(self, v: Value, g: Group) -> bool:
        """Whether g also serves other readers, so that computing v elsewhere would be extra work."""
        return any(
            w is not v and w in g.maps and (w in self.graph.outputs or self._outside_users(w, g, self.graph.users)) for w in g.maps
        ) or any(isinstance(n.op.lowering, Reduction) for n in g.nodes)

    def _cost(self, v: Value, g: Group, in_memory: set[Value], limit: int) -> int | None:
        """Instructions to compute v from memory, None if that is impossible or above `limit`."""
        total, loads = 0, 0
        stack, seen = [v], {v}
        producers = self.graph.producers
        while stack:
            u = stack.pop()
            if u in in_memory:
                loads += 1
                continue
            node = producers[u]
            instructions = node.op.cost.instructions
            home = self.home.get(u)
            if instructions is None:
                return None
            if home is not None and home is not g and u in home.outputs:
                continue
            total += instructions
            if total > limit:
                return None
            for w in node.inputs:
                if w not in seen:
                    seen.add(w)
                    stack.append(w)
        return total + max(0, loads - 2) * 2

    def _ordered(self, live: list[Group], in_memory: set[Value]) -> list[Group]:
        """Topological order of the kernels; dependencies are followed through what is inlined."""
        producers = self.graph.producers
        owner = {v: g for g in live for v in g.outputs}
        memo: dict[Value, frozenset[int]] = {}

        def needs(v: Value) -> frozenset[int]:
            order, stack = [], [v]
            while stack:
                u = stack.pop()
                if u in memo:
                    continue
                if u in owner:
                    memo[u] = frozenset((owner[u].index,))
                    continue
                node = producers.get(u)
                if node is None:
                    memo[u] = frozenset()
                    continue
                missing = [w for w in node.inputs if w not in memo]
                if missing:
                    stack.append(u)
                    stack.extend(missing)
                else:
                    memo[u] = frozenset().union(*(memo[w] for w in node.inputs))
                    order.append(u)
            return memo[v]

        position = self.position
        preds: dict[int, set[int]] = {}
        for g in live:
            need: set[int] = set()
            for n in g.nodes:
                for v in n.inputs:
                    if self.home.get(v) is g and v not in g.outputs:
                        continue
                    need |= needs(v)
            preds[g.index] = need - {g.index}
        out: list[Group] = []
        done: set[int] = set()
        opened: set[int] = set()  # on the way from the start to the top of the stack
        by_index = {g.index: g for g in live}
        for start in sorted(live, key=lambda g: max(position[n] for n in g.nodes)):
            stack = [start.index]
            while stack:
                i = stack[-1]
                if i in done:
                    stack.pop()
                    continue
                missing = [p for p in sorted(preds[i]) if p not in done]
                if missing:
                    if i in opened or not opened.isdisjoint(missing):
                        raise AssertionError("fusion made a cycle of kernels")
                    opened.add(i)
                    stack.extend(missing)
                else:
                    done.add(i)
                    opened.discard(i)
                    out.append(by_index[i])
                    stack.pop()
        return out


def _squeezed(src: Shape, dst: Shape, m: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The map of a reshape that only adds or drops dims of extent 1."""
    wide = iter(a for a, d in zip(m, src) if d != 1)
    return tuple(None if d == 1 else next(wide) for d in dst)


def fuse(graph: Graph) -> tuple[list[Group], set[Value]]:
    """The kernels of a graph in order of execution, and the values that have buffers."""
    fuser = _Fuser(graph)
    return fuser.run(), fuser.in_memory
