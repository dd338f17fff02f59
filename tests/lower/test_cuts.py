"""What a group keeps for later readers, when groups come, and which indices are checked again."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from ingot.ir.dtypes import i64
from ingot.ir.graph import Value
from ingot.ir.loop.ir import Check
from ingot.ir.loop.walk import statements
from ingot.ir.lower import lower
from ingot.ir.lower.fuse import fuse
from ingot.ir.op import OPS
from tests.support.calling import WIDE, check
from tests.support.generate import generate
from tests.support.graphs import arrays_for, graph_of

cut = importlib.import_module("ingot.ir.lower.fuse.cut")
N = 512


def _written(graph) -> list[list[str]]:
    """By group, the ops of the large values that it writes for others."""
    fused = fuse(graph)
    producers = graph.producers

    def large(v: Value) -> bool:
        return v.type.nbytes >= cut.LARGE and v not in graph.outputs

    return [[producers[v].op.name for v in g.outputs if large(v)] for g in fused.groups]


def _gelu(x, w, v):
    erf, exp = OPS["erf"], OPS["exp"]
    h = OPS["dot"](x, w, batch=((), ()), contract=((1,), (0,)))
    y = h * 0.5 * (erf(h * 0.7) + 1.0)
    g = OPS["dot"](y, v, batch=((), ()), contract=((1,), (0,)))
    back = OPS["dot"](g, v, batch=((), ()), contract=((1,), (1,)))
    return back * (erf(h * 0.7) + 1.0) + back * h * exp(h * h * -0.5)


def test_two_of_the_values_that_gelu_and_its_gradient_share_are_kept():
    graph = graph_of([(N, 64), (64, N), (N, 64)], _gelu)
    assert _written(graph)[0] == ["dot", "mul"]  # h and y; the error function and exp are calculated again
    check(graph, arrays_for(graph), scale=100)


def test_a_centred_row_is_centred_again():
    def normed(x, w, b):
        centred = x - x.sum((1,)) * (1 / N)
        y = centred * 3.0
        g = OPS["dot"](y, w, batch=((), ()), contract=((1,), (0,)))
        return g + centred.sum((0,)) + b

    graph = graph_of([(N, N), (N, N), (N, N)], normed)
    assert sum(_written(graph), []) == []
    check(graph, arrays_for(graph), scale=100)


def test_what_is_dear_is_kept():
    def both(x, w, v):
        y = OPS["exp"](x)
        for _ in range(4):
            y = OPS["sin"](y)
        h = OPS["dot"](w, v, batch=((), ()), contract=((1,), (0,)))
        return y.sum((0, 1)), h * y

    graph = graph_of([(N, N), (N, 64), (64, N)], both)
    assert sum(_written(graph), []) == ["sin"]


@pytest.mark.parametrize("seed", range(88213, 88233))
def test_cuts_of_random_graphs(seed, monkeypatch):
    """As if every value were large."""
    monkeypatch.setattr(cut, "LARGE", 1)
    graph, arrays = generate(seed, 6 + seed % 20)
    check(graph, arrays, scale=20)


def _steps(x, *weights):
    """Layers, their backward, and then what becomes of the weights."""
    def product(a, b, i, j):
        return OPS["dot"](a, b, batch=((), ()), contract=((i,), (j,)))

    values = [x]
    for w in weights:
        values.append(OPS["tanh"](product(values[-1], w, 1, 0)))
    g, gradients = values[-1], []
    for w, before, after in zip(reversed(weights), reversed(values[:-1]), reversed(values)):
        g = g * (1.0 - after * after)
        gradients.append(product(before, g, 0, 0))
        g = product(g, w, 1, 1)
    return [w - d * 0.1 for w, d in zip(weights, reversed(gradients))]


def test_gradients_of_weights_come_before_the_rest_of_the_backward():
    graph = graph_of([(N, 64), *[(64, 64)] * 6], _steps)
    program = lower(graph, WIDE)
    assert program.arena_bytes <= 8.5 * N * 64 * 4  # six results, a gradient and the next; with every gradient kept to the end, eleven
    assert len(program.aliases) >= 5
    check(graph, arrays_for(graph), scale=100)


def _looked_up(table, i, g):
    rows = OPS["index_get"](table, i, axes=(0,))
    loss = (rows * g).sum((0, 1))
    return loss, OPS["index_put"](table.full(0), g * loss, i, axes=(0,), mode="add")


def _checks(graph) -> int:
    return sum(isinstance(s, Check) for k in lower(graph, WIDE).kernels.values() for s in statements(k.body))


def test_a_gradient_by_the_indices_of_its_table_checks_nothing_again():
    graph = graph_of([(9, 4), ((6,), i64), (6, 4)], _looked_up)
    assert _checks(graph) == 1
    arrays = [*arrays_for(graph)]
    arrays[1] = np.array([0, 3, -1, 8, 3, -9])
    check(graph, arrays)

    def other_place(table, i, g):
        rows = OPS["index_get"](table, i, axes=(0,))
        return OPS["index_put"](OPS["concatenate"](table, table, axis=0), rows, i, axes=(0,), mode="add")

    assert _checks(graph_of([(9, 4), ((6,), i64), (6, 4)], other_place)) == 2


