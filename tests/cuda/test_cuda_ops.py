"""Every op on the samples of its declaration, in kernels of blocks and threads, against its NumPy reference; and a refusal."""

from __future__ import annotations

import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir.lower import lower
from ingot.ir.lower.target import UnsupportedKernel
from ingot.ir.op import OPS
from ingot.ir.struct import replace
from tests.support.calling import compare
from tests.support.cuda import CUDA, ran, scheduled, waits
from tests.support.graphs import graph_of
from tests.support.op_cases import cases_of, graph_of_cases


@pytest.mark.parametrize("name", sorted(OPS))
def test_op_in_blocks_and_threads(name):
    op = OPS[name]
    for arrays, attrs in cases_of(op):
        graph = graph_of_cases(op, [(arrays, attrs)])
        program = scheduled(graph)
        got = ran(program, graph, arrays)
        try:
            compare(graph, arrays, got)
        except AssertionError as e:
            raise AssertionError(f"{name}{attrs} on {', '.join(str(t) for t in graph.in_types)}: {e}") from None
        if waits(program):
            other = ran(program, graph, arrays, backwards=True)
            assert [a.tobytes() for a in got] == [a.tobytes() for a in other], "the order of the threads changes the result"


def test_a_refusal_names_the_op():
    target = CUDA.target(CUDA.levels["sm_90a"])
    without = replace(target, kinds={name: kind for name, kind in target.kinds.items() if name != "sort"})
    graph = graph_of([(4, 50)], lambda x: OPS["sort"](x, axis=1, descending=False)[0])
    with pytest.raises(UnsupportedKernel, match="^sort is not supported on this device yet: "):
        lower(graph, without)
