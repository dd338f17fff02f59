"""Every op on the samples of its declaration, in kernels of blocks and threads, against its NumPy reference; and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401
from ingot.backends.cuda.kinds import KINDS
from ingot.ir import dtypes as D
from ingot.ir.builder import Builder
from ingot.ir.facts import OwnKernels
from ingot.ir.lower import lower
from ingot.ir.lower.target import UnsupportedKernel
from ingot.ir.op import OPS
from ingot.ir.ops import samples
from ingot.ir.types import tensor_type
from tests.lower.test_ops_compiled import within
from tests.support.calling import compare
from tests.support.cuda import CUDA, interpreted, scheduled, waits
from tests.support.graphs import graph_of

REFUSED: list[str] = []  # kinds of own kernels that have none for blocks and threads


@pytest.mark.parametrize("name", sorted(OPS))
def test_op_in_blocks_and_threads(name):
    op = OPS[name]
    for arrays, attrs in samples.cases(op, np.random.default_rng(0)):
        arrays = [np.asarray(within(name, a)) for a in arrays]
        b = Builder()
        ins = tuple(b.input(tensor_type(D.by_numpy(a.dtype), np.shape(a))) for a in arrays)
        graph = b.freeze(b.emit(op, ins, attrs))
        program = scheduled(graph)
        got = interpreted(program, graph, arrays)
        try:
            compare(graph, arrays, got)
        except AssertionError as e:
            raise AssertionError(f"{name}{attrs} on {', '.join(str(t) for t in graph.in_types)}: {e}") from None
        if waits(program):
            other = interpreted(program, graph, arrays, backwards=True)
            assert [a.tobytes() for a in got] == [a.tobytes() for a in other], "the order of the threads changes the result"


def test_what_is_refused():
    kinds = {op.lowering.kind for op in OPS.values() if isinstance(op.lowering, OwnKernels)}
    assert sorted(kinds - set(KINDS)) == REFUSED


def test_a_refusal_names_the_op():
    target = CUDA.target(CUDA.levels["sm_90"])
    without = replace(target, kinds={name: kind for name, kind in target.kinds.items() if name != "sort"})
    graph = graph_of([(4, 50)], lambda x: OPS["sort"](x, axis=1, descending=False)[0])
    with pytest.raises(UnsupportedKernel, match="^sort is not supported on this device yet: "):
        lower(graph, without)
