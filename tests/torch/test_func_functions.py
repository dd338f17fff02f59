"""Custom Functions under transforms, beside torch: by generated rules, and by rules of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot

BOTH = (torch, ingot)


def scaled(m):
    """A Function whose derivative is wrong on purpose by a factor, to see that it is used."""

    class Scaled(m.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x, w):
            return x * x * w, x.sum()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g, h):
            x, w = ctx.saved_tensors
            return 3 * x * g * w + h, (g * x * x).sum()

        @staticmethod
        def jvp(ctx, t, u):
            x, w = ctx.saved_tensors
            return 3 * x * t * w + x * x * u, t.sum()

    def f(x, w):
        a, b = Scaled.apply(x, w)
        return (a * b).sum()

    return f


def by_rule(m):
    """A Function with a vmap of its own, which marks that it was called by a factor."""

    class Ruled(m.autograd.Function):
        @staticmethod
        def forward(x, w):
            return x * w

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g * w, (g * x).sum()

        @staticmethod
        def vmap(info, in_dims, x, w):
            assert info.batch_size == 3 and in_dims == (0, None)
            return x * w * 10, 0

    return lambda x, w: Ruled.apply(x, w).sin().sum()


RUNS = {
    "vmap": lambda t, f, x, w: t.vmap(f, (0, None))(x, w),
    "vmap grad": lambda t, f, x, w: t.vmap(t.grad(f, (0, 1)), (0, None))(x, w),
    "grad vmap": lambda t, f, x, w: t.grad(lambda x, w: t.vmap(f, (0, None))(x, w).sum(), (0, 1))(x, w),
    "jvp": lambda t, f, x, w: t.jvp(f, (x[0], w), (x[1], w)),
    "grad grad": lambda t, f, x, w: t.grad(lambda x: t.grad(f)(x, w).sin().sum())(x[0]),
    "jacfwd jacrev": lambda t, f, x, w: t.hessian(f)(x[0], w),
    "jacrev jacrev": lambda t, f, x, w: t.jacrev(t.jacrev(f))(x[0], w),
    "vmap hessian": lambda t, f, x, w: t.vmap(t.hessian(f), (0, None))(x, w),
    "grad vmap grad": lambda t, f, x, w: t.grad(lambda x: t.vmap(t.grad(f), (0, None))(x, w).sin().sum())(x),
    "jvp vmap grad": lambda t, f, x, w: t.jvp(lambda x: t.vmap(t.grad(f), (0, None))(x, w).sin().sum(), (x,), (x,)),
    "vmap jvp grad": lambda t, f, x, w: t.vmap(lambda x: t.jvp(lambda x: t.grad(f)(x, w), (x,), (x,))[1])(x),
    "vmap vmap": lambda t, f, x, w: t.vmap(lambda w: t.vmap(f, (0, None))(x, w))(w + x[0]),
}


def results(m, make, run):
    x = m.tensor(np.random.default_rng(0).standard_normal((3, 4)))
    return RUNS[run](m.func, make(m), x, m.tensor(2.0, dtype=m.float64))


def check(make, run):
    theirs, mine = (results(m, make, run) for m in BOTH)
    for a, b in zip(mine if isinstance(mine, tuple) else (mine,), theirs if isinstance(theirs, tuple) else (theirs,)):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-9, err_msg=run)


@pytest.mark.parametrize("run", RUNS)
def test_generated_rules(run):
    check(scaled, run)


@pytest.mark.parametrize("run", ["vmap", "vmap grad", "grad vmap"])
def test_own_vmap_rule(run):
    check(by_rule, run)


def test_forward_over_forward():
    """By the formula: torch gives something else here, for it loses what jvp saves."""
    x = np.random.default_rng(0).standard_normal(4)
    expected = 6 * np.eye(4) * x.sum() + 6 * x[:, None] + 6 * x[None]
    f, w = scaled(ingot), ingot.tensor(2.0, dtype=ingot.float64)
    np.testing.assert_allclose(ingot.func.jacfwd(ingot.func.jacfwd(f))(ingot.tensor(x), w).numpy(), expected)


def test_without_rules_they_follow_from_forward_and_backward():
    class Cube(ingot.autograd.Function):
        @staticmethod
        def forward(ctx, x, power):
            y = x**power
            ctx.save_for_backward(x)
            ctx.power, ctx.also = power, x * 1
            return y

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return ctx.power * x ** (ctx.power - 1) * g + 0 * ctx.also, None

    x = ingot.tensor(np.random.default_rng(1).standard_normal((3, 4)))
    t = ingot.func

    def f(x):
        return Cube.apply(x, 3)

    ingot.testing.assert_close(t.vmap(f)(x), x**3)
    ingot.testing.assert_close(t.jvp(f, (x,), (x,))[1], 3 * x**3)
    ingot.testing.assert_close(t.vmap(t.grad(lambda x: f(x).sum()))(x), 3 * x**2)
    ingot.testing.assert_close(t.grad(lambda x: t.vmap(f)(x).sum())(x), 3 * x**2)
    ingot.testing.assert_close(t.hessian(lambda x: f(x).sum())(x[0]), ingot.diag(6 * x[0]))


def test_functions_that_write_their_arguments_are_refused():
    class Doubled(ingot.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    for run in (lambda x: ingot.func.vmap(Doubled.apply)(x), lambda x: ingot.func.jvp(Doubled.apply, (x,), (x,))):
        with pytest.raises(RuntimeError, match="mark_dirty"):
            run(ingot.ones(2))
