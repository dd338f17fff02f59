"""What reports about other frameworks, and torch's own tables of samples, have asked for: ingot beside torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import ingot

BOTH = (torch, ingot)


def gradients(m, f, *xs):
    """The result and its gradients, in float64."""
    leaves = [m.tensor(x, dtype=m.float64).requires_grad_() for x in xs]
    y = f(m, *leaves)
    y.sum().backward()
    return [y.tolist(), *(x.grad.tolist() for x in leaves)]


@pytest.mark.parametrize(
    ("f", "points"),
    [
        (lambda m, x: m.frexp(x)[0], [[0.0, -0.0, 1.0, 4.0, math.inf]]),
        (lambda m, x, e: m.ldexp(x, e), [[1.0, math.inf, 0.0, 2.0, 1.0], [math.inf, -math.inf, math.inf, 1.5, -math.inf]]),
    ],
    ids=["frexp", "ldexp"],
)
def test_gradients_where_exponents_end(f, points):
    mine, theirs = gradients(ingot, f, *points), gradients(torch, f, *points)
    for a, b in zip(mine, theirs):
        np.testing.assert_allclose(a, b)


def test_softshrink_passes_the_gradient_of_nan_on():
    y, g = gradients(ingot, lambda m, x: m.nn.functional.softshrink(x), [math.nan, 0.1, -2.0])
    assert math.isnan(y[0]) and y[1:] == [0.0, -1.5] and g == [1.0, 0.0, 1.0]


def test_unique_of_one_number_has_an_inverse_without_dims():
    for name in ("unique", "unique_consecutive"):
        shapes = [[tuple(t.shape) for t in getattr(m, name)(m.tensor(3.0), return_inverse=True, return_counts=True)] for m in BOTH]
        assert shapes[0] == shapes[1] == [(1,), (), (1,)]


def test_multi_margin_loss_has_the_dims_of_its_target():
    for target, shape in ((3, ()), ([3], (1,))):
        assert [tuple(m.nn.functional.multi_margin_loss(m.ones(5), m.tensor(target), reduction="none").shape) for m in BOTH] == [shape] * 2


def test_attention_under_a_mask_and_causal():
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((3, 1, 2, 4, 8)).astype(np.float32)
    for mask in (rng.standard_normal((4, 4)).astype(np.float32), rng.random((4, 4)) < 0.6):
        seen = []
        for m in BOTH:
            arrays = [m.from_numpy(a) for a in (q, k, v)]
            seen.append(m.nn.functional.scaled_dot_product_attention(*arrays, attn_mask=m.from_numpy(mask), is_causal=True).numpy())
        np.testing.assert_allclose(seen[1], seen[0], rtol=1e-4, atol=1e-5)
    for m in BOTH:
        x = m.ones(1, 2, 4)
        for dtype in (m.float64, m.int64):
            with pytest.raises(RuntimeError, match="Expected attn_mask dtype to be bool or float or to match query dtype"):
                m.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=m.zeros(2, 2, dtype=dtype))


@pytest.mark.parametrize("value", [2, 0.5, 2.7, True])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "complex64"])
def test_a_number_is_copied_into_a_tensor(value, dtype):
    seen = [m.zeros(2, dtype=getattr(m, dtype)).copy_(value).tolist() for m in BOTH]
    assert seen[0] == seen[1]


def test_einsum_of_lists_of_labels():
    for m in BOTH:
        a, b = m.arange(6.0).reshape(2, 3), m.arange(12.0).reshape(3, 4)
        assert m.equal(m.einsum(a, [0, 1], b, [1, 2], [2, 0]), (a @ b).T)
        assert m.equal(m.einsum(a, [..., 51], b, [51, 0]), a @ b)
        assert m.equal(m.einsum(b @ b.T, [3, 3]), (b @ b.T).trace())
        with pytest.raises(ValueError):
            m.einsum(a, [0, 52], b, [52, 2])


@pytest.mark.parametrize(("name", "options"), [("SGD", {}), ("SGD", {"momentum": 0.9}), ("Adagrad", {}), ("SparseAdam", {})])
@pytest.mark.parametrize("dims", [1, 2])
def test_optimizers_take_gradients_that_are_sparse_in_every_dim(name, options, dims):
    seen = []
    for m in BOTH:
        p = m.ones(3, 3, requires_grad=True)
        optimizer = getattr(m.optim, name)([p], lr=0.1, **options)
        for _ in range(2):
            p.grad = m.tensor([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0]]).to_sparse(dims)
            optimizer.step()
        seen.append(p.detach().numpy())
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-5)


def test_optimizers_refuse_names_for_some_and_many_rates():
    for m in BOTH:
        p, q = m.ones(2, requires_grad=True), m.ones(2, requires_grad=True)
        with pytest.raises(ValueError, match="Some param names are missing"):
            m.optim.SGD([("p", p), q])
        for first, second in (([("p", p)], [q]), ([p], [("q", q)])):
            with pytest.raises(ValueError, match="param groups should be with/without names"):
                m.optim.SGD(first).add_param_group({"params": second})
        with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
            m.optim.Adam([p], lr=m.tensor([0.1, 0.2]))


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0)])
def test_batch_norm_of_nothing_leaves_its_statistics(shape):
    seen = []
    for m in BOTH:
        norm = m.nn.BatchNorm1d(3)
        norm(m.zeros(4, 3, requires_grad=True))
        norm(m.zeros(*shape))
        seen.append([norm.running_mean.tolist(), norm.running_var.tolist(), norm.num_batches_tracked.item()])
    np.testing.assert_allclose(seen[1][1], seen[0][1])
    assert seen[1][0] == seen[0][0] and seen[1][2] == seen[0][2]


@pytest.mark.parametrize("T", BOTH)
def test_numbers_of_elements_may_be_tensors_of_one_integer(T):
    x, n = T.arange(12.0).reshape(3, 4), T.tensor(2)
    assert T.multinomial(T.ones(5), n).shape == (2,) and x.narrow(1, 1, n).tolist() == x[:, 1:3].tolist()
    assert x.diagonal(T.tensor(1)).tolist() == [1.0, 6.0, 11.0] and x.kthvalue(n)[0].tolist() == [1.0, 5.0, 9.0]
    assert T.nn.functional.one_hot(T.tensor([0, 1]), n).tolist() == [[1, 0], [0, 1]]
    for f in (lambda: x.narrow(1, 1, 2.5), lambda: x.kthvalue(1.5), lambda: x.diagonal(0.5)):
        with pytest.raises(TypeError):
            f()


@pytest.mark.parametrize("T", BOTH)
def test_what_no_element_of_goes_anywhere_gets_a_gradient_of_zeros(T):
    none, w = T.zeros(0, 3, dtype=T.long), T.ones(3, requires_grad=True)
    mask = T.zeros(2, 1, dtype=T.bool)
    for f in (
        lambda s: T.zeros(2, 3).masked_scatter(mask, s), lambda s: T.zeros(2, 3).scatter_add(0, none, s),
        lambda s: -T.zeros(2, 3).scatter(0, none, s), lambda s: T.zeros(2, 3).scatter_reduce(0, none, s, "amax"),
    ):  # fmt: skip
        w.grad = None
        y = f(T.ones(0, 3) * w)
        y.sum().backward()
        assert w.grad.tolist() == [0, 0, 0] and y.tolist() == [[0, 0, 0]] * 2
