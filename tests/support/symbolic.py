"""Generated graphs with symbols for some of their extents: `symbolic(graph, rng)`, and arrays for other sizes: `arrays_of`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from math import prod
from typing import Any

import numpy as np

from ingot.ir import interpret
from ingot.ir.builder import Builder
from ingot.ir.graph import Graph, Value
from ingot.ir.op import infer
from ingot.ir.size import ShapeError, Undecided, evaluate, symbol, symbols
from ingot.ir.sized import sized
from ingot.ir.types import Dim, tensor_type
from tests.support.calling import compare
from tests.support.grow import LIMIT

__all__ = ["arrays_of", "check_at", "symbolic"]

NAMES = "BTN"
GUARD = 16  # elements around a result that nothing may write to


def symbolic(graph: Graph, rng: np.random.Generator) -> tuple[Graph, dict[str, int]] | None:
    """The graph with symbols in place of some extents of its inputs, everywhere these go, and the extents that they were; None where
    none can be one."""
    found = sorted({d for t in graph.in_types for d in t.shape if d > 1})
    chosen = [int(d) for d in rng.permutation(found)[: int(rng.integers(1, 4))]]
    names = {d: name for d, name in zip(chosen, NAMES)}
    least = {name: int(rng.choice([0, 0, 0, 1])) for name in NAMES}
    most = {name: int(rng.choice([0, 0, 0, 64])) for name in NAMES}
    while names:
        bounds = {n: (least[n], max(most[n], d) if most[n] else float("inf")) for d, n in names.items()}
        made = _Symbolic({d: symbol(n, *bounds[n]) for d, n in names.items()})
        try:
            return made.graph(graph), {n: d for d, n in names.items()}
        except Undecided as e:  # true from some extent on, if at all
            open_ = [n for n in names.values() if n in {s.name for s in symbols(e.low, e.high)} and least[n] < 2]
            if open_:
                least[open_[0]] += 1
                continue
        except (ShapeError, _NotSo):
            pass
        del names[next(iter(names))]
    return None


class _NotSo(Exception):
    """A symbol that does not go through."""


class _Symbolic:
    def __init__(self, sizes: Mapping[int, Dim]):
        self.sizes = sizes
        self.values = {s.name: d for d, x in sizes.items() for s in symbols(x)}

    def dim(self, d: int) -> Dim:
        return self.sizes.get(d, d)

    def graph(self, g: Graph, ins: Sequence[Any] | None = None) -> Graph:
        b = Builder(g.name)
        env: dict[Value, Value] = {}
        for k, v in enumerate(g.inputs):
            t = ins[k] if ins is not None else tensor_type(v.type.dtype, tuple(map(self.dim, v.type.shape)))
            env[v] = b.input(t, g.input_names[k], k in g.scalars)
        for n in g.nodes:
            types = tuple(env[v].type for v in n.inputs)
            want = [v.type for v in n.outputs]
            attrs = self.attributes(n, types, want)
            for v, w in zip(n.outputs, b.emit(n.op, tuple(env[v] for v in n.inputs), attrs)):
                env[v] = w
        return b.freeze(tuple(env[v] for v in g.outputs))

    def attributes(self, n: Any, types: tuple, want: list) -> tuple:
        if n.op.name == "scan":
            body, n_const, n_carry, length, reverse = n.attrs
            first = n_const + n_carry
            ins = [t if k < first else t.with_shape(t.shape[1:]) for k, t in enumerate(types)]
            length = types[first].shape[0] if len(types) > first else length
            return self.graph(body, ins), n_const, n_carry, length, reverse
        if n.op.name == "call":
            return (self.graph(n.attrs[0], types),)
        if not n.op.sizes:
            return self.fitting(n, types, want, [n.attrs])
        named = dict(zip(n.op.attr_names, n.attrs))
        options = []
        for lift in (self.lifted, self.dim, lambda d: d):
            made = dict(named)
            for name in n.op.sizes:
                a = named[name]
                made[name] = tuple(map(lift, a)) if isinstance(a, tuple) else lift(a)
            options.append(tuple(made.values()))
        if n.op.name == "slice":  # to the end
            starts, stops, steps = n.attrs
            old = n.inputs[0].type.shape
            options.insert(0, (starts, tuple(d if b == m else b for d, b, m in zip(types[0].shape, stops, old)), steps))
        if n.op.name == "reshape":
            options += [(self.solved(types[0].shape, n.attrs[0], k),) for k in range(len(n.attrs[0]))]
        return self.fitting(n, types, want, options)

    def fitting(self, n: Any, types: tuple, want: list, options: list[tuple]) -> tuple:
        """The first of some attributes that give what the node gave."""
        open_: Undecided | None = None
        for attrs in options:
            try:
                made = infer(n.op, types, attrs)
            except Undecided as e:
                open_ = open_ or e
                continue
            except (ShapeError, TypeError, ZeroDivisionError):
                continue
            if all(tuple(evaluate(d, self.values) for d in m.shape) == w.shape for m, w in zip(made, want)):
                return attrs
        raise open_ or _NotSo

    def lifted(self, d: int) -> Dim:
        """A product of symbols and an integer that is `d`."""
        for count in range(len(self.sizes), 0, -1):
            for some in combinations(self.sizes, count):
                if d and d % prod(some) == 0:
                    return prod([self.sizes[s] for s in some]) * (d // prod(some))
        return d

    def solved(self, shape: tuple, new: tuple, at: int) -> tuple:
        """`new` with the extent at a place that makes it as large as `shape`."""
        rest = [self.dim(d) for k, d in enumerate(new) if k != at]
        try:
            return (*map(self.dim, new[:at]), prod(shape) // prod(rest), *map(self.dim, new[at + 1 :]))
        except (ShapeError, ZeroDivisionError):
            return new


def arrays_of(graph: Graph, arrays: Sequence[np.ndarray], sizes: Mapping[str, int]) -> list[np.ndarray]:
    """The elements of the inputs' arrays, as often as a symbolic graph needs them for these sizes."""
    out = []
    for t, a in zip(graph.in_types, arrays):
        shape = tuple(evaluate(d, sizes) for d in t.shape)
        out.append(np.resize(a if a.size else np.zeros(1, a.dtype), shape).astype(a.dtype))
    return out


