"""A profile by kernels: what each moves and computes, beside the machine's limits."""

from __future__ import annotations

import numpy as np
import pytest

import ingot
from ingot.ir.op import OPS
from ingot.runtime.stepwise import kernel_times
from tests.support.graphs import graph_of

pytestmark = pytest.mark.compiled


def test_bytes_and_operations_of_kernels():
    (chain,) = kernel_times(graph_of([(64, 100), (100,)], lambda x, y: x * y + x), rounds=1)
    assert chain.nbytes == 4 * (64 * 100 + 100 + 64 * 100) and chain.operations in (2 * 6400, 6400)  # mul and add, or one fma of two
    product = graph_of([(64, 96), (96, 128)], lambda a, b: OPS["dot"](a, b, batch=((), ()), contract=((1,), (0,))))
    assert 2 * 64 * 96 * 128 <= sum(k.operations for k in kernel_times(product, rounds=1)) <= 3 * 64 * 96 * 128
    (total,) = kernel_times(graph_of([(8, 1000)], lambda x: x.sum((1,))), rounds=1)
    assert total.nbytes == 4 * (8000 + 8) and total.operations >= 8000 and total.seconds > 0


def test_loops_are_one_row():
    body = graph_of([(4,), (4,)], lambda c, x: (OPS["tanh"](c + x), c * x))
    graph = graph_of([(4,), (5, 4)], lambda c, x: OPS["scan"](c, x, body=body, n_const=0, n_carry=1, length=5, reverse=False))
    rows = kernel_times(graph, rounds=1)
    loop = next(r for r in rows if r.name.startswith("repeat of"))
    assert "tanh" in loop.name and loop.operations >= 5 * 4 * 2


def test_a_table_of_kernels():
    x, w = ingot.tensor(np.ones((32, 64), np.float32)), ingot.tensor(np.ones((64, 16), np.float32))
    f = ingot.compile(lambda x, w: (x @ w).softmax(-1))
    f(x, w)
    with ingot.profiler.profile() as prof:
        f(x, w)
        f(x, w)
    rows = prof.kernels(rounds=1)
    assert rows and not rows.left_out and all(r.calls == 2 and r.seconds > 0 and r.gbytes > 0 for r in rows)
    assert any(r.operations >= 2 * 32 * 64 * 16 for r in rows)
    text = rows.table()
    assert "GFLOP/s" in text and "limits of this machine" in text and rows[0].name[:20] in text
