"""Joining: which nodes share a kernel.

Nodes join the group of an input while the groups stay acyclic. Views (movement, gathers) belong to no group: they are
computed where they are read.
"""

from __future__ import annotations

from collections.abc import Set

from ingot.ir.facts import Contraction, Control, Inline, OwnKernels, Reads, Reduction, View, Window
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.depthwise.kind import is_depthwise
from ingot.ir.lower.tiles.shape import is_tiled
from ingot.ir.ops.form import form_of
from ingot.ir.size import at_most
from ingot.ir.types import Shape, numel

__all__ = ["Growing", "Joined", "join"]

MAX_MEMBERS = 96  # beyond this a kernel's registers and compile time suffer more than memory gains
FEW_ROWS = 16  # reductions with fewer rows are split over their length, and then end their group's full part
SPLIT_AT = 1 << 15

Map = tuple[int | None, ...]


def core(shape: Shape) -> tuple:
    """The extents other than 1."""
    return tuple(d for d in shape if d != 1)


def reads(node: Node) -> Reads | None:
    """How a view reads its input; None for what is no view."""
    kind = node.op.lowering
    return kind.reads if isinstance(kind, View) else None


class Growing:
    """A group that nodes still join; its fields are those of `Group`, and what joining must know beside them."""

    def __init__(self, index: int, kind: str, shape: tuple[int, ...]):
        self.index = index
        self.kind = kind
        self.shape = shape
        self.reduced: frozenset[int] = frozenset()
        self.nodes: list[Node] = []
        self.maps: dict[Value, Map] = {}
        self.opened: dict[Node, Map] = {}
        self.split = False
        self.outputs: list[Value] = []
        self.preds: set[int] = set()
        self.ancestors = 0  # a bit for every group that this one depends on, at whatever distance
        self.last = 0  # position in the graph
        self.steady = False  # follows from steady inputs alone
        self.local = False  # holds a contraction or window evaluated at each point

    @property
    def alone(self) -> bool:
        """Whether it shares nothing with other nodes."""
        return self.kind not in ("nest", "tiles", "depthwise")

    def is_full(self, v: Value) -> bool:
        """Whether a member varies over every axis."""
        axes = {a for a in self.maps[v] if a is not None}
        return all(a in axes for a, d in enumerate(self.shape) if d != 1)


