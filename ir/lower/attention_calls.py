"""Attention found in a graph: matrices that only products and folds of rows read, and the calls in their place (attention.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator

from ingot.ir.dtypes import Half, f32
from ingot.ir.facts import Elementwise, Reduction, View
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop.folds import AND, MAX, SUM
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.attention import Softmax, contracted, folds_by, is_constant, side_of, softmax_of
from ingot.ir.op import OPS
from ingot.ir.ops.contraction import dot
from ingot.ir.ops.control import call
from ingot.ir.passes.bodies import with_bodies
from ingot.ir.size import equal

__all__ = ["stay_on_chip"]

WIDEST = 256  # steps of the sum of a score: an operand's rows lie on chip
TOGETHER = 128  # columns of the results of several products that one call makes
LEAST = 16  # rows and columns from which on tiles are worth it


def _is_score(n: Node) -> bool:
    """Whether a product may be the elements of a matrix that is worth it."""
    if n.op is not dot:
        return False
    a, b = (v.type for v in n.inputs)
    (batch, _), (contract, _) = n.attrs
    if a.dtype not in Half and a.dtype is not f32 or len(contract) != 1 or a.rank != len(batch) + 2 or b.rank != len(batch) + 2:
        return False
    k = a.shape[contract[0]]
    rows, columns = n.outputs[0].type.shape[-2:]
    return isinstance(k, int) and 1 <= k <= WIDEST and min(assumed(rows), assumed(columns)) >= LEAST


class _Region:
    """A matrix and what follows from it: its values, its row statistics, and what reads it."""

    def __init__(self) -> None:
        self.scores: list[Node] = []
        self.members: list[Node] = []
        self.folds: list[Node] = []
        self.products: list[Node] = []
        self.apart = False  # something else reads it, so that it must lie in memory
        self.into: _Region | None = None

    def root(self) -> _Region:
        """The region that this one is now part of."""
        return self if self.into is None else self.into.root()


class _Finder:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.matrix: dict[Value, _Region] = {}  # elements of a matrix
        self.row: dict[Value, _Region] = {}  # statistics of its rows
        self.order = {n: k for k, n in enumerate(graph.nodes)}
        for n in graph.nodes:
            self.enter(n)
        for v in graph.outputs:
            if v in self.matrix:
                self.matrix[v].root().apart = True

    def regions(self) -> list[_Region]:
        """All of them, in order."""
        return list(dict.fromkeys(r.root() for r in self.matrix.values()))

    def enter(self, n: Node) -> None:
        """Let a node join the matrix that it reads, or begin one."""
        inside = [v for v in n.inputs if v in self.matrix]
        if not inside:
            if _is_score(n):
                r = self.matrix[n.outputs[0]] = _Region()
                r.scores.append(n)
            return
        r = self.matrix[inside[0]].root()
        shape, kind = inside[0].type.shape, n.op.lowering
        if n.op is dot:
            self.product(r, n, inside)
        elif isinstance(kind, Elementwise) and not n.may_fail and n.outputs[0].type.shape == shape:
            if any(v.type.shape != shape for v in inside):
                r.apart = True
                return
            for v in n.inputs:
                other = self.matrix.get(v) or self.row.get(v)
                if other is not None and other.root() is not r:
                    self.join(r, other.root())
            self.matrix[n.outputs[0]] = r
            r.members.append(n)
        elif isinstance(kind, Reduction) and n.attrs[0] == (len(shape) - 1,) and kind.fold in (MAX, SUM, AND):
            self.row[n.outputs[0]] = r
            r.folds.append(n)
        else:
            for v in inside:
                self.matrix[v].root().apart = True

    def product(self, r: _Region, n: Node, inside: list[Value]) -> None:
        """A product that reads a matrix: of one operand, whole batches, one dim."""
        side = 0 if n.inputs[0] in self.matrix else 1
        rank = inside[0].type.rank
        batch, contract = n.attrs
        other = n.inputs[1 - side].type
        whole = batch[side] == tuple(range(rank - 2)) and len(contract[side]) == 1 and other.rank == rank
        width = next((d for k, d in enumerate(other.shape) if k not in (*batch[1 - side], *contract[1 - side])), 0)
        whole = whole and isinstance(width, int) and 1 <= width <= WIDEST
        if len(inside) != 1 or n.inputs[0] is n.inputs[1] or not whole:
            for v in inside:
                self.matrix[v].root().apart = True
            return
        r.products.append(n)

    def join(self, r: _Region, other: _Region) -> None:
        """Two matrices that meet at every element are one."""
        a, b = (x.scores[0].outputs[0].type.shape for x in (r, other))
        if len(a) != len(b) or not all(equal(x, y) for x, y in zip(a, b)):
            r.apart = other.apart = True
            return
        other.into = r
        for mine, its in (
            (r.scores, other.scores), (r.members, other.members), (r.folds, other.folds), (r.products, other.products),
        ):  # fmt: skip
            mine += its
        r.apart |= other.apart


# -- rewriting -------------------------------------------------------------------------------------------------------


def _linear(graph: Graph, s: Softmax, matrix: dict[Value, _Region], v: Value) -> bool:
    """Whether a value is e / total times what does not follow from scores, so that the division can come last."""
    n = graph.producers.get(v)
    if n is None:
        return False
    if n.op is OPS["div"] and n.inputs == (s.e, s.total):
        return True
    if n.op in (OPS["cast"], OPS["round_tf32"]):
        return v.type.dtype.kind == "f" and _linear(graph, s, matrix, n.inputs[0])
    if n.op is OPS["mul"]:
        a, b = n.inputs
        return a not in matrix and _linear(graph, s, matrix, b) or b not in matrix and _linear(graph, s, matrix, a)
    if n.op is OPS["select"]:
        cond, a, b = n.inputs
        if cond in matrix or cond is s.top or cond is s.total:
            return False
        return (is_constant(graph, a, 0.0) and _linear(graph, s, matrix, b)) or (
            is_constant(graph, b, 0.0) and _linear(graph, s, matrix, a)
        )
    return False


class _Rewriter:
    """The calls that take the place of one region's products and sums."""

    def __init__(self, finder: _Finder, region: _Region, softmax: Softmax, bodies: dict[str, Graph]):
        self.graph, self.finder, self.region, self.softmax = finder.graph, finder, region, softmax
        self.bodies = bodies
        self.shape = region.scores[0].outputs[0].type.shape
        self.rows = [n for n in region.products if self.over(n) == len(self.shape) - 1]
        self.first = [n for n in self.rows if _linear(self.graph, softmax, finder.matrix, n.inputs[self.side(n)])][:1]

    def calls(self) -> Iterator[Node]:
        """Every call, with the values of the graph as inputs and outputs: one for each product, but those of columns together."""
        s = self.softmax
        mine = {s.top, s.total, s.dead}
        yield self.first_call()
        for n in self.region.folds:
            if n.outputs[0] not in mine:
                yield self.call([n.outputs[0]], set())
        for n in self.rows:
            if n not in self.first:
                yield self.call([n.outputs[0]], set())
        columns = [n for n in self.region.products if self.over(n) != len(self.shape) - 1]
        together = sum(math.prod(n.inputs[1 - self.side(n)].type.shape[-1:]) for n in columns) <= TOGETHER
        for some in [columns] if together and columns else [[n] for n in columns]:
            yield self.call([n.outputs[0] for n in some], set())

    def together(self) -> list[Node]:
        """One call for the product that the softmax is for, if there is one, and one for all others, which are gradients; none where
        something else is wanted, or depends on one of them."""
        products = [n for n in self.region.products if n not in self.first]
        calls = [self.first_call()] if self.first else []
        known = {v for n in calls for v in n.outputs}
        if products:
            calls.append(self.call([n.outputs[0] for n in products], {n.outputs[0] for n in self.region.folds} - known))
        made = {v for n in calls for v in n.outputs}
        inside = {*self.region.members, *self.region.folds, *self.region.products}
        for n in self.region.folds:
            v = n.outputs[0]
            if v not in made and (v in self.graph.outputs or any(u not in inside for u in self.graph.users.get(v, ()))):
                return []
        return [] if products and self.depends(calls[-1].inputs, {n.outputs[0] for n in products}, known) else calls

    def depends(self, values: Iterable[Value], outputs: set[Value], known: set[Value]) -> bool:
        """Whether something follows from outputs, or from the matrix otherwise than by what is known."""
        stack, seen = list(values), set(known)
        while stack:
            v = stack.pop()
            if v in seen:
                continue
            seen.add(v)
            if v in outputs or v in self.finder.matrix and self.finder.matrix[v].root() is self.region:
                return True
            n = self.graph.producers.get(v)
            stack += () if n is None else n.inputs
        return False

    def first_call(self) -> Node:
        """The call that finds the statistics."""
        s = self.softmax
        inside = {*self.region.members, *self.region.folds, *self.first}
        wanted = [v for v in (s.top, s.total, s.dead) if v is not None and self.read_elsewhere(v, inside, self.first)]
        return self.call([*(n.outputs[0] for n in self.first), *wanted], {s.top, s.total, s.dead})

    def read_elsewhere(self, v: Value, inside: set[Node], first: list[Node]) -> bool:
        """Whether a statistic is read by another call, or by the rest of the graph."""
        others = [n for n in self.region.products if n not in first]
        return bool(others) or v in self.graph.outputs or any(n not in inside for n in self.graph.users.get(v, ()))

    def side(self, product: Node) -> int:
        return side_of(product, self.finder.matrix)

    def over(self, product: Node) -> int:
        return contracted(product, self.side(product))

    def call(self, outputs: list[Value], statistics: Collection[Value | None]) -> Node:
        """The call that makes these outputs; `statistics`: those of rows that it finds on its way, others are read."""
        producers = self.graph.producers
        needed: dict[Node, None] = {}
        leaves: dict[Value, None] = {}
        ends = {producers[v] for v in outputs}

        def visit(v: Value) -> None:
            n = producers.get(v)
            if n is not None and n in needed:
                return
            if n is None or not (n in ends or v in statistics or self.inside(v, n)):
                leaves[v] = None
                return
            for u in n.inputs:
                visit(u)
            needed[n] = None

        for v in outputs:
            visit(v)
        here = {v: Value(v.type) for v in leaves}
        nodes = []
        for n in sorted(needed, key=self.finder.order.__getitem__):
            made = tuple(Value(v.type) for v in n.outputs)
            nodes.append(Node(n.op, tuple(here[v] for v in n.inputs), n.attrs, made))
            here.update(zip(n.outputs, made))
        body = Graph("attention", tuple(here[v] for v in leaves), tuple(nodes), tuple(here[v] for v in outputs))
        body = self.bodies.setdefault(body.text, body)
        return Node(call, tuple(leaves), (body,), tuple(outputs), producers[outputs[0]].loc)

    def inside(self, v: Value, n: Node) -> bool:
        """Whether a value is made in the call: an element of the matrix, or of what has its rows and columns, or of nothing in memory."""
        if v in self.finder.matrix:
            return True
        if v in self.finder.row or not isinstance(n.op.lowering, (Elementwise, View)) or n.may_fail:
            return False
        if n.op is OPS["constant"] and v.type.numel != 1:  # it lies in memory
            return False
        shape = v.type.shape
        wide = len(shape) >= 2 and all(equal(a, b) is True for a, b in zip(shape[-2:], self.shape[-2:]))
        return wide or self.of_nothing(v)

    def of_nothing(self, v: Value) -> bool:
        """Whether a value follows from its place alone."""
        n = self.graph.producers.get(v)
        if n is None or n.op is OPS["constant"]:
            return n is not None and v.type.numel == 1
        return isinstance(n.op.lowering, (Elementwise, View)) and all(map(self.of_nothing, n.inputs))


