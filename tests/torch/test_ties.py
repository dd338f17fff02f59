"""Gradients, and their gradients, at ties, at NaN, and at zero vectors."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import pytest
import torch

import ingot

NAN, INF = float("nan"), float("inf")
TIES, MIXED, NONE = [3.0, 1.0, 3.0, 1.0, 2.0], [NAN, 1.0, NAN, 2.0, 1.0], [NAN, NAN]
ROWS = [[0.0, 0.0], [1.0, 2.0]]

# name -> (function of torch or ingot and the inputs, inputs, how many times it is differentiated)
CASES = {
    **{
        f"{name} {i}": (lambda m, x, name=name: getattr(m, name)(x), (x,), 1)
        for name in ("median", "nanmedian")
        for i, x in enumerate((TIES, MIXED, NONE, [-INF, -INF, -INF, 1.0], [1.0, 2.0, 2.0, 2.0, INF], [5.0]))
    },
    **{
        f"{name} {how} {i}": (lambda m, x, name=name, how=how: getattr(m, name)(x, 0.6, interpolation=how), (x,), 1)
        for name, how in (("quantile", "linear"), ("quantile", "lower"), ("nanquantile", "midpoint"), ("nanquantile", "nearest"))
        for i, x in enumerate((TIES, MIXED, NONE))
    },
    "hypot": (lambda m, x, y: m.hypot(x, y), ([2.0, -2.0, 3.0, 0.0], [2.0, 2.0, 0.0, -1.0]), 2),
    "logaddexp": (lambda m, x, y: m.logaddexp(x, y), ([0.0, 2.0, -1.0], [0.0, 1.0, -1.0]), 2),
    "logaddexp2": (lambda m, x, y: m.logaddexp2(x, y), ([0.0, 2.0, -1.0], [0.0, 1.0, -1.0]), 2),
    "logcumsumexp": (lambda m, x: m.logcumsumexp(x, 0), (TIES,), 2),
    "i0": (lambda m, x: m.i0(x), ([0.0, -0.0, 0.5, -3.0],), 2),
    "i1": (lambda m, x: m.special.i1(x), ([0.0, -0.0, 0.5, -3.0],), 2),
    "digamma": (lambda m, x: m.digamma(x), ([0.25, 1.0, 2.0, 20.0, -0.5],), 2),
    "ldexp": (lambda m, x, e: m.ldexp(x, e), ([3.0, 2.0, 1.0], [0.0, 1.0, -3.0]), 2),
    "truncated quotient": (lambda m, x, y: m.div(x, y, rounding_mode="trunc"), ([-2.0, 0.0, INF], [0.0, 0.0, 2.0]), 1),
    "smooth_l1": (lambda m, x, y: m.nn.functional.smooth_l1_loss(x, y), ([0.0, 0.5, 3.0], [0.0, 0.0, 0.0]), 2),
    "huber": (lambda m, x, y: m.nn.functional.huber_loss(x, y), ([0.0, 0.5, 3.0], [0.0, 0.0, 0.0]), 2),
    "huber of NaN": (lambda m, x, y: m.nn.functional.huber_loss(x, y), ([NAN, INF], [0.0, INF]), 1),
    "cosine": (
        lambda m, x, y: m.nn.functional.cosine_embedding_loss(x, y, m.tensor([1.0, -1.0], dtype=m.float64)), (ROWS, [[1.0, 2.0]] * 2), 2,
    ),
    "normalize": (lambda m, x: m.nn.functional.normalize(x, p=0.5), (ROWS,), 1),
    "distance": (lambda m, x, y: m.nn.functional.pairwise_distance(x, y, p=0.5, eps=0.0), (ROWS, [[0.0, 0.0], [3.0, 1.0]]), 1),
}  # fmt: skip


def found(m, function, inputs, times: int) -> list[np.ndarray]:
    xs = [m.tensor(x, dtype=m.float64, requires_grad=True) for x in inputs]
    out = [function(m, *xs)]
    for _ in range(times):
        last = out[-1]
        total = (last * m.arange(1, last.numel() + 1, dtype=m.float64).reshape(last.shape)).sum()
        got = m.autograd.grad(total, xs, create_graph=True)
        out.append(m.cat([g.reshape(-1) for g in got]))
    return [v.detach().numpy() for v in out]


@pytest.mark.parametrize("name", CASES)
def test_beside_torch(name: str) -> None:
    for got, want in zip_longest(found(ingot, *CASES[name]), found(torch, *CASES[name])):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-12)  # torch's epsilon of cosines is a float32


def test_the_second_gradient_of_a_constant_power() -> None:
    x = ingot.tensor([0.0, 2.0], requires_grad=True)
    (first,) = ingot.autograd.grad((x**0.0).sum(), x, create_graph=True)
    (second,) = ingot.autograd.grad(first.sum(), x)
    assert first.tolist() == second.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.kthvalue(m.ones(2, 0), 1), lambda m: m.kthvalue(m.ones(2) > 0, 1), lambda m: m.median(m.ones(2) > 0),
        lambda m: m.nanmedian(m.ones(2) > 0, 0), lambda m: m.renorm(m.ones(2, 2, dtype=m.int64), 2, 0, 1.0),
        lambda m: m.amax(m.ones(0, 2)), lambda m: m.amin(m.ones(0, 2), 0), lambda m: m.argmax(m.ones(0)),
        lambda m: m.nn.functional.cosine_similarity(m.arange(3), m.arange(3), 0),
        lambda m: m.nn.functional.huber_loss(m.arange(3), m.arange(3)), lambda m: m.nn.functional.smooth_l1_loss(m.arange(3), m.arange(3)),
    ],
)  # fmt: skip
def test_what_has_no_result_is_refused(call) -> None:
    with pytest.raises((RuntimeError, IndexError)) as theirs:
        call(torch)
    with pytest.raises(IndexError if theirs.type is IndexError else RuntimeError):
        call(ingot)
