"""Gradients of functions where their formulas are delicate: zeros, whole and half numbers, ends of domains, ties of nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import ingot

POINTS = [0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.0, -2.0, 3.0, 0.25, -0.25, 1e-3, -1e-3, 20.0, -20.0, 40.0, -40.0, 100.0, -100.0]

FUNCTIONS = {
    "erfinv": lambda m, x: m.erfinv(x),
    "logit": lambda m, x: m.logit(x),
    "ndtri": lambda m, x: m.special.ndtri(x),
    "polygamma 1": lambda m, x: m.polygamma(1, x.abs()),
    "polygamma 2": lambda m, x: m.polygamma(2, x.abs()),
    "polygamma 3": lambda m, x: m.polygamma(3, x.abs()),
    "polygamma 2 at a zero of the cotangent": lambda m, x: m.polygamma(2, x - x.detach() - 8.5),
    "expm1": lambda m, x: m.expm1(x / 10),
    "elu": lambda m, x: m.nn.functional.elu(x),
    "selu": lambda m, x: m.nn.functional.selu(x),
    "celu": lambda m, x: m.nn.functional.celu(x, 2.0),
    "std": lambda m, x: m.std(m.stack((x, x, x)), 0),
    "std_mean": lambda m, x: m.std_mean(m.stack((x, x)), 0)[0],
}


def derivatives(m, f, dtype: str) -> list[np.ndarray]:
    x = m.tensor(POINTS, dtype=getattr(m, dtype), requires_grad=True)
    y = f(m, x)
    y.sum().backward()
    return [y.detach().numpy(), x.grad.numpy()]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_at_special_points(name, dtype):
    want = derivatives(torch, FUNCTIONS[name], "float64")
    got = derivatives(ingot, FUNCTIONS[name], dtype)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=1e-8 if dtype == "float64" else 1e-4, atol=0 if dtype == "float64" else 1e-40)


def test_second_gradients_of_inverses():
    for f, x in ((ingot.erfinv, 0.0), (ingot.erfinv, 0.5), (ingot.special.ndtri, 0.5), (ingot.special.ndtri, 0.3)):
        t = ingot.tensor(x, dtype=ingot.float64, requires_grad=True)
        (first,) = ingot.autograd.grad(f(t), t, create_graph=True)
        (second,) = ingot.autograd.grad(first, t)
        y = f(t).item()
        # y' = c exp(k y^2) has y'' = 2 k y y'^2
        expected = 2 * y * first.item() ** 2 * (1 if f is ingot.erfinv else 0.5)
        assert second.item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_the_ends_of_an_interval():
    for f, ends in ((ingot.erfinv, (-1.0, 1.0)), (ingot.logit, (0.0, 1.0)), (ingot.special.ndtri, (0.0, 1.0))):
        x = ingot.tensor(ends, requires_grad=True)
        y = f(x)
        y.sum().backward()
        assert y.tolist() == [-math.inf, math.inf] and x.grad.tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_binary_cross_entropy_of_certainties(dtype):
    values = [0.0, 1.0, 0.0, 1.0, 0.5, 1e-3, 1.0]
    targets = [1.0, 0.0, 0.0, 1.0, 0.25, 1.0, 0.5]
    found = []
    for m in (torch, ingot):
        x = m.tensor(values, dtype=getattr(m, dtype), requires_grad=True)
        t = m.tensor(targets, dtype=getattr(m, dtype))
        y = m.nn.functional.binary_cross_entropy(x, t, reduction="none")
        (by_x,) = m.autograd.grad(y.sum(), x)
        found.append([v.detach().to(m.float64).numpy() for v in (y, by_x)])
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=2e-2 if dtype == "bfloat16" else 1e-5)


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_ties_and_nan_of_extrema(name):
    values = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan]
    found = []
    for m in (torch, ingot):
        a = m.tensor([values] * len(values), requires_grad=True)
        b = m.tensor([[v] for v in values], requires_grad=True)
        y = getattr(m, name)(a, b)
        y.sum().backward()
        found.append([v.detach().numpy() for v in (y, a.grad, b.grad)])
    for want, got in zip(*found):
        np.testing.assert_array_equal(got, want)
