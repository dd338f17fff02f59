"""autograd.functional, against torch: values in every strategy, further derivatives, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import functional as theirs

import ingot
from ingot.autograd import functional as ours

X, Y = np.array([0.3, 0.7]), np.array([[0.2, 0.1, 0.5]])


def point(m, **kw):
    return tuple(m.tensor(a, **kw) for a in (X, Y))


def two(m):
    return lambda x, y: (m.sin(x) * y.sum(), (x.sum() * y).exp())


def number(m):
    return lambda x, y: (m.sin(x) * x * y.sum()).sum()


def flat(tree):
    return [z for x in tree for z in flat(x)] if isinstance(tree, (tuple, list)) else [tree.detach().numpy()]


def same(a, b):
    a, b = flat(a), flat(b)
    assert len(a) == len(b)
    for x, y in zip(a, b):
        np.testing.assert_allclose(y, x, rtol=1e-10)


@pytest.mark.parametrize("strategy", ["rows", "reverse-mode", "forward-mode"])
def test_jacobian_and_hessian(strategy):
    vectorize = strategy != "rows"
    mode = "reverse-mode" if strategy == "rows" else strategy
    calls = [
        lambda F, m: F.jacobian(two(m), point(m), vectorize=vectorize, strategy=mode),
        lambda F, m: F.jacobian(m.sin, point(m)[0], vectorize=vectorize, strategy=mode),
        lambda F, m: F.hessian(number(m), point(m), vectorize=vectorize, outer_jacobian_strategy=mode),
        lambda F, m: F.hessian(lambda x: x.sin().sum(), point(m)[0], vectorize=vectorize, outer_jacobian_strategy=mode),
    ]
    for call in calls:
        same(call(theirs, torch), call(ours, ingot))


@pytest.mark.parametrize("name", ["vhp", "hvp", "jvp", "vjp"])
def test_products(name):
    for create_graph in (False, True):
        v = (lambda m: None) if name == "vjp" else point
        a = getattr(theirs, name)(number(torch), point(torch), v(torch), create_graph=create_graph)
        b = getattr(ours, name)(number(ingot), point(ingot), v(ingot), create_graph=create_graph)
        same(a, b)


@pytest.mark.parametrize("vectorize", [False, True])
def test_further_derivatives(vectorize):
    found = []
    for m, F in ((torch, theirs), (ingot, ours)):
        x, y = point(m, requires_grad=True)
        by_x, by_y = F.jacobian(lambda x, y: x.sin() * y.sum(), (x, y), create_graph=True, vectorize=vectorize)
        (by_x.sum() + by_y.pow(2).sum()).backward()
        found.append((x.grad, y.grad))
    same(*found)


REFUSED = {
    "an output that is independent of an input": lambda m, F: F.jacobian(lambda x, y: x.sin(), point(m), strict=True),
    "no gradient": lambda m, F: F.jacobian(lambda x, y: x.detach(), point(m), strict=True),
    "a constant jacobian": lambda m, F: F.jacobian(lambda x, y: 2 * x + y.sum(), point(m), strict=True, create_graph=True),
    "strict and vectorize": lambda m, F: F.jacobian(lambda x, y: 2 * x + y.sum(), point(m), strict=True, vectorize=True),
    "forward mode by columns": lambda m, F: F.jacobian(lambda x, y: 2 * x + y.sum(), point(m), strategy="forward-mode"),
    "another strategy": lambda m, F: F.jacobian(lambda x, y: 2 * x + y.sum(), point(m), strategy="other"),
    "vjp": lambda m, F: F.vjp(lambda x, y: x.sin().sum(), point(m), strict=True),
    "hessian": lambda m, F: F.hessian(lambda x, y: (2 * x).sum() + y.sum(), point(m), strict=True),
    "hvp": lambda m, F: F.hvp(lambda x, y: (2 * x).sum() + y.sum(), point(m), point(m), strict=True),
    "jvp": lambda m, F: F.jvp(lambda x, y: x * 2, point(m), point(m), strict=True),
    "more than a number": lambda m, F: F.vhp(lambda x, y: x, point(m), point(m)),
    "a hessian of more than a number": lambda m, F: F.hessian(lambda x, y: x, point(m)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    kinds = []
    for m, F in ((torch, theirs), (ingot, ours)):
        with pytest.raises((RuntimeError, AssertionError)) as caught:
            REFUSED[name](m, F)
        kinds.append(caught.type)
    assert kinds[0] is kinds[1]
