"""Every op, compiled, against its NumPy reference, on the samples of its declaration."""

from __future__ import annotations

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir import dtypes as D
from ingot.ir.builder import Builder
from ingot.ir.op import OPS
from ingot.ir.ops import samples
from ingot.ir.types import tensor_type
from tests.support.calling import compare, run_compiled


def within(name: str, a: np.ndarray) -> np.ndarray:
    """The documented range of the functions that have one (ir/elementary)."""
    if name in ("sin", "cos", "tan") and a.dtype == np.float64:
        return np.where(np.abs(a) > 2.0**50, 1.0, a)
    if name == "lgamma" and a.dtype == np.float64:
        return np.where(np.abs(a) < 1e-300, 0.5, a)
    return a


@pytest.mark.parametrize("name", sorted(OPS))
def test_compiled_op(name: str) -> None:
    op = OPS[name]
    cases = samples.cases(op, np.random.default_rng(0))
    assert cases, f"{name} has no samples"
    for arrays, attrs in cases:
        arrays = [within(name, a) for a in arrays]
        b = Builder()
        ins = tuple(b.input(tensor_type(D.by_numpy(a.dtype), np.shape(a))) for a in arrays)
        graph = b.freeze(b.emit(op, ins, attrs))
        arrays = [np.asarray(a) for a in arrays]
        try:
            compare(graph, arrays, run_compiled(graph, arrays))
        except AssertionError as e:
            raise AssertionError(f"{name}{attrs} on {', '.join(str(t) for t in graph.in_types)}: {e}") from None
