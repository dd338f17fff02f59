"""Arrays that a compiled function makes of no input: few numbers stand in the graph, many are an input that is the same at each call."""

from __future__ import annotations

import numpy as np
import pytest

import ingot

TABLE = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float32)


def written(x):
    t = ingot.tensor(TABLE)
    t.add_(1)
    t[0].mul_(2)
    return x @ t


def looped(x):
    return ingot.while_loop(lambda i, c: i < 2, lambda i, c: (i + 1, c @ ingot.from_numpy(TABLE)), (ingot.tensor(0), x))[1]


def gradient(x):
    y = x.detach().requires_grad_()
    (y @ ingot.from_numpy(TABLE)).sum().backward()
    return y.grad


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x @ ingot.from_numpy(TABLE), written, looped, gradient, lambda x: x * ingot.tensor(TABLE).sum().item(),
        lambda x: x * ingot.tensor(TABLE)[3, 4].item(), lambda x: ingot.vmap(lambda r: r @ ingot.tensor(TABLE))(x),
        lambda x: x[:, ingot.tensor(np.arange(100) % 20)],
    ],
)  # fmt: skip
def test_the_same_at_each_call(fn):
    compiled = ingot.compile(fn)
    for seed in range(3):
        x = ingot.from_numpy(np.random.default_rng(seed).normal(size=(3, 20)).astype(np.float32))
        np.testing.assert_allclose(compiled(x).numpy(), fn(x).numpy(), rtol=1e-4, atol=1e-5)


def test_what_is_given_back_is_the_caller_s():
    compiled = ingot.compile(lambda x: (x + 1, ingot.tensor(TABLE)))
    for _ in range(3):
        table = compiled(ingot.zeros(2))[1]
        np.testing.assert_array_equal(table.numpy(), TABLE)
        table.add_(1)


def test_exported():
    program = ingot.onnx.export(lambda x: x @ ingot.from_numpy(TABLE), (ingot.zeros(2, 20),))
    assert [tuple(t.dims) for t in program.model_proto.graph.initializer] == [(20, 20)]
