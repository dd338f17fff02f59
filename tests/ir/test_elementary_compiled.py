"""Machine code computes the bits that the NumPy emitter does, for every elementary function."""

from __future__ import annotations

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir import elementary
from ingot.ir.builder import Builder
from ingot.ir.dtypes import by_numpy
from ingot.ir.numpy_emitter import evaluate
from ingot.ir.op import OPS
from ingot.ir.types import tensor_type
from ingot.runtime import compiler, memory


@pytest.mark.parametrize("dtype", (np.float32, np.float64), ids=("f32", "f64"))
@pytest.mark.parametrize("name", elementary.__all__)
def test_bits(name, dtype):
    rng = np.random.default_rng(0)
    bits = f"u{np.dtype(dtype).itemsize}"
    any_bits = rng.integers(0, np.iinfo(bits).max, 5000, dtype=np.uint64, endpoint=True).astype(bits).view(dtype)
    middle = (rng.standard_normal(5003) * np.exp2(rng.integers(-6, 9, 5003))).astype(dtype)
    edges = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 2, 0.5], dtype)
    x = np.concatenate([any_bits, middle, edges])
    inputs = [x, rng.permutation(x)] if name in ("pow", "atan2") else [x]
    b = Builder(name)
    graph = b.freeze(b.emit(OPS[name], tuple(b.input(tensor_type(by_numpy(x.dtype), x.shape)) for _ in inputs)))
    buffers = [memory.from_numpy(a) for a in inputs]
    out = memory.allocate(x.nbytes)
    compiler.executable(graph).run(*(buffer.address for buffer in buffers), out.address)
    got, want = out.array(dtype, x.shape), evaluate(getattr(elementary, name), *inputs)
    wrong = (got.view(bits) != want.view(bits)) & ~(np.isnan(got) & np.isnan(want))
    assert not wrong.any(), (x[wrong][0], got[wrong][0], want[wrong][0])
