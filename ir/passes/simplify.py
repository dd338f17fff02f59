"""simplify: one sweep over the graph that applies the rows of `rules.py` to each node as it is rebuilt.

A node's inputs are simplified before it, and what a row puts in its place is offered to the rows again, so one sweep
is enough. Beside the rows there are a few laws of shape that no pattern of fixed arity can say: see `_LAWS`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from ingot.ir.facts import Elementwise
from ingot.ir.graph import Const, Graph, Node, Value
from ingot.ir.op import Op, infer
from ingot.ir.ops import OPS
from ingot.ir.ops.creation import constant
from ingot.ir.ops.movement import broadcast, concatenate, slice_
from ingot.ir.passes.bodies import with_bodies
from ingot.ir.passes.pattern import Apply, Fill, Just, Match, Rule, Splat, Var
from ingot.ir.passes.rules import RULES
from ingot.ir.size import ShapeError
from ingot.ir.types import TensorType, tensor_type

__all__ = ["simplify", "Simplifier"]

MAX_SPLAT = 1 << 16  # larger constants are not looked through


Tests = tuple[tuple[int, Op | None], ...]  # which inputs must be made by an op, or (None) be one number everywhere
Table = dict[Op, list[tuple[Rule, bool, Tests]]]


def _index(rules: tuple[Rule, ...]) -> Table:
    """Rules by the op at their root, those with two different arguments of a commutative op in both orders."""
    table: Table = defaultdict(list)
    for r in rules:
        op = OPS[r.pattern.op]
        table[op].append((r, False, _tests(r, False)))
        if op.commutative and r.pattern.args[0] != r.pattern.args[1]:
            table[op].append((r, True, _tests(r, True)))
    return dict(table)


def _tests(rule: Rule, swapped: bool) -> Tests:
    """What a look at the inputs tells: most rules of most nodes end there."""
    args = rule.pattern.args[::-1] if swapped else rule.pattern.args
    return tuple((i, OPS[a.op] if isinstance(a, Apply) else None) for i, a in enumerate(args) if not isinstance(a, Var))


_BY_OP = _index(RULES)


@with_bodies
def simplify(graph: Graph) -> Graph:
    """Apply the algebra of `rules.py`: the same bits (NaN payloads aside), no node more than before in any place."""
    return Simplifier(graph).run()


class Simplifier:
    """The graph as it is rebuilt; `fired` counts the rules that applied, by name."""

    def __init__(self, graph: Graph, table: Table | None = None):
        self.graph = graph
        self.table = _BY_OP if table is None else table
        self.nodes: list[Node] = []
        self.made: dict[Value, Node] = {}  # new value -> its node
        self.splats: dict[Value, Any] = {}  # value -> the number it is everywhere
        self.fills: dict[Const, Value] = {}
        self.fired: dict[str, int] = defaultdict(int)
        self.loc: Any = None

    def run(self) -> Graph:
        env: dict[Value, Value] = {}
        for n in self.graph.nodes:
            self.loc = n.loc
            inputs = tuple([env.get(v, v) for v in n.inputs]) if env else n.inputs
            new = self.rewrite(n.op, inputs, n.attrs, n.outputs[0].type) if len(n.outputs) == 1 else None
            if new is None:
                self.append(n if inputs == n.inputs else Node(n.op, inputs, n.attrs, n.outputs, n.loc))
            else:
                env[n.outputs[0]] = new
        if not env:
            return self.graph
        return self.graph.replace(nodes=tuple(self.nodes), outputs=tuple([env.get(v, v) for v in self.graph.outputs]))

    # -- building --

    def append(self, n: Node) -> None:
        self.nodes.append(n)
        for v in n.outputs:
            self.made[v] = n
        if n.op is constant:
            value = _splat(n.attrs[0])
            if value is not None:
                self.splats[n.outputs[0]] = value
        elif n.op is broadcast and n.inputs[0] in self.splats:
            self.splats[n.outputs[0]] = self.splats[n.inputs[0]]

    def emit(self, op: Op, inputs: tuple[Value, ...], attrs: tuple[Any, ...]) -> Value:
        """The simplified value of an op on new values."""
        (t,) = infer(op, tuple([v.type for v in inputs]), attrs)
        new = self.rewrite(op, inputs, attrs, t)
        if new is not None:
            return new
        out = Value(t)
        self.append(Node(op, inputs, attrs, (out,), self.loc))
        return out

    def fill(self, value: Any, t: TensorType) -> Value:
        """`value` everywhere, as a broadcast scalar."""
        payload = Const.of(value, t.dtype)
        v = self.fills.get(payload)
        if v is None:
            v = self.fills[payload] = Value(payload.type)
            self.append(Node(constant, (), (payload,), (v,), self.loc))
        return v if not t.shape else self.emit(broadcast, (v,), (t.shape,))

    def as_type(self, v: Value, t: TensorType) -> Value:
        """`v` broadcast to `t`, for a law that drops an operand which had made the shape larger."""
        return v if v.type == t else self.emit(broadcast, (v,), (t.shape,))

    # -- rewriting --

    def rewrite(self, op: Op, inputs: tuple[Value, ...], attrs: tuple[Any, ...], out: TensorType) -> Value | None:
        """What stands for op(inputs), or None where nothing applies. Nor does what would have to know more of sizes than can be known."""
        try:
            return self._rewritten(op, inputs, attrs, out)
        except ShapeError:
            return None

    def _rewritten(self, op: Op, inputs: tuple[Value, ...], attrs: tuple[Any, ...], out: TensorType) -> Value | None:
        for rule, swapped, tests in self.table.get(op, ()):
            if not self.may_match(tests, inputs):
                continue
            m = Match(out=out)
            args = (inputs[1], inputs[0]) if swapped else inputs
            if self.match_args(rule.pattern, args, attrs, op, m) and rule.when(m):
                new = self.build(rule.replacement, m)
                if new.type.dtype is out.dtype:
                    self.fired[rule.name] += 1
                    return self.as_type(new, out)
        law = _LAWS.get(op) or (_elementwise if isinstance(op.lowering, Elementwise) else None)
        return law(self, op, inputs, attrs, out) if law else None

    def may_match(self, tests: Tests, inputs: tuple[Value, ...]) -> bool:
        for i, op in tests:
            if i >= len(inputs):
                return False
            if op is None:
                if inputs[i] not in self.splats:
                    return False
            elif (made := self.made.get(inputs[i])) is None or made.op is not op:
                return False
        return True

    def match_args(self, pattern: Apply, inputs: tuple[Value, ...], attrs: tuple[Any, ...], op: Op, m: Match) -> bool:
        if len(inputs) != len(pattern.args):
            return False
        for arg, v in zip(pattern.args, inputs):
            if isinstance(arg, Var):
                if m.setdefault(arg.name, v) is not v:
                    return False
            elif isinstance(arg, Splat):
                if not arg.matches(self.splats.get(v)):
                    return False
            else:
                n = self.made.get(v)
                if n is None or n.op is not OPS[arg.op] or not self.match_args(arg, n.inputs, n.attrs, n.op, m):
                    return False
        for name, want in pattern.attrs.items():
            have = attrs[op.attr_names.index(name)]
            if type(want) is Just:
                if have != want.value:
                    return False
            elif m.setdefault(want, have) != have:
                return False
        return True

    def build(self, r: Any, m: Match) -> Value:
        if isinstance(r, Var):
            return m[r.name]
        if isinstance(r, Fill):
            return self.fill(r.value, m.out)
        if isinstance(r, Splat):
            return self.fill(r.value, tensor_type(m.out.dtype, ()))
        args = tuple([self.build(a, m) for a in r.args])
        return self.emit(OPS[r.op], args, OPS[r.op].attr_tuple({k: f(m) if callable(f) else f for k, f in r.attrs.items()}))


def _splat(c: Const) -> Any:
    """The number that a constant is everywhere, or None."""
    size = c.type.dtype.itemsize
    if not c.data or len(c.data) > MAX_SPLAT or c.data != c.data[:size] * (len(c.data) // size):
        return None
    x = np.frombuffer(c.data[:size], c.type.dtype.numpy)[0]
    kind = c.type.dtype.kind
    return bool(x) if kind == "b" else float(x) if kind == "f" else int(x)


# -- laws in code ----------------------------------------------------------------------------------------------------


def _elementwise(s: Simplifier, op: Op, inputs: tuple[Value, ...], attrs: tuple[Any, ...], out: TensorType) -> Value | None:
    """f(broadcast x, y) = f(x, y): operands broadcast anyway; where all are broadcast, f(x) is broadcast in their place."""
    sources = []
    for v in inputs:
        n = s.made.get(v)
        while n is not None and n.op is broadcast:
            v = n.inputs[0]
            n = s.made.get(v)
        sources.append(v)
    if tuple(sources) == inputs:
        return None
    new = s.emit(op, tuple(sources), attrs)
    s.fired["elementwise of broadcast"] += 1
    return s.as_type(new, out)


def _constant(s: Simplifier, op: Op, inputs: tuple[Value, ...], attrs: tuple[Any, ...], out: TensorType) -> Value | None:
    """A constant that is one number everywhere is that number, broadcast."""
    if not out.shape:
        return None
    value = _splat(attrs[0])
    if value is None:
        return None
    scalar = Const(tensor_type(out.dtype, ()), attrs[0].data[: out.dtype.itemsize])
    s.fired["constant of one number"] += 1
    return s.as_type(s.emit(op, (), (scalar,)), out)


def _concatenate(s: Simplifier, op: Op, inputs: tuple[Value, ...], attrs: tuple[Any, ...], out: TensorType) -> Value | None:
    """Pieces without elements vanish."""
    axis = attrs[0]
    full = tuple([v for v in inputs if v.type.shape[axis] != 0]) or inputs[:1]
    if len(full) == len(inputs):
        return None
    s.fired["concatenate of nothing"] += 1
    return s.emit(op, full, attrs)


def _slice(s: Simplifier, op: Op, inputs: tuple[Value, ...], attrs: tuple[Any, ...], out: TensorType) -> Value | None:
    """A slice that lies in one piece of a concatenate is a slice of that piece."""
    n = s.made.get(inputs[0])
    if n is None or n.op is not concatenate:
        return None
    axis = n.attrs[0]
    starts, stops, steps = attrs
    begin = 0
    for piece in n.inputs:
        size = piece.type.shape[axis]
        if not isinstance(size, int) or not isinstance(stops[axis], int):
            return None
        if begin <= starts[axis] and stops[axis] <= begin + size and starts[axis] < stops[axis]:
            a = (*starts[:axis], starts[axis] - begin, *starts[axis + 1 :])
            b = (*stops[:axis], stops[axis] - begin, *stops[axis + 1 :])
            s.fired["slice of concatenate"] += 1
            return s.emit(op, (piece,), (a, b, steps))
        begin += size
    return None


_LAWS = {constant: _constant, concatenate: _concatenate, slice_: _slice}
