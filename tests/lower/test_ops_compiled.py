"""Every op, compiled, against its NumPy reference, on the samples of its declaration."""

from __future__ import annotations

import itertools

import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir.op import OPS
from tests.support.calling import compare, run_compiled
from tests.support.op_cases import cases_of, graph_of_cases

TOGETHER = 16  # cases in one graph: compiling one by one takes three times as long


@pytest.mark.parametrize("name", sorted(OPS))
def test_compiled_op(name: str) -> None:
    op = OPS[name]
    cases = cases_of(op)
    for k in range(0, len(cases), TOGETHER):
        some = cases[k : k + TOGETHER]
        together = graph_of_cases(op, some)
        got = iter(run_compiled(together, [a for arrays, _ in some for a in arrays]))
        for arrays, attrs in some:
            graph = graph_of_cases(op, [(arrays, attrs)])
            try:
                compare(graph, arrays, list(itertools.islice(got, len(graph.outputs))))
            except AssertionError as e:
                raise AssertionError(f"{name}{attrs} on {', '.join(str(t) for t in graph.in_types)}: {e}") from None
