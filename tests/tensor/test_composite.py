"""Composites: one node, one trace per signature, the derivative from the graph."""

from collections import namedtuple

import numpy as np
import pytest

import ingot
from ingot._tensor.composites import clear, composite
from ingot.runtime.recorder import here

Pair = namedtuple("Pair", "first second")


def test_one_node_and_one_trace():
    traced = []

    @composite
    def f(x, y, scale, flag=False):
        traced.append(scale)
        return ingot.tanh(x * scale) + y if flag else x + y * scale

    a, b = ingot.ones(2), ingot.ones(2)
    a.tolist(), b.tolist()
    before = len(here.recorder.nodes)
    out = f(a, b, 2.0)
    assert len(here.recorder.nodes) == before + 1 and out.tolist() == [3, 3]
    f(b, a, 2.0)
    assert len(traced) == 1
    f(a, b, 2), f(a, b, scale=2.0), f(a, b, 2.0, flag=True)
    assert len(traced) == 4
    assert f(ingot.ones(3), b[:1], 2.0).tolist() == [3, 3, 3]  # with symbols
    known = len(traced)
    assert f(ingot.ones(7), b[:1], 2.0).tolist() == [3] * 7
    assert len(traced) == known
    assert f(a, b, -0.0).tolist() == f(a, b, 0.0).tolist() and len(traced) == known + 2  # -0.0 is another number


def test_results_may_be_tuples_and_named_tuples():
    @composite
    def f(x):
        return Pair(x + 1, x * 2)

    p = f(ingot.ones(1))
    assert isinstance(p, Pair) and p.second.item() == 2

    @composite
    def g(xs):
        return xs[0] + xs[1][0]

    assert g([ingot.ones(1), (ingot.ones(1),)]).item() == 2


def test_derivatives_and_in_place_inside():
    @composite
    def f(x, w):
        y = x * w
        y[0] = y[1] * 2
        y.mul_(w.exp())
        return y

    x = ingot.tensor([1.0, 2.0], dtype=ingot.float64, requires_grad=True)
    w = ingot.tensor([0.5, -0.5], dtype=ingot.float64, requires_grad=True)
    assert ingot.autograd.gradcheck(f, (x, w)) and ingot.autograd.gradgradcheck(f, (x, w))
    assert f(x, w).grad_fn.name() == "FBackward0"


def test_detach_inside_stops_gradients():
    @composite
    def f(x):
        return x * x.detach()

    x = ingot.tensor([3.0], requires_grad=True)
    f(x).sum().backward()
    assert x.grad.tolist() == [3]


def test_what_a_composite_may_not_do():
    w = ingot.ones(2)

    @composite
    def closes_over(x):
        return x * w

    @composite
    def writes(x):
        w.add_(x)
        return x

    @composite
    def looks(x):
        return x if x.sum() > 0 else -x

    @composite
    def no_tensor(x):
        return 3

    @composite
    def draws(x):
        return x + ingot.rand(2)

    for f, text in ((closes_over, "not an argument"), (writes, "argument|outside"), (looks, "not known"), (draws, "random numbers")):
        with pytest.raises(RuntimeError, match=text):
            f(w + 1)
    with pytest.raises(TypeError, match="must return"):
        no_tensor(w)
    with pytest.raises(TypeError, match="hashable"):
        closes_over({1, 2})
    assert w.tolist() == [1, 1]


def test_a_composite_that_is_one_other_composite_at_any_size():
    @composite
    def inner(x):
        return (x * x).sum(-1, keepdim=True).sqrt()

    @composite
    def outer(x):
        return inner(x)

    for n in (2, 3, 5, 7):
        assert outer(ingot.ones(n, 4)).tolist() == [[2.0]] * n


def test_an_int_that_changes_is_a_size():
    traced = []

    @composite
    def f(x, n, axis):
        traced.append(n)
        return x[:n].sum(axis) * n

    x = ingot.arange(12.0).reshape(6, 2)
    for n in (1, 2, 3, 4, 5, 6):
        assert f(x, n, 0).tolist() == (x[:n].sum(0) * n).tolist()
    known = len(traced)
    for n in (0, 3, 5):
        assert f(ingot.ones(7, 3), n, 0).tolist() == [n * n] * 3
    assert len(traced) == known
    assert f(x, 2, 1).tolist() == [2, 10] and f(x, 3, 1).tolist() == [3, 15, 27]


