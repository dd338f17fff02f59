"""Losses. Each elementwise part is one composite with its reduction inside, so a loss records one node."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot.ir.types import ShapeError
from ingot.nn.functional.activation import log1p_exp_neg
from ingot.nn.functional.dense import cosine_similarity, pairwise_distance
from ingot.runtime.recorder import capturing


def _mode(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction, checked; the two flags older code passes decide when they are given."""
    if size_average is not None or reduce is not None:
        average, reduced = size_average in (None, True), reduce in (None, True)
        reduction = ("mean" if average else "sum") if reduced else "none"
        warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.", stacklevel=3)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def _same_size(name: str, input: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
    if weight is not None and tuple(weight.shape) != tuple(input.shape):
        raise ValueError(f"{name}: weight and input must have the same shape, but got {list(weight.shape)} and {list(input.shape)}")
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"{name}: using a target size ({list(target.shape)}) that is different to the input size ({list(input.shape)}). "
            "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=4,
        )


# ---- regression


def _weighted(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """The losses reduced, each scaled by its weight; "mean" divides by the sum of the weights."""
    if weight is None:
        return _reduce(loss, reduction)
    loss = loss * weight
    return loss.sum() / weight.sum() if reduction == "mean" else _reduce(loss, reduction)


@composite
def _mse(x: Tensor, t: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    d = x - t
    return _weighted(d * d, weight, reduction)


def mse_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """(x - t) ** 2, reduced: "mean", "sum" or "none".

    weight: scales each element; "mean" then divides by its sum. ValueError unless it has the input's shape.
    Warns where target and input differ in shape, and broadcasts.

    >>> F.mse_loss(ingot.tensor([1.0, 3.0]), ingot.tensor([1.0, 1.0]))
    tensor(2.)
    """
    _same_size("mse_loss", input, target, weight)
    return _mse(input, target, weight, _mode(reduction, size_average, reduce))


@composite
def _l1(x: Tensor, t: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    d = ingot.abs(x - t)
    return _weighted(d, weight, reduction)


def l1_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """|x - t|, reduced: "mean", "sum" or "none".

    weight: scales each element; "mean" then divides by its sum. ValueError unless it has the input's shape.
    Warns where target and input differ in shape, and broadcasts.

    >>> F.l1_loss(ingot.tensor([1.0, 3.0]), ingot.tensor([1.0, 1.0]))
    tensor(1.)
    """
    _same_size("l1_loss", input, target, weight)
    return _l1(input, target, weight, _mode(reduction, size_average, reduce))


@composite
def _smooth_l1(x: Tensor, t: Tensor, beta: float, reduction: str) -> Tensor:
    d = ingot.abs(x - t)
    return _reduce(ingot.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta) if beta else d, reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d ** 2 / (2 * beta) where d = |x - t| < beta, else d - beta / 2, reduced. RuntimeError for a negative beta.

    Source: https://arxiv.org/abs/1504.08083.

    >>> F.smooth_l1_loss(ingot.tensor([0.5, 3.0]), ingot.zeros(2), reduction="none")
    tensor([0.1250, 2.5000])
    """
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, but got {beta}")
    _same_size("smooth_l1_loss", input, target)
    return _smooth_l1(input, target, beta, _mode(reduction, size_average, reduce))


@composite
def _huber(x: Tensor, t: Tensor, weight: Tensor | None, delta: float, reduction: str) -> Tensor:
    d = ingot.abs(x - t)
    loss = ingot.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))
    return _reduce(loss if weight is None else loss * weight, reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """d ** 2 / 2 where d = |x - t| <= delta, else delta * (d - delta / 2), reduced. RuntimeError unless delta > 0.

    weight: scales each element; ValueError unless it has the input's shape. Source: https://doi.org/10.1214/aoms/1177703732.

    >>> F.huber_loss(ingot.tensor([0.5, 3.0]), ingot.zeros(2), reduction="none", delta=2.0)
    tensor([0.1250, 4.0000])
    """
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, but got {delta}")
    _same_size("huber_loss", input, target, weight)
    return _huber(input, target, weight, delta, _mode(reduction))


# ---- probabilities


@composite
def _bce(x: Tensor, t: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    def clamped_log(v: Tensor) -> Tensor:  # log(v), at least -100, without a NaN in the backward at 0
        small = v <= 1e-43
        return ingot.where(small, -100.0, ingot.log(ingot.where(small, 1.0, v)).clamp(min=-100.0))

    loss = -(t * clamped_log(x) + (1.0 - t) * clamped_log(1.0 - x))
    return _reduce(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """-(t * log(x) + (1 - t) * log(1 - x)) of probabilities x and t, logs at least -100, reduced.

    ValueError where input and target differ in shape. That x is in [0, 1] is not checked: it would make every call wait for
    the values. `binary_cross_entropy_with_logits` takes what comes before a sigmoid, and is more exact.

    >>> F.binary_cross_entropy(ingot.tensor([0.9, 0.5]), ingot.tensor([1.0, 0.0]))
    tensor(0.3993)
    """
    mode = _mode(reduction, size_average, reduce)
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"Using a target size ({list(target.shape)}) that is different to the input size ({list(input.shape)}) is deprecated."
        )
    return _bce(input, target, weight, mode)


@composite
def _bce_logits(x: Tensor, t: Tensor, weight: Tensor | None, pos_weight: Tensor | None, reduction: str) -> Tensor:
    tail = log1p_exp_neg(x)  # softplus(-x)
    loss = (1.0 - t) * x + (tail if pos_weight is None else (1.0 + (pos_weight - 1.0) * t) * tail)
    return _reduce(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of sigmoid(x) and t in [0, 1], without overflow, reduced.

    weight: scales each element. pos_weight: scales the part of t, as for rare positives. Both broadcast.
    ValueError where input and target differ in shape.

    >>> F.binary_cross_entropy_with_logits(ingot.tensor([2.0, 0.0]), ingot.tensor([1.0, 0.0]))
    tensor(0.4100)
    """
    mode = _mode(reduction, size_average, reduce)
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(f"Target size ({list(target.shape)}) must be the same as input size ({list(input.shape)})")
    return _bce_logits(input, target, weight, pos_weight, mode)


@composite
def _kl_div(x: Tensor, t: Tensor, reduction: str, log_target: bool) -> Tensor:
    if log_target:
        loss = ingot.exp(t) * (t - x)
    else:
        zero = t == 0
        loss = ingot.where(zero, 0.0, t * ingot.log(ingot.where(zero, 1.0, t))) - t * x
    return loss.sum() / x.shape[0] if reduction == "batchmean" else _reduce(loss, reduction)


def kl_div(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """t * (log(t) - x), reduced: the divergence of log-probabilities x (sic) from probabilities t; 0 where t is 0.

    log_target: t is given as log-probabilities. "batchmean" divides the sum by the batch size, which is the divergence;
    "mean" divides by the number of elements.

    >>> F.kl_div(ingot.tensor([[0.5, 0.5]]).log(), ingot.tensor([[0.25, 0.75]]), reduction="batchmean")
    tensor(0.1308)
    """
    mode = reduction if reduction == "batchmean" else _mode(reduction, size_average, reduce)
    if mode == "batchmean" and input.ndim == 0:
        mode = "sum"
    return _kl_div(input, target, mode, log_target)


@composite
def _poisson(x: Tensor, t: Tensor, log_input: bool, full: bool, eps: float, reduction: str) -> Tensor:
    loss = ingot.exp(x) - t * x if log_input else x - t * ingot.log(x + eps)
    if full:
        big = t > 1
        safe = ingot.where(big, t, 1.0)
        loss = loss + ingot.where(big, safe * ingot.log(safe) - safe + 0.5 * ingot.log(2 * math.pi * safe), 0.0)
    return _reduce(loss, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) - t * x of counts t, reduced: their negative log-likelihood under Poisson(exp(x)), but for log(t!).

    log_input=False: under Poisson(x), x - t * log(x + eps). full: with Stirling's approximation of log(t!) where t > 1.

    >>> F.poisson_nll_loss(ingot.tensor([0.0, 1.0]), ingot.tensor([1.0, 2.0]))
    tensor(0.8591)
    """
    return _poisson(input, target, log_input, full, eps, _mode(reduction, size_average, reduce))


@composite
def _gaussian(x: Tensor, t: Tensor, var: Tensor, full: bool, eps: float, reduction: str) -> Tensor:
    # torch clamps the variance without clamping its gradient: add the clamp as a constant
    var = var + (var.clamp(min=eps) - var).detach()
    d = x - t
    loss = 0.5 * (ingot.log(var) + d * d / var)
    return _reduce(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """(log(var) + (x - t) ** 2 / var) / 2, var at least eps, reduced: the negative log-likelihood under Normal(x, var).

    var: of the input's shape (one dim may be 1), without the last dim, or a number; ValueError for another shape or a
    negative entry.
    full: with log(2 * pi) / 2.

    >>> F.gaussian_nll_loss(ingot.tensor([1.0, 2.0]), ingot.tensor([1.0, 1.0]), ingot.tensor([1.0, 4.0]))
    tensor(0.4091)
    """
    mode = _mode(reduction)
    if not isinstance(var, Tensor):
        var = ingot.full_like(input, float(var))
    if tuple(var.shape) == tuple(input.shape[:-1]) and var.ndim < input.ndim:
        var = var.unsqueeze(-1)
    elif var.ndim and (var.ndim != input.ndim or sum(v for v, x in zip(var.shape, input.shape) if v != x) > 1):
        raise ValueError(f"var is of incorrect size: {list(var.shape)} for input {list(input.shape)}")
    if not capturing() and bool((var < 0).any()):  # values are not known while a function is compiled
        raise ValueError("var has negative entry/entries")
    return _gaussian(input, target, var, full, eps, mode)


# ---- classes


@composite
def _nll(lp: Tensor, target: Tensor, weight: Tensor | None, ignore: int, reduction: str) -> Tensor:
    """Picks -lp at the class; positions whose target is `ignore` count nothing. Classes are dim 1 (dim 0 without a batch)."""
    loss, kept = _picked(lp, target, weight, ignore)
    if reduction == "mean":
        return loss.sum() / kept.sum()
    return _reduce(loss, reduction)


def _picked(lp: Tensor, target: Tensor, weight: Tensor | None, ignore: int) -> tuple[Tensor, Tensor]:
    dim = 1 if lp.ndim > 1 else 0
    classes = lp.shape[dim]
    valid = target != ignore
    # a negative class would count from the end; sent out of range instead, it is an error
    index = ingot.where(valid, ingot.where(target < 0, classes, target), 0)
    picked = -lp.gather(dim, index.unsqueeze(dim)).squeeze(dim)
    scale = ingot.where(valid, 1.0 if weight is None else weight[index], 0.0).to(lp.dtype)
    return ingot.where(valid, picked * scale, 0.0), scale


@composite
def _cross_entropy(x: Tensor, target: Tensor, weight: Tensor | None, ignore: int, smoothing: float, reduction: str) -> Tensor:
    dim = 1 if x.ndim > 1 else 0
    lp = ingot.log_softmax(x, dim)
    loss, kept = _picked(lp, target, weight, ignore)
    total = kept.sum() if reduction == "mean" else None
    if smoothing:
        spread = lp if weight is None else lp * weight.reshape((-1,) + (1,) * (lp.ndim - 1 - dim))
        smooth = ingot.where(target != ignore, -spread.sum(dim), 0.0)
        loss = (1.0 - smoothing) * loss + (smoothing / x.shape[dim]) * smooth
    return _reduce(loss, reduction) if total is None else loss.sum() / total


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
    return loss.sum() / max(loss.numel(), 1) if reduction == "mean" else _reduce(loss, reduction)


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
    return _nll(input, target.long(), weight, ignore_index, _mode(reduction, size_average, reduce))


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
    mode = _mode(reduction, size_average, reduce)
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
    index = ingot.where(t < 0, x.shape[1], t).unsqueeze(1)
    gap = ingot.relu(margin - x.gather(1, index) + x)
    gap = gap if p == 1 else gap * gap
    if weight is not None:
        gap = gap * weight[index]
    own = ingot.arange(x.shape[1]).unsqueeze(0) == index
    return _reduce(ingot.where(own, 0.0, gap).sum(1) / x.shape[1], reduction)


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
    mode = _mode(reduction, size_average, reduce)
    classes = input.shape[-1] if input.ndim else 1
    if weight is not None and (weight.ndim != 1 or weight.shape[0] != classes):
        kind = ValueError if weight.ndim != 1 else RuntimeError
        raise kind(f"multi_margin_loss: weight must be one-dimensional with {classes} elements, but got {list(weight.shape)}")
    if input.ndim < 2:
        out = _multi_margin(input.reshape((1, -1)), target.reshape((1,)), weight, p, margin, mode)
        return out.squeeze(0) if mode == "none" else out
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
    return _reduce(gap.sum((-1, -2)) / classes, reduction)


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
    return _multilabel_margin(shape, target.reshape((1,)) if not input.ndim else target, _mode(reduction, size_average, reduce))


@composite
def _multilabel_soft_margin(x: Tensor, t: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    loss = t * log1p_exp_neg(x) + (1.0 - t) * (log1p_exp_neg(x) + x)
    return _reduce((loss if weight is None else loss * weight).mean(-1), reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """The mean over classes (the last dim) of the binary cross-entropy of logits, reduced over samples. weight (C).

    >>> F.multilabel_soft_margin_loss(ingot.tensor([[2.0, -1.0]]), ingot.tensor([[1.0, 0.0]]))
    tensor(0.2201)
    """
    return _multilabel_soft_margin(input, target, weight, _mode(reduction, size_average, reduce))


# ---- pairs and triplets


@composite
def _soft_margin(x: Tensor, t: Tensor, reduction: str) -> Tensor:
    return _reduce(log1p_exp_neg(t * x), reduction)


def soft_margin_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-t * x)) for labels t of -1 and 1, reduced.

    >>> F.soft_margin_loss(ingot.tensor([2.0, -1.0]), ingot.tensor([1.0, -1.0]))
    tensor(0.2201)
    """
    return _soft_margin(input, target, _mode(reduction, size_average, reduce))


@composite
def _hinge(x: Tensor, t: Tensor, margin: float, reduction: str) -> Tensor:
    return _reduce(ingot.where(t != -1, x, 0.0) + ingot.where(t != 1, (margin - x).clamp_min(0.0), 0.0), reduction)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """x where t is 1, max(0, margin - x) where t is -1, reduced: for distances x of like and unlike pairs.

    >>> F.hinge_embedding_loss(ingot.tensor([0.5, 0.25]), ingot.tensor([1.0, -1.0]))
    tensor(0.6250)
    """
    return _hinge(input, target, margin, _mode(reduction, size_average, reduce))


@composite
def _cosine_embedding(cos: Tensor, t: Tensor, margin: float, reduction: str) -> Tensor:
    return _reduce(ingot.where(t == 1, 1.0 - cos, 0.0) + ingot.where(t == -1, (cos - margin).clamp_min(0.0), 0.0), reduction)


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
    mode = _mode(reduction, size_average, reduce)
    if input1.ndim not in (1, 2) or target.ndim != input1.ndim - 1:
        raise RuntimeError(f"cosine_embedding_loss: {target.ndim}D target tensor does not match {input1.ndim}D inputs")
    return _cosine_embedding(cosine_similarity(input1, input2, -1, 1e-12), target, margin, mode)


@composite
def _margin_ranking(x1: Tensor, x2: Tensor, t: Tensor, margin: float, reduction: str) -> Tensor:
    return _reduce((-t * (x1 - x2) + margin).clamp_min(0.0), reduction)


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
    return _margin_ranking(input1, input2, target, margin, _mode(reduction, size_average, reduce))


@composite
def _triplet(positive: Tensor, negative: Tensor, margin: float, reduction: str) -> Tensor:
    return _reduce((positive - negative + margin).clamp_min(0.0), reduction)


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

    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction=_mode(reduction, size_average, reduce)
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
    return _triplet(to_positive, to_negative, margin, _mode(reduction))
