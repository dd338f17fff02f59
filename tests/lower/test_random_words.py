"""Random words are made a block at a time, ahead of the loop that takes them; they are those of the interpreter, whatever the shape."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.loop.ir import Transpose
from ingot.ir.loop.walk import statements
from ingot.ir.lower import lower
from ingot.ir.lower.cpu import cpu
from ingot.ir.op import OPS as O
from tests.support.calling import HOST_LEVELS, compare, load, outputs, run_loops
from tests.support.graphs import graph_of

SEEDS = [(5, 0), (-7, (1 << 32) - 3), (1 << 62, -5)]


def sliced(words, starts, stops):
    return O["slice"](words, starts=starts, stops=stops, steps=(1,) * len(starts))


def bits(shape):
    return lambda s, o: O["random_bits"](s, o, shape=shape)


GRAPHS = {  # whether a row is made ahead
    "a line": (bits((5000,)), True),
    "rows of other lengths than four": (bits((7, 131)), True),
    "behind a few": (lambda s, o: sliced(bits((1000,))(s, o), (3,), (998,)), True),
    "two at once": (lambda s, o: sliced(bits((2, 777))(s, o), (0, 0), (1, 777)) + sliced(bits((2, 777))(s, o), (1, 0), (2, 777)), True),
    "columns": (lambda s, o: O["transpose"](bits((90, 70))(s, o), perm=(1, 0)) + bits((70, 90))(s, o), None),
    "short rows": (bits((50, 9)), None),
    "their sums": (lambda s, o: O["reduce_sum"](O["cast"](bits((33, 300))(s, o), dtype=D.i64), axes=(1,)), None),
    "padded": (lambda s, o: O["pad"](bits((100,))(s, o), bits(())(s, o), low=(5,), high=(40,), interior=(0,)), None),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_words(name):
    f, ahead = GRAPHS[name]
    g = graph_of([((), D.i64), ((), D.i64)], f)
    for seed, offset in SEEDS:
        arrays = [np.array(seed), np.array(offset)]
        compare(g, arrays, run_loops(g, arrays))
        for level in HOST_LEVELS:
            program = lower(g, cpu(level.machine))
            found = any(isinstance(s, Transpose) for k in program.kernels.values() for s in statements(k.body))
            assert ahead is None or found is ahead
            outs = outputs(g)
            assert load(program, level)([*arrays, *outs]) == 0
            compare(g, arrays, outs)


def test_lengths_share_a_kernel():
    """What differs with the length of a stream are parameters, also where extents and strides happen to agree."""
    two = graph_of([((), D.i64), ((), D.i64)], lambda s, o: (bits((512,))(s, o), bits((768,))(o, s)))
    assert len(lower(two, cpu(HOST_LEVELS[0].machine)).kernels) == 1


def test_streams_of_their_own():
    g = graph_of([((6,), D.i64), ((6,), D.i64)], bits((6, 210)))
    arrays = [np.arange(6) - 2, np.arange(6) * 1000]
    for level in HOST_LEVELS:
        outs = outputs(g)
        assert load(lower(g, cpu(level.machine)), level)([*arrays, *outs]) == 0
        compare(g, arrays, outs)