def test_what_depends_on_a_size_is_traced_for_it():
    @composite
    def f(x):
        return x * 2 if len(x) > 3 else x + len(x)

    for n in (1, 5, 2, 7, 3, 4, 0):
        assert f(ingot.ones(n)).tolist() == ([2] * n if n > 3 else [1 + n] * n)


def test_derivatives_at_many_sizes():
    @composite
    def f(x, y):
        return (x * y).mean(0) + x[: len(x) // 2].sum()

    for n in (3, 5, 1, 8, 2):
        x, y = ingot.ones(n, 2, requires_grad=True), ingot.full((1, 2), 3.0, requires_grad=True)
        f(x, y).sum().backward()
        assert ingot.allclose(x.grad, ingot.tensor([[3 / n + (2.0 if i < n // 2 else 0.0)] * 2 for i in range(n)]))
        assert ingot.allclose(y.grad, ingot.ones(1, 2))


F = ingot.nn.functional
GEOMETRY = {
    "conv1d": [
        lambda x, w, b, k=k: F.conv1d(x[..., 0], w[..., 0], b, **k)
        for k in (
            {"stride": 2, "padding": 1},
            {"dilation": 2, "padding": 2},
            {"padding": 1},
            {"dilation": 3, "padding": 3},
            {},
            {"padding": 2},
        )
    ],
    "conv2d": [
        lambda x, w, b, k=k: F.conv2d(x, w, b, **k)
        for k in (
            {"stride": 2},
            {"dilation": 2, "padding": 2},
            {"padding": 1},
            {"dilation": 3, "padding": 3},
            {"padding": (0, 1)},
            {"stride": 3},
        )
    ],
    "conv_transpose2d": [
        lambda x, w, b, k=k: F.conv_transpose2d(x, w.transpose(0, 1), b, **k)
        for k in ({"stride": 2, "output_padding": 1}, {"dilation": 2, "padding": 2}, {"padding": 1}, {"dilation": 3, "padding": 3}, {})
    ],
    "avg_pool2d": [
        lambda x, w, b, k=k: F.avg_pool2d(x, *k) for k in ((2,), (3, 1, 1), (2, 3, 0), (3, 2, 0), (4, 1, 2), (3, 1, 1, True, False))
    ],
    "max_pool2d": [lambda x, w, b, k=k: F.max_pool2d(x, *k) for k in ((2,), (3, 1, 1), (2, 3, 0), (2, 1, 0, 2), (3, 2, 1, 2), (2, 1))],
    "unfold": [lambda x, w, b, k=k: F.unfold(x, *k) for k in ((2,), (3, 1, 1), (2, 2, 0, 1), (2, 1, 2, 2), (2, 2, 1, 1))],
    "group_norm": [lambda x, w, b, k=k: F.group_norm(x, k) for k in (1, 2, 4, 2)],
    "pixel_shuffle": [lambda x, w, b, k=k: F.pixel_shuffle(x, k) for k in (1, 2, 1)],
    "local_response_norm": [lambda x, w, b, k=k: F.local_response_norm(x, k) for k in (2, 3, 5, 4)],
}


@pytest.mark.parametrize("kind", GEOMETRY)
@pytest.mark.parametrize("grads", [False, True])
def test_geometry_that_changes(kind, grads):
    """What a padding, a stride or a window was before is nothing to the next call, and to its gradient."""
    x, w, b = ingot.randn(2, 4, 9, 8), ingot.randn(6, 4, 3, 3), ingot.randn(6)

    def result(fn):
        a = x.clone().requires_grad_(grads)
        out = fn(a, w, b)
        if grads:
            (out * out).sum().backward()
        return out.detach().numpy(), a.grad.numpy() if grads else None

    fresh = []
    for fn in GEOMETRY[kind]:
        clear()
        fresh.append(result(fn))
    clear()
    for _ in range(2):
        for fn, want in zip(GEOMETRY[kind], fresh):
            for g, e in zip(result(fn), want):
                if e is not None:
                    np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-5)