class Joined:
    """The groups of a graph while they grow: groups by index, and the group that a value is a member of."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.position = {n: i for i, n in enumerate(graph.nodes)}
        self.groups: dict[int, Growing] = {}
        self.home: dict[Value, Growing] = {}
        self.deps: dict[Value, frozenset[int]] = {v: frozenset() for v in graph.inputs}
        self.merged: dict[int, int] = {}
        self.read = 0  # bits of the groups that others read, as far as they are one now
        self.steady: set[Value] = {graph.inputs[i] for i in graph.steady}  # they, and what follows from them alone
        self.constant: set[Value] = set()
        self.count = 0

    # -- bookkeeping

    def find(self, index: int) -> int:
        """The index of the group that a group, which may have been merged into another, is now."""
        while index in self.merged:
            index = self.merged[index]
        return index

    def deps_of(self, v: Value) -> set[int]:
        """The groups that a value is computed from, where it is no member itself."""
        return {self.find(i) for i in self.deps[v]}

    def new_group(self, kind: str, shape: Shape, at: int) -> Growing:
        """Begin a group at a position in the graph."""
        g = Growing(self.count, kind, tuple(shape))  # type: ignore[arg-type]
        g.last = at
        self.count += 1
        self.groups[g.index] = g
        return g

    def add(self, g: Growing, node: Node, at: int, maps: list[Map]) -> None:
        """Make a node a member; `maps`: for each output the axes that its dims run along."""
        g.steady = node.outputs[0] in self.steady
        g.nodes.append(node)
        g.last = max(g.last, at)
        for v in node.inputs:
            g.preds |= self.deps_of(v) - {g.index}
        self.depend(g, 1 << g.index)
        for v, m in zip(node.outputs, maps):
            g.maps[v] = m
            self.home[v] = g
            self.deps[v] = frozenset((g.index,))

    def depend(self, g: Growing, bits: int) -> None:
        """Tell g, and the groups that depend on one of `bits`, what g depends on."""
        wanted = g.ancestors
        for p in g.preds:
            p = self.find(p)
            wanted |= self.groups[p].ancestors | 1 << p
            self.read |= 1 << p
        if wanted == g.ancestors and bits == 1 << g.index:
            return
        g.ancestors = wanted
        if not self.read & bits:  # as a rule the group is the latest, which nothing depends on yet
            return
        self.read |= 1 << g.index
        for h in self.groups.values():
            if h.ancestors & bits:
                h.ancestors |= wanted | 1 << g.index

    def reaches(self, source: Growing, targets: set[int]) -> bool:
        """Whether any of `targets` depends on `source`."""
        return any(self.groups[t].ancestors >> source.index & 1 for t in targets if t != source.index)

    # -- joining

    def out_map(self, g: Growing, node: Node) -> Map | None:
        """Where the dims of an elementwise (or broadcast, or squeezing) node lie in g's space; None: it does not fit."""
        shape = node.outputs[0].type.shape
        rank = len(shape)
        axes: list[int | None] = [None] * rank
        for v in node.inputs:
            if self.home.get(v) is not g:
                continue
            m = g.maps[v]
            if reads(node) is Reads.SAME:
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
        if inside and g.split:
            return None
        return tuple(axes)

    def legal(self, g: Growing, node: Node) -> bool:
        """Whether a node may join a group that makes some of its inputs: no other input depends on the group.
        What is calculated once shares no kernel with what is calculated in every call."""
        if len(g.nodes) >= MAX_MEMBERS or g.steady != (node.outputs[0] in self.steady):
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
        """Let an elementwise node join the group of an input, the latest first, and merge with it others that feed the node."""
        homes = sorted({self.home[v].index for v in node.inputs if v in self.home and not self.home[v].alone}, reverse=True)
        homes.sort(key=lambda i: self.groups[i].last, reverse=True)
        for i in homes:
            g = self.groups[i]
            m = self.out_map(g, node)
            if m is None or not self.legal(g, node):
                continue
            if g.kind != "nest" and not all(a == d for d, a in enumerate(m) if a is not None):
                continue
            self.add(g, node, at, [m] * len(node.outputs))
            for j in homes:
                if j != i and self.find(j) == j:
                    self.merge(g, self.groups[j], node)
            return
        shape = node.outputs[0].type.shape
        g = self.new_group("nest", shape, at)
        self.add(g, node, at, [tuple(range(len(shape)))] * len(node.outputs))

    def merge(self, g: Growing, other: Growing, node: Node) -> None:
        """Move `other` into g where both feed `node` along the same axes, and nothing lies between them."""
        if g.kind != "nest" or other.kind != "nest" or g.steady != other.steady or g.local or other.local or g.split or other.split:
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
            if reads(node) is Reads.SAME:
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
        back = {b: a for a, b in to.items()}
        if not self._aligned(g, other, to) or not self._aligned(other, g, back):
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

    def _through_view(self, g: Growing, other: Growing) -> bool:
        """Whether g reads members of `other` at other points than its own."""
        return any(
            self.home.get(v) is not other and other.index in self.deps_of(v) for n in g.nodes for v in n.inputs if self.home.get(v) is not g
        )

    def _aligned(self, g: Growing, other: Growing, to: dict[int, int]) -> bool:
        """Whether g's members read those of `other`, whose axes become g's by `to`, at the point where both are."""
        for n in g.nodes:
            m = g.opened.get(n, g.maps[n.outputs[0]])
            for v in n.inputs:
                if self.home.get(v) is not other:
                    continue
                vm = other.maps[v]
                if reads(n) is Reads.SAME:
                    vm = _squeezed(v.type.shape, n.outputs[0].type.shape, vm)
                if any(a is not None and other.shape[a] != 1 and to.get(a) != m[d] for d, a in enumerate(vm, len(m) - len(vm))):
                    return False
        return True

    def join_reduction(self, node: Node, at: int) -> None:
        """Let a reduction join the group that makes its input, or begin one over the input's space."""
        (v,) = node.inputs
        axes = node.attrs[0]
        axes = (axes,) if isinstance(axes, int) else axes
        g = self.home.get(v)
        if g is not None and g.kind == "nest" and not g.local and not g.split and g.is_full(v) and self.legal(g, node):
            m = g.maps[v]
            over = frozenset(m[a] for a in axes if m[a] is not None and v.type.shape[a] != 1)
            mine = frozenset(a for a in g.reduced if g.shape[a] != 1)
            if over and (over == mine or not g.reduced) and not (not g.reduced and self._is_split(g.shape, over)):
                g.reduced = g.reduced or over  # type: ignore[assignment]
                self.add(g, node, at, [tuple(None if d in axes else a for d, a in enumerate(m))])
                return
        shape = v.type.shape
        g = self.new_group("nest", shape, at)
        g.reduced = frozenset(axes)
        g.split = self._is_split(g.shape, g.reduced)
        g.opened[node] = tuple(range(len(shape)))
        self.add(g, node, at, [tuple(None if d in axes else d for d in range(len(shape)))])

    @staticmethod
    def _is_split(shape: tuple[int, ...], reduced: frozenset) -> bool:
        rows = numel(tuple(d for a, d in enumerate(shape) if a not in reduced))
        last_kept = bool(shape) and (len(shape) - 1) not in reduced
        units = rows // 64 if last_kept else rows
        return bool(at_most(units, FEW_ROWS - 1)) and assumed(numel(shape)) >= SPLIT_AT

    # -- the sweep

    def enter(self, node: Node, at: int) -> None:
        """Let a node join a group, or begin one; what is computed where it is read does neither."""
        kind = node.op.lowering
        if self.steady and not node.may_fail and all(v in self.steady or v in self.constant for v in node.inputs):
            (self.steady if any(v in self.steady for v in node.inputs) else self.constant).update(node.outputs)
        if isinstance(kind, Reduction):
            self.join_reduction(node, at)
        elif isinstance(kind, (Contraction, Window)):
            shape = node.outputs[0].type.shape
            g = self.new_group(_kind(node, self.steady), shape, at)
            g.local = True
            self.add(g, node, at, [tuple(range(len(shape)))])
        elif isinstance(kind, (OwnKernels, Control, Inline)):
            g = self.new_group(_called(node) if isinstance(kind, Inline) else kind.kind, node.outputs[0].type.shape, at)
            self.add(g, node, at, [tuple(range(v.type.rank)) for v in node.outputs])
        elif isinstance(kind, View) and not node.op.lowering.cost.keep and not self._transparent(node):
            union: set[int] = set()
            for v in node.inputs:
                union |= self.deps_of(v)
            for v in node.outputs:
                self.deps[v] = frozenset(union)
        else:
            self.join_elementwise(node, at)

    def _transparent(self, node: Node) -> bool:
        """A view that visits the same points, so it may be a member: squeezing, and broadcasting of a member."""
        if not node.inputs or node.inputs[0] not in self.home or self.home[node.inputs[0]].alone:
            return False
        v = node.inputs[0]
        if reads(node) is Reads.SAME:
            return core(v.type.shape) == core(node.outputs[0].type.shape) and self.home[v].kind == "nest"
        g = self.home[v]
        return reads(node) is Reads.REPEATED and bool(g.reduced) and self.out_map(g, node) is not None and self.legal(g, node)


def _called(node: Node) -> str:
    """How the group of a call is scheduled and written."""
    from ingot.ir.lower.routines import kind_of

    return kind_of(node.attrs[0]) or "attention"


def _kind(node: Node, steady: Set[Value]) -> str:
    """How the group of a contraction or a window is scheduled and written."""
    if not isinstance(node.op.lowering, Contraction):
        return "nest"
    return "tiles" if is_tiled(node, form_of(node).right in steady) else "depthwise" if is_depthwise(node) else "nest"


def _squeezed(src: Shape, dst: Shape, m: Map) -> Map:
    """The map of a reshape that only adds or drops dims of extent 1."""
    wide = iter(a for a, d in zip(m, src) if d != 1)
    return tuple(None if d == 1 else next(wide) for d in dst)


def join(graph: Graph) -> Joined:
    """Sweep over a graph once, in order."""
    joined = Joined(graph)
    for at, node in enumerate(graph.nodes):
        joined.enter(node, at)
    return joined
