"""Every op on the samples of its declaration, in kernels of blocks and threads, against its NumPy reference; and a refusal."""

from __future__ import annotations

import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir.lower import lower
from ingot.ir.lower.target import UnsupportedKernel
from ingot.ir.op import OPS
from ingot.ir.parse import parse
from ingot.ir.struct import replace
from tests.support.calling import compare
from tests.support.cuda import CUDA, interpreted, scheduled, waits
from tests.support.graphs import graph_of
from tests.support.op_cases import cases_of, graph_of_cases

DECIDED = {"cond", "while_loop"}  # by values: refused by name


@pytest.mark.parametrize("name", sorted(OPS.keys() - DECIDED))
def test_op_in_blocks_and_threads(name):
    op = OPS[name]
    for arrays, attrs in cases_of(op):
        graph = graph_of_cases(op, [(arrays, attrs)])
        program = scheduled(graph)
        got = interpreted(program, graph, arrays)
        try:
            compare(graph, arrays, got)
        except AssertionError as e:
            raise AssertionError(f"{name}{attrs} on {', '.join(str(t) for t in graph.in_types)}: {e}") from None
        if waits(program):
            other = interpreted(program, graph, arrays, backwards=True)
            assert [a.tobytes() for a in got] == [a.tobytes() for a in other], "the order of the threads changes the result"


@pytest.mark.parametrize("name", sorted(DECIDED))
def test_steps_that_values_decide_are_refused(name):
    op = OPS[name]
    case = cases_of(op)[0]
    with pytest.raises(UnsupportedKernel, match="cond or while_loop, whose steps are decided by values"):
        scheduled(graph_of_cases(op, [case]))


def test_a_refusal_names_the_op():
    target = CUDA.target(CUDA.levels["sm_90"])
    without = replace(target, kinds={name: kind for name, kind in target.kinds.items() if name != "sort"})
    graph = graph_of([(4, 50)], lambda x: OPS["sort"](x, axis=1, descending=False)[0])
    with pytest.raises(UnsupportedKernel, match="^sort is not supported on this device yet: "):
        lower(graph, without)


def test_extents_known_only_at_run_time_are_refused_by_name():
    graph = parse("func @f(%x: f32[B,T]) -> f32[B,T] {\n  %0 = exp %x : f32[B,T]\n  return %0\n}\n")
    with pytest.raises(UnsupportedKernel, match=r"^@f has extents known only at run time \(B, T\), which this device does not"):
        CUDA.lower(graph, CUDA.levels["sm_90"])
