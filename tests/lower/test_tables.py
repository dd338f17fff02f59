"""Numbers that a graph holds are a table of its code where they are many: code and time go by what is read, not by how many there are."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.graph import Const
from ingot.ir.loop.ir import Check, Table
from ingot.ir.loop.walk import statements
from ingot.ir.lower import lower
from ingot.ir.lower.cpu import cpu
from ingot.ir.machine import Machine
from ingot.ir.op import OPS as O
from tests.support.calling import HOST_LEVELS, compare, load, outputs
from tests.support.graphs import arrays_for, graph_of

N = 500
PLACES = [k * k % 37 for k in range(N)]


def constant(x, values, dtype):
    """A constant of the graph that x is of."""
    return x.builder.expr(x.builder.emit(O["constant"], (), (Const.of(values, dtype),))[0])


def code(g):
    (kernel,) = lower(g, cpu(Machine(32))).kernels.values()
    return list(statements(kernel.body))


@pytest.mark.parametrize("axis", [0, 1])
def test_many_numbers_are_a_table(axis):
    g = graph_of([((40, 40), D.f32)], lambda x: O["index_get"](x, constant(x, PLACES, D.i64), axes=(axis,)))
    found = code(g)
    assert [len(s.data) for s in found if isinstance(s, Table)] == [8 * N] and len(found) < 40
    assert not any(isinstance(s, Check) for s in found)  # no index is outside
    arrays = arrays_for(g)
    for level in HOST_LEVELS:
        outs = outputs(g)
        assert load(lower(g, cpu(level.machine)), level)([*arrays, *outs]) == 0
        compare(g, arrays, outs)


def test_places_outside_are_still_found():
    g = graph_of([((30,), D.f32)], lambda x: O["index_get"](x, constant(x, PLACES, D.i64), axes=(0,)))
    assert any(isinstance(s, Check) for s in code(g))
    for level in HOST_LEVELS:
        assert load(lower(g, cpu(level.machine)), level)([np.ones(30, np.float32), *outputs(g)]) != 0


def test_a_table_behind_padding():
    g = graph_of([((), D.f32)], lambda x: O["pad"](constant(x, np.sqrt(np.arange(20.0)), D.f32), x, low=(3,), high=(5,), interior=(1,)))
    arrays = arrays_for(g)
    for level in HOST_LEVELS:
        outs = outputs(g)
        assert load(lower(g, cpu(level.machine)), level)([*arrays, *outs]) == 0
        compare(g, arrays, outs)
