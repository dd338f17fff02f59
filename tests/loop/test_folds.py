"""Folds: every declared one keeps its laws, and one declared in a test runs like the others."""

from __future__ import annotations

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401  (declares the folds of single ops)
from ingot.ir import dtypes
from ingot.ir.loop.folds import FOLDS, SUM, Fold, fold, register
from ingot.ir.loop.interpret import run_kernel
from ingot.ir.loop.parse import parse_kernel
from ingot.ir.loop.text import print_kernel
from ingot.ir.numpy_emitter import NumpyEmitter
from tests.support import calling

E = NumpyEmitter()
BITWISE = ("and", "or")


def scalars(values, types):
    return tuple(E.const(v, d) for v, d in zip(values, types))


@pytest.mark.parametrize("dtype", [dtypes.f32, dtypes.f64, dtypes.f16, dtypes.i32, dtypes.u8, dtypes.bool_], ids=str)
@pytest.mark.parametrize("name", sorted(FOLDS))
def test_the_neutral_element_leaves_others_unchanged(name: str, dtype: dtypes.DType) -> None:
    f = FOLDS[name]
    types = f.accumulators(dtype)
    if name in BITWISE and types[0].kind == "f":
        pytest.skip("floats have no bits")
    neutral, initial = (scalars(values(types[0]), types) for values in (f.neutral, f.initial))
    samples = {"f": (-np.inf, -1.5, -0.0, 0.0, 3.0, np.inf, np.nan), "b": (False, True)}.get(types[0].kind, (0, 1, 7, 100))
    for k, x in enumerate(samples):
        one = scalars((x, k), types)
        with np.errstate(all="ignore"):
            both = f.combine(E, neutral, one), f.combine(E, one, neutral)
        for got in both:
            for g, want in zip(got, one):
                assert g.dtype == want.dtype and g.tobytes() == want.tobytes(), (x, got)
        again = f.combine(E, initial, neutral)  # of nothing
        assert [a.tobytes() for a in again] == [i.tobytes() for i in initial]


def test_a_fold_is_declared_once() -> None:
    with pytest.raises(ValueError, match="^fold sum is declared twice$"):
        register(SUM)


@pytest.fixture
def absmax():
    yield fold("absmax", lambda e, a, b: e.max(e.abs(a), e.abs(b)), neutral=lambda dtype: 0)
    del FOLDS["absmax"]


TEXT = """
kernel @k(x: f32 r, out: f32 w; n) {
  acc a: f32 = 0x0p+0:f32
  vector v in 0..$n width 16 {
    %1 = load x[v]
    reduce absmax a with %1
  }
  %2 = get a
  store out[0] = %2
}
"""


def test_a_new_fold_needs_its_declaration_alone(absmax: Fold) -> None:
    kernel = parse_kernel(TEXT)
    assert parse_kernel(print_kernel(kernel)) == kernel
    rng = np.random.default_rng(0)
    for n in (0, 1, 15, 16, 33):
        x = rng.normal(size=max(n, 1)).astype(np.float32)
        want = np.abs(x[:n]).max(initial=0)
        out = np.ones(1, np.float32)
        assert run_kernel(kernel, [x, out], [n]) == 0 and out[0] == want
        for level in calling.HOST_LEVELS:
            out[:] = -1
            calling.run_kernel(kernel, [x, out], [n], level)
            assert out[0] == want
