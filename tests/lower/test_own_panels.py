"""Products whose items pack their own panels: whatever follows the sums, however k and the columns fall into lots and blocks."""

from __future__ import annotations

import pytest

from ingot.ir.lower import STAGES, lower, run
from ingot.ir.op import OPS
from tests.support.calling import CPU, HOST_LEVELS, WIDE, compare, load, outputs, run_loops
from tests.support.graphs import arrays_for, graph_of

AT = [s.name for s in STAGES].index("schedule") + 1


def product(a, b):
    return OPS["dot"](a, b, batch=((), ()), contract=((1,), (0,)))


def batched(a, b):
    return OPS["dot"](a, b, batch=((0,), (0,)), contract=((2,), (1,)))


def activated(a, b, c):
    """Enough instructions behind each sum that they are written in a loop over rows."""
    return OPS["tanh"](product(a, b) + c) * OPS["erf"](c)


CASES = {
    "one lot, and a loop behind it": ([(31, 200), (200, 136), (136,)], activated),
    "lots": ([(31, 700), (700, 136), (136,)], activated),
    "a block that ends early": ([(20, 130), (130, 530)], product),
    "lots that end early": ([(14, 1001), (1001, 150)], product),
    "batches": ([(3, 16, 600), (3, 600, 72)], batched),
}


@pytest.mark.parametrize("name", CASES)
def test_products(name: str) -> None:
    graph = graph_of(*CASES[name])
    arrays = arrays_for(graph)
    assert run(graph, CPU.target(CPU.levels["x86-64-v3"]), STAGES[:AT]).schedules[-1].pack.depth > 0
    compare(graph, arrays, run_loops(graph, arrays, lower(graph, WIDE)))
    for level in HOST_LEVELS:
        outs = outputs(graph)
        assert load(lower(graph, CPU.target(level)), level)([*arrays, *outs]) == 0
        compare(graph, arrays, outs)


def test_a_steady_factor_is_packed_once() -> None:
    """By a kernel of its own, whose launch is in the prologue."""
    graph = graph_of([(31, 200), (200, 136)], product)
    (s,) = run(graph.replace(steady=frozenset({1})), CPU.target(CPU.levels["x86-64-v3"]), STAGES[:AT]).schedules
    assert not s.pack.depth and not s.pack.direct
