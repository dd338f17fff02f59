"""Losses of scores against classes, one or several per sample."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import full
from ingot._tensor.composites import composite, keeps
from ingot.functions.index import taken_along
from ingot.ir.facts import Kept
from ingot.ir.size import ShapeError
from ingot.nn.functional.activation import log1p_exp_neg
from ingot.nn.functional.reduction import reduce_loss, reduction_mode


@composite
def _nll(lp: Tensor, target: Tensor, weight: Tensor | None, ignore: int, reduction: str) -> Tensor:
    """Picks -lp at the class; positions whose target is `ignore` count nothing. Classes are dim 1 (dim 0 without a batch)."""
    loss, kept = _picked(lp, target, weight, ignore)
    if reduction == "mean":
        return loss.sum() / kept.sum()
    return reduce_loss(loss, reduction)


def _picked(lp: Tensor, target: Tensor, weight: Tensor | None, ignore: int) -> tuple[Tensor, Tensor]:
    dim = 1 if lp.ndim > 1 else 0
    classes = lp.shape[dim]
    valid = target != ignore
    # a negative class would count from the end; moved out of range instead, it is an error
    index = ingot.where(valid, ingot.where(target < 0, target - classes, target), 0)
    picked = -taken_along(lp, index.unsqueeze(dim), dim).squeeze(dim)
    scale = ingot.where(valid, 1.0 if weight is None else weight[index], 0.0).to(lp.dtype)
    return ingot.where(valid, picked * scale, 0.0), scale


@composite
@keeps(Kept.NOTHING)
def _cross_entropy(x: Tensor, target: Tensor, weight: Tensor | None, ignore: int, smoothing: float, reduction: str) -> Tensor:
    dim = 1 if x.ndim > 1 else 0
    lp = ingot.log_softmax(x, dim)
    loss, kept = _picked(lp, target, weight, ignore)
    total = kept.sum() if reduction == "mean" else None
    if smoothing:
        spread = lp if weight is None else lp * weight.reshape((-1,) + (1,) * (lp.ndim - 1 - dim))
        smooth = ingot.where(target != ignore, -spread.sum(dim), 0.0)
        loss = (1.0 - smoothing) * loss + (smoothing / x.shape[dim]) * smooth
    return reduce_loss(loss, reduction) if total is None else loss.sum() / total


@composite
def _soft_cross_entropy(x: Tensor, target: Tensor, weight: Tensor | None, smoothing: float, reduction: str) -> Tensor:
    dim = 1 if x.ndim > 1 else 0
    classes = x.shape[dim]
    if smoothing:
        target = target * (1.0 - smoothing) + smoothing / classes
    lp = ingot.log_softmax(x, dim)
    if weight is not None:
        lp = lp * weight.reshape((-1,) + (1,) * (lp.ndim - 1 - dim))
    loss = -(lp * target).sum(dim)
    return loss.sum() / max(loss.numel(), 1) if reduction == "mean" else reduce_loss(loss, reduction)


def _check_classes(name: str, input: Tensor, target: Tensor, weight: Tensor | None) -> int:
    if input.ndim == 0:
        raise RuntimeError(f"{name}: expected an input with a class dimension, but got a 0-D tensor")
    dim = 1 if input.ndim > 1 else 0
    expected = tuple(input.shape[:dim]) + tuple(input.shape[dim + 1 :])
    if tuple(target.shape) != expected:
        raise ValueError(f"{name}: expected a target of shape {list(expected)} for input {list(input.shape)}, but got {list(target.shape)}")
    if target.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: expected class indices of an integer dtype, but got {target.dtype!r}")
    _check_weight(name, input.shape[dim], weight)
    return dim


def _check_weight(name: str, classes: int, weight: Tensor | None) -> None:
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ShapeError(f"{name}: weight must have one entry for each of the {classes} classes, but got shape {list(weight.shape)}")


@full
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """-x[class] * weight[class] of log-probabilities (N, C, *) and int64 classes (N, *), or (C) and (), reduced.

    "mean" divides by the sum of the weights; targets of `ignore_index` count nothing. IndexError for a class outside [0, C).

    >>> F.nll_loss(ingot.tensor([[0.25, 0.75]]).log(), ingot.tensor([1]))
    tensor(0.2877)
    """
    _check_classes("nll_loss", input, target, weight)
    return _nll(input, target.long(), weight, ignore_index, reduction_mode(reduction, size_average, reduce))


@full
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """`nll_loss` of log_softmax(x): logits (N, C, *) or (C) against int64 classes (N, *) or (), or probabilities of the input's shape.

    weight (C): of each class; "mean" divides by the sum of the targets' weights. `ignore_index`: a class that counts nothing.
    label_smoothing: this part of the target is spread over all classes (https://arxiv.org/abs/1512.00567).
    IndexError for a class outside [0, C), ValueError for shapes that do not fit.

    >>> F.cross_entropy(ingot.zeros(2, 4), ingot.tensor([0, 3]))
    tensor(1.3863)
    """
    mode = reduction_mode(reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if not input.is_floating_point():
        raise RuntimeError(f"cross_entropy: logits must be of a floating-point dtype, but got {input.dtype!r}")
    if target.is_floating_point():
        if tuple(input.shape) != tuple(target.shape):
            raise ValueError(f"cross_entropy: probabilities must have the input's shape {list(input.shape)}, but got {list(target.shape)}")
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        _check_weight("cross_entropy", input.shape[1 if input.ndim > 1 else 0], weight)
        return _soft_cross_entropy(input, target, weight, label_smoothing, mode)
    _check_classes("cross_entropy", input, target, weight)
    return _cross_entropy(input, target.long(), weight, ignore_index, label_smoothing, mode)


@composite
def _multi_margin(x: Tensor, t: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str) -> Tensor:
    index = t.unsqueeze(1)
    gap = ingot.relu(margin - x.gather(1, index) + x)
    gap = gap if p == 1 else gap * gap
    if weight is not None:
        gap = gap * weight[index]
    own = ingot.arange(x.shape[1]).unsqueeze(0) == index
    return reduce_loss(ingot.where(own, 0.0, gap).sum(1) / x.shape[1], reduction)


@full
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """sum over j != t of max(0, margin - x[t] + x[j]) ** p / C, reduced: (N, C) scores and (N) classes, or (C) and ().

    p: 1 or 2 (ValueError). weight (C): scales each sample's loss by its class's weight.

    >>> F.multi_margin_loss(ingot.tensor([[0.1, 0.2, 0.4, 0.8]]), ingot.tensor([3]))
    tensor(0.3250)
    """
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    mode = reduction_mode(reduction, size_average, reduce)
    classes = input.shape[-1] if input.ndim else 1
    if weight is not None and (weight.ndim != 1 or weight.shape[0] != classes):
        kind = ValueError if weight.ndim != 1 else RuntimeError
        raise kind(f"multi_margin_loss: weight must be one-dimensional with {classes} elements, but got {list(weight.shape)}")
    if input.ndim < 2:
        out = _multi_margin(input.reshape((1, -1)), target.reshape((1,)), weight, p, margin, mode)
        return out.squeeze(0) if mode == "none" and not target.ndim else out
    return _multi_margin(input, target, weight, p, margin, mode)


@composite
def _multilabel_margin(x: Tensor, target: Tensor, reduction: str) -> Tensor:
    classes = x.shape[-1]
    place = ingot.arange(classes, dtype=ingot.int64)
    end = ingot.where(target < 0, place, classes).amin(-1, keepdim=True)  # what follows the first -1 does not count
    counts = place < end
    safe = ingot.where(counts, target, 0)
    is_target = ingot.zeros_like(x).scatter_add(-1, safe, counts.to(x.dtype)) > 0
    goal = x.gather(-1, safe)
    gap = (1.0 - (goal.unsqueeze(-1) - x.unsqueeze(-2))).clamp_min(0)
    gap = ingot.where(counts.unsqueeze(-1) & ~is_target.unsqueeze(-2), gap, 0.0)
    return reduce_loss(gap.sum((-1, -2)) / classes, reduction)


@full
def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """sum over targets t and other classes j of max(0, 1 - (x[t] - x[j])) / C, reduced over samples.

    input (N, C) or (C); target, of its shape, holds each sample's classes (int64), then -1. RuntimeError for other shapes.

    >>> F.multilabel_margin_loss(ingot.tensor([0.1, 0.2, 0.4, 0.8]), ingot.tensor([3, 0, -1, 1]))
    tensor(0.8500)
    """
    if input.ndim > 2 or tuple(target.shape) != tuple(input.shape) or not (input.ndim == 0 or input.shape[-1]):
        raise RuntimeError(
            f"multilabel_margin_loss: expected input (N, C) or (C) and a target of its shape, got {list(input.shape)} and "
            f"{list(target.shape)}"
        )
    shape = input.reshape((1,)) if not input.ndim else input
    return _multilabel_margin(shape, target.reshape((1,)) if not input.ndim else target, reduction_mode(reduction, size_average, reduce))


@composite
def _multilabel_soft_margin(x: Tensor, t: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    loss = t * log1p_exp_neg(x) + (1.0 - t) * (log1p_exp_neg(x) + x)
    return reduce_loss((loss if weight is None else loss * weight).mean(-1), reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """The mean over classes (the last dim) of the binary cross-entropy of logits, reduced over samples. weight (C).

    >>> F.multilabel_soft_margin_loss(ingot.tensor([[2.0, -1.0]]), ingot.tensor([[1.0, 0.0]]))
    tensor(0.2201)
    """
    return _multilabel_soft_margin(input, target, weight, reduction_mode(reduction, size_average, reduce))
