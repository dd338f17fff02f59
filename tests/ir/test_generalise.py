"""Symbolic graphs of graphs that differ in their sizes."""

import numpy as np
import pytest

from ingot.ir import ops  # noqa: F401  (fills OPS)
from ingot.ir.builder import Builder
from ingot.ir.dtypes import f32
from ingot.ir.interpret import run
from ingot.ir.op import OPS
from ingot.ir.sized import sized
from ingot.ir.structure import parts
from ingot.ir.transforms.generalise import generalise, leaves_of
from ingot.ir.types import tensor_type


def build(*shapes):
    b = Builder("f")
    return b, *(b.expr(b.input(tensor_type(f32, s))) for s in shapes)


def cut(x, start, stop):
    return OPS["slice"](x, starts=(start,), stops=(stop,), steps=(1,))


def heads(B, T):
    b, x = build((B, T, 8))
    y = x.reshape((B * T, 8)).reshape((B, T, 2, 4)).transpose((0, 2, 1, 3))
    return b.freeze((y.value, (y * float(T)).value))


def one(n, t):
    b, x = build((n,))
    return b.freeze((cut(x, t, t + 1).reshape(()).value,))


def rows(n):
    b, x = build((n * 4,))
    return b.freeze((x.reshape((n, 4)).value,))


def inner(n):
    b, x = build((n, 3))
    graph = b.freeze(((x / float(n)).sum((0,)).value,))
    b, x = build((n, 3))
    return b.freeze((OPS["call"](x, graph=graph).value,))


def repeated(n):
    b, c, x = build((n,), (n,))
    body = b.freeze((((c * x).value), c.value))
    b, c, x = build((n,), (n + 1, n))
    return b.freeze(tuple(v.value for v in OPS["scan"](c, x, body=body, n_const=0, n_carry=1, length=n + 1, reverse=False)))


def broadcast(n, m):
    b, x, y = build((n,), (m,))
    return b.freeze(((x + y).value,))


# builder, the arguments of the graphs that are seen, the head of the graph for all, arguments that it is for, and those it is not for
CASES = [
    (heads, [(2, 5), (3, 7)], "(%a0: f32[s0,s1,8], %n0: scalar f32[])", [(4, 9), (1, 1), (0, 2)], []),
    (heads, [(2, 5), (2, 7)], "(%a0: f32[2,s0,8], %n0: scalar f32[])", [(2, 9), (2, 0)], [(3, 5)]),
    (heads, [(3, 3), (4, 4)], "(%a0: f32[s0,s0,8], %n0: scalar f32[])", [(5, 5)], [(5, 4)]),
    (heads, [(3, 3), (4, 4), (5, 4)], "(%a0: f32[s0,s1,8], %n0: scalar f32[])", [(5, 7)], []),
    (one, [(9, 2), (9, 5)], "(%a0: f32[9]) -> f32[] where s0 <= 8", [(9, 0), (9, 8)], [(7, 2)]),
    (one, [(9, 2), (8, 5)], "(%a0: f32[s1+s2+1]) -> f32[]", [(1, 0), (20, 19)], []),
    (rows, [(3,), (5,)], "(%a0: f32[4*s1]) -> f32[s1,4]", [(0,), (1,), (11,)], []),
    (inner, [(3,), (5,)], "(%a0: f32[s0,3], %n0: scalar f32[])", [(1,), (11,)], []),
    (repeated, [(3,), (5,)], "(%a0: f32[s0], %a1: f32[s1,s0])", [(1,), (11,)], []),
    (broadcast, [(3, 1), (5, 1)], "(%a0: f32[s0], %a1: f32[1])", [(1, 1), (7, 1)], [(1, 7)]),
]


def arrays(graph, given=()):
    rng = np.random.default_rng(0)
    found = [rng.standard_normal(t.shape).astype(np.float32) for t in graph.in_types]
    return found + [c.array() for c in given]


@pytest.mark.parametrize("build, seen, head, fits, others", CASES)
def test_one_graph_for_all(build, seen, head, fits, others):
    graphs = [build(*a) for a in seen]
    found = generalise(graphs[-1], [leaves_of(g) for g in graphs])
    assert head in str(found.graph), str(found.graph)
    for a in (*fits, *seen):
        g = build(*a)
        numbers, sizes = found.match(leaves_of(g))
        assert len(sizes) == len(found.symbols)
        same = sized(found.graph, {s.name: n for s, n in zip(found.symbols, sizes)})
        for x, y in zip(run(same, arrays(g, numbers)), run(g, arrays(g))):
            np.testing.assert_array_equal(x, y)
    for a in others:
        assert found.match(leaves_of(build(*a))) is None


def test_what_broadcasts_now_and_then_has_no_graph_for_both():
    graphs = [broadcast(3, 1), broadcast(5, 5)]
    assert generalise(graphs[-1], [leaves_of(g) for g in graphs]) is None


def test_sizes_that_have_to_be_known_stay_as_they_were_last():
    def both(n, m, k):
        b, x, y, z = build((n,), (m,), (k,))
        return b.freeze(((x + y).value, (z * z).value))

    graphs = [both(3, 1, 2), both(5, 5, 4)]
    found = generalise(graphs[-1], [leaves_of(g) for g in graphs])
    assert found.fixed == 2 and "(%a0: f32[5], %a1: f32[5], %a2: f32[s2])" in str(found.graph)
    assert found.match(leaves_of(both(5, 5, 9))) == ((), (9,)) and found.match(leaves_of(both(3, 1, 2))) is None


def test_the_leaves_of_a_node():
    form, leaves = parts(OPS["slice"], ((1, 0), (5, 4), (1, 2)))
    assert leaves == (1, 0, 5, 4)
    assert form == parts(OPS["slice"], ((0, 0), (0, 0), (1, 2)))[0]
    assert form != parts(OPS["slice"], ((1, 0), (5, 4), (1, 1)))[0]


def test_many_places_of_one_dim_come_to_an_end():
    def cuts(seed):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(50, 100))
        b, x = build((n,))
        ends = [sorted(int(p) for p in rng.integers(0, n, 2)) for _ in range(10)]
        return b.freeze(tuple(cut(x, *e).value for e in ends))

    graphs = [cuts(seed) for seed in range(3)]
    found = generalise(graphs[-1], [leaves_of(g) for g in graphs])
    if found is not None:
        numbers, sizes = found.match(leaves_of(graphs[-1]))
        same = sized(found.graph, {s.name: n for s, n in zip(found.symbols, sizes)})
        for x, y in zip(run(same, arrays(same, numbers)), run(graphs[-1], arrays(graphs[-1]))):
            np.testing.assert_array_equal(x, y)