def check_at(graph: Graph, run: Callable[[list], int], arrays: Sequence[np.ndarray], sizes: Mapping[str, int]) -> bool:
    """What a symbolic graph became, at some sizes, against the graph of these sizes. `run` takes argument slots and gives a code.
    Whether both gave results that could be compared; else both failed, or numbers went wild."""
    at = sized(graph, sizes)
    room = [np.full(t.numel + 2 * GUARD, 3, t.dtype.numpy) for t in at.out_types]
    outs = [a[GUARD : len(a) - GUARD].reshape(t.shape) for a, t in zip(room, at.out_types)]
    slots = [a[()] if k in graph.scalars else np.array(a) for k, a in enumerate(arrays)]
    code = run([*slots, *outs, *(np.int64(sizes[s.name]) for s in graph.symbols)])
    for a in room:
        beside = np.concatenate([a[:GUARD], a[len(a) - GUARD :]])
        assert (beside == a.dtype.type(3)).all(), "something is written beside a result"
    wild: list[str] = []
    try:
        interpret.run(at, list(arrays), lambda n, made: wild.extend(_wild(n, made)))
    except (IndexError, RuntimeError):  # which a program only finds where it computes what fails
        return False
    assert code == 0
    if not wild:
        compare(at, arrays, outs, 20)
    return not wild


def _wild(n: Any, made: list[np.ndarray]) -> Iterator[str]:
    """The op of a node whose results are too large to be compared, or pass through what is."""
    if n.op.name in ("reduce_prod", "cumprod") and n.inputs[0].type.numel > 40:
        yield n.op.name
    for a in made:
        if a.dtype.kind not in "biu" and (np.abs(a.astype(np.float64)) > LIMIT).any():
            yield n.op.name
