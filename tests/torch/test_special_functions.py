"""Orthogonal polynomials and Bessel functions against torch, and against identities where torch itself has few digits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import ingot
from ingot.functions.polynomials import FAMILIES

X = np.r_[np.linspace(-3, 3, 41), 1.0, -1.0, 0.0]
BESSEL = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0",
    "modified_bessel_k1", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "spherical_bessel_j0",
]  # fmt: skip


def both(name: str, *args: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    got = getattr(ingot.special, name)(*(ingot.tensor(a) if isinstance(a, np.ndarray) else a for a in args))
    want = getattr(torch.special, name)(*(torch.tensor(a) if isinstance(a, np.ndarray) else a for a in args))
    assert got.dtype.torch_name == str(want.dtype).split(".")[1]
    return got.numpy(), want.numpy()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_polynomials(name: str, dtype: str) -> None:
    x = X.astype(dtype)
    tol = 1e-4 if dtype == "float32" else 1e-11
    orders = np.array([[-1], [0], [1], [2], [3], [5], [9], [16], [17], [30]])
    for n in (*orders[:, 0].tolist(), 2.7, orders, orders.astype(dtype)):
        got, want = both(name, x, n)
        np.testing.assert_allclose(got, want, rtol=tol, atol=tol * 10 * np.abs(want[..., :]).max(initial=0, where=np.abs(x) <= 1))
    for n in (4, 20):  # a scalar, an empty one, a number before a tensor of orders
        for a in (np.array(0.5, dtype), np.zeros((0, 3), dtype)):
            np.testing.assert_allclose(*both(name, a, n), rtol=tol * 10, atol=tol)
    np.testing.assert_allclose(*both(name, 2.0, np.array([2, 3])), rtol=1e-6)
    np.testing.assert_allclose(*both(name, np.array([1, 2]), 3), rtol=1e-6)
    assert both(name, x, np.zeros((0, 1), np.int64))[0].shape == (0, len(x))
    assert not getattr(ingot.special, name)(ingot.tensor(x, requires_grad=True), 3).requires_grad
    with pytest.raises(RuntimeError, match="not implemented for 'Half'"):
        getattr(ingot.special, name)(ingot.tensor(x).half(), 2)
    compiled = ingot.compile(lambda a: getattr(ingot.special, name)(a, 20) + getattr(ingot.special, name)(a, 3))(ingot.tensor(x))
    np.testing.assert_array_equal(
        compiled.numpy(), (getattr(ingot.special, name)(ingot.tensor(x), 20) + getattr(ingot.special, name)(ingot.tensor(x), 3)).numpy()
    )


@pytest.mark.parametrize("name", BESSEL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bessel_functions(name: str, dtype: str) -> None:
    x = np.r_[np.linspace(-12, 30, 337), np.geomspace(1e-30, 500, 97), 0.0, math.nan].astype(dtype)
    single = dtype == "float32"
    plain = any(s in name for s in ("airy", "_j", "_y"))  # torch's have 6 digits after the point for these
    got, want = both(name, x)
    np.testing.assert_allclose(got, want, rtol=3e-6 if single or plain else 1e-13, atol=2e-5 if plain and single else 2e-6 if plain else 0)
    for a in (np.array(0.5, dtype), np.zeros((0, 3), dtype), np.array([[1, 2]])):
        np.testing.assert_allclose(*both(name, a), rtol=1e-6)
    assert not getattr(ingot.special, name)(ingot.tensor(x, requires_grad=True)).requires_grad
    with pytest.raises(RuntimeError, match="not implemented for 'Half'"):
        getattr(ingot.special, name)(ingot.tensor(x).half())


def test_bessel_functions_have_all_digits() -> None:
    """The Wronskians (DLMF 10.5.2, 10.28.2), and Ai, J and Y against integrals of their own (DLMF 9.5.4, 10.9.2, 10.9.1)."""
    s = ingot.special
    x = np.r_[np.linspace(0.05, 60, 500), 4.999999, 5.0, 0.999999, 1.0]
    t = ingot.tensor(x)
    cross = (s.bessel_j1(t) * s.bessel_y0(t) - s.bessel_j0(t) * s.bessel_y1(t)).numpy()
    np.testing.assert_allclose(cross * math.pi * x / 2, 1, rtol=1e-13)
    cross = (s.modified_bessel_i0(t) * s.modified_bessel_k1(t) + s.modified_bessel_i1(t) * s.modified_bessel_k0(t)).numpy()
    np.testing.assert_allclose(cross * x, 1, rtol=1e-13)
    angle = (np.arange(400) + 0.5) * (math.pi / 400)
    for order, got in ((0, s.bessel_j0(t)), (1, s.bessel_j1(t))):
        np.testing.assert_allclose(got.numpy(), np.cos(order * angle - x[:, None] * np.sin(angle)).mean(1), rtol=0, atol=2e-14)
    z, step = np.linspace(-7, 7, 141), 0.01
    shift = np.sqrt(np.maximum(z, 0.1))  # the contour runs through the saddle point, or close above the real line
    w = np.arange(-1500, 1501) * step + 1j * shift[:, None]
    airy = np.exp(1j * (w**3 / 3 + z[:, None] * w)).sum(1).real * step / (2 * math.pi)
    np.testing.assert_allclose(s.airy_ai(ingot.tensor(z)).numpy(), airy, rtol=1e-11, atol=2e-14)


@pytest.mark.parametrize("name", ["chebyshev_polynomial_t", "hermite_polynomial_h", "laguerre_polynomial_l", "legendre_polynomial_p"])
def test_polynomials_of_orders_that_are_known_when_they_run(name):
    fn, theirs = getattr(ingot.special, name), getattr(torch.special, name)
    compiled = ingot.compile(fn)
    mapped = ingot.func.vmap(lambda n: fn(ingot.tensor(0.3), n))
    for orders in ([0, 1, 2, 3, 20], [2, 0, -1, 1, 0], [0, 0, 0, 0, 0]):
        n, want = ingot.tensor(orders), theirs(torch.tensor(0.3), torch.tensor(orders)).numpy()
        for found in (compiled(ingot.tensor(0.3), n), mapped(n), ingot.compile(mapped)(n)):
            np.testing.assert_allclose(found.numpy(), want, rtol=1e-4)
    assert compiled.stats["traces"] == 1
