"""Losses of classes: negative log likelihood and cross entropy, over (N, C, ...) and (N, ...)."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import Call, op

__all__: list[str] = []


def _nll(x: Tensor, target: Tensor, weight: Tensor | None, ignore: int | None, reduction: str) -> Tensor:
    target = target.to(ingot.int64)
    taken = ingot.ones(target.shape, dtype=ingot.bool) if ignore is None else target != ignore
    at = ingot.where(taken, target, 0)
    loss = -ingot.gather(x, 1, at.unsqueeze(1)).squeeze(1)
    scale = taken.to(x.dtype)
    if weight is not None:
        scale = scale * weight[at]
    loss = ingot.where(taken, loss * scale, 0).to(x.dtype)
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / scale.sum()


@op("NegativeLogLikelihoodLoss")
def negative_log_likelihood(
    x: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int | None = None, reduction: str = "mean"
) -> Tensor:
    return _nll(x, target, weight, ignore_index, reduction)


@op("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(
    c: Call, scores: Tensor, labels: Tensor, weights: Tensor | None = None, *, ignore_index: int | None = None, reduction: str = "mean"
) -> Any:
    logs = ingot.log_softmax(scores, 1)
    return _nll(logs, labels, weights, ignore_index, reduction), logs
