"""Gradients of gradients through functionals and layers, against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as TF

import ingot
import ingot.nn.functional as F
from tests.torch.against import array, copy_weights, tensors_in, weighted

X = array((2, 3, 8)).astype(np.float64)
IMAGE, WEIGHT = array((1, 2, 5, 5)).astype(np.float64), array((3, 2, 3, 3), 1).astype(np.float64)
CLASSES = np.array([0, 3])


def check(mine: Any, theirs: Any, *args: np.ndarray) -> None:
    """Second gradients of a weighted sum, by way of the sum of the squares of the first."""

    def run(lib: Any, fn: Any, xs: list) -> Any:
        out = tensors_in(fn(*xs))[:1]
        first = lib.autograd.grad(weighted(out), xs, create_graph=True)
        return lib.autograd.grad(sum((g * g).sum() for g in first), xs, allow_unused=True)

    a = run(ingot, mine, [ingot.tensor(x).requires_grad_() for x in args])
    b = run(torch, theirs, [torch.tensor(x).requires_grad_() for x in args])
    for x, y in zip(a, b):
        if y is None:
            assert x is None or not x.numpy().any()
        else:
            np.testing.assert_allclose(np.zeros(y.shape) if x is None else x.numpy(), y.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["gelu", "silu", "softplus", "tanh", "elu", "mish", "logsigmoid", "hardswish", "softsign", "selu"])
def test_activation(name: str) -> None:
    check(getattr(F, name), getattr(TF, name), X)


CASES: dict[str, tuple] = {
    "softmax": (lambda m, t: lambda x: m.softmax(x, -1), X),
    "log_softmax": (lambda m, t: lambda x: m.log_softmax(x, 1), X),
    "layer_norm": (lambda m, t: lambda x: m.layer_norm(x, (8,)), X),
    "rms_norm": (lambda m, t: lambda x: m.rms_norm(x, (8,)), X),
    "group_norm": (lambda m, t: lambda x: m.group_norm(x, 3), X),
    "batch_norm": (lambda m, t: lambda x: m.batch_norm(x, None, None, training=True), X),
    "conv2d": (lambda m, t: lambda x, w: m.conv2d(x, w, stride=2, padding=1), IMAGE, WEIGHT),
    "conv_transpose2d": (lambda m, t: lambda x, w: m.conv_transpose2d(x, w, stride=2), WEIGHT, array((2, 3, 3, 3), 2).astype(np.float64)),
    "max_pool2d": (lambda m, t: lambda x: m.max_pool2d(x * x, 2), IMAGE),
    "avg_pool2d": (lambda m, t: lambda x: m.avg_pool2d(x * x, 3, 2, 1), IMAGE),
    "attention": (lambda m, t: lambda q, k: m.scaled_dot_product_attention(q, k, k, is_causal=True), X, X[::-1].copy()),
    "cross_entropy": (lambda m, t: lambda x: m.cross_entropy(x, t(CLASSES), label_smoothing=0.1), array((2, 5)).astype(np.float64)),
    "bce": (lambda m, t: lambda x: m.binary_cross_entropy_with_logits(x, t(np.full((2, 5), 0.3))), array((2, 5)).astype(np.float64)),
    "embedding": (lambda m, t: lambda w: m.embedding(t(CLASSES), w * w), array((5, 3)).astype(np.float64)),
    "interpolate": (lambda m, t: lambda x: m.interpolate(x * x, scale_factor=2, mode="bilinear"), IMAGE),
}


@pytest.mark.parametrize("name", CASES)
def test_functional(name: str) -> None:
    make, *args = CASES[name]
    check(make(F, ingot.tensor), make(TF, torch.tensor), *args)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_recurrent(name: str) -> None:
    theirs = getattr(torch.nn, name)(3, 4, dtype=torch.float64)
    mine = getattr(ingot.nn, name)(3, 4, dtype=ingot.float64)
    copy_weights(theirs, mine)
    check(mine, theirs, array((4, 2, 3)).astype(np.float64))
