"""Losses of distributions: cross-entropy of bits, divergence, negative log-likelihood of counts and of numbers."""

from __future__ import annotations

import math
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import full
from ingot._tensor.composites import composite, keeps
from ingot.functions.common import cast, upcast
from ingot.ir.facts import Kept
from ingot.nn.functional.activation import log1p_exp_neg
from ingot.nn.functional.reduction import reduce_loss, reduction_mode
from ingot.nn.functional.sizes import same_dtype
from ingot.runtime.recorder import capturing

_EDGE = 1e-12  # of x (1 - x): nearer to 0 and 1 the derivative of binary cross-entropy is bounded


@composite
def _bce(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    x, t = upcast(input), upcast(target)

    def clamped_log(v: Tensor) -> Tensor:  # log(v), at least -100, without a NaN in the backward at 0
        small = v <= 1e-43
        return ingot.where(small, -100.0, ingot.log(ingot.where(small, 1.0, v)).clamp(min=-100.0))

    def cross_entropy(v: Tensor) -> Tensor:
        return -(t * clamped_log(v) + (1.0 - t) * clamped_log(1.0 - v))

    # the derivative by x is (x - t) / max(x (1 - x), 1e-12), as torch's: near 0 and 1 that of a parabola
    edge = x * (1.0 - x) < _EDGE
    gap = ingot.where(edge, x - t.detach(), 0.0)
    parabola = gap * gap * (0.5 / _EDGE)
    loss = cast(cross_entropy(ingot.where(edge, x.detach(), x)) + (parabola - parabola.detach()), input.dtype)
    return reduce_loss(loss if weight is None else loss * weight, reduction)


@full
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """-(t * log(x) + (1 - t) * log(1 - x)) of probabilities x and t, logs at least -100, reduced.

    ValueError where input and target differ in shape. That x is in [0, 1] is not checked: it would make every call wait for
    the values. `binary_cross_entropy_with_logits` takes what comes before a sigmoid, and is more exact.

    >>> F.binary_cross_entropy(ingot.tensor([0.9, 0.5]), ingot.tensor([1.0, 0.0]))
    tensor(0.3993)
    """
    mode = reduction_mode(reduction, size_average, reduce)
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"Using a target size ({list(target.shape)}) that is different to the input size ({list(input.shape)}) is deprecated."
        )
    same_dtype("binary_cross_entropy", input, target=target)
    return _bce(input, target, weight, mode)


@composite
def _bce_logits(x: Tensor, t: Tensor, weight: Tensor | None, pos_weight: Tensor | None, reduction: str) -> Tensor:
    tail = log1p_exp_neg(x)  # softplus(-x)
    loss = (1.0 - t) * x + (tail if pos_weight is None else (1.0 + (pos_weight - 1.0) * t) * tail)
    return reduce_loss(loss if weight is None else loss * weight, reduction)


@full
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
    mode = reduction_mode(reduction, size_average, reduce)
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
    return loss.sum() / x.shape[0] if reduction == "batchmean" else reduce_loss(loss, reduction)


@full
def kl_div(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """t * (log(t) - x), reduced: the divergence of log-probabilities x (sic) from probabilities t; 0 where t is 0.

    log_target: t is given as log-probabilities. "batchmean" divides the sum by the batch size, which is the divergence;
    "mean" divides by the number of elements.

    >>> F.kl_div(ingot.tensor([[0.5, 0.5]]).log(), ingot.tensor([[0.25, 0.75]]), reduction="batchmean")
    tensor(0.1308)
    """
    mode = reduction if reduction == "batchmean" else reduction_mode(reduction, size_average, reduce)
    if mode == "batchmean" and input.ndim == 0:
        mode = "sum"
    if input.dtype.kind in "iub" or target.dtype.kind in "iub":
        raise RuntimeError("kl_div: Integral inputs not supported.")
    return _kl_div(input, target, mode, log_target)


@composite
def _poisson(x: Tensor, t: Tensor, log_input: bool, full: bool, eps: float, reduction: str) -> Tensor:
    loss = ingot.exp(x) - t * x if log_input else x - t * ingot.log(x + eps)
    if full:
        big = t > 1
        safe = ingot.where(big, t, 1.0)
        loss = loss + ingot.where(big, safe * ingot.log(safe) - safe + 0.5 * ingot.log(2 * math.pi * safe), 0.0)
    return reduce_loss(loss, reduction)


@full
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
    return _poisson(input, target, log_input, full, eps, reduction_mode(reduction, size_average, reduce))


@composite
@keeps(Kept.NOTHING)
def _gaussian(x: Tensor, t: Tensor, var: Tensor, full: bool, eps: float, reduction: str) -> Tensor:
    # torch clamps the variance without clamping its gradient: add the clamp as a constant
    var = var + (var.clamp(min=eps) - var).detach()
    d = x - t
    loss = 0.5 * (ingot.log(var) + d * d / var)
    return reduce_loss(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


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
    mode = reduction_mode(reduction)
    if not isinstance(var, Tensor):
        var = ingot.full_like(input, float(var))
    if tuple(var.shape) == tuple(input.shape[:-1]) and var.ndim < input.ndim:
        var = var.unsqueeze(-1)
    elif var.ndim and (var.ndim != input.ndim or sum(v for v, x in zip(var.shape, input.shape) if v != x) > 1):
        raise ValueError(f"var is of incorrect size: {list(var.shape)} for input {list(input.shape)}")
    if not capturing() and bool((var < 0).any()):  # values are not known while a function is compiled
        raise ValueError("var has negative entry/entries")
    return _gaussian(input, target, var, full, eps, mode)
