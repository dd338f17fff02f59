"""The scalar code of every elementwise op, evaluated with NumPy, against its reference."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir.dtypes import Half, bool_, by_numpy
from ingot.ir.facts import Elementwise
from ingot.ir.numpy_emitter import evaluate
from ingot.ir.op import OPS
from ingot.ir.ops import family
from ingot.ir.ops.samples import cases, types_of

ELEMENTWISE = sorted(name for name, op in OPS.items() if isinstance(op.lowering, Elementwise))
# relative error allowed: the elementary functions promise 2 ulp; the float64 references are themselves off by up to 1
ULPS = {"f64": 4, "f32": 3, "f16": 1, "bf16": 1}
LOOSE = {"lgamma": 2e-6, "digamma": 2e-6}  # near their zeros only the absolute error is small
# where ir/elementary promises something
RANGE = {"sin": (0, 2.0**50), "cos": (0, 2.0**50), "tan": (0, 2.0**50), "lgamma": (1e-300, np.inf)}


def promised(name: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """`arrays` with what is outside the promised range of magnitudes replaced by 1."""
    if name not in RANGE:
        return arrays
    low, high = RANGE[name]
    size = [np.abs(a.astype(np.float64)) for a in arrays]
    return [np.where((s < high) & ((s >= low) | (s == 0)) | ~np.isfinite(s), a, a.dtype.type(1)) for a, s in zip(arrays, size)]


def assert_close(name: str, got: np.ndarray, want: np.ndarray) -> None:
    """Equal but for a few units in the last place; NaN equals NaN."""
    d = by_numpy(want.dtype)
    if d.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    eps = {"f64": 2.0**-52, "f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}[d.name]
    tiny = {"f64": 5e-324, "f32": 2e-45, "f16": 6e-8, "bf16": 1e-40}[d.name]
    a, b = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        near = np.abs(a - b) <= ULPS[d.name] * eps * np.abs(b) + ULPS[d.name] * tiny
        near |= np.abs(a - b) <= LOOSE.get(name, 0) * (1e-9 if d.name == "f64" else 1)
    wrong = ~(same | near)
    assert not wrong.any(), f"{name} {d}: {a[wrong][:5]} where the reference has {b[wrong][:5]}"


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_scalar_code_agrees_with_the_reference(name):
    op = OPS[name]
    for arrays, attrs in cases(op, np.random.default_rng(3)):
        if any(t.dtype.kind == "c" for t in (*types_of(arrays), *op.infer(types_of(arrays), *attrs))):
            continue  # has no scalar code: the pass `parts` comes before
        arrays = promised(name, arrays)
        want = op.ref(*arrays, *attrs)
        given = arrays if op.lowering.raw else [family.widen(a) for a in arrays]
        got = evaluate(op.lowering.scalar, *given, attrs=attrs)
        (out,) = op.infer(types_of(arrays), *attrs)
        if out.dtype in Half:
            got = family.narrow(got, out.dtype)
        assert got.dtype == out.dtype.numpy
        assert_close(name, np.broadcast_to(got, want.shape), want)


def test_zeros_keep_their_sign():
    zeros = np.array([0.0, -0.0], np.float32)
    for name in ("neg", "sqrt", "floor", "ceil", "trunc", "round", "sin", "tan", "asin", "atan", "sinh", "asinh", "tanh", "atanh", "expm1",
                 "log1p", "erf"):  # fmt: skip
        want = OPS[name].ref(zeros)
        np.testing.assert_array_equal(np.signbit(evaluate(OPS[name].lowering.scalar, zeros)), np.signbit(want), err_msg=name)
        assert np.signbit(want).tolist() == ([True, False] if name == "neg" else [False, True]), name


def test_comparisons_make_bools():
    for name in ("eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite"):
        op = OPS[name]
        for arrays, attrs in cases(op, np.random.default_rng(0)):
            assert op.infer(types_of(arrays), *attrs)[0].dtype is bool_
