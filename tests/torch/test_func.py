"""`ingot.func` against `torch.func`: single transforms, random compositions of them, Modules, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot

BOTH = (torch, ingot)
FUNCTIONS = {
    "product": lambda m, x: x.sin() * x.flip(0) * 2,
    "softmax": lambda m, x: m.softmax(x * 2, -1),
    "closed": lambda m, x: m.linspace(0.5, 1.5, x.shape[-1], dtype=m.float64) * x.exp(),
    "in place": lambda m, x: _in_place(m, x),
    "indexed": lambda m, x: x[m.tensor([1, 0, 1])] * x[:3] + x[-1],
    "matrix": lambda m, x: m.outer(x, x.cos()) @ x,
    "sorted": lambda m, x: x.sort(-1)[0].cumsum(-1) * x,
    "where": lambda m, x: m.where(x > 0, x * x, -x.tanh()),
    "normed": lambda m, x: (x - x.mean()) / (x.var() + 1e-3).sqrt() * x,  # torch's layer_norm is wrong under vjp of jvp
    "inner gradient": lambda m, x: m.func.grad(lambda y: (y * x.cos()).sin().sum())(x) * x,
    "inner batch": lambda m, x: m.func.vmap(lambda a, b: a.sin() * b, in_dims=(0, None))(x, x.sum()),
    "inner tangent": lambda m, x: m.func.jvp(lambda y: y * y.exp() * 0.1, (x,), (x.cos(),))[1],
    "max": lambda m, x: x.max() * x + x.logsumexp(0),
}


def _in_place(m, x):
    y = x.clone()
    y[0] = x[1] * x[2]
    y.mul_(x).add_(1)
    y[1:3].sin_()
    return y


def array(shape, seed):
    return np.random.default_rng(seed).uniform(-1.5, 1.5, shape)


STEPS = ("vmap", "grad", "jvp", "vjp", "jacrev", "jacfwd", "linearize", "compile")


def composed(m, f, steps):
    """`f` under transforms, the innermost first."""
    for s in steps:
        f = _step(m, f, s)
    return f


def _step(m, f, s):
    t = m.func
    if s == "vmap":
        return t.vmap(f)
    if s == "grad":
        return t.grad(lambda x: (f(x) * 0.5).sum())
    if s == "jvp":
        return lambda x: t.jvp(f, (x,), (x * x,))[1]
    if s == "vjp":
        return lambda x: _pulled(t, f, x)
    if s == "linearize":
        return lambda x: t.linearize(f, x)[1](x + 1)
    if s == "compile":
        return ingot.compile(f) if m is ingot else f
    return getattr(t, s)(f)


def _pulled(t, f, x):
    y, back = t.vjp(f, x)
    return back(y.cos())[0]


def compare(name, steps, seed):
    batch = steps.count("vmap")
    x = array((2,) * batch + (4,), seed)
    if np.prod(x.shape) > 64:
        return
    theirs = composed(torch, lambda x: FUNCTIONS[name](torch, x), steps)(torch.tensor(x))
    mine = composed(ingot, lambda x: FUNCTIONS[name](ingot, x), steps)(ingot.tensor(x))
    assert tuple(mine.shape) == tuple(theirs.shape) and not mine.requires_grad
    np.testing.assert_allclose(mine.numpy(), theirs.detach().numpy(), rtol=1e-8, atol=1e-8, err_msg=f"{name} {steps} seed {seed}")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_transform(name):
    for s in STEPS[:-1]:
        if s != "linearize" or name in ("product", "softmax", "matrix", "where"):  # torch's own cannot trace all of them
            compare(name, (s,), 0)


def test_detach_stops_every_transform():
    for s in ("grad", "jvp", "vjp", "jacrev", "jacfwd"):
        x = array((4,), 0)
        seen = [composed(m, lambda x: x.detach() * x * x, (s,))(m.tensor(x)).tolist() for m in BOTH]
        np.testing.assert_allclose(*seen)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pairs_of_transforms(name):
    rng = np.random.default_rng(1)
    for _ in range(4):
        compare(name, tuple(str(s) for s in rng.choice(STEPS[:6], 2)), 1)


def test_random_compositions():
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    for k in range(20):
        name = str(rng.choice([*FUNCTIONS]))
        steps = [str(s) for s in rng.choice(STEPS[:6], 3)]
        if k % 5 == 0:
            steps.append("compile")
        if steps.count("jacrev") + steps.count("jacfwd") < 3:
            compare(name, tuple(steps), seed)
