"""From graphs that differ in their sizes and numbers to one symbolic graph for all of them, and when it stands for another.

    found = generalise(graph, samples)      # samples: the leaves of several graphs of `graph`'s structure, its own last
    found.graph                             # symbolic; numbers that differ are inputs, behind the graph's own
    found.match(leaves)                     # (values of those inputs, values of the symbols), or None: it does not stand for these

What differs from sample to sample becomes a symbol, what does so alike shares one; the shape rules are asked for the types then. Where a
rule has to know what the symbols leave open, and it is so in all samples, a symbol is given bounds, or another expression: where
`stop <= T` must hold, T is `stop + d`. Where that does not help, the symbols in question take the values of the last sample. All
of this is guessed; `match` compares every leaf with the expression that was found for it, so that a wrong guess costs a graph more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil, floor, inf
from operator import itemgetter
from typing import Any

from ingot.ir.dtypes import Half, f32
from ingot.ir.facts import Control, Inline
from ingot.ir.graph import Const, Graph, Node, Value
from ingot.ir.op import OPS
from ingot.ir.size import (
    Quotient,
    ShapeError,
    Size,
    Symbol,
    Undecided,
    as_symbol,
    at_most,
    evaluate,
    larger,
    replaced,
    smaller,
    symbol,
    symbols,
)
from ingot.ir.structure import Leaf, parts
from ingot.ir.template import python_text
from ingot.ir.types import Dim, TensorType, tensor_type

__all__ = ["General", "generalise", "leaves_of"]

_STEPS = 64  # that the search for expressions may take
_LONGEST = 160  # text of what a symbol becomes: smaller of larger grows without end
Sample = tuple[Leaf, ...]


def leaves_of(graph: Graph) -> Sample:
    """The extents of the inputs, the leaves of the nodes, and the extents of the outputs."""
    found: list[Leaf] = [d for v in graph.inputs for d in v.type.shape]
    for n in graph.nodes:
        found += parts(n.op, n.attrs)[1]
    return (*found, *(d for v in graph.outputs for d in v.type.shape))


class General:
    """A symbolic graph, and what it stands for."""

    __slots__ = ("graph", "symbols", "fixed", "match", "origins", "bounded")

    def __init__(self, graph: Graph, search: _Search, bounded: tuple[Symbol, ...], match: Callable[[Sample], tuple[tuple, tuple] | None]):
        self.graph = graph
        self.symbols = graph.symbols  # one that only tells whether it fits is no slot
        self.fixed = search.fixed  # how many symbols had to take the values of the last sample
        self.match = match
        self.origins = search.made  # of symbols by their names, older ones first: the number of a leaf, or an expression in others
        self.bounded = bounded  # those whose bounds are looked at


def generalise(graph: Graph, samples: Sequence[Sample], at: Sequence[int] | None = None) -> General | None:
    """The symbolic graph for these samples; None where nothing differs but what has to be as in the last one.

    at: where `match` finds the leaves in what it is given, if not one after the other.
    """
    search = _Search(graph, samples)
    made = search.run()
    if made is None or not search.stands(made):
        return None
    return search.finished(made, range(len(samples[-1])) if at is None else at)


class _Unfit(Exception):
    """These sizes are refused by a shape rule, or there is no way to have what differs in a graph."""

    def __init__(self, dims: list[Any]):
        self.dims = dims


class _Search:
    def __init__(self, graph: Graph, samples: Sequence[Sample]):
        self.concrete = graph
        self.samples = list(samples)
        self.base: dict[int, Dim | None] = {}  # a leaf's expression as it was found, in symbols by name; None: a number passed in
        self.now: dict[str, Dim] = {}  # what each symbol is by now
        self.made: dict[str, int | Size] = {}  # where a symbol comes from: a leaf's number, or an expression in older symbols
        self.current: dict[Size, Dim] = {}  # what expressions in symbols by name are by now
        self.evaluated: dict[Dim, tuple[int, ...]] = {}  # what expressions are in the samples
        self.hints: list[dict[str, int]] = [{} for _ in samples]
        self.known: dict[tuple[int, ...], Dim] = {}  # by their values in the samples
        self.given: set[Dim] = set()  # those that are extents of inputs
        self.mine: dict[tuple[int, ...], Dim] = {}  # of the leaves of the present node
        self.fixed = 0

    # ---- the graph

    def run(self) -> Graph | None:
        for _ in range(_STEPS):
            try:
                return self.attempt()
            except Undecided as e:
                before = dict(self.now)
                if not self.assume(e):
                    self.now, self.current = before, {}
                    self.fix(e.low, e.high)
            except _Unfit as e:
                if not symbols(*e.dims):
                    return None
                self.fix(*e.dims)
        return None

    def attempt(self) -> Graph | None:
        self.at = 0
        self.scope: list[TensorType] = []  # the inputs of the graph that is gone through
        g = self.concrete
        inputs = tuple([Value(tensor_type(v.type.dtype, tuple([self.extent() for _ in v.type.shape]))) for v in g.inputs])
        extra: list[Value] = []
        made, outputs = self.nodes(g, inputs, extra)
        for v in outputs:
            for d in v.type.shape:
                self.base[self.at] = d
                self.at += 1
        if not extra and not symbols(*self.now.values()):
            return None
        names = (*g.input_names, *(f"n{i}" for i in range(len(extra))))
        scalars = g.scalars | set(range(len(inputs), len(inputs) + len(extra)))
        return Graph(g.name, (*inputs, *extra), tuple(made), outputs, input_names=names, scalars=frozenset(scalars))

    def nodes(self, g: Graph, inputs: tuple[Value, ...], extra: list[Value] | None) -> tuple[list[Node], tuple[Value, ...]]:
        """The nodes of a graph for inputs of other types; numbers that differ are appended to `extra`."""
        here = dict(zip(g.inputs, inputs))
        outer, self.scope = self.scope, [v.type for v in inputs]
        made: list[Node] = []
        for n in g.nodes:
            n = self.node(n, tuple([here[v] for v in n.inputs]), extra) if n.op is not OPS["constant"] else self.constant(n, extra)
            here.update(zip(g.nodes[len(made)].outputs, n.outputs))
            made.append(n)
        self.scope = outer
        return made, tuple([here[v] for v in g.outputs])

    def constant(self, n: Node, extra: list[Value] | None) -> Node:
        if not parts(n.op, n.attrs)[1]:
            return Node(n.op, (), n.attrs, (Value(n.outputs[0].type),), n.loc)
        k = self.at
        self.at += 1
        if all(s[k] == self.samples[-1][k] for s in self.samples):
            self.base[k] = n.attrs[0]
            return Node(n.op, (), (self.samples[-1][k],), (Value(n.outputs[0].type),), n.loc)
        if extra is None:  # of the body of a loop
            raise _Unfit([])
        self.base[k] = None
        t = n.outputs[0].type
        given = Value(t.with_dtype(f32) if t.dtype in Half else t)
        extra.append(given)
        op, attr = (OPS["cast"], t.dtype) if t.dtype in Half else (OPS["reshape"], ())  # a node for a node: they keep their numbers
        return Node(op, (given,), (attr,), (Value(t),), n.loc)

    def node(self, n: Node, inputs: tuple[Value, ...], extra: list[Value] | None) -> Node:
        op, types = n.op, tuple([v.type for v in inputs])
        if all(v.type is w.type for v, w in zip(inputs, n.inputs)):
            leaves = parts(op, n.attrs)[1]
            places = range(self.at, self.at + len(leaves))
            if all(s[k] == leaf for k, leaf in zip(places, leaves) for s in self.samples):  # it is as it was
                self.base.update(zip(places, leaves))
                self.at += len(leaves)
                return Node(op, inputs, n.attrs, tuple([Value(v.type) for v in n.outputs]), n.loc)
        if isinstance(op.lowering, Inline):
            more: list[Value] | None = None if extra is None else []
            graph, outs = self.inner(n.attrs[0], types, more)
            if more:
                graph = Graph(graph.name, (*graph.inputs, *more), graph.nodes, graph.outputs)
                passed = [Value(v.type) for v in more]
                extra.extend(passed)  # type: ignore[union-attr]
                inputs = (*inputs, *passed)
            return Node(op, inputs, (graph,), tuple(map(Value, outs)), n.loc)
        if isinstance(op.lowering, Control):
            held = op.lowering.graphs
            taken = op.lowering.takes(types, *n.attrs)
            inner = [self.inner(g, ts, None)[0] for g, ts in zip(n.attrs, taken)]
            attrs = (*inner, *self.attrs(n, types)[held:])
        else:
            attrs = self.attrs(n, types)
        try:
            return Node(op, inputs, attrs, tuple(map(Value, op.infer(types, *attrs))), n.loc)
        except Undecided:
            raise
        except (ShapeError, TypeError):
            raise _Unfit([*(d for t in types for d in t.shape), *_flat(attrs)]) from None

    def inner(self, g: Graph, types: tuple[TensorType, ...], extra: list[Value] | None) -> tuple[Graph, list[TensorType]]:
        inputs = tuple(map(Value, types))
        made, outputs = self.nodes(g, inputs, extra)
        return Graph(g.name, inputs, tuple(made), outputs, input_names=g.input_names), [v.type for v in outputs]

    def attrs(self, n: Node, types: tuple[TensorType, ...]) -> tuple[Any, ...]:
        if not n.op.sizes:
            return n.attrs
        self.mine = {}
        found = []
        for name, a in zip(n.op.attr_names, n.attrs):
            if name in n.op.sizes:
                a = tuple([self.size(types) for _ in a]) if isinstance(a, tuple) else self.size(types)
            found.append(a)
        return tuple(found)

    # ---- expressions of leaves

    def extent(self) -> Dim:
        self.mine = {}
        d = self.size()
        self.given.add(d)
        return d

    def size(self, near: Sequence[TensorType] = ()) -> Dim:
        """The expression of the next leaf, by now."""
        k = self.at
        self.at += 1
        if k not in self.base:
            self.base[k] = self.found(k, tuple([s[k] for s in self.samples]), near)
        d = self.base[k]
        if isinstance(d, Size):
            found = self.current.get(d)
            if found is None:
                found = self.current[d] = replaced(d, self.now)
            return found
        return d  # type: ignore[return-value]

    def found(self, k: int, values: tuple[int, ...], near: Sequence[TensorType]) -> Dim:
        """An expression that has these values: of the node's other leaves or its inputs' extents, or known from elsewhere, or new."""
        last = values[-1]
        if all(v == last for v in values):
            return last
        extents = {self.values(d): d for t in (*reversed(self.scope), *reversed(near)) for d in t.shape if isinstance(d, Size)}
        places = {w: d for w, d in self.known.items() if d not in self.given}
        ways = (
            extents.get(values), _shifted(values, self.mine), self.known.get(values), _part(values, extents), _shifted(values, extents),
            _shifted(values, places, 1),
        )  # fmt: skip
        found = next((d for d in ways if d is not None), None)  # a size has no truth
        if found is None:
            found = self.known[values] = self.new(k, values)
        self.mine[values] = found
        return found

    def new(self, origin: int | Size, values: Sequence[int], low: int = 0) -> Dim:
        name = f"s{len(self.made)}"
        self.made[name] = origin
        for hint, v in zip(self.hints, values):
            hint[name] = v
        self.now[name] = symbol(name, low)
        return self.now[name]

    def values(self, d: Dim) -> tuple[int, ...]:
        found = self.evaluated.get(d)
        if found is None:
            found = self.evaluated[d] = tuple([evaluate(d, hint) for hint in self.hints])
        return found

    # ---- what the rules have to know

    def assume(self, e: Undecided) -> bool:
        """Have the symbols be such that what is undecided is as in all samples. False where there is no way."""
        low, high = self.values(e.low), self.values(e.high)
        signs = {(a > b) - (a < b) for a, b in zip(low, high)}
        if e.equal and signs == {0}:
            return self.equal(e.low, e.high)
        if signs <= ({-1} if e.equal else {-1, 0}):
            return self.within(e.low + e.equal, e.high)
        if signs == {1}:
            return self.within(e.high + 1, e.low)
        return False

    def within(self, low: Any, high: Any, depth: int = 0) -> bool:
        """Have `low` <= `high`."""
        gap = high - low
        if at_most(0, gap):
            return True
        if not isinstance(gap, Size) or depth > 8:
            return False
        alone = _alone(gap)
        if len(gap.terms) == 1 and alone:
            ((s, c),) = alone
            # c * s + const >= 0
            bound = -gap.const / c
            least, most = (max(s.min, ceil(bound)), s.max) if c > 0 else (s.min, min(s.max, floor(bound)))
            if least > most:
                return False
            self.put(s.name, symbol(s.name, least, most))
            return True
        free = [s for s, c in alone if c == 1 and s.max == inf]
        if free:  # what follows from other conditions before what was seen, and what was seen last
            s = max(free, key=lambda s: (not isinstance(self.made[s.name], int), int(s.name[1:])))
            lowest: Any = larger(s.min, _size(s) - gap)
            if len(str(lowest)) > _LONGEST:
                return False
            self.put(s.name, lowest + self.new(_size(s) - lowest, self.values(_size(s) - lowest)))
            return True
        for s, c in alone:
            if c == -1:
                limit: Any = gap + _size(s)
                if len(str(limit)) > _LONGEST:
                    return False
                if at_most(s.min, limit) or self.within(s.min, limit, depth + 1):
                    self.put(s.name, smaller(self.now[s.name], replaced(limit, self.now)))
                    return True
        return False

    def equal(self, a: Any, b: Any) -> bool:
        """Have two sizes be equal."""
        gap = a - b
        if not isinstance(gap, Size):
            return gap == 0
        shared = set.intersection(*(set(p) for p, _ in gap.terms)) if gap.const == 0 else set()
        for factor in shared:
            if len(gap.terms) > 1:
                try:
                    return self.equal(gap // _size(factor), 0)
                except ShapeError:
                    break
        for s, c in sorted(_alone(gap), key=lambda f: -int(f[0].name[1:])):
            rest = -(gap - c * _size(s))
            instead = rest // abs(c) * (1 if c > 0 else -1)
            if instead * c == rest and self.become(s, instead):
                return True
        for p, _ in gap.terms:  # s == k * (s // k) is so for the multiples of k
            if len(p) == 1 and isinstance(p[0], Quotient) and isinstance(p[0].parts[1], int) and (of := as_symbol(p[0].parts[0])):
                k = p[0].parts[1]
                if replaced(gap, {of.name: k * symbol("k")}) == 0:
                    return self.become(of, k * self.new(_size(p[0]), self.values(_size(p[0]))))
        return False

    def become(self, s: Symbol, instead: Any, depth: int = 0) -> bool:
        """Have a symbol be an expression, which must be within its bounds."""
        if len(str(instead)) > _LONGEST or self.values(instead) != tuple([hint[s.name] for hint in self.hints]):
            return False
        self.put(s.name, instead)
        if not self.within(s.min, self.now[s.name], depth + 1):
            return False
        return s.max == inf or self.within(self.now[s.name], int(s.max), depth + 1)

    def put(self, name: str, instead: Dim) -> None:
        self.current = {}
        for other, d in self.now.items():
            self.now[other] = replaced(d, {name: instead})

    def fix(self, *dims: Any) -> None:
        """Have the symbols in `dims` be what they are in the last sample; samples in which they are not that count no more."""
        last = self.hints[-1]
        self.evaluated = {}
        for s in symbols(*dims):
            self.put(s.name, last[s.name])
            self.fixed += 1
            kept = [i for i, hint in enumerate(self.hints) if hint[s.name] == last[s.name]]
            self.hints = [self.hints[i] for i in kept]
            self.samples = [self.samples[i] for i in kept]
            self.known = {tuple([values[i] for i in kept]): d for values, d in self.known.items()}

    # ---- the result

    def stands(self, graph: Graph) -> bool:
        """Whether it is the concrete graph for the last sample, as far as types go."""
        hint = self.hints[-1]

        def alike(a: Value, b: Value) -> bool:
            return a.type.shape == b.type.shape or tuple([evaluate(d, hint) for d in b.type.shape]) == a.type.shape

        outs = ((v for n in g.nodes for v in n.outputs) for g in (self.concrete, graph))
        return all(map(alike, self.concrete.inputs, graph.inputs)) and all(map(alike, *outs))

    def finished(self, graph: Graph, at: Sequence[int]) -> General | None:
        """With the function that compares, once it has proved itself on the last sample."""
        free = tuple(symbols(*self.now.values()))
        lines, tests = [], []
        for name, origin in self.made.items():
            text = f"v[{at[origin]}]" if isinstance(origin, int) else python_text(origin)
            lines.append(f"    {name} = {text}")
        for s in free:
            tests += [f"{s.min} <= {s.name}"] * (s.min > 0 or not isinstance(self.made[s.name], int))
            tests += [f"{s.name} <= {s.max}"] * (s.max != inf)
        numbers = []
        fixed: dict[int, Leaf] = {}  # where leaves are that have to be as they are
        places: dict[str, list[int]] = {}  # where leaves are that have to be what a text says
        for k, base in sorted(self.base.items()):
            if base is None:
                numbers.append(f"v[{at[k]}]")
                continue
            d = base if isinstance(base, Const) else replaced(base, self.now)
            if not isinstance(d, Size):
                fixed[at[k]] = d
            elif self.made.get(str(d)) != k:
                places.setdefault(python_text(d), []).append(at[k])
        scope: dict[str, Any] = {"min": min, "max": max, "fixed": tuple(fixed.values())}
        taken = list(fixed)
        wanted = ["*fixed"] * bool(fixed)
        for text, where in places.items():
            taken += where
            wanted.append(f"{text}" if len(where) == 1 else f"*({text},) * {len(where)}")
        if taken:  # compared in C
            scope["take"] = itemgetter(*taken, taken[0])
            tests.append(f"take(v) == ({', '.join(wanted)}, v[{taken[0]}])")
        lines.append(f"    if {' and '.join(dict.fromkeys(tests)) or 'True'}:")
        lines.append(f"        return ({''.join(n + ', ' for n in numbers)}), ({''.join(s.name + ', ' for s in graph.symbols)})")
        exec(compile("def match(v):\n" + "\n".join(lines), "<sizes>", "exec"), scope)
        return General(graph, self, free, scope["match"])


def _shifted(values: tuple[int, ...], known: dict[tuple[int, ...], Dim], most: float = inf) -> Dim | None:
    """What is known and differs from `values` by the same in all samples, and by at most `most`, with that added."""
    for others, d in known.items():
        by = values[-1] - others[-1]
        if abs(by) <= most and all(v - w == by for v, w in zip(values, others)):
            return d + by
    return None


def _part(values: tuple[int, ...], known: dict[tuple[int, ...], Dim]) -> Dim | None:
    """The half, third or quarter of what is known, rounded down or up, that has these values."""
    for others, d in known.items():
        for k in (2, 3, 4):
            if all(v == w // k for v, w in zip(values, others)):
                return d // k
            if all(v == -(-w // k) for v, w in zip(values, others)):
                return (d + k - 1) // k
    return None


def _alone(gap: Size) -> list[tuple[Symbol, int]]:
    """The symbols that stand in a size as a term, and nowhere else, with their factors."""
    counts: dict[Symbol, int] = {}
    for p, _ in gap.terms:
        for s in symbols(Size(0, ((p, 1),))):
            counts[s] = counts.get(s, 0) + 1
    return [(p[0], c) for p, c in gap.terms if len(p) == 1 and isinstance(p[0], Symbol) and counts[p[0]] == 1]


def _size(atom: Any) -> Size:
    return Size(0, (((atom,), 1),))


def _flat(x: Any) -> Iterator[Any]:
    if isinstance(x, tuple):
        for y in x:
            yield from _flat(y)
    else:
        yield x