def stay_on_chip(graph: Graph, takes: Callable[[Graph], bool] = lambda body: True) -> Graph:
    """Calls in place of products of products with a softmax between, and of their gradients, where all calls are taken."""
    return with_bodies(lambda graph: _stay_on_chip(graph, takes))(graph)


def _stay_on_chip(graph: Graph, takes: Callable[[Graph], bool]) -> Graph:
    finder = _Finder(graph)
    made: list[Node] = []
    bodies: dict[str, Graph] = {}
    for r in finder.regions():
        tops = [n for n in r.folds if folds_by(n, MAX)]
        softmax = softmax_of(graph, tops[0]) if len(tops) == 1 and not r.apart else None
        known = () if softmax is None else (softmax.top, softmax.dead)
        if softmax is None or not r.products or any(not folds_by(n, SUM) and n.outputs[0] not in known for n in r.folds):
            continue
        rewriter = _Rewriter(finder, r, softmax, bodies)
        for calls in (list(rewriter.calls()), rewriter.together()):
            if all(takes(n.attrs[0]) for n in calls):
                made += calls
                break
    if not made:
        return graph
    return _ordered(graph, made)


def _ordered(graph: Graph, calls: list[Node]) -> Graph:
    """The graph with other makers of some of its values; what nobody reads any more goes."""
    producers = {**graph.producers, **{v: n for n in calls for v in n.outputs}}
    done: dict[Node, None] = {}
    wanted = [n for n in graph.nodes if n.may_fail]
    stack = [*reversed([*wanted, *(producers[v] for v in graph.outputs if v in producers)])]
    while stack:
        n = stack[-1]
        missing = [producers[v] for v in n.inputs if v in producers and producers[v] not in done]
        if n in done or not missing:
            done[stack.pop()] = None
        else:
            stack += reversed(missing)
    order = {n: k for k, n in enumerate(graph.nodes)}
    place: dict[Node, int] = {}
    for n in done:  # a call stands behind what it reads
        place[n] = order[n] if n in order else max((place[producers[v]] for v in n.inputs if v in producers), default=-1)
    return graph.replace(nodes=tuple(_stable(list(done), place, producers)))


def _stable(nodes: list[Node], place: dict[Node, int], producers: dict[Value, Node]) -> list[Node]:
    """The nodes as they stood, but each behind what it reads."""
    out: dict[Node, None] = {}

    def visit(n: Node) -> None:
        stack = [n]
        while stack:
            top = stack[-1]
            missing = [producers[v] for v in top.inputs if v in producers and producers[v] not in out]
            if top in out or not missing:
                out[stack.pop()] = None
            else:
                stack += missing

    for n in sorted(nodes, key=place.__getitem__):
        visit(n)
    return list(out)
