"""Losses of pairs and triplets, and of labels that are -1 and 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import full
from ingot._tensor.composites import composite, keeps
from ingot.ir.facts import Kept
from ingot.nn.functional.activation import log1p_exp_neg
from ingot.nn.functional.distances import pairwise_distance
from ingot.nn.functional.reduction import reduce_loss, reduction_mode


@composite
def _soft_margin(x: Tensor, t: Tensor, reduction: str) -> Tensor:
    return reduce_loss(log1p_exp_neg(t * x), reduction)


@full
def soft_margin_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-t * x)) for labels t of -1 and 1, reduced.

    >>> F.soft_margin_loss(ingot.tensor([2.0, -1.0]), ingot.tensor([1.0, -1.0]))
    tensor(0.2201)
    """
    return _soft_margin(input, target, reduction_mode(reduction, size_average, reduce))


@composite
@keeps(Kept.NOTHING)
def _hinge(x: Tensor, t: Tensor, margin: float, reduction: str) -> Tensor:
    return reduce_loss(ingot.where(t != -1, x, 0.0) + ingot.where(t != 1, (margin - x).clamp_min(0.0), 0.0), reduction)


@full
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """x where t is 1, max(0, margin - x) where t is -1, reduced: for distances x of like and unlike pairs.

    >>> F.hinge_embedding_loss(ingot.tensor([0.5, 0.25]), ingot.tensor([1.0, -1.0]))
    tensor(0.6250)
    """
    return _hinge(input, target, margin, reduction_mode(reduction, size_average, reduce))


@composite
def _cosine_embedding(x1: Tensor, x2: Tensor, t: Tensor, margin: float, reduction: str) -> Tensor:
    squares = ((x1 * x1).sum(-1) + 1e-12) * ((x2 * x2).sum(-1) + 1e-12)  # of no vector quite 0
    cos = (x1 * x2).sum(-1) / ingot.sqrt(squares)
    return reduce_loss(ingot.where(t == 1, 1.0 - cos, 0.0) + ingot.where(t == -1, (cos - margin).clamp_min(0.0), 0.0), reduction)


@full
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(x1, x2) where t is 1, max(0, cos(x1, x2) - margin) where t is -1, reduced.

    x1, x2 (N, D) and t (N), or (D) and (): RuntimeError for other ranks.

    >>> F.cosine_embedding_loss(ingot.eye(2), ingot.ones(2, 2), ingot.tensor([1, -1]), reduction="none")
    tensor([0.2929, 0.7071])
    """
    mode = reduction_mode(reduction, size_average, reduce)
    if input1.ndim not in (1, 2) or target.ndim != input1.ndim - 1:
        raise RuntimeError(f"cosine_embedding_loss: {target.ndim}D target tensor does not match {input1.ndim}D inputs")
    return _cosine_embedding(input1, input2, target, margin, mode)


@composite
@keeps(Kept.NOTHING)
def _margin_ranking(x1: Tensor, x2: Tensor, t: Tensor, margin: float, reduction: str) -> Tensor:
    return reduce_loss((-t * (x1 - x2) + margin).clamp_min(0.0), reduction)


@full
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -t * (x1 - x2) + margin), reduced: x1 should rank above x2 where t is 1, below it where t is -1.

    RuntimeError where the three differ in rank.

    >>> F.margin_ranking_loss(ingot.tensor([1.0, 2.0]), ingot.tensor([0.5, 3.0]), ingot.tensor([1.0, 1.0]))
    tensor(0.5000)
    """
    if input1.ndim != input2.ndim or input1.ndim != target.ndim:
        raise RuntimeError("margin_ranking_loss: all input tensors should have the same number of dimensions")
    return _margin_ranking(input1, input2, target, margin, reduction_mode(reduction, size_average, reduce))


@composite
def _triplet(positive: Tensor, negative: Tensor, margin: float, reduction: str) -> Tensor:
    return reduce_loss((positive - negative + margin).clamp_min(0.0), reduction)


@full
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |a - p| - |a - n| + margin) of (N, D) or (D), reduced: p should be nearer to the anchor a than n.

    The distance is `pairwise_distance` with `p` and `eps`; swap: |p - n| stands for |a - n| where it is smaller.
    ValueError unless margin > 0. Source: http://www.bmva.org/bmvc/2016/papers/paper119/index.html.

    >>> F.triplet_margin_loss(ingot.zeros(1, 2), ingot.ones(1, 2), ingot.full((1, 2), 2.0))
    tensor(0.)
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return pairwise_distance(a, b, p, eps)

    mode = reduction_mode(reduction, size_average, reduce)
    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction=mode
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with another distance: a function of two tensors. ValueError unless margin > 0.

    >>> def city(a, b):
    ...     return (a - b).abs().sum(-1)
    >>> a, p, n = ingot.zeros(1, 2), ingot.ones(1, 2), ingot.full((1, 2), 1.25)
    >>> F.triplet_margin_with_distance_loss(a, p, n, distance_function=city)
    tensor(0.5000)
    """
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        ranks = f"{anchor.ndim}, {positive.ndim} and {negative.ndim}"
        raise RuntimeError(f"anchor, positive and negative must have the same number of dims, but got {ranks}")
    distance = distance_function or pairwise_distance
    to_positive, to_negative = distance(anchor, positive), distance(anchor, negative)
    if swap:
        to_negative = ingot.minimum(to_negative, distance(positive, negative))
    return _triplet(to_positive, to_negative, margin, reduction_mode(reduction))
