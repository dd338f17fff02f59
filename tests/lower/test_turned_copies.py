"""Copies whose source lies across: squares of elements of every size."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.lower import lower
from ingot.ir.lower.cpu import cpu
from ingot.ir.machine import Machine
from ingot.ir.op import OPS
from tests.support.calling import HOST_LEVELS, load, outputs, run_loops
from tests.support.graphs import graph_of


@pytest.mark.parametrize("dtype", [D.u8, D.i8, D.bool_, D.i16, D.bf16, D.f16, D.f32, D.f64, D.i64], ids=str)
@pytest.mark.parametrize("shape, permutation", [((70, 50), (1, 0)), ((3, 33, 40), (0, 2, 1)), ((40, 3, 17), (2, 1, 0))])
def test_elements_of_every_size(dtype: D.DType, shape: tuple[int, ...], permutation: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 2 if dtype is D.bool_ else 100, shape).astype(dtype.numpy)
    g = graph_of([x], lambda x: OPS["transpose"](x, perm=permutation))
    want = np.ascontiguousarray(x.transpose(permutation)).tobytes()
    program = lower(g, cpu(Machine(32)))
    assert all(k.schedule.startswith("Across(") for k in program.kernels.values())
    assert run_loops(g, [x], program)[0].tobytes() == want
    for level in HOST_LEVELS:
        (out,) = outputs(g)
        assert load(lower(g, cpu(level.machine)), level)([x, out]) == 0
        assert out.tobytes() == want
