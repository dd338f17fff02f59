"""Losses of numbers: how far they are from others."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import full
from ingot._tensor.composites import composite, keeps
from ingot.functions.common import refuse
from ingot.ir.facts import Kept
from ingot.nn.functional.reduction import check_sizes, reduce_loss, reduction_mode


def _numbers(input: Tensor, target: Tensor) -> Tensor:
    """The target, as numbers where it holds truths."""
    return target.to(input.dtype) if target.dtype.kind == "b" and input.dtype.kind == "f" else target


def _weighted(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """The losses reduced, each scaled by its weight; "mean" divides by the sum of the weights."""
    if weight is None:
        return reduce_loss(loss, reduction)
    loss = loss * weight
    return loss.sum() / weight.sum() if reduction == "mean" else reduce_loss(loss, reduction)


@composite
def _mse(x: Tensor, t: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    d = x - t
    return _weighted(d * d, weight, reduction)


@full
def mse_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """(x - t) ** 2, reduced: "mean", "sum" or "none".

    weight: scales each element; "mean" then divides by its sum. ValueError unless it has the input's shape.
    Warns where target and input differ in shape, and broadcasts.

    >>> F.mse_loss(ingot.tensor([1.0, 3.0]), ingot.tensor([1.0, 1.0]))
    tensor(2.)
    """
    check_sizes("mse_loss", input, target, weight)
    if input.dtype.kind == "c":
        raise refuse("mse_loss", input.dtype)
    return _mse(input, _numbers(input, target), weight, reduction_mode(reduction, size_average, reduce))


@composite
@keeps(Kept.NOTHING)
def _l1(x: Tensor, t: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    d = ingot.abs(x - t)
    return _weighted(d, weight, reduction)


@full
def l1_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """|x - t|, reduced: "mean", "sum" or "none".

    weight: scales each element; "mean" then divides by its sum. ValueError unless it has the input's shape.
    Warns where target and input differ in shape, and broadcasts.

    >>> F.l1_loss(ingot.tensor([1.0, 3.0]), ingot.tensor([1.0, 1.0]))
    tensor(1.)
    """
    check_sizes("l1_loss", input, target, weight)
    return _l1(input, target, weight, reduction_mode(reduction, size_average, reduce))


def _floating(name: str, input: Tensor, target: Tensor) -> None:
    dtype = ingot.promote_types(input.dtype, target.dtype)
    if dtype.kind != "f":
        raise refuse(name, dtype)


@composite
def _smooth_l1(x: Tensor, t: Tensor, beta: float, reduction: str) -> Tensor:
    gap = x - t
    d = ingot.abs(gap)
    far = d >= beta
    near = ingot.where(far, 0.0, gap)  # the square of an infinite one would have a NaN for its derivative
    return reduce_loss(ingot.where(far, d - 0.5 * beta, 0.5 * near * near / beta) if beta else d, reduction)


@full
def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d ** 2 / (2 * beta) where d = |x - t| < beta, else d - beta / 2, reduced. RuntimeError for a negative beta, or for integers.

    Source: https://arxiv.org/abs/1504.08083.

    >>> F.smooth_l1_loss(ingot.tensor([0.5, 3.0]), ingot.zeros(2), reduction="none")
    tensor([0.1250, 2.5000])
    """
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, but got {beta}")
    _floating("smooth_l1_loss", input, target)
    check_sizes("smooth_l1_loss", input, target)
    return _smooth_l1(input, _numbers(input, target), beta, reduction_mode(reduction, size_average, reduce))


@composite
def _huber(x: Tensor, t: Tensor, weight: Tensor | None, delta: float, reduction: str) -> Tensor:
    gap = x - t
    d = ingot.abs(gap)
    far = d > delta
    near = ingot.where(far, 0.0, gap)
    loss = ingot.where(far, delta * (d - 0.5 * delta), 0.5 * near * near)
    return reduce_loss(loss if weight is None else loss * weight, reduction)


@full
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """d ** 2 / 2 where d = |x - t| <= delta, else delta * (d - delta / 2), reduced. RuntimeError unless delta > 0, or for integers.

    weight: scales each element; ValueError unless it has the input's shape. Source: https://doi.org/10.1214/aoms/1177703732.

    >>> F.huber_loss(ingot.tensor([0.5, 3.0]), ingot.zeros(2), reduction="none", delta=2.0)
    tensor([0.1250, 4.0000])
    """
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, but got {delta}")
    _floating("huber_loss", input, target)
    check_sizes("huber_loss", input, target, weight)
    return _huber(input, _numbers(input, target), weight, delta, reduction_mode(reduction))
