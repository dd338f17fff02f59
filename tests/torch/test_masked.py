"""Masked reductions and MaskedTensor against torch: values, masks, gradients, text."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import ingot

X = np.array([[1.0, 2.0, 3.5], [4.0, -5.0, 6.0], [2.0, 2.0, 0.5]], np.float32)
M = np.array([[True, False, True], [False, False, False], [True, True, True]])
CASES = [
    f"m.masked.{name}(x, {dim}{keep}, mask=k)"
    for name in ("sum", "mean", "prod", "amax", "amin", "var", "std")
    for dim, keep in (("None", ""), ("1", ""), ("0", ", keepdim=True"), ("(0, 1)", ""))
] + [
    "m.masked.argmax(x, 1, mask=k)", "m.masked.argmin(x, 0, mask=k)", "m.masked.median(x, 1, mask=k)", "m.masked.logsumexp(x, 1, mask=k)",
    "m.masked.logsumexp(x, mask=k)", "m.masked.argmax(x, mask=k)",
    "m.masked.norm(x, 2.0, 1, mask=k)", "m.masked.norm(x, 1.0, 0, mask=k)", "m.masked.softmax(x, 1, mask=k)",
    "m.masked.log_softmax(x, 0, mask=k)", "m.masked.softmin(x, 0, mask=k)", "m.masked.cumsum(x, 1, mask=k)",
    "m.masked.cumprod(x, 1, mask=k)",
    "m.masked.normalize(x, 2.0, 1, mask=k)", "m.masked.sum(x, 1)", "m.masked.mean(x, 0, mask=k[:1])", "m.masked.sum(x.int(), 1, mask=k)",
    "m.masked.amax(x.int(), 1, mask=k)", "m.masked.mean(x.int(), 1, dtype=m.float64, mask=k)", "m.masked.var(x, 1, False, mask=k)",
    "m.masked.var(x, 1, correction=0, mask=k)", "m.masked.logaddexp(x, x * 2, input_mask=k, other_mask=k[:1].expand(3, 3))",
]  # fmt: skip


@pytest.mark.parametrize("expr", CASES)
def test_masked_functions(expr: str) -> None:
    found = []
    for m in (ingot, torch):
        x = m.tensor(X, requires_grad=True)
        y = eval(expr, {"m": m, "x": x, "k": m.tensor(M)})
        got = [str(y.dtype).split(".")[1], y.detach().numpy()]
        if y.requires_grad:
            w = np.cos(np.arange(y.numel())).astype(np.float32).reshape(tuple(y.shape))
            (m.where(m.isfinite(y), y, m.zeros_like(y)) * m.tensor(w)).sum().backward()
            got.append(np.nan_to_num(x.grad.numpy()) * M)
        found.append(got)
    for mine, theirs in zip(*found):
        if isinstance(mine, str):
            assert mine == theirs
        else:
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


TENSORS = [
    "t + t", "t * 2", "t - t", "-t", "t.exp()", "t.sin()", "t / t", "t > 1", "t.sum()", "t.sum(1)", "t.mean(1)", "t.amax(1)", "t.prod(0)",
    "t.softmax(1)", "t.t()", "t.reshape(9)", "t[0]", "t.abs().sqrt()", "t.pow(2)",
]  # fmt: skip


@pytest.mark.parametrize("expr", TENSORS)
def test_masked_tensors(expr: str) -> None:
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for m in (ingot, torch):
            y = eval(expr, {"t": m.masked.masked_tensor(m.tensor(X), m.tensor(M))})
            found.append((y.get_mask().numpy(), y.to_tensor(0).numpy(), repr(y)))
    (mask, value, _), (mask2, value2, _) = found
    np.testing.assert_array_equal(mask, mask2)
    np.testing.assert_allclose(value, value2, rtol=1e-5)


def test_text_gradients_and_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine, theirs = (repr(m.masked.masked_tensor(m.tensor(X), m.tensor(M))) for m in (ingot, torch))
    assert mine == theirs
    t = ingot.masked.masked_tensor(ingot.tensor(X), ingot.tensor(M), requires_grad=True)
    (t * t).sum().backward()
    np.testing.assert_allclose(t.grad.to_tensor(0).numpy(), np.where(M, 2 * X, 0))
    x = ingot.tensor(X, requires_grad=True)
    ingot.masked.as_masked_tensor(x, ingot.tensor(M)).exp().sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(M, np.exp(X), 0), rtol=1e-6)
    assert ingot.masked.is_masked_tensor(t) and not ingot.masked.is_masked_tensor(x)
    with pytest.raises(ValueError, match="masks must match"):
        t + ingot.masked.masked_tensor(ingot.tensor(X), ingot.tensor(~M))
    with pytest.raises(ValueError, match="shape"):
        ingot.masked.masked_tensor(ingot.ones(2), ingot.tensor([True]))
    with pytest.raises(TypeError, match="bool"):
        ingot.masked.masked_tensor(ingot.ones(2), ingot.ones(2))
    with pytest.raises(RuntimeError, match="floating"):
        ingot.masked.mean(ingot.arange(3))


def test_masked_softmax_in_a_compiled_function() -> None:
    f = ingot.compile(lambda x, k: ingot.masked.softmax(x, 1, mask=k).sum(0))
    got, want = (g(ingot.tensor(X), ingot.tensor(M[2:].repeat(3, 0))) for g in (f, lambda x, k: ingot.softmax(x, 1).sum(0)))
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)
