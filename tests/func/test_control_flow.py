"""scan, map and associative_scan: against Python's own, eager and compiled, under transforms, and their errors."""

from __future__ import annotations

import numpy as np
import pytest

import ingot
from ingot import func

close = ingot.testing.assert_close


def numbers(*shape, seed=0):
    return ingot.tensor(np.random.default_rng(seed).standard_normal(shape))


W = numbers(3, seed=9)


def recurrence(x):
    def step(c, row):
        h, k = c
        h = (h * W + row).tanh()
        return (h, k + 1), {"h": h * 2, "k": k}

    (h, k), ys = ingot.scan(step, (x[0] * 0, ingot.tensor(0)), x)
    return h + ys["h"].sum(0) * ys["k"].sum()


def recurrence_plainly(x):
    h, total, count = x[0] * 0, x[0] * 0, 0
    for k in range(x.shape[0]):
        h = (h * W + x[k]).tanh()
        total, count = total + h * 2, count + k
    return h + total * count


@pytest.mark.compiled
def test_scan():
    x = numbers(4, 3)
    close(recurrence(x), recurrence_plainly(x))
    close(ingot.compile(recurrence)(x), recurrence_plainly(x))
    for t in (func.jacrev, func.jacfwd):
        close(t(recurrence)(x), t(recurrence_plainly)(x))
    close(func.hessian(lambda x: recurrence(x).sum())(x), func.hessian(lambda x: recurrence_plainly(x).sum())(x))
    batch = numbers(2, 4, 3)
    close(func.vmap(recurrence)(batch), ingot.stack([recurrence_plainly(b) for b in batch]))
    c, y = ingot.scan(lambda c, x: (c + x, c), ingot.zeros(2), ingot.arange(6.0).reshape(2, 3), dim=1, reverse=True)
    assert c.tolist() == [3.0, 12.0] and y.tolist() == [[3.0, 2.0, 0.0], [9.0, 5.0, 0.0]]
    c, y = ingot.scan(lambda c, x: (c + x, c), ingot.ones(2), ingot.zeros(0, 2))
    assert c.tolist() == [1.0, 1.0] and y.shape == (0, 2)
    w = numbers(3).requires_grad_()
    c, _ = ingot.scan(lambda c, r: (c * w + r, c), w * 0, x)
    c.sum().backward()
    v = w.detach().requires_grad_()
    d = v * 0
    for r in x:
        d = d * v + r
    d.sum().backward()
    close(w.grad, v.grad)


def test_map_and_its_gradients():
    x, w = numbers(4, 3), numbers(3, seed=1)

    def f(x, w):
        return ingot.map(lambda r, w: {"s": (r * w).sin(), "t": r.sum() * W}, x, w)

    found = f(x, w)
    close(found["s"], (x * w).sin())
    close(found["t"], x.sum(1, keepdim=True) * W)
    close(func.grad(lambda x: f(x, w)["s"].sum())(x), (x * w).cos() * w)
    close(func.jvp(lambda w: f(x, w)["s"], (w,), (w,))[1], (x * w).cos() * x * w)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 33])
def test_associative_scan(n):
    x = numbers(2, n)
    close(ingot.associative_scan(lambda a, b: a + b, x, 1), x.cumsum(1))
    close(ingot.associative_scan(lambda a, b: a * b, x, -1, reverse=True), x.flip(1).cumprod(1).flip(1))
    m = numbers(n, 2, 2)
    products = ingot.associative_scan(lambda a, b: a @ b, m, 0, combine_mode="generic")
    so_far = ingot.eye(2, dtype=ingot.float64)
    for k in range(n):
        so_far = so_far @ m[k]
        close(products[k], so_far)
    if n:
        def linear(a, b):
            return {"g": a["g"] * b["g"], "h": b["g"] * a["h"] + b["h"]}

        g, h = numbers(n, 3), numbers(n, 3, seed=2)
        y = ingot.associative_scan(linear, {"g": g, "h": h}, 0)["h"]
        state = g[0] * 0
        for k in range(n):
            state = g[k] * state + h[k]
            close(y[k], state)
        close(func.grad(lambda g: ingot.associative_scan(linear, {"g": g, "h": h}, 0)["h"].sum())(g)[0] * 0, g[0] * 0)


def test_gradients_inside_of_bodies():
    x = numbers(4)

    def descend(x):
        def step(c, _):
            return c - 0.1 * func.grad(lambda c: ((c - x) ** 2).sum() + c.sin().sum())(c), c.sum()

        return ingot.scan(step, x * 0, ingot.zeros(5))[0]

    c = x * 0
    for _ in range(5):
        c = c - 0.1 * (2 * (c - x) + c.cos())
    close(descend(x), c)
    assert func.jacrev(descend)(x).shape == (4, 4)
    close(func.jacrev(descend)(x), func.jacfwd(descend)(x))

    def stopped(c, r):
        with ingot.no_grad():
            k = c * r
        return c * r.detach() + k, c

    g = func.grad(lambda r: ingot.scan(stopped, ingot.ones((), dtype=r.dtype), r)[0])(x)
    close(g, x * 0)


def test_equal_bodies_are_compiled_once():
    from ingot.runtime import plans

    x = ingot.zeros(3)

    def run():
        return ingot.scan(lambda c, r: (c * 1.5 + r, c), ingot.zeros(()), x)[0].item()

    run()
    run()
    before = plans.stats["plans"]
    for _ in range(3):
        run()
    assert plans.stats["plans"] == before


def test_errors():
    x = ingot.ones(3)
    with pytest.raises(RuntimeError, match="a carry of the shapes and dtypes of init: f32.3. came in, and f64.3. was returned"):
        ingot.scan(lambda c, r: (c.double(), c), x, ingot.zeros(2))
    with pytest.raises(RuntimeError, match=r"must return \(carry, y\)"):
        ingot.scan(lambda c, r: c, x, ingot.zeros(2))
    with pytest.raises(RuntimeError, match="same extent"):
        ingot.scan(lambda c, r: (c, c), x, (ingot.zeros(2), ingot.zeros(3)))
    with pytest.raises(RuntimeError, match="writes in place"):
        ingot.map(lambda r: r.mul_(2), ingot.ones(2, 2))
    with pytest.raises(RuntimeError, match="random numbers are drawn"):
        ingot.map(lambda r: r + ingot.rand(2), ingot.ones(2, 2))
    with pytest.raises(RuntimeError, match="must return what it takes"):
        ingot.associative_scan(lambda a, b: (a + b).sum(), ingot.ones(4, 2), 0)
    assert x.tolist() == [1.0, 1.0, 1.0]

    class Twice(ingot.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(RuntimeError, match="custom Function Twice"):
        ingot.map(Twice.apply, ingot.ones(2, 2))
