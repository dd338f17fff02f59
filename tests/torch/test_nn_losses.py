"""Every loss against torch, with every reduction."""

from __future__ import annotations

import numpy as np
import pytest
import torch.nn.functional as TF

import ingot.nn.functional as F
from tests.torch.against import array, compare

REDUCTIONS = ["none", "mean", "sum"]
X, T = array((4, 5)), array((4, 5), 1)
P = (1 / (1 + np.exp(-array((4, 5))))).astype(np.float32)
Q = (1 / (1 + np.exp(-array((4, 5), 1)))).astype(np.float32)
SIGNS = np.where(array((4, 5), 2) > 0, 1.0, -1.0).astype(np.float32)


def fixed(*arrays: np.ndarray):
    """Targets are not differentiated: pass them through closures."""
    return arrays


def loss(name: str, x: np.ndarray, *rest: np.ndarray, **kwargs) -> None:
    import torch

    import ingot

    def mine(x):
        return getattr(F, name)(x, *(ingot.tensor(r) for r in rest), **_with(kwargs, ingot.tensor))

    def theirs(x):
        return getattr(TF, name)(x, *(torch.tensor(r) for r in rest), **_with(kwargs, torch.tensor))

    compare(mine, theirs, (x,))


def _with(kwargs: dict, make) -> dict:
    return {k: make(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name, kwargs", [("mse_loss", {}), ("l1_loss", {}), ("smooth_l1_loss", {}), ("smooth_l1_loss", {"beta": 0.3}),
                                          ("huber_loss", {}), ("huber_loss", {"delta": 0.4})])  # fmt: skip
def test_regression(name: str, kwargs: dict, reduction: str) -> None:
    compare(getattr(F, name), getattr(TF, name), (X, T), {**kwargs, "reduction": reduction})


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary(reduction: str) -> None:
    w = np.abs(array((5,), 3)) + 0.1
    loss("binary_cross_entropy", P, Q, reduction=reduction)
    loss("binary_cross_entropy", P, (Q > 0.5).astype(np.float32), weight=w, reduction=reduction)
    loss("binary_cross_entropy_with_logits", X, Q, reduction=reduction)
    loss("binary_cross_entropy_with_logits", X * 50, (Q > 0.5).astype(np.float32), weight=w, pos_weight=w + 1, reduction=reduction)
    loss("binary_cross_entropy_with_logits", np.zeros((4, 5), np.float32), Q, reduction=reduction)


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_kl_div(reduction: str) -> None:
    loss("kl_div", np.log(P), Q, reduction=reduction)
    loss("kl_div", np.log(P), np.log(Q), reduction=reduction, log_target=True)
    loss("kl_div", np.log(P), np.where(Q > 0.5, Q, 0).astype(np.float32), reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4, 5), (2, 5, 3), (2, 5, 2, 3), (5,)])
def test_class_losses(shape: tuple, reduction: str) -> None:
    x = array(shape)
    target_shape = shape[:1] + shape[2:] if len(shape) > 1 else ()
    t = np.asarray(np.random.default_rng(1).integers(0, 5, target_shape))
    weight = np.abs(array((5,), 3)) + 0.1
    for kwargs in ({}, {"weight": weight}, {"ignore_index": int(t.reshape(-1)[-1]) if t.size > 1 else -100}):
        loss("cross_entropy", x, t, reduction=reduction, **kwargs)
        loss("nll_loss", x, t, reduction=reduction, **kwargs)
        loss("cross_entropy", x, t, reduction=reduction, label_smoothing=0.1, **kwargs)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_soft_targets(reduction: str) -> None:
    p = np.exp(T) / np.exp(T).sum(1, keepdims=True)
    weight = np.abs(array((5,), 3)) + 0.1
    for kwargs in ({}, {"weight": weight}, {"label_smoothing": 0.2}):
        loss("cross_entropy", X, p.astype(np.float32), reduction=reduction, **kwargs)


def test_all_ignored_is_nan() -> None:
    loss("cross_entropy", X, np.full((4,), -100), reduction="mean")


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_pairs(reduction: str) -> None:
    kw = {"reduction": reduction}
    loss("soft_margin_loss", X * 3, SIGNS, **kw)
    loss("hinge_embedding_loss", X, SIGNS, margin=0.7, **kw)
    compare(
        lambda a, b: F.triplet_margin_loss(a, b, a * b, **kw), lambda a, b: TF.triplet_margin_loss(a, b, a * b, **kw), (X, T), atol=3e-5
    )
    compare(
        lambda a, b: F.triplet_margin_loss(a, b, a * b, swap=True, margin=3.0, **kw),
        lambda a, b: TF.triplet_margin_loss(a, b, a * b, swap=True, margin=3.0, **kw), (X, T), atol=3e-5,
    )  # fmt: skip
    import torch

    import ingot

    y = SIGNS[:, 0]
    for margin in (0.0, 0.3):
        compare(
            lambda a, b, m=margin: F.cosine_embedding_loss(a, b, ingot.tensor(y), margin=m, **kw),
            lambda a, b, m=margin: TF.cosine_embedding_loss(a, b, torch.tensor(y), margin=m, **kw), (X, T),
        )  # fmt: skip
        compare(
            lambda a, b, m=margin: F.margin_ranking_loss(a, b, ingot.tensor(SIGNS), margin=m, **kw),
            lambda a, b, m=margin: TF.margin_ranking_loss(a, b, torch.tensor(SIGNS), margin=m, **kw), (X, T),
        )  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_likelihoods(reduction: str) -> None:
    counts = np.random.default_rng(0).integers(0, 6, (4, 5)).astype(np.float32)
    for log_input in (True, False):
        for full in (True, False):
            loss("poisson_nll_loss", X if log_input else P, counts, log_input=log_input, full=full, reduction=reduction)
    compare(F.gaussian_nll_loss, TF.gaussian_nll_loss, (X, T, P), {"reduction": reduction})
    compare(F.gaussian_nll_loss, TF.gaussian_nll_loss, (X, T, P[:, :1] * 1e-7), {"reduction": reduction, "full": True}, rtol=1e-4)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_multi_class_margins(reduction: str) -> None:
    t = np.array([0, 4, 2, 2])
    loss("multi_margin_loss", X, t, reduction=reduction)
    loss("multi_margin_loss", X, t, reduction=reduction, p=2, margin=0.5, weight=np.abs(array((5,), 3)))
    loss("multilabel_soft_margin_loss", X, (SIGNS > 0).astype(np.float32), reduction=reduction)
