"""Every op, compiled, against its NumPy reference, on the samples of its declaration."""

from __future__ import annotations

import numpy as np
import pytest
from lower.support import compare, run_compiled

import ingot.ir.ops  # noqa: F401
from ingot.ir import dtypes as D
from ingot.ir.builder import Builder
from ingot.ir.op import OPS
from ingot.ir.ops import samples
from ingot.ir.types import tensor_type


@pytest.mark.parametrize("name", sorted(OPS))
def test_compiled_op(name: str) -> None:
    op = OPS[name]
    cases = samples.cases(op, np.random.default_rng(0))
    assert cases, f"{name} has no samples"
    for arrays, attrs in cases:
        b = Builder()
        ins = tuple(b.input(tensor_type(D.by_numpy(a.dtype), np.shape(a))) for a in arrays)
        graph = b.freeze(b.emit(op, ins, attrs))
        arrays = [np.asarray(a) for a in arrays]
        try:
            compare(graph, arrays, run_compiled(graph, arrays))
        except AssertionError as e:
            raise AssertionError(f"{name}{attrs} on {', '.join(str(t) for t in graph.in_types)}: {e}") from None
