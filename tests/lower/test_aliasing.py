"""An output in the memory of an input, wherever that may be, gives the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

import ingot
from ingot.ir.dtypes import i64
from ingot.ir.loop.interpret import run_program
from ingot.ir.lower import lower
from ingot.ir.op import OPS
from tests.support.calling import CPU, HOST_LEVELS, WIDE, compare, load, outputs
from tests.support.graphs import arrays_for, graph_of
from tests.support.programs import CASES as GRAPHS


def exchanged(p, m, g):
    t = m + g
    return t, p - t * 2.0


def updated(a, b, p, m):
    """A gradient and what an optimizer makes of it: one kernel, whose tiles do not fill the rows."""
    g = OPS["dot"](a, b, batch=((), ()), contract=((1,), (0,)))
    t = m * 0.9 + g * 0.1
    return p - (t * 0.5 + t * t * 0.25 + (g * g + 1.0) * 0.125), t, g


SHARED = {
    "a product's update": ([(31, 20), (20, 64), (31, 64), (31, 64)], updated),
    **{name: GRAPHS[name] for name in ("adam", "transposed sum")},
    "nothing": GRAPHS["nothing"],
    "exchanged": ([(40, 30)] * 3, exchanged),
    "read before it is written": ([(8, 8)] * 2, lambda x, y: (x + y, (x - y).sum((1,)))),
}
APART = {
    "column sums": GRAPHS["column sums"],
    "a transpose of itself": ([(8, 8)], lambda x: x + x.transpose((1, 0))),
    "normed": ([(9, 40)], lambda x: x - x.sum((1,)) * 0.1),
}


@pytest.mark.parametrize("name", SHARED)
def test_outputs_in_the_memory_of_inputs(name):
    graph = graph_of(*SHARED[name])
    program = lower(graph, WIDE)
    assert program.aliases
    arrays = arrays_for(graph)
    for out, inputs in program.aliases.items():
        for i in inputs:
            slots = [np.ascontiguousarray(a).copy() for a in arrays] + outputs(graph)
            slots[len(arrays) + out] = slots[i]
            assert run_program(program, slots) == 0
            compare(graph, arrays, slots[len(arrays) :])


def test_what_is_read_after_the_write_keeps_its_memory():
    aliases = lower(graph_of(*SHARED["exchanged"]), WIDE).aliases
    assert aliases == {0: (1, 2), 1: (0, 1, 2)}  # t is written before p is read


def test_each_in_its_own_place():
    program = lower(graph_of(*SHARED["a product's update"]), WIDE)
    assert 2 in program.aliases[0] and 3 in program.aliases[1] and len(program.kernels) == 1
    graph = graph_of([(331, 130), (130, 64), (331, 64), (331, 64)], updated)
    arrays = arrays_for(graph)
    for level in HOST_LEVELS:
        program = lower(graph, CPU.target(level))
        assert 2 in program.aliases[0] and 3 in program.aliases[1]
        slots = [np.ascontiguousarray(a).copy() for a in arrays] + outputs(graph)
        slots[4:6] = slots[2:4]
        assert load(program, level)(slots) == 0
        compare(graph, arrays, slots[4:])


@pytest.mark.parametrize("name", APART)
def test_outputs_that_keep_their_own_memory(name):
    assert lower(graph_of(*APART[name]), WIDE).aliases == {}


def test_what_may_fail_writes_no_input():
    def looked_up(x, table, i):
        return x + OPS["gather"](table, i, axis=0)

    assert lower(graph_of([(4,), (9,), ((4,), i64)], looked_up), WIDE).aliases == {}
    x, table = ingot.zeros(4), ingot.arange(9.0)

    @ingot.compile
    def step(i):
        x.add_(table[i] + 1)

    step(ingot.tensor([0, 1, 2, 3]))
    with pytest.raises(IndexError):
        step(ingot.tensor([0, 1, 2, 9]))
    assert x.tolist() == [1, 2, 3, 4]


def test_states_that_exchange_places():
    class State:
        def __init__(self):
            self.p, self.m = ingot.ones(40, 30), ingot.full((40, 30), 2.0)
            self.p.sum().item(), self.m.sum().item()

    def steps(compile):
        s = State()

        def step(g):
            t = s.m + g
            n = s.p - t * 2
            s.p.copy_(t)
            s.m.copy_(n)

        step = compile(step)
        for _ in range(3):
            step(ingot.full((40, 30), 3.0))
        return s.p[0, 0].item(), s.m[0, 0].item()

    assert steps(ingot.compile) == steps(lambda f: f)


def test_parameters_stay_as_they_were_where_a_step_fails():
    """What stands behind a check that fails is not run: parameters are written over where nobody looks at them meanwhile."""
    table, head = ingot.nn.Embedding(10, 4), ingot.nn.Linear(4, 3)
    parameters = [*table.parameters(), *head.parameters()]
    optimizer = ingot.optim.SGD(parameters, lr=0.1)

    @ingot.compile
    def step(i):
        optimizer.zero_grad()
        head(table(i)).square().sum().backward()
        optimizer.step()

    for _ in range(3):
        step(ingot.tensor([1, 2, 3]))
    before = [p.detach() * 1 for p in parameters]
    assert all(b.isfinite().all() for b in before)
    with pytest.raises(IndexError):
        step(ingot.tensor([1, 2, 10]))
    for p, b in zip(parameters, before):
        np.testing.assert_array_equal(p.detach().numpy(), b.numpy())
